//! What a bundle says about its reader.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ClassifierConfig;
use crate::error::{Error, Result};

/// `components.reader` of a manifest. `train reader` measures all of it on the val split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderConfig {
    /// The network.
    pub model: ClassifierConfig,
    /// What logits are divided by, so that probabilities are as often right as they say (Guo et al.
    /// 2017).
    pub temperature: f32,
    /// The largest [`super::distance`] at which an image is still taken for a frontal chest
    /// radiograph.
    pub farthest: f32,
    /// What is asked about an image, in the order of the network's outputs.
    pub labels: Vec<LabelConfig>,
}

/// One thing that is asked about an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelConfig {
    /// Its name as the data's tables have it: `Effusion`.
    pub name: String,
    /// Area under the ROC curve on real images that the reader has not learnt from, 0 to 1.
    pub auroc: f32,
    /// Probability from which on it counts as seen, 0 to 1.
    pub threshold: f32,
}

impl ReaderConfig {
    /// Most labels: more than any set of findings has.
    const MOST_LABELS: usize = 64;

    /// # Errors
    /// [`Error::Config`] naming the value that cannot be.
    pub fn check(&self) -> Result<()> {
        let fault = |why: String| Error::config("the reader", why);
        let share = |value: f32| (0.0..=1.0).contains(&value);
        let positive = |value: f32| value.is_finite() && value > 0.0;
        if !positive(self.temperature) || !positive(self.farthest) {
            return Err(fault("temperature and farthest must be above 0".into()));
        }
        if !(1..=Self::MOST_LABELS).contains(&self.labels.len()) {
            let most = Self::MOST_LABELS;
            return Err(fault(format!("labels must name 1 to {most} things")));
        }
        let mut names = BTreeSet::new();
        for label in &self.labels {
            let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b' ';
            let good = (1..=40).contains(&label.name.len()) && label.name.bytes().all(letter);
            if !good || !names.insert(&label.name) {
                let why = format!("the label {:?} is no name, or comes twice", label.name);
                return Err(fault(why));
            }
            if !share(label.auroc) || !share(label.threshold) {
                let why = format!("auroc and threshold of {} must be 0 to 1", label.name);
                return Err(fault(why));
            }
        }
        Ok(())
    }
}
