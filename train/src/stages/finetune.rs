//! Training a model that is already there further, on somebody's radiographs: what RoentGen did
//! with Stable Diffusion.
//!
//! The autoencoder stays as it is, so that every image is encoded once; the U-Net learns, with or
//! without the text encoder, in all weights or through low-rank adapters. The run's folder holds
//! all that an export needs.

pub mod run;

use std::path::Path;

use burn::module::{Lora, Module, ParamGroup};
use burn::prelude::*;
use indicatif::ProgressIterator;
use rayon::prelude::*;
use roentgen_web::bundle::{BundleInfo, Defaults};
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::components::ComponentConfigs;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::latents::scheduler::SchedulerKind;
use roentgen_web::latents::unet::values::PerLevel;
use roentgen_web::pipeline::PipelineBuilder;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::{self, Weights};
use serde::{Deserialize, Serialize};

use self::run::{FineTune, FineTuneRun};
use crate::data::draw::Draw;
use crate::data::images::{self, Fit};
use crate::data::readers::{self, Caption, Listing};
use crate::data::tables::{Skipped, summary};
use crate::exchange::export::INTENDED_USE;
use crate::stages::diffusion::{Examples, fit};
use crate::stages::latents::{BATCH, LatentEncoder, Latents};
use crate::stages::vae;
use crate::training::objective::{Objective, TextToLatents};
use crate::training::ranks;
use crate::training::run::RunFolder;
use crate::training::samples::{self, Sampling};
use crate::training::{ema, start, trainer};

/// The linear layers that get adapters: the projections of every attention, as in diffusers'
/// `train_text_to_image_lora.py` and peft's defaults for CLIP.
const LORA_TARGETS: &str = r"\.(to_q|to_k|to_v|to_out\.0|q_proj|k_proj|v_proj|out_proj)\.weight$";

/// What a fine-tuning or a distillation started from, as its folder keeps it (`model.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// diffusers' configurations.
    pub configs: ComponentConfigs,
    /// Settings that suit the model.
    pub defaults: Defaults,
}

impl Base {
    /// What an earlier [`train`] left in `folder`, with its tokenizer.
    ///
    /// # Errors
    /// [`Error::Io`] if there is none, [`Error::Config`] or [`Error::Tokenizer`] if it is damaged.
    pub fn open(folder: &RunFolder) -> Result<(Self, ClipTokenizer)> {
        let path = folder.path("model.json");
        let json = std::fs::read(&path).map_err(Error::io(&path))?;
        let base = serde_json::from_slice(&json).map_err(|e| damaged(&path, e))?;
        let path = folder.path("tokenizer/tokenizer.json");
        let json = std::fs::read(&path).map_err(Error::io(&path))?;
        Ok((base, ClipTokenizer::from_json(&json)?))
    }

    /// What a bundle of the run's result says of itself.
    pub fn info(self, run: &FineTuneRun) -> BundleInfo {
        BundleInfo {
            name: run.name.clone(),
            model_card: None,
            license: run.license.clone(),
            attribution: run.attribution.clone(),
            intended_use: INTENDED_USE.into(),
            components: self.configs,
            defaults: self.defaults,
            examples: run.finetune.prompts.clone(),
        }
    }

    /// Writes it, or makes sure that the folder's is the same.
    pub(crate) fn keep(&self, tokenizer: &ClipTokenizer, folder: &RunFolder) -> Result<()> {
        let path = folder.path("model.json");
        let json = serde_json::to_vec_pretty(self).map_err(|e| damaged(&path, e))?;
        if path.exists() {
            // Compared as read back, for a number may lose its last bit on the way.
            let read: Self = serde_json::from_slice(&json).map_err(|e| damaged(&path, e))?;
            return if Self::open(folder)?.0 == read {
                Ok(())
            } else {
                Err(Error::config(
                    folder.0.display().to_string(),
                    "it holds the training of another model; give another --folder",
                ))
            };
        }
        start::save_tokenizer(tokenizer, &folder.path("tokenizer"))?;
        files::replace(&path, json)
    }
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::config(
        path.display().to_string(),
        format!("{why}; delete the folder to start anew"),
    )
}

/// The averaged weights of a fine-tuning with the autoencoder that it started from; adapters are
/// merged.
///
/// # Errors
/// [`Error::Io`] if it has no checkpoint yet.
pub fn trained(folder: &RunFolder) -> Result<Weights> {
    let mut weights = ema::open(&folder.path("vae.safetensors"))?;
    weights.extend(ema::open(&trainer::ema_path(&folder.path("finetune")))?);
    Ok(weights)
}

