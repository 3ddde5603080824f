//! A distillation as data: how it is read and what must hold.

use std::path::Path;

use roentgen_web::error::{Error, Result};
use roentgen_web::limits;
use serde::{Deserialize, Serialize};

use crate::training::run::Optimization;

/// The `distil.toml` of a distillation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistilRun {
    /// Name of the model that it makes.
    pub name: String,
    /// Licence of its weights: the teacher's, as a rule.
    pub license: String,
    /// Whom to name, in the words that the licences ask for.
    pub attribution: String,
    /// Seed of every random choice in the run.
    pub seed: u64,
    /// What is taught, and how.
    pub distil: Distil,
}

/// The `[distil]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distil {
    /// Steps that the student takes, without guidance.
    pub num_inference_steps: usize,
    /// Timesteps of DPM-Solver++ 2M that the teacher takes, with guidance, falling. Those of the
    /// student's steps are among them.
    pub teacher_timesteps: Vec<usize>,
    /// The teacher's classifier-free guidance.
    pub guidance_scale: f64,
    /// Images that the teacher draws for the student to learn from.
    pub trajectories: usize,
    /// Share of empty prompts, so that the student can still be guided away from something.
    pub caption_dropout: f64,
    /// Example prompts of the bundle.
    #[serde(default)]
    pub prompts: Vec<String>,
    /// Steps, rates, sizes.
    pub optimization: Optimization,
}

impl DistilRun {
    /// Reads a `distil.toml`.
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
        let r = &self.distil;
        if self.license.trim().is_empty() || self.name.trim().is_empty() {
            return Some("name and license must not be empty".into());
        }
        if r.num_inference_steps == 0 || r.trajectories == 0 {
            return Some("[distil] num_inference_steps and trajectories must be at least 1".into());
        }
        if !r.guidance_scale.is_finite() || r.guidance_scale < 1.0 {
            return Some("[distil] guidance_scale must be at least 1, which is none".into());
        }
        if !(0.0..=1.0).contains(&r.caption_dropout) {
            return Some("[distil] caption_dropout must be between 0 and 1".into());
        }
        let why = r.optimization.fault()?;
        Some(format!("[distil.optimization] {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = include_str!("../../../tests/distil.toml");

    #[test]
    fn faults_name_the_key() {
        let run: DistilRun = toml::from_str(RUN).unwrap();
        assert_eq!(run.fault(), None);
        for (from, to, key) in [
            ("trajectories = 24", "trajectories = 0", "trajectories"),
            (
                "guidance_scale = 3.0",
                "guidance_scale = 0.5",
                "guidance_scale",
            ),
            (
                "caption_dropout = 0.1",
                "caption_dropout = -1",
                "caption_dropout",
            ),
            ("license = \"MIT\"", "license = \"\"", "license"),
            ("batch_size = 4", "batch_size = 0", "batch_size"),
        ] {
            assert!(RUN.contains(from), "{from}");
            let run: DistilRun = toml::from_str(&RUN.replace(from, to)).unwrap();
            let why = run.fault().expect("a fault");
            assert!(why.contains(key), "{why}");
        }
        assert!(toml::from_str::<DistilRun>(&RUN.replace("seed", "sead")).is_err());
    }

    #[test]
    fn the_shipped_runs_are_sound() {
        for text in [
            include_str!("../../../distil.toml"),
            include_str!("../../../next-distil.toml"),
        ] {
            let run: DistilRun = toml::from_str(text).unwrap();
            assert_eq!(run.fault(), None);
        }
    }
}
