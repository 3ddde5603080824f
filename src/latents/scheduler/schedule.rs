//! What all schedulers share: betas and their cumulative products, and the ways to space timesteps.
//!
//! diffusers keeps these tables in float32, and a model is trained with the rounded numbers; so the
//! same roundings are done here, and everything after them is float64. Sources:
//! `diffusers/schedulers/scheduling_ddim.py` (`__init__`, `betas_for_alpha_bar`,
//! `rescale_zero_terminal_snr`) and `scheduling_ddpm.py` (`add_noise`, `get_velocity`).

use std::f64::consts::FRAC_PI_2;

use super::config::{SchedulerConfig, bad_key};
use crate::error::{Error, Result};

/// What the model was trained to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionType {
    /// The noise.
    Epsilon,
    /// The clean sample itself.
    Sample,
    /// The velocity `v = sqrt(a) * noise - sqrt(1 - a) * sample` (Salimans and Ho 2022, arXiv
    /// 2202.00512).
    VPrediction,
}

impl PredictionType {
    pub(super) fn read(config: &SchedulerConfig) -> Result<Self> {
        let choices = [
            ("epsilon", Self::Epsilon),
            ("sample", Self::Sample),
            ("v_prediction", Self::VPrediction),
        ];
        config.choice("prediction_type", "epsilon", &choices)
    }
}

/// How the timesteps used for sampling lie among those of training (Table 2 of arXiv 2305.08891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestepSpacing {
    Leading,
    Trailing,
    Linspace,
}

impl TimestepSpacing {
    pub(super) fn read(config: &SchedulerConfig, default: &str) -> Result<Self> {
        let choices = [
            ("leading", Self::Leading),
            ("trailing", Self::Trailing),
            ("linspace", Self::Linspace),
        ];
        config.choice("timestep_spacing", default, &choices)
    }
}

/// The noise schedule of training: `sqrt(a_t)` of the sample and `sqrt(1 - a_t)` of noise at
/// timestep `t`.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    /// `a_t`, one for each timestep of training: float32 values, as diffusers has them.
    pub alphas_cumprod: Vec<f64>,
}

/// What a class of diffusers takes where the file says nothing.
pub(super) struct BetaDefaults {
    pub start: f64,
    pub end: f64,
    pub schedule: &'static str,
}

/// The defaults of nearly all classes (`DDPMScheduler.__init__`).
pub(super) const BETAS: BetaDefaults = BetaDefaults {
    start: 0.0001,
    end: 0.02,
    schedule: "linear",
};

#[derive(Clone, Copy)]
enum BetaSchedule {
    Linear,
    ScaledLinear,
    SquaredCos,
}

impl NoiseSchedule {
    /// Reads `num_train_timesteps`, `beta_start`, `beta_end`, `beta_schedule` and `trained_betas`,
    /// and `rescale_betas_zero_snr` where the kind of scheduler knows it (PNDM does not).
    pub(super) fn read(
        config: &SchedulerConfig,
        defaults: &BetaDefaults,
        knows_zero_snr: bool,
    ) -> Result<Self> {
        let steps = config.count("num_train_timesteps", 1000)?;
        // A million is far beyond any model, and keeps a nonsense file from taking all memory.
        if !(1..=1_000_000).contains(&steps) {
            let why = format!("{steps} is not between 1 and 1000000");
            return Err(bad_key("num_train_timesteps", why));
        }
        let start = config.number("beta_start", defaults.start)?;
        let end = config.number("beta_end", defaults.end)?;
        let choices = [
            ("linear", BetaSchedule::Linear),
            ("scaled_linear", BetaSchedule::ScaledLinear),
            ("squaredcos_cap_v2", BetaSchedule::SquaredCos),
        ];
        let schedule = config.choice("beta_schedule", defaults.schedule, &choices)?;
        let mut betas: Vec<f32> = match (config.numbers("trained_betas")?, schedule) {
            (Some(betas), _) if betas.len() != steps => {
                let why = format!("{} betas for {steps} timesteps", betas.len());
                return Err(bad_key("trained_betas", why));
            }
            (Some(betas), _) => betas.into_iter().map(|beta| beta as f32).collect(),
            (None, BetaSchedule::Linear) => linspace_f32(start, end, steps),
            (None, BetaSchedule::ScaledLinear) => linspace_f32(start.sqrt(), end.sqrt(), steps)
                .into_iter()
                .map(|root| root * root)
                .collect(),
            (None, BetaSchedule::SquaredCos) => squared_cos(steps),
        };
        let valid = |beta: &f32| *beta > 0.0 && *beta < 1.0;
        if let Some(bad) = betas.iter().find(|beta| !valid(beta)) {
            let why = format!("they give a beta of {bad}, which is not between 0 and 1");
            return Err(bad_key("beta_start` and `beta_end", why));
        }
        if knows_zero_snr && config.flag("rescale_betas_zero_snr", false)? {
            betas = rescale_zero_terminal_snr(&betas);
        }
        let alphas = betas.iter().map(|beta| 1.0 - beta);
        let alphas_cumprod = cumprod(alphas).into_iter().map(f64::from).collect();
        Ok(Self { alphas_cumprod })
    }

