//! What a model under training makes of the contact sheet's prompts.

use std::path::Path;

use burn::prelude::*;
use roentgen_web::components::ComponentConfigs;
use roentgen_web::error::Result;
use roentgen_web::latents::scheduler::SchedulerKind;
use roentgen_web::pipeline::{Pipeline, PipelineBuilder, Request};
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::Weights;

use crate::data::prompts::CONTACT_SHEET;
use crate::training::sheet;

/// Denoising steps that the trained bundle proposes and the sheets take.
pub const STEPS: usize = 20;
/// Guidance likewise, judged by eye on sheets at 2, 3 and 4, which differ little.
pub const GUIDANCE: f64 = 3.0;

/// How the samples are made.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Denoising steps.
    pub steps: usize,
    /// Classifier-free guidance.
    pub guidance: f64,
    /// `None`: the one that the model's configuration names.
    pub scheduler: Option<SchedulerKind>,
    /// Height and width in pixels.
    pub size: usize,
    /// Seed of the first image; the others count up from it.
    pub seed: u64,
}

/// A pipeline from weights in memory.
///
/// # Errors
/// As [`PipelineBuilder`].
pub fn pipeline(
    configs: ComponentConfigs,
    tokenizer: &ClipTokenizer,
    weights: Weights,
    device: &Device,
) -> Result<Pipeline> {
    PipelineBuilder::new(configs, tokenizer.clone(), device)?
        .apply(weights)?
        .finish()
}

/// Generates one image for each prompt of [`CONTACT_SHEET`] and writes them as one PNG.
///
/// # Errors
/// As [`Pipeline::generate`] and [`sheet::save`].
pub fn contact_sheet(pipeline: &Pipeline, sampling: Sampling, path: &Path) -> Result<()> {
    draw(pipeline, &CONTACT_SHEET, sampling, path)
}

/// Generates one image for each prompt and writes them as one PNG, four in a row.
///
/// # Errors
/// As [`Pipeline::generate`] and [`sheet::save`].
pub fn draw(pipeline: &Pipeline, prompts: &[&str], sampling: Sampling, path: &Path) -> Result<()> {
    let mut images = Vec::new();
    for (seed, prompt) in (sampling.seed..).zip(prompts) {
        let request = Request {
            prompt: prompt.to_string(),
            negative_prompt: String::new(),
            seed,
            num_inference_steps: sampling.steps,
            guidance_scale: sampling.guidance,
            scheduler: sampling.scheduler,
            width: sampling.size,
            height: sampling.size,
            latents: None,
            source: None,
            words: false,
            selected_from: 1,
        };
        let generated = pollster::block_on(pipeline.generate(&request, async |_| Ok(())))?;
        // Autoencoders of colour photographs give three channels, which are alike for a radiograph.
        images.push(generated.to_image().to_grey().data);
    }
    sheet::save(path, &images, prompts, sampling.size, sampling.size, 4)
}
