//! What a student has to predict so that one of its DDIM steps ends where several steps of the
//! teacher did.
//!
//! A step of DDIM (Song et al. 2020, arXiv 2010.02502, eq. 12) from the sample `x_t` to `x_s` is
//! linear in what the network predicts, `x_s = a x_t + b p`, so the prediction that leads to a
//! given `x_s` is `p = (x_s - a x_t) / b`. That is the target of progressive distillation (Salimans
//! and Ho 2022, arXiv 2202.00512, appendix G), for any number of teacher steps. With
//! `alpha = cos(phi)` and `sigma = sin(phi)`, a step of v-prediction is a rotation:
//! `a = cos(phi_t - phi_s)`, `b = -sin(phi_t - phi_s)`.

use roentgen_web::error::{Error, Result};
use roentgen_web::latents::scheduler::{Scheduler, SchedulerConfig};

/// The steps of a student, falling from noise to image.
#[derive(Clone, Debug, PartialEq)]
pub struct StudentSteps(pub Vec<StudentStep>);

/// One step of DDIM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudentStep {
    /// The timestep that the network is told.
    pub timestep: usize,
    sample: f64,
    prediction: f64,
}

/// A model's scheduler as it has to be for a student: DDIM with the timesteps at the ends of equal
/// strides, from the last one on, whatever the model's own was. What the schedule of noise and the
/// prediction are is left alone.
pub fn scheduler(teacher: &SchedulerConfig) -> SchedulerConfig {
    let mut config = teacher.clone();
    for (key, value) in [
        ("_class_name", "DDIMScheduler".into()),
        ("timestep_spacing", "trailing".into()),
        ("clip_sample", false.into()),
        ("set_alpha_to_one", false.into()),
    ] {
        config.0.insert(key.into(), value);
    }
    // Karras's spacing is for many steps, and DDIM does not know it.
    config.0.remove("use_karras_sigmas");
    // diffusers notes there which values were only defaults; these no longer are.
    config.0.remove("_use_default_values");
    config
}

impl StudentSteps {
    /// The `count` steps of `config`, which [`scheduler`] made.
    ///
    /// # Errors
    /// [`Error::Config`] if the scheduler is not supported or the steps do not divide its
    /// timesteps.
    pub fn new(config: &SchedulerConfig, count: usize) -> Result<Self> {
        let mut scheduler = Scheduler::new(config, None)?;
        let fault = |why: String| Error::config("[distil] num_inference_steps", why);
        let alphas = scheduler.alphas_cumprod().to_vec();
        if count == 0 || !alphas.len().is_multiple_of(count) {
            return Err(fault(format!(
                "{count} must divide the {} timesteps of training",
                alphas.len()
            )));
        }
        scheduler.set_timesteps(count)?;
        let timesteps: Vec<usize> = scheduler.timesteps().iter().map(|t| *t as usize).collect();
        let velocity = match config.0.get("prediction_type").and_then(|v| v.as_str()) {
            None | Some("epsilon") => false,
            Some("v_prediction") => true,
            Some(other) => {
                let why = format!("of a model with prediction_type {other:?} cannot be taught");
                return Err(fault(why));
            }
        };
        let step = |(i, &timestep): (usize, &usize)| {
            // Beyond the last timestep DDIM has the noise of timestep 0 (`set_alpha_to_one` is
            // false).
            let next = timesteps.get(i + 1).map_or(0, |next| *next);
            let [(alpha_t, sigma_t), (alpha_s, sigma_s)] =
                [timestep, next].map(|t| (alphas[t].sqrt(), (1.0 - alphas[t]).sqrt()));
            let (sample, prediction) = if velocity {
                (
                    alpha_s * alpha_t + sigma_s * sigma_t,
                    sigma_s * alpha_t - alpha_s * sigma_t,
                )
            } else {
                (alpha_s / alpha_t, sigma_s - alpha_s * sigma_t / alpha_t)
            };
            StudentStep {
                timestep,
                sample,
                prediction,
            }
        };
        Ok(Self(timesteps.iter().enumerate().map(step).collect()))
    }

    /// Whether a teacher who starts where the student does passes through every timestep here.
    ///
    /// # Errors
    /// [`Error::Config`] if not.
    pub fn check(&self, teacher: &[usize]) -> Result<()> {
        let first = self.0.first().map(|step| step.timestep);
        let missed = self.0.iter().find(|s| !teacher.contains(&s.timestep));
        let why = match missed {
            Some(step) => format!("must hold {}, a timestep of the student", step.timestep),
            None if teacher.first().copied() != first => "must begin where the student does".into(),
            None => return Ok(()),
        };
        Err(Error::config("[distil] teacher_timesteps", why))
    }
}

