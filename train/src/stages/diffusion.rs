//! Training the U-Net on cached latents and prompts, with the text encoder or after it.

use std::path::PathBuf;

use burn::module::Module;
use burn::prelude::*;
use rand::RngExt;
use roentgen_web::error::{Error, Result};
use roentgen_web::tokens::ClipTokenizer;

use crate::data::draw::Draw;
use crate::data::prompts;
use crate::data::record::Record;
use crate::stages::latents::Latents;
use crate::training::objective::{Batch, Objective, TextToLatents};
use crate::training::random::{normal, step_rng};
use crate::training::run::{Optimization, Run, RunFolder};
use crate::training::start;
use crate::training::trainer::Trainer;

/// What batches are drawn from.
pub struct Examples<'a> {
    /// The latents of every image.
    pub latents: &'a Latents,
    /// How often each image is drawn.
    pub draw: Draw,
    /// The prompt of an image; the number chooses among paraphrases.
    pub prompt: &'a dyn Fn(usize, u64) -> String,
    /// What the text encoder reads prompts with.
    pub tokenizer: &'a ClipTokenizer,
    /// Share of prompts that are replaced by the empty one.
    pub caption_dropout: f64,
    /// Seed of every random choice.
    pub seed: u64,
}

/// Trains the U-Net of `run`, and the text encoder too if it has no training of its own
/// ([`crate::stages::text`]), into `folder/diffusion`. `on_sheet` is called when a sheet is due,
/// with the averaged weights' trainer.
///
/// # Errors
/// As [`Trainer::step`], and what `on_sheet` gives; [`Error::Config`] if the run has a `[text]`
/// training that was not done.
pub fn train(
    run: &Run,
    records: &[Record],
    latents: &Latents,
    tokenizer: &ClipTokenizer,
    folder: &RunFolder,
    device: &Device,
    on_sheet: impl FnMut(&Trainer<TextToLatents>) -> Result<()>,
) -> Result<()> {
    let device = device.clone().autodiff();
    device.seed(run.seed); // of the starting weights
    let r = &run.diffusion;
    let text_encoder = r.text_encoder.init(&device)?;
    let unet = r.unet.init(&device)?;
    println!(
        "text encoder: {} parameters, U-Net: {} parameters",
        text_encoder.num_params(),
        unet.num_params()
    );
    let mut networks = TextToLatents { text_encoder, unet };
    if let Some(init) = &run.init {
        networks = start::from(networks, init)?;
    }
    if run.text.is_some() {
        let Some(trained) = start::component(run, folder, "text_encoder", &["text"])? else {
            return Err(Error::config(
                folder.0.display().to_string(),
                "its run has a [text] table but no trained text encoder; run `train text` first",
            ));
        };
        let own = folder.path("text");
        let init = run.init.clone().filter(|_| !own.exists());
        networks = start::take(networks, trained, &init.unwrap_or(own))?;
        // It stays as it is: the denoising loss, left alone with it, has it forget the findings
        // again.
        networks.text_encoder = networks.text_encoder.no_grad();
    }
    let examples = Examples {
        latents,
        draw: Draw::new(records.iter().map(Some)),
        prompt: &|i, seed| prompts::compose(&records[i], seed),
        tokenizer,
        caption_dropout: r.caption_dropout,
        seed: run.seed,
    };
    let objective = Objective::new(&r.scheduler, r.min_snr_gamma)?.drawing(r.timesteps);
    let folder = folder.path("diffusion");
    fit(
        networks,
        &examples,
        &objective,
        &r.optimization,
        folder,
        on_sheet,
    )
}

/// Trains `networks` (on an autodiff device) on `examples` into `folder`, or continues there.
///
/// # Errors
/// As [`Trainer::step`], and what `on_sheet` gives.
pub fn fit(
    networks: TextToLatents,
    examples: &Examples,
    objective: &Objective,
    optimization: &Optimization,
    folder: PathBuf,
    mut on_sheet: impl FnMut(&Trainer<TextToLatents>) -> Result<()>,
) -> Result<()> {
    let mut trainer = Trainer::new(networks, optimization.clone(), folder)?;
    let n = trainer.share();
    while !trainer.is_done() {
        let batch = examples.batch(objective, optimization.batch_size, trainer.step)?;
        trainer.step(|module, part, device| batch.loss(module, part, n, device))?;
        if trainer.sheet_is_due() {
            on_sheet(&trainer)?;
        }
    }
    Ok(())
}

impl Examples<'_> {
    /// The batch of a step: images, prompts, noise and timesteps, all drawn from the step's own
    /// random numbers.
    fn batch(&self, objective: &Objective, size: usize, step: usize) -> Result<Batch> {
        let mut rng = step_rng(self.seed, step);
        let mut batch = Batch::new(self.latents.shape);
        for _ in 0..size {
            let i = self.draw.index(&mut rng);
            let clean = self
                .latents
                .sample(self.latents.copy(i, &mut rng), &mut rng);
            let noise = normal(&mut rng, clean.len());
            let t = objective.timesteps.draw(&mut rng);
            let prompt = if rng.random_bool(self.caption_dropout) {
                String::new()
            } else {
                (self.prompt)(i, rng.random())
            };
            let ids = self.tokenizer.encode(&prompt)?.ids;
            batch.push(objective, &clean, &noise, t, &ids)?;
        }
        Ok(batch)
    }
}
