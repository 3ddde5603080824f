//! A model from nothing, stage by stage: autoencoder, text encoder, U-Net, each into the same run's
//! folder.

use std::path::Path;

use burn::prelude::*;
use roentgen_web::bundle::BundleInfo;
use roentgen_web::checkpoint::{Components, ModelFolder};
use roentgen_web::error::{Error, Result};
use roentgen_web::latents::scheduler::SchedulerKind;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::{self, Weights};

use super::finetune::collect;
use super::latents::Latents;
use super::vae::reconstruct::Reconstructions;
use super::{SOURCES, diffusion, text, vae};
use crate::data::dataset::Dataset;
use crate::data::doubts;
use crate::data::images::{Fit, to_unit};
use crate::data::readers::collection::{Purpose, Selection};
use crate::data::readers::credits;
use crate::data::record::{Record, Split};
use crate::data::sides;
use crate::evaluate::rulers;
use crate::exchange::safetensors::Format;
use crate::exchange::{diffusers, export, tokenizer};
use crate::training::run::{Run, RunFolder};
use crate::training::samples::{self, Sampling};
use crate::training::trainer::ema_path;
use crate::training::{ema, start};

/// The tokenizer in a run's folder.
const TOKENIZER: &str = "tokenizer/tokenizer.json";

/// The train split of `dir` as the `[data]` table of `run` wants it, listed on the screen, its
/// sources noted in `folder`. Images for [`Purpose::Detail`] are not enlarged to the run's size;
/// those for [`Purpose::Prompts`] all have it.
///
/// # Errors
/// As [`Dataset::read`], [`credits::note`] and [`doubts::apply`].
pub fn data(run: &Run, dir: &Path, purpose: Purpose, folder: &RunFolder) -> Result<Dataset> {
    let selection = Selection {
        split: Split::Train,
        purpose,
        sources: run.data.sources.as_deref(),
    };
    let fit = match purpose {
        Purpose::Detail => Fit::AtMost(run.size),
        Purpose::Prompts => Fit::Exactly(run.size),
    };
    let mut data = Dataset::read(dir, &selection, fit)?;
    println!("{data}");
    let mut learned = data.credits();
    let of_init = run.init.as_ref().map(|init| init.join(SOURCES));
    if let Some(path) = of_init.filter(|path| path.exists()) {
        learned.extend(credits::noted(&path)?);
    }
    credits::note(&learned, &folder.path(SOURCES))?;
    if purpose == Purpose::Prompts {
        let doubts = folder.path(doubts::FILE);
        if doubts.exists() {
            let moved = doubts::apply(&doubts, &mut data.records)?;
            println!(
                "{moved} labels of reports are not believed ({})",
                doubts.display()
            );
        }
        if run.data.pseudo_sides {
            println!(
                "{} sides read off images without boxes",
                sides::read(&mut data)
            );
        }
        if run.data.mirrored {
            let plain = data.len();
            data.mirror_boxed();
            println!("{} images with boxes, mirrored", data.len() - plain);
        }
    }
    Ok(data)
}

/// Trains the autoencoder.
///
/// # Errors
/// As [`data`] and [`vae::train`].
pub fn train_vae(run: &Run, dir: &Path, folder: &RunFolder, device: &Device) -> Result<()> {
    let data = data(run, dir, Purpose::Detail, folder)?;
    vae::train(run, &data, folder, device)
}

/// Trains the decoder of a trained autoencoder further, against a discriminator.
///
/// # Errors
/// [`Error::Config`] if the run has no `[vae.adversarial]` table; as [`data`] and
/// [`vae::adversarial::train`].
pub fn train_adversarial(run: &Run, dir: &Path, folder: &RunFolder, device: &Device) -> Result<()> {
    let Some(adversarial) = &run.vae.adversarial else {
        return Err(Error::config(
            run.name.clone(),
            "its run file has no [vae.adversarial]; add it, or go on with `train diffusion`",
        ));
    };
    let data = data(run, dir, Purpose::Detail, folder)?;
    vae::adversarial::train(run, adversarial, &data, folder, device)
}

