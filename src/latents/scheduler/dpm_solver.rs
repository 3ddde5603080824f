//! DPM-Solver++ 2M (Lu et al. 2022, arXiv 2211.01095, algorithm 2): an exponential integrator of
//! the predicted clean sample, over the last two predictions. Source:
//! `diffusers/schedulers/scheduling_dpmsolver_multistep.py`.

use super::config::{SchedulerConfig, bad_key};
use super::schedule::{BETAS, NoiseSchedule, PredictionType, TimestepSpacing, linspace, trailing};
use super::sigmas::Sigmas;
use super::solver::{SchedulerOutput, Solver, bad_steps, combine};
use crate::error::Result;

/// Below this many steps, diffusers lowers the order of the last ones (`lower_order_final`).
const FEW_STEPS: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq)]
enum SolverType {
    Midpoint,
    Heun,
}

/// `DPMSolverMultistepScheduler` with `algorithm_type` dpmsolver++ and order 1 or 2.
#[derive(Debug)]
pub(super) struct DpmSolverMultistep {
    schedule: NoiseSchedule,
    prediction: PredictionType,
    spacing: TimestepSpacing,
    steps_offset: usize,
    solver_order: usize,
    solver_type: SolverType,
    lower_order_final: bool,
    euler_at_final: bool,
    lambda_min_clipped: f64,
    /// Karras timesteps are rounded, but with cosine betas cut.
    cosine: bool,
    sigmas: Sigmas,
    /// Noise levels of this loop, falling, the final one included.
    levels: Vec<f64>,
    /// The clean sample predicted one step ago.
    last_original: Option<Vec<f64>>,
}

impl DpmSolverMultistep {
    pub(super) fn new(config: &SchedulerConfig) -> Result<Self> {
        config.refuse(&[
            "thresholding",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "use_lu_lambdas",
            "use_flow_sigmas",
        ])?;
        // "deis" and the other solver types are those of sibling classes, which diffusers reads so.
        let algorithms = [("dpmsolver++", ()), ("deis", ())];
        config.choice("algorithm_type", "dpmsolver++", &algorithms)?;
        let solver_types = [
            ("midpoint", SolverType::Midpoint),
            ("heun", SolverType::Heun),
            ("logrho", SolverType::Midpoint),
            ("bh1", SolverType::Midpoint),
            ("bh2", SolverType::Midpoint),
        ];
        // DDPM's key, which diffusers reads: a learned variance doubles the model's channels, the
        // others do not matter here.
        let variances = [
            "none",
            "fixed_small",
            "fixed_small_log",
            "fixed_large",
            "fixed_large_log",
        ];
        config.choice("variance_type", "none", &variances.map(|name| (name, ())))?;
        let solver_order = config.count("solver_order", 2)?;
        if !(1..=2).contains(&solver_order) {
            let why = format!("{solver_order} is not supported; use 1 or 2");
            return Err(bad_key("solver_order", why));
        }
        let mut schedule = NoiseSchedule::read(config, &BETAS, true)?;
        let sigmas = Sigmas::read(config, &mut schedule)?;
        let cosine = [
            ("linear", false),
            ("scaled_linear", false),
            ("squaredcos_cap_v2", true),
        ];
        Ok(Self {
            prediction: PredictionType::read(config)?,
            spacing: TimestepSpacing::read(config, "linspace")?,
            steps_offset: config.count("steps_offset", 0)?,
            solver_order,
            solver_type: config.choice("solver_type", "midpoint", &solver_types)?,
            lower_order_final: config.flag("lower_order_final", true)?,
            euler_at_final: config.flag("euler_at_final", false)?,
            lambda_min_clipped: config.number("lambda_min_clipped", f64::NEG_INFINITY)?,
            cosine: config.choice("beta_schedule", "linear", &cosine)?,
            sigmas,
            schedule,
            levels: Vec::new(),
            last_original: None,
        })
    }

