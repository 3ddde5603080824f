//! PNDM, pseudo numerical methods (Liu et al. 2022, arXiv 2202.09778): linear multistep over the
//! last four predictions of noise (PLMS), started by repeating the first step (`skip_prk_steps`, as
//! Stable Diffusion does) or by Runge-Kutta steps. Source:
//! `diffusers/schedulers/scheduling_pndm.py`.

use super::config::{SchedulerConfig, bad_key};
use super::schedule::{BETAS, NoiseSchedule, PredictionType, TimestepSpacing, spaced_timesteps};
use super::solver::{SchedulerOutput, Solver, bad_steps, combine};
use crate::error::Result;

/// Steps the multistep method looks back, and Runge-Kutta steps to start it.
const ORDER: usize = 4;

/// `PNDMScheduler`.
#[derive(Debug)]
pub(super) struct Pndm {
    schedule: NoiseSchedule,
    prediction: PredictionType,
    spacing: TimestepSpacing,
    steps_offset: usize,
    final_alpha_cumprod: f64,
    skip_prk_steps: bool,
    timesteps: Vec<f64>,
    /// How many of the timesteps are Runge-Kutta's.
    prk: usize,
    stride: i64,
    /// The last model outputs, newest last.
    ets: Vec<Vec<f64>>,
    /// The sample which the step in progress started from.
    cur_sample: Vec<f64>,
    /// Runge-Kutta's weighted sum so far.
    cur_model_output: Vec<f64>,
}

impl Pndm {
    pub(super) fn new(config: &SchedulerConfig) -> Result<Self> {
        let schedule = NoiseSchedule::read(config, &BETAS, false)?;
        let prediction = PredictionType::read(config)?;
        if prediction == PredictionType::Sample {
            let why = "PNDM needs epsilon or v_prediction; use ddim, euler or dpm++2m".into();
            return Err(bad_key("prediction_type", why));
        }
        let to_one = config.flag("set_alpha_to_one", false)?;
        Ok(Self {
            prediction,
            spacing: TimestepSpacing::read(config, "leading")?,
            steps_offset: config.count("steps_offset", 0)?,
            final_alpha_cumprod: if to_one {
                1.0
            } else {
                schedule.alphas_cumprod[0]
            },
            skip_prk_steps: config.flag("skip_prk_steps", false)?,
            timesteps: Vec::new(),
            prk: 0,
            stride: 0,
            ets: Vec::new(),
            cur_sample: Vec::new(),
            cur_model_output: Vec::new(),
            schedule,
        })
    }

    /// Timesteps of the Runge-Kutta start: the four largest, each with the point half a stride
    /// above the next one, every inner one twice.
    fn prk_timesteps(&self, falling: &[f64]) -> Vec<f64> {
        let half = (self.stride / 2) as f64;
        let rising = falling[..ORDER].iter().rev();
        let with_halves: Vec<f64> = rising.flat_map(|t| [*t, t + half]).collect();
        let twice: Vec<f64> = with_halves[..2 * ORDER - 1]
            .iter()
            .flat_map(|t| [*t, *t])
            .collect();
        twice[1..twice.len() - 1].iter().rev().copied().collect()
    }

    /// Formula (9) of the paper: from timestep `t` to `prev` along the prediction `model_output`.
    fn prev_sample(&self, sample: &[f64], t: i64, prev: i64, model_output: &[f64]) -> Vec<f64> {
        let (a, a_prev) = (self.alpha(t), self.alpha(prev));
        let (b, b_prev) = (1.0 - a, 1.0 - a_prev);
        let epsilon = match self.prediction {
            PredictionType::VPrediction => combine([(a.sqrt(), model_output), (b.sqrt(), sample)]),
            _ => model_output.to_vec(),
        };
        let denominator = a * b_prev.sqrt() + (a * b * a_prev).sqrt();
        combine([
            ((a_prev / a).sqrt(), sample),
            (-(a_prev - a) / denominator, &epsilon),
        ])
    }

    fn alpha(&self, t: i64) -> f64 {
        let last = self.schedule.num_train_timesteps() - 1;
        match usize::try_from(t) {
            // The repeated first step may start one stride above the first timestep.
            Ok(t) => self.schedule.alphas_cumprod[t.min(last)],
            Err(_) => self.final_alpha_cumprod,
        }
    }

