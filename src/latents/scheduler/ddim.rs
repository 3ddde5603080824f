//! DDIM with eta 0 (Song et al. 2020, arXiv 2010.02502, eq. 12): predict the clean sample, take the
//! noise back to the level of the previous timestep. Source:
//! `diffusers/schedulers/scheduling_ddim.py`.

use super::config::{SchedulerConfig, bad_key};
use super::schedule::{BETAS, NoiseSchedule, PredictionType, TimestepSpacing, spaced_timesteps};
use super::solver::{SchedulerOutput, Solver, combine};
use crate::error::Result;

/// `DDIMScheduler`.
#[derive(Debug)]
pub(super) struct Ddim {
    schedule: NoiseSchedule,
    prediction: PredictionType,
    spacing: TimestepSpacing,
    steps_offset: usize,
    /// `a` beyond the last timestep: 1, or that of timestep 0.
    final_alpha_cumprod: f64,
    clip: Option<f64>,
    timesteps: Vec<f64>,
    /// Distance from one timestep to the next, which diffusers does not take from the timesteps
    /// themselves.
    stride: usize,
}

impl Ddim {
    pub(super) fn new(config: &SchedulerConfig) -> Result<Self> {
        config.refuse(&["thresholding"])?;
        let schedule = NoiseSchedule::read(config, &BETAS, true)?;
        let prediction = PredictionType::read(config)?;
        if schedule.alphas_cumprod.last() == Some(&0.0) && prediction == PredictionType::Epsilon {
            let why = "with epsilon prediction it divides by zero; the model must predict v".into();
            return Err(bad_key("rescale_betas_zero_snr", why));
        }
        let to_one = config.flag("set_alpha_to_one", true)?;
        let clip = if config.flag("clip_sample", true)? {
            Some(config.number("clip_sample_range", 1.0)?.abs())
        } else {
            None
        };
        Ok(Self {
            prediction,
            spacing: TimestepSpacing::read(config, "leading")?,
            steps_offset: config.count("steps_offset", 0)?,
            final_alpha_cumprod: if to_one {
                1.0
            } else {
                schedule.alphas_cumprod[0]
            },
            clip,
            timesteps: Vec::new(),
            stride: 0,
            schedule,
        })
    }
}

impl Solver for Ddim {
    fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn set_timesteps(&mut self, count: usize) -> Result<Vec<f64>> {
        let train = self.schedule.num_train_timesteps();
        self.stride = train / count;
        self.timesteps = spaced_timesteps(self.spacing, train, count, self.steps_offset);
        self.timesteps
            .iter_mut()
            .for_each(|t| *t = t.round_ties_even());
        Ok(self.timesteps.clone())
    }

    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> SchedulerOutput<f64> {
        let t = self.timesteps[index] as usize;
        let a = self.schedule.alphas_cumprod[t];
        let a_prev = match t.checked_sub(self.stride) {
            Some(prev) => self.schedule.alphas_cumprod[prev],
            None => self.final_alpha_cumprod,
        };
        let (signal, sigma) = (a.sqrt(), (1.0 - a).sqrt());
        let (mut original, epsilon) = match self.prediction {
            PredictionType::Epsilon => (
                combine([(1.0 / signal, sample), (-sigma / signal, model_output)]),
                model_output.to_vec(),
            ),
            PredictionType::Sample => (
                model_output.to_vec(),
                combine([(1.0 / sigma, sample), (-signal / sigma, model_output)]),
            ),
            PredictionType::VPrediction => (
                combine([(signal, sample), (-sigma, model_output)]),
                combine([(signal, model_output), (sigma, sample)]),
            ),
        };
        if let Some(range) = self.clip {
            original
                .iter_mut()
                .for_each(|x| *x = x.clamp(-range, range));
        }
        SchedulerOutput {
            prev_sample: combine([
                (a_prev.sqrt(), &original),
                ((1.0 - a_prev).sqrt(), &epsilon),
            ]),
            pred_original_sample: original,
        }
    }
}
