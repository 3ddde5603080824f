//! Noise levels `sigma = sqrt((1 - a) / a)`, in which Euler and DPM-Solver work.
//!
//! Source: `diffusers/schedulers/scheduling_euler_discrete.py`. diffusers keeps sigmas in float32;
//! so do these tables, because a timestep cut to a whole number turns on their last bit.

use super::config::SchedulerConfig;
use super::schedule::NoiseSchedule;
use crate::error::Result;

/// The noise levels of training, and how to choose those of sampling from them.
#[derive(Debug, Clone)]
pub(super) struct Sigmas {
    /// Rising, one for each timestep of training.
    table: Vec<f32>,
    log_table: Vec<f32>,
    karras: bool,
    /// `sigma_min` and `sigma_max`, the ends of the Karras schedule where the file gives them.
    range: (Option<f64>, Option<f64>),
    ends_at_zero: bool,
}

impl Sigmas {
    /// Reads `use_karras_sigmas`, `final_sigmas_type`, `sigma_min` and `sigma_max`.
    pub(super) fn read(config: &SchedulerConfig, schedule: &mut NoiseSchedule) -> Result<Self> {
        let ends = [("zero", true), ("sigma_min", false)];
        Ok(Self {
            karras: config.flag("use_karras_sigmas", false)?,
            range: (
                config.optional_number("sigma_min")?,
                config.optional_number("sigma_max")?,
            ),
            ends_at_zero: config.choice("final_sigmas_type", "zero", &ends)?,
            ..Self::plain(config, schedule)?
        })
    }

    /// Those of a kind that knows none of these keys.
    pub(super) fn plain(config: &SchedulerConfig, schedule: &mut NoiseSchedule) -> Result<Self> {
        if config.flag("rescale_betas_zero_snr", false)? {
            // The first sigma would be infinite; diffusers takes the smallest float16 for the last
            // product.
            let last = schedule.num_train_timesteps() - 1;
            schedule.alphas_cumprod[last] = f64::from(2f32.powi(-24));
        }
        let sigma = |a: &f64| ((1.0 - *a as f32) / *a as f32).sqrt();
        let table: Vec<f32> = schedule.alphas_cumprod.iter().map(sigma).collect();
        let log_table = table.iter().map(|s| f64::from(*s).ln() as f32).collect();
        Ok(Self {
            table,
            log_table,
            karras: false,
            range: (None, None),
            ends_at_zero: true,
        })
    }

    pub(super) fn is_karras(&self) -> bool {
        self.karras
    }

    /// The sigma of each timestep, between whole timesteps linearly, and the final one.
    pub(super) fn at(&self, timesteps: &[f64]) -> Vec<f64> {
        let sigmas = timesteps.iter().map(|t| self.interpolate(*t));
        self.with_final(sigmas.collect())
    }

    fn interpolate(&self, t: f64) -> f64 {
        let last = self.table.len() - 1;
        let low = (t.max(0.0) as usize).min(last);
        let high = (low + 1).min(last);
        let (low_sigma, high_sigma) = (f64::from(self.table[low]), f64::from(self.table[high]));
        low_sigma + (high_sigma - low_sigma) * (t - low as f64)
    }

    /// The schedule of Karras et al. 2022 (arXiv 2206.00364, eq. 5): `sigma^(1/7)` falls linearly
    /// from `first` to `last`, where the file does not give other ends. Returns the sigmas with the
    /// final one, and their timesteps.
    pub(super) fn karras(&self, first: f64, last: f64, count: usize) -> (Vec<f64>, Vec<f64>) {
        const RHO: f64 = 7.0; // the value of the paper
        let max = self.range.1.unwrap_or(first).powf(1.0 / RHO);
        let min = self.range.0.unwrap_or(last).powf(1.0 / RHO);
        let ramp = super::schedule::linspace(1.0, count);
        let sigma = |r: f64| (max + r * (min - max)).powf(RHO);
        let sigmas: Vec<f64> = ramp.into_iter().map(sigma).collect();
        let timesteps = sigmas.iter().map(|sigma| self.timestep(*sigma)).collect();
        (self.with_final(sigmas), timesteps)
    }

    /// First and last sigma of these falling timesteps, not rounded: where Euler's Karras schedule
    /// starts and ends.
    pub(super) fn at_ends(&self, timesteps: &[f64]) -> (f64, f64) {
        let sigma = |t: Option<&f64>| t.map_or(0.0, |t| self.interpolate(*t));
        (sigma(timesteps.first()), sigma(timesteps.last()))
    }

    /// The largest and the smallest sigma of training: where DPM-Solver's Karras schedule starts
    /// and ends.
    pub(super) fn ends(&self) -> (f64, f64) {
        (
            f64::from(self.table[self.table.len() - 1]),
            f64::from(self.table[0]),
        )
    }

    /// The timestep of a noise level, linear in its logarithm between whole timesteps:
    /// `_sigma_to_t`.
    fn timestep(&self, sigma: f64) -> f64 {
        let log_sigma = sigma.max(1e-10).ln();
        let below = self
            .log_table
            .partition_point(|log| f64::from(*log) <= log_sigma);
        let low = below
            .saturating_sub(1)
            .min(self.log_table.len().saturating_sub(2));
        let high = (low + 1).min(self.log_table.len() - 1);
        let (low_log, high_log) = (self.log_table[low], self.log_table[high]);
        let w = (f64::from(low_log) - log_sigma) / f64::from(low_log - high_log);
        let w = w.clamp(0.0, 1.0);
        (1.0 - w) * low as f64 + w * high as f64
    }

    /// Adds the sigma that sampling ends with, and rounds all as diffusers does.
    fn with_final(&self, mut sigmas: Vec<f64>) -> Vec<f64> {
        let last = if self.ends_at_zero {
            0.0
        } else {
            f64::from(self.table[0])
        };
        sigmas.push(last);
        sigmas.into_iter().map(|s| f64::from(s as f32)).collect()
    }
}
