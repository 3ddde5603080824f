//! The experiment: what classifiers learn from, and what came of it.

use roentgen_web::reader::ClassifierConfig;
use serde::{Deserialize, Serialize};

use crate::data::findings::Finding;
use crate::training::run::Optimization;

/// Number of findings; the labels after them (view, child) are learnt beside them and not counted.
pub const FINDINGS: usize = Finding::ALL.len();

/// `augment.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentationRun {
    /// Shares of the real train split, above 0 and up to 1.
    pub fractions: Vec<f64>,
    /// Seeds of the classifiers: their starting weights, their batches, and which patients a
    /// fraction has.
    pub seeds: Vec<u64>,
    /// Images to generate, from prompts of the train split.
    pub images: usize,
    /// Denoising steps of each.
    pub steps: usize,
    /// See [`crate::evaluate::training::ClassifierRun::repeat_below`].
    pub repeat_below: f64,
    /// As many steps for every arm; `sheet_every` is the number of steps between two looks at the
    /// val split.
    pub optimization: Optimization,
    /// The classifier's network.
    pub model: ClassifierConfig,
}

/// What one classifier learns from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Share of the real train split; none for generated images alone.
    pub real: Option<f64>,
    /// Whether it has the generated images.
    pub generated: bool,
    /// Its seed.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it learnt from.
    pub arm: Arm,
    /// Real images that it had.
    pub real_images: usize,
    /// Generated ones.
    pub generated_images: usize,
    /// Steps at which its looks were taken for the two halves of the val split: see
    /// [`super::verdict`].
    pub chosen: [usize; 2],
    /// AUROC of each finding.
    pub auroc: [Option<f64>; FINDINGS],
}
