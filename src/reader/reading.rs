//! What a reader says of one image.

use super::ReaderConfig;
use crate::weights::Weight;

/// All that a reader says of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// For each label of [`ReaderConfig::labels`], in their order.
    pub labels: Vec<Seen>,
    /// See [`super::distance`].
    pub distance: f32,
    /// Whether the image is near enough to radiographs for the rest to mean anything.
    pub is_radiograph: bool,
}

/// One label.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// 0 to 1, calibrated.
    pub probability: f32,
    /// Whether that is at least the label's threshold.
    pub seen: bool,
    /// How well the reader tells it on real images, 0.5 to 1.
    pub auroc: f32,
    /// `[h, w]`: what each place says for it, in logits; its mean is that of the image.
    pub map: Weight,
}

impl Reading {
    /// `evidence` is `[1, h, w, labels]`.
    pub(crate) fn new(config: &ReaderConfig, evidence: &Weight, distance: f32) -> Self {
        let count = config.labels.len();
        let labels = config.labels.iter().enumerate().map(|(i, label)| {
            let map: Vec<f32> = evidence
                .data
                .iter()
                .copied()
                .skip(i)
                .step_by(count)
                .collect();
            let logit = map.iter().sum::<f32>() / map.len() as f32;
            let probability = 1.0 / (1.0 + (-logit / config.temperature).exp());
            Seen {
                name: label.name.clone(),
                probability,
                seen: probability >= label.threshold,
                auroc: label.auroc,
                map: Weight {
                    shape: evidence.shape[1..3].to_vec(),
                    data: map,
                },
            }
        });
        Self {
            labels: labels.collect(),
            distance,
            is_radiograph: distance <= config.farthest,
        }
    }
}
