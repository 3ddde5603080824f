//! Where radiologists drew boxes, as what each place of a classifier's map shall say.

use burn::prelude::*;
use roentgen_web::reader::ClassifierConfig;

use super::labels::LABELS;
use crate::data::findings::Finding;
use crate::data::location::BoundingBox;
use crate::training::loss::binary_cross_entropy;
use crate::training::replicas::share;
use crate::training::tensors::floats;

/// Part of a place that a box has to cover.
const COVERED: f32 = 0.25;

/// What the places of a batch's images shall say.
pub(super) struct BoxTargets {
    /// Places across and down.
    side: usize,
    /// `[B, side, side, LABELS]`: 1 where a box of the label is.
    there: Vec<f32>,
    /// As many: 1 where the label has a box somewhere on the image, so that nothing is said of
    /// images nobody drew boxes on.
    known: Vec<f32>,
}

impl BoxTargets {
    pub fn new(model: &ClassifierConfig) -> Self {
        Self {
            side: (model.size / 4) >> (model.channels.len() - 1),
            there: vec![],
            known: vec![],
        }
    }

    /// Adds an image; `moved` is how far its boxes have moved.
    pub fn add(&mut self, boxes: &[BoundingBox], moved: [f32; 2]) {
        let side = self.side;
        let of = |label: usize| {
            let finding = Finding::ALL.get(label).copied();
            boxes.iter().filter(move |b| Some(b.finding) == finding)
        };
        for place in 0..side * side {
            let at = [place % side, place / side].map(|i| i as f32 / side as f32);
            for label in 0..LABELS {
                let there = of(label).any(|b| covers(b, moved, at, 1.0 / side as f32));
                self.there.push(f32::from(there));
                self.known.push(f32::from(of(label).next().is_some()));
            }
        }
    }

    /// Mean cross-entropy of the evidence, `[B, h, w, LABELS]`, of this part of the batch.
    pub fn loss(&self, evidence: Tensor<4>, part: usize) -> Tensor<1> {
        let [b, h, w, labels] = evidence.dims();
        let device = evidence.device();
        let shape = [b, h * w * labels];
        let of = |values: &[f32]| floats(share(values, part, shape), shape, &device);
        let loss = binary_cross_entropy(evidence.reshape(shape), of(&self.there));
        (loss * of(&self.known)).mean()
    }
}

/// Whether a box covers enough of the place, or has its middle there.
fn covers(b: &BoundingBox, moved: [f32; 2], at: [f32; 2], side: f32) -> bool {
    let [(x, w), (y, h)] = [(b.x + moved[0], b.w), (b.y + moved[1], b.h)];
    let common = |at: f32, from: f32, length: f32| {
        ((at + side).min(from + length) - at.max(from)).max(0.0) / side
    };
    let within = |at: f32, middle: f32| (at..at + side).contains(&middle);
    common(at[0], x, w) * common(at[1], y, h) >= COVERED
        || within(at[0], x + w / 2.0) && within(at[1], y + h / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_where_the_box_is_and_move_with_it() {
        let model = ClassifierConfig {
            size: 32,
            channels: vec![8, 16],
            layers_per_block: 1,
            norm_num_groups: 4,
        };
        let label = Finding::ALL.iter().position(|f| *f == Finding::Effusion);
        let label = label.unwrap();
        let one = BoundingBox::new(Finding::Effusion, [0.0, 0.5, 0.3, 0.5]).unwrap();
        let at = |moved: [f32; 2]| -> Vec<usize> {
            let mut targets = BoxTargets::new(&model);
            targets.add(&[one], moved);
            assert_eq!(targets.there.len(), 4 * 4 * LABELS);
            assert_eq!(targets.known[label..][..2], [1.0, 0.0]);
            let of = |i: &usize| targets.there[i * LABELS + label] == 1.0;
            (0..16).filter(of).collect()
        };
        assert_eq!(at([0.0, 0.0]), [8, 12]);
        assert_eq!(at([0.25, 0.0]), [9, 13]);
        assert_eq!(at([0.0, -0.25]), [4, 8]);
    }
}
