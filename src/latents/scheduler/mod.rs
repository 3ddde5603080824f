//! Schedulers: how the model's prediction at one timestep becomes the sample of the next.
//!
//! They run on the host in float64, with diffusers' names and config keys; one file each.
//! [`Scheduler`] is what the denoising loop holds:
//!
//! ```
//! # use roentgen_web::latents::scheduler::{Scheduler, SchedulerConfig};
//! # fn model(input: &[f32], _t: f64) -> Vec<f32> { input.to_vec() }
//! # fn main() -> Result<(), roentgen_web::error::Error> {
//! let config = SchedulerConfig::parse(br#"{"_class_name": "DDIMScheduler", "steps_offset": 1}"#)?;
//! let mut scheduler = Scheduler::new(&config, None)?;
//! scheduler.set_timesteps(20)?;
//! let mut sample = vec![scheduler.init_noise_sigma() as f32; 4];
//! for t in scheduler.timesteps().to_vec() {
//!     let model_output = model(&scheduler.scale_model_input(&sample), t);
//!     sample = scheduler.step(&model_output, &sample)?.prev_sample;
//! }
//! # Ok(()) }
//! ```

mod config;
mod ddim;
mod dpm_solver;
mod euler;
mod euler_ancestral;
mod kind;
mod lcm;
mod pndm;
mod schedule;
mod sigmas;
mod solver;

pub use config::SchedulerConfig;
pub use kind::SchedulerKind;
pub use schedule::{NoiseSchedule, PredictionType};
pub use solver::SchedulerOutput;

use self::solver::{Solver, bad_steps};
use super::noise::gaussian_stream;
use crate::error::{Error, Result};

/// A scheduler of any kind, in the middle of a loop.
#[derive(Debug)]
pub struct Scheduler {
    kind: SchedulerKind,
    solver: Box<dyn Solver>,
    timesteps: Vec<f64>,
    index: usize,
    /// Stands for the noise that is added at steps.
    seed: u64,
}

impl Scheduler {
    /// What diffusers' `Kind.from_config(config)` gives; without a `kind`, the one that the config
    /// names or its [`SchedulerKind::stand_in`].
    ///
    /// # Errors
    /// [`Error::Config`], which names the key, for options that are unknown or not supported; it
    /// says which kinds do not need them.
    pub fn new(config: &SchedulerConfig, kind: Option<SchedulerKind>) -> Result<Self> {
        let named = kind.unwrap_or_else(|| SchedulerKind::named(config));
        Self::of(config, named).map_err(|error| {
            let others = SchedulerKind::ALL.into_iter();
            let works = |kind: &SchedulerKind| Self::of(config, *kind).is_ok();
            let names: Vec<_> = others.filter(works).map(SchedulerKind::name).collect();
            match (error, &names[..]) {
                (Error::Config { what, why }, [_, ..]) => {
                    let why = format!("{why}; or choose the scheduler {}", names.join(" or "));
                    Error::config(what, why)
                }
                (error, _) => error,
            }
        })
    }

    /// # Errors
    /// Those of every kind of scheduler, if none can be used with this config.
    pub fn check(config: &SchedulerConfig) -> Result<()> {
        let works = |kind: &SchedulerKind| Self::of(config, *kind).is_ok();
        if SchedulerKind::ALL.iter().any(works) {
            Ok(())
        } else {
            Self::new(config, None).map(|_| ())
        }
    }

    fn of(config: &SchedulerConfig, kind: SchedulerKind) -> Result<Self> {
        let solver: Box<dyn Solver> = match kind {
            SchedulerKind::Ddim => Box::new(ddim::Ddim::new(config)?),
            SchedulerKind::Pndm => Box::new(pndm::Pndm::new(config)?),
            SchedulerKind::Euler => Box::new(euler::EulerDiscrete::new(config)?),
            SchedulerKind::EulerAncestral => {
                Box::new(euler_ancestral::EulerAncestral::new(config)?)
            }
            SchedulerKind::Lcm => Box::new(lcm::Lcm::new(config)?),
            SchedulerKind::DpmSolverMultistep => {
                Box::new(dpm_solver::DpmSolverMultistep::new(config)?)
            }
        };
        Ok(Self {
            kind,
            solver,
            timesteps: Vec::new(),
            index: 0,
            seed: 0,
        })
    }

    /// Chooses the noise that is added at steps, where the kind adds any; 0 without. The step after
    /// the call `i` takes the stream `i + 1` of [`gaussian_stream`], stream 0 being the initial
    /// noise.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Which kind this is.
    pub fn kind(&self) -> SchedulerKind {
        self.kind
    }

    /// The noise schedule of training, for [`NoiseSchedule::add_noise`] and
    /// [`NoiseSchedule::velocity`].
    pub fn schedule(&self) -> &NoiseSchedule {
        self.solver.schedule()
    }

