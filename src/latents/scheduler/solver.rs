//! What every kind of scheduler is to the loop, and the helpers that they share.

use std::fmt;

use super::schedule::NoiseSchedule;
use crate::error::{Error, Result};

/// What one step gives.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerOutput<T> {
    /// The sample of the next timestep.
    pub prev_sample: Vec<T>,
    /// The clean sample as predicted from this step's model output alone: what a preview shows.
    pub pred_original_sample: Vec<T>,
}

/// One kind of scheduler. `index` counts the model's calls since `set_timesteps`.
pub(super) trait Solver: fmt::Debug + Send {
    fn schedule(&self) -> &NoiseSchedule;

    /// Prepares for `count` steps, which is at least 1 and at most the timesteps of training; gives
    /// the timesteps of the model's calls.
    fn set_timesteps(&mut self, count: usize) -> Result<Vec<f64>>;

    /// Prepares for steps from each of these falling timesteps to the next, and from the last to
    /// the end; whether the kind can.
    fn set_custom_timesteps(&mut self, _timesteps: &[f64]) -> bool {
        false
    }

    fn init_noise_sigma(&self) -> f64 {
        1.0
    }

    fn model_input_scale(&self, _index: usize) -> f64 {
        1.0
    }

    /// What a clean sample and noise are multiplied with, to be the sample of the call `index` at
    /// the timestep `t`.
    fn noise_weights(&self, _index: usize, t: f64) -> (f64, f64) {
        let a = self.schedule().alphas_cumprod[t as usize];
        (a.sqrt(), (1.0 - a).sqrt())
    }

    /// Standard deviation of the noise that is added after the call `index`.
    fn noise_after(&self, _index: usize) -> f64 {
        0.0
    }

    /// Without that noise. `model_output` and `sample` are equally long.
    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> SchedulerOutput<f64>;
}

pub(super) fn bad_steps(why: String) -> Error {
    Error::request("num_inference_steps", why)
}

/// Linear combination of equally long slices.
pub(super) fn combine<const N: usize>(terms: [(f64, &[f64]); N]) -> Vec<f64> {
    let len = terms.first().map_or(0, |(_, values)| values.len());
    let at = |i: usize| {
        terms
            .iter()
            .map(|(factor, values)| factor * values[i])
            .sum()
    };
    (0..len).map(at).collect()
}
