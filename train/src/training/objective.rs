//! What the denoising networks learn: noisy latents, what should be said of them, and the loss.

use burn::module::Module;
use burn::prelude::*;
use roentgen_web::embeddings::CLIPTextModel;
use roentgen_web::error::{Error, Result};
use roentgen_web::latents::UNet2DConditionModel;
use roentgen_web::latents::scheduler::{NoiseSchedule, Scheduler, SchedulerConfig};

use crate::training::replicas::share;
use crate::training::tensors::floats;
use crate::training::timesteps::{Timesteps, TimestepsRun};

/// Both trained networks under their components' names.
#[derive(Module, Debug)]
pub struct TextToLatents {
    /// Tokens to embeddings.
    pub text_encoder: CLIPTextModel,
    /// Noise given embeddings.
    pub unet: UNet2DConditionModel,
}

/// What a model predicts and how much each timestep counts, as its scheduler and the run say.
#[derive(Clone, Debug)]
pub struct Objective {
    schedule: NoiseSchedule,
    /// What timesteps are drawn from.
    pub timesteps: Timesteps,
    velocity: bool,
    min_snr_gamma: Option<f64>,
}

impl Objective {
    /// `min_snr_gamma`: see [`crate::training::run::DiffusionRun::min_snr_gamma`].
    ///
    /// # Errors
    /// [`Error::Config`] if the scheduler is not supported, or predicts neither noise nor velocity.
    pub fn new(config: &SchedulerConfig, min_snr_gamma: Option<f64>) -> Result<Self> {
        let prediction = config.0.get("prediction_type").and_then(|v| v.as_str());
        let velocity = match prediction {
            None | Some("epsilon") => false,
            Some("v_prediction") => true,
            Some(other) => {
                return Err(Error::config(
                    "scheduler/scheduler_config.json",
                    format!(
                        "prediction_type {other:?} cannot be trained; use epsilon or v_prediction"
                    ),
                ));
            }
        };
        let schedule = Scheduler::new(config, None)?.schedule().clone();
        Ok(Self {
            timesteps: Timesteps::new(&schedule, None),
            schedule,
            velocity,
            min_snr_gamma,
        })
    }

    /// With timesteps drawn as `bell` says, all alike without it.
    pub fn drawing(mut self, bell: Option<TimestepsRun>) -> Self {
        self.timesteps = Timesteps::new(&self.schedule, bell);
        self
    }

    /// Weight of a timestep's squared error (Hang et al. 2023, section 3.4 and appendix):
    /// `min(snr, gamma)` on the clean latents, expressed in what the network predicts: noise
    /// (`/ snr`) or velocity (`/ (snr + 1)`).
    fn weight(&self, timestep: usize) -> f64 {
        let alpha = self.schedule.alphas_cumprod[timestep];
        let snr = alpha / (1.0 - alpha);
        match self.min_snr_gamma {
            None => 1.0,
            Some(gamma) if self.velocity => snr.min(gamma) / (snr + 1.0),
            // The quotient the other way round: a schedule may end in pure noise, of which the
            // ratio is 0.
            Some(gamma) => (gamma / snr).min(1.0),
        }
    }
}

/// One batch on the host, example after example.
#[derive(Clone, Debug)]
pub struct Batch {
    shape: [usize; 3],
    noisy: Vec<f32>,
    target: Vec<f32>,
    timesteps: Vec<f32>,
    weights: Vec<f32>,
    ids: Vec<i32>,
}

impl Batch {
    /// An empty batch of latents of `shape` `[C, h, w]`.
    pub fn new(shape: [usize; 3]) -> Self {
        Self {
            shape,
            noisy: vec![],
            target: vec![],
            timesteps: vec![],
            weights: vec![],
            ids: vec![],
        }
    }