    /// Timesteps of training.
    pub fn num_train_timesteps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// `sqrt(a_t) * original + sqrt(1 - a_t) * noise`, as `DDPMScheduler.add_noise` does for one
    /// sample.
    ///
    /// # Errors
    /// [`Error::Request`] if there is no such timestep.
    pub fn add_noise(&self, original: &[f32], noise: &[f32], timestep: usize) -> Result<Vec<f32>> {
        let (signal, sigma) = self.weights(timestep)?;
        let mix = |(x, n): (&f32, &f32)| (signal * f64::from(*x) + sigma * f64::from(*n)) as f32;
        Ok(original.iter().zip(noise).map(mix).collect())
    }

    /// The target of v-prediction, `sqrt(a_t) * noise - sqrt(1 - a_t) * sample`:
    /// `DDPMScheduler.get_velocity` for one sample.
    ///
    /// # Errors
    /// [`Error::Request`] if there is no such timestep.
    pub fn velocity(&self, sample: &[f32], noise: &[f32], timestep: usize) -> Result<Vec<f32>> {
        let (signal, sigma) = self.weights(timestep)?;
        let mix = |(x, n): (&f32, &f32)| (signal * f64::from(*n) - sigma * f64::from(*x)) as f32;
        Ok(sample.iter().zip(noise).map(mix).collect())
    }

    /// `sqrt(a_t)` and `sqrt(1 - a_t)`.
    fn weights(&self, timestep: usize) -> Result<(f64, f64)> {
        match self.alphas_cumprod.get(timestep) {
            Some(a) => Ok((a.sqrt(), (1.0 - a).sqrt())),
            None => Err(Error::request(
                "timestep",
                format!(
                    "{timestep} is beyond the {} of training",
                    self.num_train_timesteps()
                ),
            )),
        }
    }
}

/// `torch.linspace` in float32: both halves are counted from their own end, with fused
/// multiply-add, as ATen's vector kernels do (its fallback without them rounds twice and differs in
/// the last bit).
fn linspace_f32(start: f64, end: f64, steps: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    if steps == 1 {
        return vec![start];
    }
    let step = (end - start) / (steps - 1) as f32;
    let value = |i: usize| {
        if i < steps / 2 {
            step.mul_add(i as f32, start)
        } else {
            (-step).mul_add((steps - 1 - i) as f32, end)
        }
    };
    (0..steps).map(value).collect()
}

/// The cosine schedule of Nichol and Dhariwal (arXiv 2102.09672): `betas_for_alpha_bar`.
fn squared_cos(steps: usize) -> Vec<f32> {
    const MAX_BETA: f64 = 0.999;
    let alpha_bar = |t: f64| ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
    let beta = |i: usize| {
        let (t1, t2) = (i as f64 / steps as f64, (i + 1) as f64 / steps as f64);
        (1.0 - alpha_bar(t2) / alpha_bar(t1)).min(MAX_BETA) as f32
    };
    (0..steps).map(beta).collect()
}

/// `torch.cumprod` of float32: the product is carried in float64, each partial product is rounded.
fn cumprod(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut product = 1.0f64;
    values
        .map(|value| {
            product *= f64::from(value);
            product as f32
        })
        .collect()
}