impl StudentStep {
    /// What the network must predict at `sample`, for this step to end at `next`.
    pub fn target(&self, sample: &[f32], next: &[f32]) -> Vec<f32> {
        let solve = |(x, y): (&f32, &f32)| {
            ((f64::from(*y) - self.sample * f64::from(*x)) / self.prediction) as f32
        };
        sample.iter().zip(next).map(solve).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roentgen_web::latents::noise::gaussian;

    fn config(prediction: &str) -> SchedulerConfig {
        let json = format!(
            r#"{{"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "steps_offset": 1, "prediction_type": "{prediction}", "timestep_spacing": "leading"}}"#
        );
        scheduler(&SchedulerConfig::parse(json.as_bytes()).unwrap())
    }

    /// What a target is for: the page's own DDIM, given it, ends at the sample that was wanted.
    #[test]
    fn a_step_with_the_target_ends_where_it_should() {
        for prediction in ["epsilon", "v_prediction"] {
            let config = config(prediction);
            let mut ddim = Scheduler::new(&config, None).unwrap();
            ddim.set_timesteps(4).unwrap();
            let steps = StudentSteps::new(&config, 4).unwrap();
            let timesteps: Vec<f64> = steps.0.iter().map(|r| r.timestep as f64).collect();
            assert_eq!(timesteps, [999.0, 749.0, 499.0, 249.0]);
            assert_eq!(timesteps, ddim.timesteps());
            for (i, step) in steps.0.iter().enumerate() {
                let sample = gaussian(i as u64, 64);
                let next = gaussian(100 + i as u64, 64);
                let target = step.target(&sample, &next);
                let found = ddim.step(&target, &sample).unwrap().prev_sample;
                for (a, b) in found.iter().zip(&next) {
                    assert!((a - b).abs() < 1e-4, "{prediction}: {a} is not {b}");
                }
            }
        }
    }

    /// For data of one variance `s^2` around 0, everything is known: the best prediction of the
    /// clean sample is `alpha s^2 x / (alpha^2 s^2 + sigma^2)`, and the flow carries a sample from
    /// t to s by the ratio of their standard deviations. So the target must be what this ratio asks
    /// of one rotation by `phi_t - phi_s`.
    #[test]
    fn of_normal_data_the_target_is_known() {
        let config = config("v_prediction");
        let alphas = Scheduler::new(&config, None)
            .unwrap()
            .alphas_cumprod()
            .to_vec();
        let s2 = 0.25;
        let deviation = |t: usize| (alphas[t] * s2 + 1.0 - alphas[t]).sqrt();
        let steps = StudentSteps::new(&config, 4).unwrap();
        for pair in steps.0.windows(2) {
            let (t, s) = (pair[0].timestep, pair[1].timestep);
            let x = 0.8;
            let next = x * deviation(s) / deviation(t);
            let angle = alphas[t].sqrt().acos() - alphas[s].sqrt().acos();
            let expected = (angle.cos() * x - next) / angle.sin();
            let found = pair[0].target(&[x as f32], &[next as f32])[0];
            assert!((f64::from(found) - expected).abs() < 1e-5);

            // Many DDIM steps with the exact prediction get there too, so `next` is what a good
            // teacher gives.
            let mut y = x;
            for t in (s + 1..=t).rev() {
                let (alpha, sigma) = (alphas[t].sqrt(), (1.0 - alphas[t]).sqrt());
                let clean = alpha * s2 * y / deviation(t).powi(2);
                let noise = (y - alpha * clean) / sigma;
                y = alphas[t - 1].sqrt() * clean + (1.0 - alphas[t - 1]).sqrt() * noise;
            }
            assert!((y - next).abs() < 2e-3 * next.abs(), "{y} is not {next}");
        }
    }

    #[test]
    fn steps_that_do_not_fit_are_refused() {
        let config = config("v_prediction");
        let error = StudentSteps::new(&config, 3).unwrap_err().to_string();
        assert!(error.contains("num_inference_steps"), "{error}");
        let error = StudentSteps::new(&self::config("sample"), 4).unwrap_err();
        assert!(error.to_string().contains("sample"), "{error}");
        let steps = StudentSteps::new(&config, 2).unwrap();
        steps.check(&[999, 749, 499, 249]).unwrap();
        for teacher in [&[999, 749, 498][..], &[], &[1000, 999, 499]] {
            let error = steps.check(teacher).unwrap_err().to_string();
            assert!(error.contains("teacher_timesteps"), "{error}");
        }
    }
}