/// Decodes `images` of the val split, stored at least as large as the run's images, by the averaged
/// weights of the run's autoencoder, draws some on a sheet at `out`, and says how near they come.
///
/// # Errors
/// As [`vae::trained`], [`rulers::sharp`] and [`Reconstructions::sheet`].
pub fn reconstruct(
    run: &Run,
    dir: &Path,
    folder: &RunFolder,
    images: usize,
    out: &Path,
    device: &Device,
) -> Result<String> {
    let size = run.size as usize;
    let data = rulers::sharp(dir, Split::Val, size, images, run.seed)?;
    let unit = |i: usize| data.image(i).iter().map(|p| to_unit(*p)).collect();
    let images: Vec<Vec<f32>> = (0..images).map(unit).collect();
    let made = |weights: Weights| -> Result<Reconstructions> {
        let vae = run.vae.model.init(device)?;
        let module = weights::load(vae::Autoencoder { vae }, weights)?;
        let config = &run.vae.model;
        Ok(Reconstructions::new(
            &module.vae,
            config,
            images.clone(),
            size,
            device,
        ))
    };
    let plain = made(vae::trained(run, folder)?)?;
    let sharp = ema_path(&folder.path(vae::adversarial::FOLDER));
    if !sharp.exists() {
        plain.sheet("decoded", &[], out)?;
        return Ok(plain.to_string());
    }
    let sharp = made(ema::open(&sharp)?)?;
    plain.sheet("plain", &[("adversarial", &sharp)], out)?;
    Ok(format!("plain: {plain}\nadversarial: {sharp}"))
}

/// Makes the tokenizer, if the folder has none, and trains the text encoder.
///
/// # Errors
/// [`Error::Config`] if the run has no `[text]` table; as [`data`] and [`text::train`].
pub fn train_text(run: &Run, dir: &Path, folder: &RunFolder, device: &Device) -> Result<()> {
    let Some(text) = &run.text else {
        return Err(Error::config(
            run.name.clone(),
            "its run file has no [text.optimization]; add it, or go on with `train diffusion`",
        ));
    };
    let data = data(run, dir, Purpose::Prompts, folder)?;
    let tokenizer = prepare_tokenizer(run, &data.records, folder)?;
    let mut run = run.clone();
    run.diffusion.text_encoder = export::text_encoder(&run, &tokenizer);
    text::train(&run, text, &data.records, &tokenizer, folder, device)
}

/// Encodes every image, if the folder has no latents, and trains the U-Net.
///
/// # Errors
/// As [`data`], [`export::autoencoder`] and [`diffusion::train`].
pub fn train_diffusion(run: &Run, dir: &Path, folder: &RunFolder, device: &Device) -> Result<()> {
    let data = data(run, dir, Purpose::Prompts, folder)?;
    let tokenizer = prepare_tokenizer(run, &data.records, folder)?;
    let cache = folder.path("latents.safetensors");
    let vae_weights = export::autoencoder(run, folder)?;
    if !cache.exists() {
        let module = vae::Autoencoder {
            vae: run.vae.model.init(device)?,
        };
        let module = weights::load(module, vae_weights.clone())?;
        let copies = run.diffusion.moved;
        Latents::encode(&module.vae, &run.vae.model, &data, copies, device).save(&cache)?;
    }
    let latents = Latents::open(&cache, Some([data.len(), 1 + run.diffusion.moved]))?;
    let configs = export::configs(run, &tokenizer, &latents);
    let latents = latents.with_scaling(&configs.vae.scaling()?);
    let mut run = run.clone();
    run.diffusion.text_encoder = configs.text_encoder.clone();
    let sheet = |trainer: &crate::training::trainer::Trainer<_>| {
        let mut weights = vae_weights.clone();
        weights.extend(trainer.ema.weights.clone());
        let pipeline = samples::pipeline(configs.clone(), &tokenizer, weights, device)?;
        let path = folder.path(&format!("sheets/diffusion-{:06}.png", trainer.step));
        let sampling = Sampling {
            steps: samples::STEPS,
            guidance: samples::GUIDANCE,
            scheduler: Some(SchedulerKind::DpmSolverMultistep),
            size: run.size as usize,
            seed: 0,
        };
        samples::contact_sheet(&pipeline, sampling, &path)
    };
    let records = &data.records;
    diffusion::train(&run, records, &latents, &tokenizer, folder, device, sheet)
}