/// Betas that end in pure noise: algorithm 1 of arXiv 2305.08891, in float32 as diffusers does it.
fn rescale_zero_terminal_snr(betas: &[f32]) -> Vec<f32> {
    let mut roots: Vec<f32> = cumprod(betas.iter().map(|beta| 1.0 - beta));
    roots.iter_mut().for_each(|a| *a = a.sqrt());
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let scale = first / (first - last);
    let bars: Vec<f32> = roots
        .iter()
        .map(|root| (root - last) * scale)
        .map(|root| root * root)
        .collect();
    let alphas = std::iter::once(bars[0]).chain(bars.windows(2).map(|pair| pair[1] / pair[0]));
    alphas.map(|alpha| 1.0 - alpha).collect()
}

/// `numpy.linspace(0, stop, count)`.
pub(super) fn linspace(stop: f64, count: usize) -> Vec<f64> {
    let step = stop / (count.max(2) - 1) as f64;
    let mut values: Vec<f64> = (0..count).map(|i| i as f64 * step).collect();
    if count > 1 {
        values[count - 1] = stop;
    }
    values
}

/// The `trailing` spacing of all kinds: from timestep `last` down by `train / count`, by
/// `numpy.arange(last, 0, -step)`, whose length and values come from separate roundings. For some
/// counts (61, 122) that gives one value too many, a timestep of -1, at which diffusers takes a
/// step that makes no sense; it is left out here.
pub(super) fn trailing(last: usize, train: usize, count: usize) -> Vec<f64> {
    let (start, step) = (last as f64, train as f64 / count as f64);
    let delta = (start - step) - start;
    let values = (0..(start / step).ceil() as usize).map(|i| start + i as f64 * delta);
    let timesteps = values.map(|t| t.round_ties_even() - 1.0);
    timesteps.filter(|t| *t >= 0.0).collect()
}

/// The whole-number timesteps of DDIM, PNDM and Euler, falling. Linspace is not rounded, as Euler
/// does not round it.
pub(super) fn spaced_timesteps(
    spacing: TimestepSpacing,
    train: usize,
    count: usize,
    offset: usize,
) -> Vec<f64> {
    match spacing {
        TimestepSpacing::Linspace => {
            let mut values = linspace((train - 1) as f64, count);
            values.reverse();
            values
        }
        TimestepSpacing::Leading => {
            let ratio = train / count;
            (0..count)
                .rev()
                .map(|i| (i * ratio + offset) as f64)
                .collect()
        }
        TimestepSpacing::Trailing => trailing(train, train, count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(json: &str) -> Result<NoiseSchedule> {
        NoiseSchedule::read(&SchedulerConfig::parse(json.as_bytes())?, &BETAS, true)
    }

    #[test]
    fn nonsense_betas_are_refused() {
        for json in [
            r#"{"num_train_timesteps": 0}"#,
            r#"{"num_train_timesteps": 99999999999}"#,
            r#"{"beta_start": -0.1}"#,
            r#"{"beta_end": 1.5}"#,
            r#"{"beta_start": Infinity}"#,
            r#"{"beta_schedule": "sigmoid"}"#,
            r#"{"trained_betas": [0.1, 0.2]}"#,
            r#"{"trained_betas": "many"}"#,
        ] {
            let error = schedule(json).unwrap_err();
            assert_eq!(error.code(), "config", "{json}");
        }
    }

    #[test]
    fn zero_terminal_snr_ends_in_pure_noise() {
        let zero = schedule(r#"{"rescale_betas_zero_snr": true}"#).unwrap();
        assert_eq!(zero.alphas_cumprod[999], 0.0);
        assert!(schedule("{}").unwrap().alphas_cumprod[999] > 0.0);
    }

    #[test]
    fn spacings_are_those_of_table_2() {
        let spaced = |spacing| spaced_timesteps(spacing, 1000, 4, 1);
        assert_eq!(spaced(TimestepSpacing::Leading), [751.0, 501.0, 251.0, 1.0]);
        assert_eq!(
            spaced(TimestepSpacing::Trailing),
            [999.0, 749.0, 499.0, 249.0]
        );
        assert_eq!(
            spaced(TimestepSpacing::Linspace),
            [999.0, 666.0, 333.0, 0.0]
        );
        for count in 1..=1000 {
            let spaced = spaced_timesteps(TimestepSpacing::Trailing, 1000, count, 0);
            assert_eq!(spaced.len(), count);
        }
    }
}
