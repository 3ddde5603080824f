//! Euler steps in the noise level sigma (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without
//! churn). Source: `diffusers/schedulers/scheduling_euler_discrete.py`.

use super::config::SchedulerConfig;
use super::schedule::{BETAS, NoiseSchedule, PredictionType, TimestepSpacing, spaced_timesteps};
use super::sigmas::Sigmas;
use super::solver::{SchedulerOutput, Solver, combine};
use crate::error::Result;

/// `EulerDiscreteScheduler`.
#[derive(Debug)]
pub(super) struct EulerDiscrete {
    schedule: NoiseSchedule,
    prediction: PredictionType,
    spacing: TimestepSpacing,
    steps_offset: usize,
    sigmas: Sigmas,
    /// Noise levels of this loop, falling, the final one included.
    levels: Vec<f64>,
}

impl EulerDiscrete {
    pub(super) fn new(config: &SchedulerConfig) -> Result<Self> {
        config.refuse(&["use_exponential_sigmas", "use_beta_sigmas"])?;
        config.choice("interpolation_type", "linear", &[("linear", ())])?;
        let prediction = PredictionType::read(config)?;
        if prediction == PredictionType::VPrediction {
            // "continuous" changes the model's timesteps only with v prediction.
            config.choice("timestep_type", "discrete", &[("discrete", ())])?;
        }
        let mut schedule = NoiseSchedule::read(config, &BETAS, true)?;
        let sigmas = Sigmas::read(config, &mut schedule)?;
        Ok(Self {
            prediction,
            spacing: TimestepSpacing::read(config, "linspace")?,
            steps_offset: config.count("steps_offset", 0)?,
            sigmas,
            schedule,
            levels: Vec::new(),
        })
    }
}

impl Solver for EulerDiscrete {
    fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn set_timesteps(&mut self, count: usize) -> Result<Vec<f64>> {
        let train = self.schedule.num_train_timesteps();
        let round = |t: &mut f64| *t = f64::from(*t as f32);
        let mut timesteps = spaced_timesteps(self.spacing, train, count, self.steps_offset);
        timesteps.iter_mut().for_each(round);
        if self.sigmas.is_karras() {
            let (first, last) = self.sigmas.at_ends(&timesteps);
            (self.levels, timesteps) = self.sigmas.karras(first, last, count);
            timesteps.iter_mut().for_each(round);
        } else {
            self.levels = self.sigmas.at(&timesteps);
        }
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

    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> SchedulerOutput<f64> {
        let (sigma, next) = (self.levels[index], self.levels[index + 1]);
        let original = match self.prediction {
            PredictionType::Epsilon => combine([(1.0, sample), (-sigma, model_output)]),
            PredictionType::Sample => model_output.to_vec(),
            PredictionType::VPrediction => {
                let variance = sigma * sigma + 1.0;
                let c_out = -sigma / variance.sqrt();
                combine([(c_out, model_output), (1.0 / variance, sample)])
            }
        };
        // x + (x - x0) / sigma * (next - sigma)
        let toward = (next - sigma) / sigma;
        SchedulerOutput {
            prev_sample: combine([(1.0 + toward, sample), (-toward, &original)]),
            pred_original_sample: original,
        }
    }
}
