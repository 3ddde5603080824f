//! Euler steps that go further down than the next noise level and then add noise up to it
//! (k-diffusion's `sample_euler_ancestral`). Source:
//! `diffusers/schedulers/scheduling_euler_ancestral_discrete.py`.

use super::config::{SchedulerConfig, bad_key};
use super::schedule::{BETAS, NoiseSchedule, PredictionType, TimestepSpacing, spaced_timesteps};
use super::sigmas::Sigmas;
use super::solver::{SchedulerOutput, Solver, combine};
use crate::error::Result;

/// `EulerAncestralDiscreteScheduler`.
#[derive(Debug)]
pub(super) struct EulerAncestral {
    schedule: NoiseSchedule,
    prediction: PredictionType,
    spacing: TimestepSpacing,
    steps_offset: usize,
    sigmas: Sigmas,
    /// Noise levels of this loop, falling, the final one included.
    levels: Vec<f64>,
}

impl EulerAncestral {
    pub(super) fn new(config: &SchedulerConfig) -> Result<Self> {
        let prediction = PredictionType::read(config)?;
        if prediction == PredictionType::Sample {
            let why = "this scheduler needs epsilon or v_prediction".into();
            return Err(bad_key("prediction_type", why));
        }
        let mut schedule = NoiseSchedule::read(config, &BETAS, true)?;
        Ok(Self {
            prediction,
            spacing: TimestepSpacing::read(config, "linspace")?,
            steps_offset: config.count("steps_offset", 0)?,
            sigmas: Sigmas::plain(config, &mut schedule)?,
            schedule,
            levels: Vec::new(),
        })
    }

    /// Where the step from `sigma` to `next` ends before noise is added, and the standard deviation
    /// of that noise.
    fn down_and_up(&self, index: usize) -> (f64, f64) {
        let (sigma, next) = (self.levels[index], self.levels[index + 1]);
        let up = next * next * (sigma * sigma - next * next) / (sigma * sigma);
        ((next * next - up).sqrt(), up.sqrt())
    }
}

impl Solver for EulerAncestral {
    fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn set_timesteps(&mut self, count: usize) -> Result<Vec<f64>> {
        let train = self.schedule.num_train_timesteps();
        let mut timesteps = spaced_timesteps(self.spacing, train, count, self.steps_offset);
        timesteps.iter_mut().for_each(|t| *t = f64::from(*t as f32));
        self.levels = self.sigmas.at(&timesteps);
        Ok(timesteps)
    }

    fn init_noise_sigma(&self) -> f64 {
        let max = self.levels.iter().copied().fold(0.0, f64::max);
        match self.spacing {
            TimestepSpacing::Leading => (max * max + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => max,
        }
    }

    fn model_input_scale(&self, index: usize) -> f64 {
        let sigma = self.levels.get(index).copied().unwrap_or_default();
        1.0 / (sigma * sigma + 1.0).sqrt()
    }

    fn noise_weights(&self, index: usize, _t: f64) -> (f64, f64) {
        (1.0, self.levels[index])
    }

    fn noise_after(&self, index: usize) -> f64 {
        self.down_and_up(index).1
    }

    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> SchedulerOutput<f64> {
        let sigma = self.levels[index];
        let original = match self.prediction {
            PredictionType::VPrediction => {
                let variance = sigma * sigma + 1.0;
                let c_out = -sigma / variance.sqrt();
                combine([(c_out, model_output), (1.0 / variance, sample)])
            }
            _ => combine([(1.0, sample), (-sigma, model_output)]),
        };
        let toward = (self.down_and_up(index).0 - sigma) / sigma;
        SchedulerOutput {
            prev_sample: combine([(1.0 + toward, sample), (-toward, &original)]),
            pred_original_sample: original,
        }
    }
}