    /// Adds one example: scaled latents, noise of the same size, a timestep and the tokens `[T]` of
    /// its prompt.
    ///
    /// # Errors
    /// [`Error::Request`] if there is no such timestep.
    pub fn push(
        &mut self,
        objective: &Objective,
        clean: &[f32],
        noise: &[f32],
        timestep: usize,
        ids: &[u32],
    ) -> Result<()> {
        let schedule = &objective.schedule;
        self.noisy
            .extend(schedule.add_noise(clean, noise, timestep)?);
        if objective.velocity {
            self.target
                .extend(schedule.velocity(clean, noise, timestep)?)
        } else {
            self.target.extend(noise)
        }
        self.timesteps.push(timestep as f32);
        self.weights.push(objective.weight(timestep) as f32);
        self.ids.extend(ids.iter().map(|&id| id as i32));
        Ok(())
    }

    /// Weighted mean squared error `[1]` over the `part`-th `n` examples.
    pub fn loss(
        &self,
        module: &TextToLatents,
        part: usize,
        n: usize,
        device: &Device,
    ) -> Tensor<1> {
        let [c, h, w] = self.shape;
        let shape = [n, c, h, w];
        let tokens = [n, self.ids.len() / self.timesteps.len()];
        let latents = |values| floats(share(values, part, shape), shape, device);
        let timesteps = Tensor::<1>::from_floats(share(&self.timesteps, part, [n]), device);
        let ids = Tensor::<1, Int>::from_ints(share(&self.ids, part, tokens), device);
        let context = module.text_encoder.forward(ids.reshape(tokens));
        let prediction = module
            .unet
            .forward(latents(&self.noisy), timesteps, &context.into());
        let error = (prediction - latents(&self.target)).powi_scalar(2);
        let weights = floats(share(&self.weights, part, [n]), [n, 1, 1, 1], device);
        (error * weights).mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights at the timesteps whose signal-to-noise ratios are nearest to `snr`, and these
    /// ratios.
    fn weight(prediction: &str, gamma: f64, snr: f64) -> (f64, f64) {
        let json =
            format!(r#"{{"_class_name": "DDIMScheduler", "prediction_type": "{prediction}"}}"#);
        let config = SchedulerConfig::parse(json.as_bytes()).unwrap();
        let objective = Objective::new(&config, Some(gamma)).unwrap();
        let ratio = |t: usize| {
            let alpha = objective.schedule.alphas_cumprod[t];
            alpha / (1.0 - alpha)
        };
        let distance = |t: usize| (ratio(t).ln() - snr.ln()).abs();
        let t = (0..1000).min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
        let t = t.unwrap();
        (objective.weight(t), ratio(t))
    }

    #[test]
    fn min_snr_clamps_the_faint_noise() {
        let close = |(weight, snr): (f64, f64), expected: fn(f64) -> f64| {
            assert!((weight - expected(snr)).abs() < 1e-12, "{weight} at {snr}");
        };
        close(weight("epsilon", 5.0, 1.0), |_| 1.0);
        close(weight("epsilon", 5.0, 50.0), |snr| 5.0 / snr);
        close(weight("v_prediction", 5.0, 1.0), |snr| snr / (snr + 1.0));
        close(weight("v_prediction", 5.0, 49.0), |snr| 5.0 / (snr + 1.0));
    }

    #[test]
    fn pure_noise_has_a_weight() {
        let config = SchedulerConfig::parse(
            br#"{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true, "prediction_type": "v_prediction"}"#,
        );
        let mut objective = Objective::new(&config.unwrap(), Some(5.0)).unwrap();
        assert_eq!(objective.weight(999), 0.0);
        objective.velocity = false;
        assert_eq!(objective.weight(999), 1.0);
    }

    #[test]
    fn samples_are_not_predicted() {
        let config = SchedulerConfig::parse(
            br#"{"_class_name": "DDIMScheduler", "prediction_type": "sample"}"#,
        );
        let error = Objective::new(&config.unwrap(), None).unwrap_err();
        assert!(error.to_string().contains("v_prediction"), "{error}");
    }
}
