//! How a network is optimised: steps, rates, precision.

use burn::tensor::FloatDType;
use serde::{Deserialize, Serialize};

/// The learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrScheduler {
    /// Half a cosine down to a hundredth of the peak.
    #[default]
    Cosine,
    /// The peak to the end.
    Constant,
    /// The peak, then linearly to nothing over the last [`Optimization::decay_share`] of the steps
    /// (Hu et al. 2024, "MiniCPM", arXiv:2404.06395, section 4). The checkpoint before the decay is
    /// kept, so that more steps can follow it.
    WarmupConstantDecay,
    /// One cycle (Smith and Topin 2018, "Super-Convergence") as torch's `OneCycleLR` has it: half a
    /// cosine up from a 25th of the peak over the warm-up, half a cosine down to nothing over the
    /// rest.
    OneCycle,
}

/// Number format of the products in the forward and backward passes (`--mixed_precision` of
/// diffusers' training scripts). Weights, their gradients and the optimizer are f32 with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixedPrecision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, of which 8 are exponent.
    Bf16,
    /// 16 bits, of which 5 are exponent: losses are scaled up, so that small gradients do not
    /// vanish.
    F16,
}

impl MixedPrecision {
    /// What products are cast to, if anything.
    pub fn cast(self) -> Option<FloatDType> {
        match self {
            MixedPrecision::F32 => None,
            MixedPrecision::Bf16 => Some(FloatDType::BF16),
            MixedPrecision::F16 => Some(FloatDType::F16),
        }
    }

    /// What the first loss is multiplied by: that of torch's `GradScaler`.
    pub fn loss_scale(self) -> f64 {
        match self {
            MixedPrecision::F16 => 65536.0,
            _ => 1.0,
        }
    }
}

/// How a network is optimised: AdamW, linear warm-up, cosine decay or none, global gradient
/// clipping, EMA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimization {
    /// Optimizer steps in the whole run.
    pub steps: usize,
    /// Pause after this many steps, with a checkpoint: for machines that are lent by the hour.
    #[serde(default)]
    pub pause_at: Option<usize>,
    /// Images in a step.
    pub batch_size: usize,
    /// Parts in which each replica takes its share of a batch, one after another, for less memory
    /// and the same step.
    #[serde(default = "one")]
    pub gradient_accumulation_steps: usize,
    /// Replicas of the network that share a batch between them, each on a thread of its own: the
    /// number of cores on a CPU, 1 on a GPU.
    #[serde(default = "one")]
    pub replicas: usize,
    /// Number format of the products.
    #[serde(default)]
    pub precision: MixedPrecision,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps over which the rate rises from 0.
    pub warmup_steps: usize,
    /// What the rate does after that.
    #[serde(default)]
    pub lr_scheduler: LrScheduler,
    /// Share of all steps in which the rate of `warmup_constant_decay` falls.
    #[serde(default = "fifth")]
    pub decay_share: f64,
    /// AdamW's decays of the running mean of gradients, and of their squares.
    #[serde(default = "usual_betas")]
    pub adam_betas: [f32; 2],
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
    /// Largest L2 norm of all gradients together.
    pub max_grad_norm: f64,
    /// Decay of the moving average of the weights, per step.
    pub ema_decay: f64,
    /// Decays of further averages, which checkpoints hold as `ema-DECAY.safetensors`: the best
    /// length is known afterwards.
    #[serde(default)]
    pub ema_decays: Vec<f64>,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Steps between sample sheets.
    pub sheet_every: usize,
}

fn one() -> usize {
    1
}

fn fifth() -> f64 {
    0.2
}

/// PyTorch's.
fn usual_betas() -> [f32; 2] {
    [0.9, 0.999]
}

impl Optimization {
    /// Learning rate of the step after `step` steps are done: warm-up, then as
    /// [`Self::lr_scheduler`] says.
    pub fn learning_rate_at(&self, step: usize) -> f64 {
        if self.lr_scheduler == LrScheduler::OneCycle {
            return self.one_cycle(step);
        }
        let warm = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        match self.lr_scheduler {
            LrScheduler::Constant => return self.learning_rate * warm,
            LrScheduler::WarmupConstantDecay => {
                let left = self.steps.saturating_sub(step) as f64;
                let decay = (self.steps - self.decay_start()).max(1) as f64;
                return self.learning_rate * warm * (left / decay).min(1.0);
            }
            LrScheduler::Cosine | LrScheduler::OneCycle => {}
        }
        let done = step.saturating_sub(self.warmup_steps) as f64
            / self.steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
        self.learning_rate * warm * (0.01 + 0.99 * cosine)
    }

