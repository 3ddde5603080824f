//! Training the text encoder and the U-Net together on cached latents and composed prompts.

use burn::module::Module;
use burn::prelude::*;
use rand::RngExt;
use roentgen_web::embeddings::CLIPTextModel;
use roentgen_web::error::Result;
use roentgen_web::latents::UNet2DConditionModel;
use roentgen_web::latents::scheduler::Scheduler;
use roentgen_web::tokens::ClipTokenizer;

use crate::dataset::{AgeGroup, Record};
use crate::latents::Latents;
use crate::prompts;
use crate::replicas::share;
use crate::run::{Run, RunFolder};
use crate::start;
use crate::trainer::Trainer;
use crate::vae::{floats, normal, step_rng};

/// Both trained networks under their components' names.
#[derive(Module, Debug)]
pub struct TextToLatents {
    /// Tokens to embeddings.
    pub text_encoder: CLIPTextModel,
    /// Noise given embeddings.
    pub unet: UNet2DConditionModel,
}

/// One batch on the host.
struct Batch {
    noisy: Vec<f32>,
    target: Vec<f32>,
    timesteps: Vec<f32>,
    weights: Vec<f32>,
    ids: Vec<i32>,
}

/// Trains text encoder and U-Net of `run` into `folder/diffusion`. `on_sheet` is called when a sheet is due, with the
/// averaged weights' trainer.
///
/// # Errors
/// As [`Trainer::step`], and what `on_sheet` gives.
pub fn train(
    run: &Run,
    records: &[Record],
    latents: &Latents,
    tokenizer: &ClipTokenizer,
    folder: &RunFolder,
    device: &Device,
    mut on_sheet: impl FnMut(&Trainer<TextToLatents>) -> Result<()>,
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
    let scheduler = Scheduler::new(&r.scheduler, None)?;
    let pool = pool(records);
    let mut networks = TextToLatents { text_encoder, unet };
    if let Some(init) = &run.init {
        networks = start::from(networks, init)?;
    }
    let mut trainer = Trainer::new(networks, r.optimization.clone(), folder.path("diffusion"))?;
    let n = trainer.share();
    let [c, h, w] = latents.shape;
    let shape = [n, c, h, w];
    while !trainer.is_done() {
        let batch = batch(
            run,
            records,
            &pool,
            latents,
            tokenizer,
            &scheduler,
            trainer.step,
        )?;
        let tokens = [n, batch.ids.len() / r.optimization.batch_size];
        trainer.step(|module, part| {
            let latents = |values| floats(share(values, part, shape), shape, &device);
            let timesteps = Tensor::<1>::from_floats(share(&batch.timesteps, part, [n]), &device);
            let ids = Tensor::<1, Int>::from_ints(share(&batch.ids, part, tokens), &device);
            let context = module.text_encoder.forward(ids.reshape(tokens));
            let prediction = module
                .unet
                .forward(latents(&batch.noisy), timesteps, context);
            let error = (prediction - latents(&batch.target)).powi_scalar(2);
            let weights = floats(share(&batch.weights, part, [n]), [n, 1, 1, 1], &device);
            (error * weights).mean()
        })?;
        if trainer.sheet_is_due() {
            on_sheet(&trainer)?;
        }
    }
    Ok(())
}

/// Indices of the records, each as often as it is to be drawn. Half of the data is normal and one image in fourteen has
/// boxes, the only source of sides and sizes, so these come six times, other images with findings and children twice.
fn pool(records: &[Record]) -> Vec<usize> {
    let times = |record: &Record| match &record.findings {
        _ if !record.boxes.is_empty() => 6,
        Some(findings) if !findings.is_empty() => 2,
        _ if record.age_group == Some(AgeGroup::Child) => 2,
        _ => 1,
    };
    let repeated = records
        .iter()
        .enumerate()
        .map(|(i, r)| std::iter::repeat_n(i, times(r)));
    repeated.flatten().collect()
}

/// The batch of a step: images, prompts, noise and timesteps, all drawn from the step's own random numbers.
fn batch(
    run: &Run,
    records: &[Record],
    pool: &[usize],
    latents: &Latents,
    tokenizer: &ClipTokenizer,
    scheduler: &Scheduler,
    step: usize,
) -> Result<Batch> {
    let r = &run.diffusion;
    let mut rng = step_rng(run.seed, step);
    let mut batch = Batch {
        noisy: vec![],
        target: vec![],
        timesteps: vec![],
        weights: vec![],
        ids: vec![],
    };
    let velocity = r
        .scheduler
        .0
        .get("prediction_type")
        .and_then(|v| v.as_str())
        == Some("v_prediction");
    for _ in 0..r.optimization.batch_size {
        let i = pool[rng.random_range(0..pool.len())];
        let clean = latents.sample(i, &mut rng);
        let noise = normal(&mut rng, clean.len());
        let t = rng.random_range(0..scheduler.schedule().num_train_timesteps());
        let prompt = match rng.random_bool(r.caption_dropout) {
            true => String::new(),
            false => prompts::compose(&records[i], rng.random()),
        };
        batch
            .noisy
            .extend(scheduler.schedule().add_noise(&clean, &noise, t)?);
        batch.target.extend(match velocity {
            true => scheduler.schedule().velocity(&clean, &noise, t)?,
            false => noise,
        });
        batch.timesteps.push(t as f32);
        let alpha = scheduler.alphas_cumprod()[t];
        batch.weights.push(match r.min_snr_gamma {
            Some(gamma) => min_snr_weight(alpha / (1.0 - alpha), gamma, velocity) as f32,
            None => 1.0,
        });
        batch
            .ids
            .extend(tokenizer.encode(&prompt)?.ids.iter().map(|&id| id as i32));
    }
    Ok(batch)
}

/// Weight of a timestep's squared error (Hang et al. 2023, section 3.4 and appendix): `min(snr, gamma)` on the clean
/// latents, expressed in what the network predicts: noise (`/ snr`) or velocity (`/ (snr + 1)`).
fn min_snr_weight(snr: f64, gamma: f64, velocity: bool) -> f64 {
    snr.min(gamma) / if velocity { snr + 1.0 } else { snr }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_snr_clamps_the_faint_noise() {
        assert!((min_snr_weight(1.0, 5.0, false) - 1.0).abs() < 1e-12);
        assert!((min_snr_weight(50.0, 5.0, false) - 0.1).abs() < 1e-12);
        assert!((min_snr_weight(1.0, 5.0, true) - 0.5).abs() < 1e-12);
        assert!((min_snr_weight(49.0, 5.0, true) - 0.1).abs() < 1e-12);
    }
}