/// Writes the components that are trained so far into `out`, in f16: the autoencoder, the text
/// encoder with its tokenizer and the U-Net if the run has them, and the names of the data that
/// they learned from. Another run can have them as its `init`.
///
/// # Errors
/// As [`export::autoencoder`], [`diffusers::write_autoencoder`] and [`credits::note`].
pub fn export_components(run: &Run, folder: &RunFolder, out: &Path) -> Result<()> {
    let weights = export::autoencoder(run, folder)?;
    diffusers::write_autoencoder(&run.vae.model, &weights, out)?;
    if let Some(weights) = start::component(run, folder, "text_encoder", &["text"])? {
        let tokenizer = match init_tokenizer(run)? {
            Some(tokenizer) if !folder.path(TOKENIZER).exists() => tokenizer,
            _ => open_tokenizer(folder)?,
        };
        let config = export::text_encoder(run, &tokenizer);
        diffusers::write_text_encoder(&config, &tokenizer, &weights, Format::F16, out)?;
    }
    if let Some(weights) = start::component(run, folder, "unet", &["diffusion"])? {
        diffusers::write_unet(&run.diffusion.unet, &weights, Format::F16, out)?;
    }
    credits::note(&credits::noted(&folder.path(SOURCES))?, &out.join(SOURCES))
}

/// What a finished run has to give: what its bundle says of itself, tokenizer, averaged weights. Of
/// a run whose folder has no trained U-Net, the model that it starts from with the run's
/// autoencoder.
///
/// # Errors
/// [`Error::Io`] if a stage was not trained yet; as [`ModelFolder::open`].
pub fn finished(run: &Run, folder: &RunFolder) -> Result<(BundleInfo, ClipTokenizer, Weights)> {
    let credits = credits::noted(&folder.path(SOURCES))?;
    let is_trained = ema_path(&folder.path("diffusion")).exists();
    if let Some(init) = run.init.as_ref().filter(|_| !is_trained) {
        let model = ModelFolder::open(init)?;
        let mut weights = collect(&model, |_| true)?;
        weights.extend(export::autoencoder(run, folder)?);
        let info = export::info(run, model.configs, &credits);
        return Ok((info, model.tokenizer, weights));
    }
    let tokenizer = open_tokenizer(folder)?;
    let latents = Latents::open(&folder.path("latents.safetensors"), None)?;
    let configs = export::configs(run, &tokenizer, &latents);
    let info = export::info(run, configs, &credits);
    Ok((info, tokenizer, export::weights(run, folder)?))
}

fn open_tokenizer(folder: &RunFolder) -> Result<ClipTokenizer> {
    let path = folder.path(TOKENIZER);
    ClipTokenizer::from_json(&std::fs::read(&path).map_err(Error::io(&path))?)
}

/// The tokenizer of the model that a run starts from, if it has one: token embeddings mean nothing
/// with another.
fn init_tokenizer(run: &Run) -> Result<Option<ClipTokenizer>> {
    let init = run.init.as_deref().map(Components::open).transpose()?;
    Ok(init.and_then(|init| init.tokenizer))
}

/// Makes the run's tokenizer, or takes that of the model it starts from, unless the folder has one.
fn prepare_tokenizer(run: &Run, records: &[Record], folder: &RunFolder) -> Result<ClipTokenizer> {
    let path = folder.path(TOKENIZER);
    let dir = path.parent().expect("in a folder");
    if !path.exists() {
        match init_tokenizer(run)? {
            Some(tokenizer) => start::save_tokenizer(&tokenizer, dir)?,
            None => {
                let trained = tokenizer::train(tokenizer::corpus(records, 8), run.vocab_size)?;
                tokenizer::save(&trained, dir)?;
            }
        }
    }
    open_tokenizer(folder)
}