/// Trains the model in `checkpoint` (a bundle or a diffusers folder) on `data` (see
/// [`readers::list`]) into `folder`, or continues there.
///
/// # Errors
/// As [`ModelFolder`], [`readers::list`] and [`trainer::Trainer`]; [`Error::Config`] if model and
/// run do not fit.
pub fn train(
    run: &FineTuneRun,
    checkpoint: &Path,
    data: &Path,
    folder: &RunFolder,
    device: &Device,
) -> Result<()> {
    folder.create()?;
    let model = ModelFolder::open(checkpoint)?;
    let swapped = match &run.finetune.text_encoder {
        Some(dir) => Some(ModelFolder::open(dir)?),
        None => None,
    };
    let text = swapped.as_ref().unwrap_or(&model);
    let base = base(run, &model, text, device)?;
    base.keep(&text.tokenizer, folder)?;

    let trained_on = device.clone().autodiff();
    trained_on.seed(run.seed); // of the adapters
    let mut networks = TextToLatents {
        text_encoder: base.configs.text_encoder.init(&trained_on)?,
        unet: base.configs.unet.init(&trained_on)?,
    };
    let vae_path = folder.path("vae.safetensors");
    if !folder.path("finetune/checkpoint").exists() {
        let mut all = collect(&model, |name| !name.starts_with("text_encoder."))?;
        all.extend(collect(text, |name| name.starts_with("text_encoder."))?);
        let vae = all.split_off("vae."); // which sorts after the names of the others
        if ranks::is_first() {
            ema::save(&vae, &vae_path)?;
        }
        networks = weights::load(networks, all)?;
    }
    let (latents, captions) = encoded(run, &base, data, folder, device)?;
    let networks = trainable(networks, &run.finetune);
    println!(
        "text encoder: {} parameters, U-Net: {} parameters (adapters included)",
        networks.text_encoder.num_params(),
        networks.unet.num_params()
    );
    let cut = captions.iter().filter(|c| is_cut(c, &text.tokenizer));
    println!("{} texts are cut to fit the text encoder", cut.count());

    let examples = Examples {
        latents: &latents,
        draw: Draw::new(captions.iter().map(Caption::record)),
        prompt: &|i, seed| captions[i].prompt(seed),
        tokenizer: &text.tokenizer,
        caption_dropout: run.finetune.caption_dropout,
        seed: run.seed,
    };
    fit(
        networks,
        &examples,
        &Objective::new(&base.configs.scheduler, run.finetune.min_snr_gamma)?,
        &run.finetune.optimization,
        folder.path("finetune"),
        |trainer| {
            let mut weights = ema::open(&vae_path)?;
            weights.extend(trainer.ema.weights.clone());
            let path = folder.path(&format!("sheets/finetune-{:06}.png", trainer.step));
            sheet(run, &base, &text.tokenizer, weights, device, &path)
        },
    )
}

/// The configurations of `model` with the text encoder of `text`, if they fit each other and the
/// run.
fn base(
    run: &FineTuneRun,
    model: &ModelFolder,
    text: &ModelFolder,
    device: &Device,
) -> Result<Base> {
    let mut configs = model.configs.clone();
    configs.text_encoder = text.configs.text_encoder.clone();
    let width = configs.text_encoder.hidden_size;
    let fits = match &configs.unet.cross_attention_dim {
        PerLevel::All(dim) => *dim == width,
        PerLevel::Each(dims) => dims.iter().all(|dim| *dim == width),
    };
    let fault = |why: String| Error::config("[finetune]", why);
    if !fits {
        return Err(fault(format!(
            "the text encoder is {width} wide, which is not the U-Net's cross_attention_dim"
        )));
    }
    let downscale = configs.vae.downscale();
    if !(run.size as usize).is_multiple_of(downscale) {
        return Err(fault(format!(
            "size {} must be a multiple of {downscale}, which the autoencoder needs",
            run.size
        )));
    }
    // Everything else that can be wrong between the components; networks are made lazily, so this
    // costs nothing.
    PipelineBuilder::new(configs.clone(), text.tokenizer.clone(), device)?;
    let size = run.size as usize;
    configs.unet.sample_size = Some((size / downscale).into());
    let defaults = Defaults {
        width: size,
        height: size,
        ..model.defaults.clone()
    };
    Ok(Base { configs, defaults })
}

/// The weights of a model whose names `wanted` takes.
pub(crate) fn collect(model: &ModelFolder, wanted: impl Fn(&str) -> bool) -> Result<Weights> {
    let mut all = Weights::new();
    for part in model.weights() {
        all.extend(part?.into_iter().filter(|(name, _)| wanted(name)));
    }
    Ok(all)
}