    /// A Runge-Kutta step takes four model calls, with the weights 1/6, 1/3, 1/3, 1/6.
    fn step_prk(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> Vec<f64> {
        let stage = index % 4;
        let back = if index % 2 == 1 { 0 } else { self.stride / 2 };
        let prev = self.timesteps[index] as i64 - back;
        let t = self.timesteps[index - stage] as i64;
        let direction = match stage {
            0 => {
                self.cur_model_output = combine([(1.0 / 6.0, model_output)]);
                self.remember(model_output);
                self.cur_sample = sample.to_vec();
                model_output.to_vec()
            }
            3 => combine([(1.0, &self.cur_model_output), (1.0 / 6.0, model_output)]),
            _ => {
                self.cur_model_output =
                    combine([(1.0, &self.cur_model_output), (1.0 / 3.0, model_output)]);
                model_output.to_vec()
            }
        };
        self.prev_sample(&self.cur_sample, t, prev, &direction)
    }

    /// A multistep step: Adams-Bashforth over the model outputs there are, up to four.
    fn step_plms(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> Vec<f64> {
        let t = self.timesteps[index] as i64;
        if index == 1 {
            // The second call repeats the first step, now with the mean of the outputs at both of
            // its ends.
            let mean = combine([(0.5, model_output), (0.5, &self.ets[0])]);
            return self.prev_sample(&self.cur_sample, t + self.stride, t, &mean);
        }
        self.remember(model_output);
        if index == 0 {
            self.cur_sample = sample.to_vec();
        }
        let direction = match self.ets.as_slice() {
            [e1] => e1.clone(),
            [e2, e1] => combine([(1.5, e1), (-0.5, e2)]),
            [e3, e2, e1] => combine([(23.0 / 12.0, e1), (-16.0 / 12.0, e2), (5.0 / 12.0, e3)]),
            [e4, e3, e2, e1, ..] => combine([
                (55.0 / 24.0, e1),
                (-59.0 / 24.0, e2),
                (37.0 / 24.0, e3),
                (-9.0 / 24.0, e4),
            ]),
            [] => Vec::new(),
        };
        self.prev_sample(sample, t, t - self.stride, &direction)
    }

    fn remember(&mut self, model_output: &[f64]) {
        if self.ets.len() == ORDER {
            self.ets.remove(0);
        }
        self.ets.push(model_output.to_vec());
    }
}

impl Solver for Pndm {
    fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn set_timesteps(&mut self, count: usize) -> Result<Vec<f64>> {
        let train = self.schedule.num_train_timesteps();
        self.stride = (train / count) as i64;
        let mut falling = spaced_timesteps(self.spacing, train, count, self.steps_offset);
        falling.iter_mut().for_each(|t| *t = t.round_ties_even());
        self.prk = 0;
        if self.skip_prk_steps {
            if count > 1 {
                falling.insert(1, falling[1]);
            }
            self.timesteps = falling;
        } else if count < ORDER {
            let why = format!("must be at least {ORDER} for PNDM without `skip_prk_steps`");
            return Err(bad_steps(why));
        } else {
            let mut timesteps = self.prk_timesteps(&falling);
            self.prk = timesteps.len();
            timesteps.extend(&falling[ORDER - 1..]);
            self.timesteps = timesteps;
        }
        self.ets.clear();
        Ok(self.timesteps.clone())
    }

    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64]) -> SchedulerOutput<f64> {
        let a = self.alpha(self.timesteps[index] as i64);
        let (signal, sigma) = (a.sqrt(), (1.0 - a).sqrt());
        let pred_original_sample = match self.prediction {
            PredictionType::VPrediction => combine([(signal, sample), (-sigma, model_output)]),
            _ => combine([(1.0 / signal, sample), (-sigma / signal, model_output)]),
        };
        let prev_sample = if index < self.prk {
            self.step_prk(index, model_output, sample)
        } else {
            self.step_plms(index, model_output, sample)
        };
        SchedulerOutput {
            prev_sample,
            pred_original_sample,
        }
    }
}
