//! A finished run -> a bundle: averaged weights, quantized, with the texts that have to ship with
//! them.

use std::path::Path;

use roentgen_web::bundle::{BundleInfo, BundleWriter, Defaults, Precision};
use roentgen_web::components::ComponentConfigs;
use roentgen_web::embeddings::CLIPTextConfig;
use roentgen_web::error::Result;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::Weights;

use crate::data::prompts::EXAMPLES;
use crate::data::readers::credits::{Credit, attribution};
use crate::stages::latents::Latents;
use crate::stages::vae::{self, adversarial};
use crate::training::run::{Run, RunFolder};
use crate::training::{ema, samples, start, trainer};

/// What every model made here is for, and what not.
pub const INTENDED_USE: &str = "Research, teaching and demonstration of image synthesis. The images are synthetic and show no patient. Not for diagnosis, nor for any other clinical use.";

/// The config of the run's text encoder, with the vocabulary that its tokenizer has.
pub fn text_encoder(run: &Run, tokenizer: &ClipTokenizer) -> CLIPTextConfig {
    CLIPTextConfig {
        vocab_size: tokenizer.vocab_size(),
        ..run.diffusion.text_encoder.clone()
    }
}

/// The run's configs, with what training found out: the vocabulary's size and the latents' scale.
pub fn configs(run: &Run, tokenizer: &ClipTokenizer, latents: &Latents) -> ComponentConfigs {
    ComponentConfigs {
        text_encoder: text_encoder(run, tokenizer),
        unet: run.diffusion.unet.clone(),
        vae: latents.scaled(&run.vae.model),
        scheduler: run.diffusion.scheduler.clone(),
        reader: None,
    }
}

/// The autoencoder that a run has, whose decoder may have been trained twice.
///
/// # Errors
/// [`roentgen_web::Error::Config`] if it is not trained yet and the run starts from no model that
/// has one; as [`start::component`].
pub fn autoencoder(run: &Run, folder: &RunFolder) -> Result<Weights> {
    let trained = start::component(run, folder, "vae", &[adversarial::FOLDER, "vae"])?;
    trained.ok_or_else(|| vae::untrained(folder))
}

/// The averaged weights of all of a run's trainings.
///
/// # Errors
/// As [`autoencoder`]; [`roentgen_web::Error::Io`] if the U-Net has no checkpoint yet.
pub fn weights(run: &Run, folder: &RunFolder) -> Result<Weights> {
    let mut weights = autoencoder(run, folder)?;
    weights.extend(ema::open(&trainer::ema_path(&folder.path("diffusion")))?);
    Ok(weights)
}

/// What the bundle of a run says of itself; `credits` are of the data it learned from.
pub fn info(run: &Run, components: ComponentConfigs, credits: &[Credit]) -> BundleInfo {
    BundleInfo {
        name: run.name.clone(),
        model_card: None,
        license: "MIT OR Apache-2.0".into(),
        attribution: attribution(credits),
        intended_use: INTENDED_USE.into(),
        components,
        defaults: Defaults {
            num_inference_steps: samples::STEPS,
            guidance_scale: samples::GUIDANCE,
            width: run.size as usize,
            height: run.size as usize,
            scheduler: Some("dpm++2m".into()),
        },
        examples: EXAMPLES.iter().map(|e| e.to_string()).collect(),
    }
}

/// Writes a bundle; a `README.md` that lies in the folder becomes its model card.
///
/// # Errors
/// As [`BundleWriter`].
pub fn write(
    mut info: BundleInfo,
    tokenizer: &ClipTokenizer,
    weights: &Weights,
    precision: Precision,
    dir: &Path,
) -> Result<()> {
    let mut writer = BundleWriter::new(dir, precision)?;
    for (name, weight) in weights {
        writer.add(name, weight)?;
    }
    info.model_card = dir.join("README.md").exists().then(|| "README.md".into());
    let manifest = writer.finish(info, tokenizer)?;
    println!("{}: {} bytes", dir.display(), manifest.total_bytes());
    Ok(())
}
