//! Which timesteps a denoiser learns from.

use rand::RngExt;
use rand::rngs::StdRng;
use roentgen_web::latents::scheduler::NoiseSchedule;
use serde::{Deserialize, Serialize};

use super::random::normal;

/// The `[diffusion.timesteps]` table: most from a bell over the logarithm of the noise (Karras et
/// al. 2022, "EDM", arXiv:2206.00364, section 5), where images take shape; the rest uniform, as the
/// noisy end decides what a prompt gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestepsRun {
    /// Mean of ln(sigma), sigma being the noise over the signal.
    pub mean: f64,
    /// Standard deviation of ln(sigma).
    pub deviation: f64,
    /// Share of the timesteps that are so drawn, 0 to 1.
    pub share: f64,
}

impl TimestepsRun {
    /// What is wrong with the numbers, if anything.
    pub fn fault(&self) -> Option<String> {
        if !(0.0..=1.0).contains(&self.share) {
            return Some("share must be between 0 and 1".into());
        }
        let whole = self.mean.is_finite() && self.deviation.is_finite();
        (!whole || self.deviation < 0.0)
            .then(|| "mean and deviation must be numbers, deviation at least 0".into())
    }
}

/// Draws timesteps of a noise schedule.
#[derive(Clone, Debug)]
pub struct Timesteps {
    /// ln(sigma) of each timestep, rising; infinite where nothing of the image is left.
    noise: Vec<f64>,
    bell: Option<TimestepsRun>,
}

impl Timesteps {
    /// Of `schedule`; all of them alike without `bell`.
    pub fn new(schedule: &NoiseSchedule, bell: Option<TimestepsRun>) -> Self {
        let alphas = schedule.alphas_cumprod.iter();
        let noise = alphas.map(|alpha| 0.5 * ((1.0 - alpha) / alpha).ln());
        Self {
            noise: noise.collect(),
            bell,
        }
    }

    /// One timestep, from 0.
    pub fn draw(&self, rng: &mut StdRng) -> usize {
        match self.bell {
            Some(bell) if rng.random_bool(bell.share) => {
                let wanted = bell.mean + bell.deviation * f64::from(normal(rng, 1)[0]);
                self.nearest(wanted)
            }
            _ => rng.random_range(0..self.noise.len()),
        }
    }

    /// The timestep whose ln(sigma) is nearest.
    fn nearest(&self, wanted: f64) -> usize {
        let above = self.noise.partition_point(|noise| *noise < wanted);
        let below = above.saturating_sub(1);
        let distance = |t: usize| {
            let noise = self.noise.get(t).copied().unwrap_or(f64::INFINITY);
            (noise - wanted).abs()
        };
        if distance(above) < distance(below) {
            above
        } else {
            below
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::random::step_rng;
    use roentgen_web::latents::scheduler::{Scheduler, SchedulerConfig};

    fn timesteps(bell: Option<TimestepsRun>) -> Timesteps {
        let config = br#"{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
            "beta_schedule": "scaled_linear", "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": true}"#;
        let config = SchedulerConfig::parse(config).unwrap();
        Timesteps::new(Scheduler::new(&config, None).unwrap().schedule(), bell)
    }

    /// Shares of the timesteps with sigma below 0.22, between that and e, and above.
    fn shares(bell: Option<TimestepsRun>) -> [f64; 3] {
        let (of, mut rng) = (timesteps(bell), step_rng(1, 1));
        let mut counts = [0.0; 3];
        for _ in 0..20_000 {
            let noise = of.noise[of.draw(&mut rng)];
            counts[(noise >= 0.22f64.ln()) as usize + (noise >= 1.0) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn most_are_where_images_take_shape() {
        // Uniform: a third of the work where hardly anything is seen, a twentieth on the last
        // details.
        let [low, middle, high] = shares(None);
        assert!((0.03..0.09).contains(&low), "{low}");
        assert!((0.30..0.42).contains(&high), "{high}");
        // A normal(-0.2, 1.2) lies below ln 0.22 with 0.137 and above 1 with 0.159.
        let bell = TimestepsRun {
            mean: -0.2,
            deviation: 1.2,
            share: 0.7,
        };
        let found = shares(Some(bell));
        let expected = [0.137 * 0.7 + low * 0.3, 0.0, 0.159 * 0.7 + high * 0.3];
        for i in [0, 2] {
            assert!((found[i] - expected[i]).abs() < 0.015, "{found:?}");
        }
        assert!(found[1] > middle);
        assert_eq!(bell.fault(), None);
        let fault = TimestepsRun { share: 1.5, ..bell }.fault();
        assert!(fault.unwrap().contains("share"));
    }

    #[test]
    fn pure_noise_is_nearest_to_the_last_but_one_at_most() {
        let of = timesteps(None);
        assert!(of.noise[999].is_infinite());
        assert_eq!(of.nearest(100.0), 998);
        assert_eq!(of.nearest(-100.0), 0);
        for t in [0, 1, 500, 998] {
            assert_eq!(of.nearest(of.noise[t]), t);
        }
    }
}