    /// Timesteps before Karras: one more than asked for is spread over the schedule, and the last
    /// (0) is left out.
    fn spaced_timesteps(&self, count: usize) -> Vec<f64> {
        // `lambda` is half the logarithm of the signal to noise ratio; it falls as the timesteps
        // rise.
        let lambda = |a: &f64| 0.5 * (a / (1.0 - a)).ln();
        let clipped = |a: &&f64| lambda(a) < self.lambda_min_clipped;
        let clipped = self
            .schedule
            .alphas_cumprod
            .iter()
            .rev()
            .take_while(clipped)
            .count();
        let train = self.schedule.num_train_timesteps();
        let last = train - clipped;
        match self.spacing {
            TimestepSpacing::Linspace => {
                let rising = linspace(last.saturating_sub(1) as f64, count + 1);
                rising
                    .iter()
                    .skip(1)
                    .rev()
                    .map(|t| t.round_ties_even())
                    .collect()
            }
            TimestepSpacing::Leading => {
                let ratio = last / (count + 1);
                let timestep = |i| (i * ratio + self.steps_offset) as f64;
                (1..=count).rev().map(timestep).collect()
            }
            TimestepSpacing::Trailing => trailing(last, train, count),
        }
    }

    /// The order of the step: lower at the start, where there is no history, and at the end.
    fn order(&self, index: usize) -> usize {
        let steps = self.levels.len() - 1;
        let lower_final = index == steps - 1
            && (self.euler_at_final
                || (self.lower_order_final && steps < FEW_STEPS)
                || self.levels[steps] == 0.0);
        if index == 0 || lower_final {
            1
        } else {
            self.solver_order
        }
    }
}

/// `alpha` and `sigma` of the variance-preserving form, from their ratio.
fn alpha_sigma(level: f64) -> (f64, f64) {
    let alpha = 1.0 / (level * level + 1.0).sqrt();
    (alpha, level * alpha)
}

impl Solver for DpmSolverMultistep {
    fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn set_timesteps(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut timesteps = self.spaced_timesteps(count);
        if self.sigmas.is_karras() {
            let (first, last) = self.sigmas.ends();
            (self.levels, timesteps) = self.sigmas.karras(first, last, count);
            let whole = if self.cosine {
                f64::trunc
            } else {
                f64::round_ties_even
            };
            timesteps.iter_mut().for_each(|t| *t = whole(*t));
        } else {
            self.levels = self.sigmas.at(&timesteps);
        }
        // A step from a noise level to itself divides by zero; diffusers then gives NaN.
        if self.levels.windows(2).any(|pair| pair[0] <= pair[1]) {
            let why = format!("{count} are too many for this scheduler's spacing; use fewer");
            return Err(bad_steps(why));
        }
        self.last_original = None;
        Ok(timesteps)
    }

    fn set_custom_timesteps(&mut self, timesteps: &[f64]) -> bool {
        self.levels = self.sigmas.at(timesteps);
        self.last_original = None;
        true
    }

    fn noise_weights(&self, index: usize, _t: f64) -> (f64, f64) {
        alpha_sigma(self.levels[index])
    }

    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> SchedulerOutput<f64> {
        let (alpha_s, sigma_s) = alpha_sigma(self.levels[index]);
        let original = match self.prediction {
            PredictionType::Epsilon => {
                combine([(1.0 / alpha_s, sample), (-sigma_s / alpha_s, model_output)])
            }
            PredictionType::Sample => model_output.to_vec(),
            PredictionType::VPrediction => combine([(alpha_s, sample), (-sigma_s, model_output)]),
        };
        let (alpha_t, sigma_t) = alpha_sigma(self.levels[index + 1]);
        // h is the step in lambda, so exp(-h) the ratio of noise levels: exactly 0 at the end,
        // where lambda is infinite.
        let ratio = self.levels[index + 1] / self.levels[index];
        let gain = alpha_t * (1.0 - ratio);
        let first = [(sigma_t / sigma_s, sample), (gain, original.as_slice())];
        let last = self.last_original.take();
        let prev_sample = match (self.order(index), &last) {
            (2, Some(last)) => {
                let h = -ratio.ln();
                let r0 = (self.levels[index - 1] / self.levels[index]).ln() / h;
                let slope = match self.solver_type {
                    SolverType::Midpoint => 0.5 * gain / r0,
                    SolverType::Heun => alpha_t * ((ratio - 1.0) / h + 1.0) / r0,
                };
                combine([first[0], (gain + slope, &original), (-slope, last)])
            }
            _ => combine(first),
        };
        self.last_original = Some(original.clone());
        SchedulerOutput {
            prev_sample,
            pred_original_sample: original,
        }
    }
}
