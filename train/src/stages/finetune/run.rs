//! A fine-tuning run as data: how it is read and what must hold.

use std::path::{Path, PathBuf};

use roentgen_web::error::{Error, Result};
use roentgen_web::limits;
use serde::{Deserialize, Serialize};

use crate::training::run::Optimization;

/// The `run.toml` of a fine-tuning.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuneRun {
    /// Name of the model that it makes.
    pub name: String,
    /// Licence of its weights: what the licences of the checkpoint and of the data leave open.
    pub license: String,
    /// Whom to name, in the words that the licences ask for.
    pub attribution: String,
    /// Seed of every random choice in the run.
    pub seed: u64,
    /// Height and width of the images, in pixels.
    pub size: u32,
    /// What is trained, and how.
    pub finetune: FineTune,
}

/// The `[finetune]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTune {
    /// Whether the text encoder learns too; RoentGen's best models did so.
    pub train_text_encoder: bool,
    /// A bundle or checkpoint whose text encoder and tokenizer take the place of the checkpoint's
    /// own.
    #[serde(default)]
    pub text_encoder: Option<PathBuf>,
    /// Share of captions that are replaced by the empty one, so that guidance has something to push
    /// away from.
    pub caption_dropout: f64,
    /// See [`crate::training::run::DiffusionRun::min_snr_gamma`].
    #[serde(default)]
    pub min_snr_gamma: Option<f64>,
    /// Prompts of the sample sheets and of the bundle's examples; without any, no sheets are drawn.
    #[serde(default)]
    pub prompts: Vec<String>,
    /// Train low-rank adapters instead of the weights themselves.
    #[serde(default)]
    pub lora: Option<LoraRun>,
    /// Steps, rates, sizes.
    pub optimization: Optimization,
}

/// The `[finetune.lora]` table (Hu et al. 2021, arXiv 2106.09685): `weight + alpha / rank * a b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraRun {
    /// Rank of the added product.
    pub rank: usize,
    /// Its weight, times the rank.
    pub alpha: f64,
}

impl FineTuneRun {
    /// Reads a `run.toml`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Config`] naming what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let fault = |why: String| Error::config(path.display().to_string(), why);
        let text = limits::read_text(path, limits::RUN_BYTES)?;
        let run: Self = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        match run.fault() {
            Some(why) => Err(fault(why)),
            None => Ok(run),
        }
    }

    fn fault(&self) -> Option<String> {
        let r = &self.finetune;
        if self.license.trim().is_empty() || self.name.trim().is_empty() {
            return Some("name and license must not be empty".into());
        }
        if self.size == 0 {
            return Some("size must be at least 1".into());
        }
        if !(0.0..=1.0).contains(&r.caption_dropout) {
            return Some("[finetune] caption_dropout must be between 0 and 1".into());
        }
        if r.min_snr_gamma.is_some_and(|g| !g.is_finite() || g <= 0.0) {
            return Some("[finetune] min_snr_gamma must be above 0 (5 is usual)".into());
        }
        if let Some(lora) = r.lora
            && (lora.rank == 0 || !lora.alpha.is_finite() || lora.alpha <= 0.0)
        {
            return Some("[finetune.lora] rank and alpha must be above 0".into());
        }
        let why = r.optimization.fault()?;
        Some(format!("[finetune.optimization] {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = include_str!("../../../tests/finetune.toml");

    fn fault(from: &str, to: &str) -> String {
        assert!(RUN.contains(from), "{from}");
        let run: FineTuneRun = toml::from_str(&RUN.replace(from, to)).unwrap();
        run.fault().expect("a fault")
    }

    #[test]
    fn faults_name_the_key() {
        for sound in [RUN, include_str!("../../../finetune.toml")] {
            let run: FineTuneRun = toml::from_str(sound).unwrap();
            assert_eq!(run.fault(), None);
        }
        for (from, to, key) in [
            (
                "caption_dropout = 0.1",
                "caption_dropout = 1.5",
                "caption_dropout",
            ),
            ("batch_size = 4", "batch_size = 3", "batch_size"),
            ("license = \"MIT\"", "license = \" \"", "license"),
            ("size = 32", "size = 0", "size"),
            ("ema_decay = 0.5", "ema_decay = 1.0", "ema_decay"),
            (
                "caption_dropout = 0.1",
                "caption_dropout = 0.1\nmin_snr_gamma = 0.0",
                "min_snr_gamma",
            ),
            (
                "[finetune.optimization]",
                "[finetune.lora]\nrank = 0\nalpha = 1.0\n[finetune.optimization]",
                "lora",
            ),
        ] {
            let why = fault(from, to);
            assert!(why.contains(key), "{why}");
        }
        assert!(toml::from_str::<FineTuneRun>(&RUN.replace("seed", "sead")).is_err());
    }
}