    /// `OneCycleLR` with its `div_factor` of 25, its `final_div_factor` of 10^4, and `pct_start`
    /// the warm-up's share.
    fn one_cycle(&self, step: usize) -> f64 {
        let (top, end) = (
            self.warmup_steps.saturating_sub(1),
            self.steps.saturating_sub(1),
        );
        let (first, last) = (self.learning_rate / 25.0, self.learning_rate / 25.0 / 1e4);
        let (from, to, done) = if step < top {
            (first, self.learning_rate, step as f64 / top as f64)
        } else {
            let done = (step - top) as f64 / (end.saturating_sub(top)).max(1) as f64;
            (self.learning_rate, last, done.min(1.0))
        };
        to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }

    /// The step from which the rate of `warmup_constant_decay` falls.
    pub fn decay_start(&self) -> usize {
        self.steps - (self.steps as f64 * self.decay_share).round() as usize
    }

    /// Into how many equal parts a batch is divided.
    pub fn parts(&self) -> usize {
        self.replicas * self.gradient_accumulation_steps
    }

    /// What is wrong with the numbers, if anything.
    pub fn fault(&self) -> Option<String> {
        let counts = [
            ("steps", self.steps),
            ("batch_size", self.batch_size),
            ("replicas", self.replicas),
            (
                "gradient_accumulation_steps",
                self.gradient_accumulation_steps,
            ),
            ("checkpoint_every", self.checkpoint_every),
            ("sheet_every", self.sheet_every),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, n)| *n == 0) {
            return Some(format!("{key} must be at least 1"));
        }
        if !self.batch_size.is_multiple_of(self.parts()) {
            return Some(format!(
                "batch_size {} must be a multiple of replicas times gradient_accumulation_steps, {}",
                self.batch_size,
                self.parts()
            ));
        }
        if !self.learning_rate.is_finite() || self.learning_rate <= 0.0 {
            return Some("learning_rate must be above 0".into());
        }
        let mut decays = self.ema_decays.iter().chain([&self.ema_decay]);
        if !decays.all(|decay| (0.0..1.0).contains(decay)) {
            return Some("ema_decay and ema_decays must be at least 0 and below 1".into());
        }
        if !self.adam_betas.iter().all(|b| (0.0..1.0).contains(b)) {
            return Some("adam_betas must be at least 0 and below 1".into());
        }
        if !(0.0..=1.0).contains(&self.decay_share) {
            return Some("decay_share must be between 0 and 1".into());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls() {
        let o = Optimization {
            steps: 100,
            pause_at: None,
            batch_size: 1,
            gradient_accumulation_steps: 1,
            replicas: 1,
            precision: MixedPrecision::F32,
            learning_rate: 1.0,
            warmup_steps: 10,
            lr_scheduler: LrScheduler::Cosine,
            decay_share: 0.3,
            adam_betas: usual_betas(),
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            ema_decay: 0.9,
            ema_decays: vec![],
            checkpoint_every: 1,
            sheet_every: 1,
        };
        assert!((o.learning_rate_at(0) - 0.1).abs() < 1e-9);
        assert!((o.learning_rate_at(9) - 1.0).abs() < 1e-9);
        assert!((o.learning_rate_at(55) - 0.505).abs() < 1e-9);
        assert!((o.learning_rate_at(100) - 0.01).abs() < 1e-9);
        let constant = Optimization {
            lr_scheduler: LrScheduler::Constant,
            ..o.clone()
        };
        assert!((constant.learning_rate_at(0) - 0.1).abs() < 1e-9);
        assert!((constant.learning_rate_at(99) - 1.0).abs() < 1e-9);
        let decaying = Optimization {
            lr_scheduler: LrScheduler::WarmupConstantDecay,
            ..o.clone()
        };
        for (step, rate) in [
            (0, 0.1),
            (9, 1.0),
            (70, 1.0),
            (85, 0.5),
            (99, 1.0 / 30.0),
            (100, 0.0),
        ] {
            let found = decaying.learning_rate_at(step);
            assert!((found - rate).abs() < 1e-9, "{step}: {found}");
        }
        // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=20, pct_start=0.3)
        let cycle = Optimization {
            lr_scheduler: LrScheduler::OneCycle,
            steps: 20,
            warmup_steps: 6,
            ..o
        };
        for (step, rate) in [
            (0, 0.04),
            (1, 0.131_671_84),
            (4, 0.908_328_16),
            (5, 1.0),
            (6, 0.987_464_01),
            (12, 0.500_002),
            (18, 0.012_539_994),
            (19, 4e-6),
        ] {
            let found = cycle.learning_rate_at(step);
            assert!((found - rate).abs() < 1e-7, "{found} {rate}");
        }
    }
}
