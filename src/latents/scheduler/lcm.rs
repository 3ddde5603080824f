//! Multistep sampling of latent consistency models (Luo et al. 2023, arXiv 2310.04378, algorithm
//! 3): the model predicts the clean sample at once, and noise takes it to the next timestep.
//! Source: `diffusers/schedulers/scheduling_lcm.py`.

use super::config::{SchedulerConfig, bad_key};
use super::schedule::{BetaDefaults, NoiseSchedule, PredictionType};
use super::solver::{SchedulerOutput, Solver, bad_steps, combine};
use crate::error::Result;

/// Standard deviation of the data in the boundary condition of consistency models.
const SIGMA_DATA: f64 = 0.5;

/// This class's own defaults: Stable Diffusion's schedule.
const BETAS: BetaDefaults = BetaDefaults {
    start: 0.00085,
    end: 0.012,
    schedule: "scaled_linear",
};

/// `LCMScheduler`.
#[derive(Debug)]
pub(super) struct Lcm {
    schedule: NoiseSchedule,
    prediction: PredictionType,
    /// Steps of the schedule that the model was distilled on.
    original_inference_steps: usize,
    timestep_scaling: f64,
    clip: Option<f64>,
    timesteps: Vec<f64>,
}

impl Lcm {
    pub(super) fn new(config: &SchedulerConfig) -> Result<Self> {
        config.refuse(&["thresholding"])?;
        let schedule = NoiseSchedule::read(config, &BETAS, true)?;
        let prediction = PredictionType::read(config)?;
        if schedule.alphas_cumprod.last() == Some(&0.0) && prediction == PredictionType::Epsilon {
            let why = "with epsilon prediction it divides by zero; the model must predict v".into();
            return Err(bad_key("rescale_betas_zero_snr", why));
        }
        let original_inference_steps = config.count("original_inference_steps", 50)?;
        let train = schedule.num_train_timesteps();
        if !(1..=train).contains(&original_inference_steps) {
            let why = format!("{original_inference_steps} is not between 1 and {train}");
            return Err(bad_key("original_inference_steps", why));
        }
        let clip = if config.flag("clip_sample", false)? {
            Some(config.number("clip_sample_range", 1.0)?.abs())
        } else {
            None
        };
        Ok(Self {
            prediction,
            original_inference_steps,
            timestep_scaling: config.number("timestep_scaling", 10.0)?,
            clip,
            timesteps: Vec::new(),
            schedule,
        })
    }

    /// `a` of the call after `index`; the last one's noise level is its own.
    fn next_alpha(&self, index: usize) -> Option<f64> {
        let next = self.timesteps.get(index + 1)?;
        Some(self.schedule.alphas_cumprod[*next as usize])
    }
}

impl Solver for Lcm {
    fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn set_timesteps(&mut self, count: usize) -> Result<Vec<f64>> {
        let original = self.original_inference_steps;
        if count > original {
            let why = format!("must be at most {original} with lcm, not {count}");
            return Err(bad_steps(why));
        }
        let stride = self.schedule.num_train_timesteps() / original;
        // Evenly spaced among the falling timesteps of distillation; numpy.linspace multiplies by
        // the rounded step.
        let step = original as f64 / count as f64;
        let index = |i: usize| (i as f64 * step) as usize;
        let timestep = |i| ((original - index(i)) * stride - 1) as f64;
        self.timesteps = (0..count).map(timestep).collect();
        Ok(self.timesteps.clone())
    }

    fn noise_after(&self, index: usize) -> f64 {
        self.next_alpha(index).map_or(0.0, |a| (1.0 - a).sqrt())
    }

    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> SchedulerOutput<f64> {
        let t = self.timesteps[index];
        let a = self.schedule.alphas_cumprod[t as usize];
        let (signal, sigma) = (a.sqrt(), (1.0 - a).sqrt());
        let mut original = match self.prediction {
            PredictionType::Epsilon => {
                combine([(1.0 / signal, sample), (-sigma / signal, model_output)])
            }
            PredictionType::Sample => model_output.to_vec(),
            PredictionType::VPrediction => combine([(signal, sample), (-sigma, model_output)]),
        };
        if let Some(range) = self.clip {
            original
                .iter_mut()
                .for_each(|x| *x = x.clamp(-range, range));
        }
        let scaled = t * self.timestep_scaling;
        let norm = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
        let (skip, out) = (SIGMA_DATA * SIGMA_DATA / norm, scaled / norm.sqrt());
        let denoised = combine([(out, &original), (skip, sample)]);
        let next_signal = self.next_alpha(index).map_or(1.0, f64::sqrt);
        SchedulerOutput {
            prev_sample: combine([(next_signal, &denoised)]),
            pred_original_sample: denoised,
        }
    }
}
