//! Whether a reader looks where radiologists drew boxes: the pointing game of Zhang et al. 2016
//! ("Top-down Neural Attention by Excitation Backprop").

use burn::prelude::*;
use roentgen_web::reader::Classifier;

use crate::data::dataset::Dataset;
use crate::data::findings::Finding;
use crate::data::images::to_unit;
use crate::data::location::BoundingBox;
use crate::training::tensors::{floats, values};

/// How often the strongest place of a finding's map is in the half of the image, and in the box (or
/// in a place that touches it), that a radiologist marked; boxes of the val split, findings on both
/// sides left out of the halves.
pub fn measure(network: &Classifier, val: &Dataset) -> String {
    let device = network.devices()[0].clone();
    let size = val.size;
    let [mut halves, mut right_halves, mut boxes, mut right_boxes] = [0; 4];
    for (i, record) in val.records.iter().enumerate() {
        if record.boxes.is_empty() {
            continue;
        }
        let pixels: Vec<f32> = val.image(i).iter().map(|p| to_unit(*p)).collect();
        let map = network.feature_map(floats(&pixels, [1, 1, size, size], &device));
        let evidence = network.evidence(map);
        let [_, h, w, labels] = evidence.dims();
        let evidence = values(evidence);
        for (label, finding) in Finding::ALL.into_iter().enumerate() {
            let of: Vec<_> = record
                .boxes
                .iter()
                .filter(|b| b.finding == finding)
                .collect();
            if of.is_empty() {
                continue;
            }
            let at = |place: &usize| evidence[place * labels + label];
            let strongest = (0..h * w)
                .max_by(|a, b| at(a).total_cmp(&at(b)))
                .unwrap_or(0);
            let (x, y) = ((strongest % w) as f32, (strongest / w) as f32);
            let touches = |b: &&BoundingBox| {
                let within = |at: f32, n: usize, from: f32, length: f32| {
                    at / (n as f32) < from + length && (at + 1.0) / n as f32 > from
                };
                within(x, w, b.x, b.w) && within(y, h, b.y, b.h)
            };
            boxes += 1;
            right_boxes += usize::from(of.iter().any(touches));
            let left = |b: &BoundingBox| b.x + b.w / 2.0 < 0.5;
            if of.iter().all(|b| left(b) == left(of[0])) {
                halves += 1;
                let most = |left: bool| -> f32 {
                    let places = (0..h * w).filter(|p| (2 * (p % w) < w) == left);
                    places.map(|p| at(&p)).fold(f32::MIN, f32::max)
                };
                right_halves += usize::from((most(true) > most(false)) == left(of[0]));
            }
        }
    }
    format!(
        "places: the strongest is at the box in {right_boxes} of {boxes}; the stronger half is the marked one in {right_halves} of {halves}"
    )
}