    /// `a_t` of every timestep of training.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.solver.schedule().alphas_cumprod
    }

    /// Starts a loop of `num_inference_steps` steps.
    ///
    /// # Errors
    /// [`Error::Request`] where the count is 0, above the timesteps of training, or not possible
    /// with this config.
    pub fn set_timesteps(&mut self, num_inference_steps: usize) -> Result<()> {
        let train = self.solver.schedule().num_train_timesteps();
        if num_inference_steps == 0 || num_inference_steps > train {
            let why = format!("must be between 1 and {train}, not {num_inference_steps}");
            return Err(bad_steps(why));
        }
        let timesteps = self.solver.set_timesteps(num_inference_steps)?;
        // `steps_offset` with very many steps leads beyond the last timestep, where diffusers fails
        // or reads nonsense.
        let inside = |t: &f64| *t >= 0.0 && *t <= (train - 1) as f64;
        if timesteps.is_empty() || !timesteps.iter().all(inside) {
            let why = format!(
                "{num_inference_steps} with this scheduler's spacing leads outside of the {train} timesteps; use fewer"
            );
            return Err(bad_steps(why));
        }
        self.timesteps = timesteps;
        self.index = 0;
        Ok(())
    }

    /// Starts a loop over these timesteps, falling, whatever the config's spacing is (diffusers:
    /// `set_timesteps(timesteps=...)`).
    ///
    /// # Errors
    /// [`Error::Request`] where they do not fall, lie outside of training's, or the kind is not
    /// [`SchedulerKind::DpmSolverMultistep`].
    pub fn set_custom_timesteps(&mut self, timesteps: &[usize]) -> Result<()> {
        let train = self.solver.schedule().num_train_timesteps();
        let fault = |why: String| Err(Error::request("timesteps", why));
        if timesteps.first().is_none_or(|first| *first >= train) {
            return fault(format!("must begin between 0 and {}", train - 1));
        }
        if let Some(pair) = timesteps.windows(2).find(|pair| pair[0] <= pair[1]) {
            return fault(format!(
                "must fall, and {} comes after {}",
                pair[1], pair[0]
            ));
        }
        let timesteps: Vec<f64> = timesteps.iter().map(|t| *t as f64).collect();
        if !self.solver.set_custom_timesteps(&timesteps) {
            return fault(format!(
                "of its own {} does not take; use dpm++2m",
                self.kind
            ));
        }
        self.timesteps = timesteps;
        self.index = 0;
        Ok(())
    }

    /// The timesteps for the model, one for each call of it; PNDM calls it more often than there
    /// are steps.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// The standard deviation which the initial noise must have.
    pub fn init_noise_sigma(&self) -> f64 {
        self.solver.init_noise_sigma()
    }

    /// Makes the call `index` of [`Scheduler::timesteps`] the first one (diffusers:
    /// `set_begin_index`).
    ///
    /// # Errors
    /// [`Error::Request`] for PNDM, whose first step takes two calls, unless `index` is 0.
    pub fn begin_at(&mut self, index: usize) -> Result<()> {
        if index > 0 && self.kind == SchedulerKind::Pndm {
            return Err(Error::request(
                "scheduler",
                "pndm cannot begin from a picture; use ddim, euler or dpm++2m",
            ));
        }
        self.index = index;
        Ok(())
    }

    /// `clean` with as much `noise` as the call `index` expects; after the last call there is none.
    pub fn add_noise(&self, clean: &[f32], noise: &[f32], index: usize) -> Vec<f32> {
        let (signal, sigma) = match self.timesteps.get(index) {
            Some(t) => self.solver.noise_weights(index, *t),
            None => (1.0, 0.0),
        };
        let mix = |(x, n): (&f32, &f32)| (signal * f64::from(*x) + sigma * f64::from(*n)) as f32;
        clean.iter().zip(noise).map(mix).collect()
    }

    /// What the sample is multiplied with before the model sees it, at the current step.
    pub fn model_input_scale(&self) -> f64 {
        self.solver.model_input_scale(self.index)
    }

    /// The model's input at the current step.
    pub fn scale_model_input(&self, sample: &[f32]) -> Vec<f32> {
        let scale = self.model_input_scale();
        let scaled = sample.iter().map(|x| (f64::from(*x) * scale) as f32);
        scaled.collect()
    }

    /// One step: from the model's output at the current timestep to the sample of the next.
    ///
    /// # Errors
    /// [`Error::Request`] where all steps are done or the lengths differ.
    pub fn step(&mut self, model_output: &[f32], sample: &[f32]) -> Result<SchedulerOutput<f32>> {
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let narrow = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect();
        let output = self.step_f64(&wide(model_output), &wide(sample))?;
        Ok(SchedulerOutput {
            prev_sample: narrow(output.prev_sample),
            pred_original_sample: narrow(output.pred_original_sample),
        })
    }

    /// [`Scheduler::step`] without rounding to float32.
    ///
    /// # Errors
    /// As [`Scheduler::step`].
    pub fn step_f64(
        &mut self,
        model_output: &[f64],
        sample: &[f64],
    ) -> Result<SchedulerOutput<f64>> {
        if self.index >= self.timesteps.len() {
            let why = format!("are all {} done; call set_timesteps", self.timesteps.len());
            return Err(bad_steps(why));
        }
        if model_output.len() != sample.len() {
            let (found, expected) = (model_output.len(), sample.len());
            return Err(Error::request(
                "model_output",
                format!("has {found} values for a sample of {expected}"),
            ));
        }
        let mut output = self.solver.step(self.index, model_output, sample);
        let sigma = self.solver.noise_after(self.index);
        self.index += 1;
        if sigma > 0.0 {
            let noise = gaussian_stream(self.seed, self.index as u32, sample.len());
            let pairs = output.prev_sample.iter_mut().zip(noise);
            pairs.for_each(|(x, noise)| *x += sigma * f64::from(noise));
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests;
