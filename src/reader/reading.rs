//! What a reader says of one image.

use super::{ReaderConfig, asked};
use crate::tensor::HostTensor;

/// AUROC below which a reader does not claim to see, or not to see, a finding.
pub const LEAST_AUROC: f32 = 0.7;

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
    /// 0 to 1, calibrated: how often images like this one have it in the data.
    pub probability: f32,
    /// From which probability on an image that was asked to show it does.
    pub threshold: f32,
    /// How well the reader tells it on real images, 0.5 to 1.
    pub auroc: f32,
    /// `[h, w]`: what each place says for it, in logits.
    pub map: HostTensor,
}

impl Seen {
    /// How sure it is that a label is there which was asked for, 0 to 1, 0.5 at the threshold.
    /// Findings are rare in the data and frequent among images that were asked to show them: this
    /// is the probability where they are as frequent as makes the threshold even odds.
    pub fn sureness(&self) -> f32 {
        let there = self.probability * (1.0 - self.threshold);
        let absent = (1.0 - self.probability) * self.threshold;
        there / (there + absent).max(f32::MIN_POSITIVE)
    }

    /// Whether it is there; `None` where the reader cannot tell. What was not asked for has to be
    /// likely among all images.
    pub fn is_seen(&self, asked: bool) -> Option<bool> {
        let sure = if asked {
            self.sureness()
        } else {
            self.probability
        };
        (self.auroc >= LEAST_AUROC).then_some(sure >= 0.5)
    }
}

impl Reading {
    /// `evidence` is `[1, h, w, labels]`.
    pub(crate) fn new(config: &ReaderConfig, evidence: &HostTensor, distance: f32) -> Self {
        let count = config.labels.len();
        let labels = config.labels.iter().enumerate().map(|(i, label)| {
            let map = evidence.data.iter().copied().skip(i).step_by(count);
            let map: Vec<f32> = map.collect();
            let logit = smooth_maximum(&map);
            Seen {
                name: label.name.clone(),
                probability: 1.0 / (1.0 + (-logit / config.temperature).exp()),
                threshold: label.threshold,
                auroc: label.auroc,
                map: HostTensor {
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

    /// Whether the image shows what `prompt` asks for. `None` where nothing is asked that the
    /// reader can tell.
    pub fn agrees(&self, prompt: &str) -> Option<bool> {
        self.agreement(prompt).map(|sure| sure >= 0.5)
    }

    /// How sure that is, 0 to 1: as sure as the least sure of the findings that are asked for and
    /// that the reader can tell; of a normal chest, as sure as that the likeliest finding is not
    /// there.
    pub fn agreement(&self, prompt: &str) -> Option<f32> {
        let asked = asked(prompt);
        if !self.is_radiograph {
            return (asked.normal || !asked.labels.is_empty()).then_some(0.0);
        }
        let known = |label: &&Seen| is_finding(&label.name) && label.auroc >= LEAST_AUROC;
        let wanted = |label: &&Seen| asked.normal || asked.labels.contains(&label.name.as_str());
        let sure = |label: &Seen| {
            if asked.normal {
                1.0 - label.probability
            } else {
                label.sureness()
            }
        };
        let told = self.labels.iter().filter(known).filter(wanted);
        told.map(sure).min_by(f32::total_cmp)
    }
}

/// As [`super::Classifier::logits`].
fn smooth_maximum(places: &[f32]) -> f32 {
    let most = places.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = places.iter().map(|x| (x - most).exp()).sum();
    most + (sum / places.len() as f32).ln()
}

/// Whether a label is one that a sentence can ask for.
pub fn is_finding(label: &str) -> bool {
    super::NAMES.iter().any(|(name, _)| *name == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, probability: f32, auroc: f32) -> Seen {
        Seen {
            name: name.into(),
            probability,
            threshold: 0.1,
            auroc,
            map: HostTensor {
                shape: vec![1, 1],
                data: vec![0.0],
            },
        }
    }

    fn reading(labels: Vec<Seen>) -> Reading {
        Reading {
            labels,
            distance: 1.0,
            is_radiograph: true,
        }
    }

    #[test]
    fn a_threshold_is_even_odds() {
        assert!((seen("Mass", 0.1, 0.8).sureness() - 0.5).abs() < 1e-6);
        assert!((seen("Mass", 0.5, 0.8).sureness() - 0.9).abs() < 1e-6);
        assert_eq!(seen("Mass", 0.2, 0.8).is_seen(true), Some(true));
        assert_eq!(seen("Mass", 0.2, 0.8).is_seen(false), Some(false));
        assert_eq!(seen("Mass", 0.9, 0.69).is_seen(true), None);
    }

    #[test]
    fn it_agrees_with_what_it_can_tell() {
        let some = reading(vec![
            seen("Effusion", 0.3, 0.8),
            seen("Edema", 0.05, 0.9),
            seen("Nodule", 0.9, 0.6),
            seen("PA", 0.99, 0.99),
        ]);
        assert_eq!(some.agrees("Left effusion."), Some(true));
        assert_eq!(some.agrees("Effusion and edema."), Some(false));
        assert_eq!(some.agrees("Lung nodule."), None);
        assert_eq!(some.agrees("Normal chest."), Some(true));
        assert_eq!(some.agrees("A hand"), None);
        let sure = reading(vec![seen("Effusion", 0.6, 0.8)]);
        assert_eq!(sure.agrees("Normal chest."), Some(false));
        let other = Reading {
            is_radiograph: false,
            ..some
        };
        assert_eq!(other.agrees("Left effusion."), Some(false));
        assert_eq!(other.agrees(""), None);
    }
}