/// Freezes what does not learn, and attaches adapters if the run has them.
fn trainable(networks: TextToLatents, r: &FineTune) -> TextToLatents {
    let TextToLatents { text_encoder, unet } = networks;
    let lora = r.lora.map(|lora| {
        let targets = ParamGroup::from_regex(LORA_TARGETS).expect("a valid pattern");
        Lora::new(lora.rank, lora.alpha).set_param_group(targets)
    });
    let (text_encoder, unet) = match (lora, r.train_text_encoder) {
        (None, true) => (text_encoder, unet),
        (None, false) => (text_encoder.no_grad(), unet),
        (Some(lora), true) => (text_encoder.apply_lora(lora.clone()), unet.apply_lora(lora)),
        (Some(lora), false) => (text_encoder.no_grad(), unet.apply_lora(lora)),
    };
    TextToLatents { text_encoder, unet }
}

fn is_cut(caption: &Caption, tokenizer: &ClipTokenizer) -> bool {
    match caption {
        Caption::Text(text) => tokenizer.encode(text).is_ok_and(|t| t.truncated > 0),
        Caption::Record(_) => false, // composed prompts are short
    }
}

/// Latents and captions of the data, from the folder or, the first time, from the images.
fn encoded(
    run: &FineTuneRun,
    base: &Base,
    data: &Path,
    folder: &RunFolder,
    device: &Device,
) -> Result<(Latents, Vec<Caption>)> {
    let cache = folder.path("latents.safetensors");
    let texts = folder.path("captions.json");
    if !cache.exists() || !texts.exists() {
        let (layout, listing) = readers::list(data)?;
        println!("{}: {layout}, {listing}", data.display());
        let module = vae::Autoencoder {
            vae: base.configs.vae.init(device)?,
        };
        let module = weights::load(module, ema::open(&folder.path("vae.safetensors"))?)?;
        let config = &base.configs.vae;
        let encoder = LatentEncoder::new(&module.vae, config, run.size as usize, device);
        let (latents, captions) = encode(encoder, listing, run.size)?;
        latents.save(&cache)?;
        // Last, so that a run that was interrupted here encodes anew.
        let json = serde_json::to_vec(&captions).map_err(|e| damaged(&texts, e))?;
        files::replace(&texts, &json)?;
    }
    let json = std::fs::read(&texts).map_err(Error::io(&texts))?;
    let captions: Vec<Caption> = serde_json::from_slice(&json).map_err(|e| damaged(&texts, e))?;
    let latents = Latents::open(&cache, Some([captions.len(), 1]))?;
    println!("{} images, encoded in {}", captions.len(), cache.display());
    let latents = latents.with_scaling(&base.configs.vae.scaling()?);
    Ok((latents, captions))
}

/// Reads and encodes every image, a batch at a time; those that cannot be read are left out and
/// printed.
fn encode(
    mut encoder: LatentEncoder,
    listing: Listing,
    size: u32,
) -> Result<(Latents, Vec<Caption>)> {
    let (mut captions, mut skipped) = (vec![], vec![]);
    for pairs in listing.pairs.chunks(BATCH).progress() {
        let read: Vec<_> = pairs
            .par_iter()
            .map(|pair| images::read(&pair.path, Fit::Exactly(size)))
            .collect();
        let mut batch = vec![];
        for (pair, image) in pairs.iter().zip(&read) {
            match image {
                Ok(image) => {
                    batch.push(&image.pixels[..]);
                    captions.push(pair.caption.clone());
                }
                Err(reason) => skipped.push(Skipped {
                    file: pair.path.display().to_string(),
                    reason: reason.clone(),
                }),
            }
        }
        encoder.push(&batch);
    }
    println!("{} images read{}", captions.len(), summary(&skipped));
    if captions.is_empty() {
        Err(Error::config(
            "--data",
            format!("no image can be read{}", summary(&skipped)),
        ))
    } else {
        Ok((encoder.finish(), captions))
    }
}

/// Draws the run's prompts, if it has any.
fn sheet(
    run: &FineTuneRun,
    base: &Base,
    tokenizer: &ClipTokenizer,
    weights: Weights,
    device: &Device,
    path: &Path,
) -> Result<()> {
    let prompts: Vec<&str> = run.finetune.prompts.iter().map(String::as_str).collect();
    if prompts.is_empty() {
        return Ok(());
    }
    let pipeline = samples::pipeline(base.configs.clone(), tokenizer, weights, device)?;
    let sampling = Sampling {
        steps: samples::STEPS,
        guidance: base.defaults.guidance_scale,
        scheduler: Some(SchedulerKind::DpmSolverMultistep),
        size: run.size as usize,
        seed: 0,
    };
    samples::draw(&pipeline, &prompts, sampling, path)
}
