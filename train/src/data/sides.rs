//! Sides read off the image, for findings whose boxes nobody drew.
//!
//! A large effusion or consolidation on one side whitens that lung field. Two measurements have to
//! agree: how far the difference between both fields lies from that of normal images, and a linear
//! reading of the whole image learned from radiologists' boxes. What they read is whiteness; a
//! nodule, a pneumothorax or a band of atelectasis has none to speak of, so those have no side
//! without a box.

use nalgebra::{DMatrix, DVector};
use sha2::{Digest, Sha256};

use crate::data::dataset::Dataset;
use crate::data::findings::{Finding, Labels};
use crate::data::location::Side;
use crate::data::record::{AgeGroup, Record, View};

/// Findings that whiten the side they are on.
pub const WHITE: [Finding; 4] = [
    Finding::Effusion,
    Finding::Consolidation,
    Finding::Pneumonia,
    Finding::Infiltration,
];
/// Lung field at the image's left, in fractions of width and height; the other one is its mirror
/// image.
const FIELD: [[f64; 2]; 2] = [[0.10, 0.42], [0.45, 0.75]];
/// Least distance from normal images, in their deviations, at which a side is believed.
const SURE: f32 = 2.0;
/// Height and width of the picture that the linear reading looks at.
const SMALL: usize = 16;
/// Weight of the squared coefficients against the squared errors, for pixels from -1 to 1.
const RIDGE: f64 = 30.0;
/// A normal distribution's deviation over its median absolute deviation.
const DEVIATION: f32 = 1.4826;
/// Parts of the patients, each held out in turn.
const FOLDS: u8 = 5;

/// Mean grey of the patient's left lower lung field minus that of the right, in grey levels:
/// positive where the left is whiter.
///
/// # Panics
/// Where `pixels` are not `size` x `size`.
pub fn asymmetry(pixels: &[u8], size: usize) -> f32 {
    assert_eq!(pixels.len(), size * size, "pixels");
    let [[x0, x1], [y0, y1]] = FIELD.map(|edges| edges.map(|e| (e * size as f64).round() as usize));
    let sum = |from: usize, to: usize| -> u32 {
        let rows = (y0..y1).flat_map(|y| &pixels[y * size + from..y * size + to]);
        rows.map(|p| u32::from(*p)).sum()
    };
    // The patient's left is at the image's right.
    let difference = f64::from(sum(size - x1, size - x0)) - f64::from(sum(x0, x1));
    (difference / ((x1 - x0) * (y1 - y0)) as f64) as f32
}

/// Median and deviation of [`asymmetry`] over normal adults, for each view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normals {
    pa: Option<(f32, f32)>,
    ap: Option<(f32, f32)>,
}

impl Normals {
    /// Of the normal adults of NIH ChestX-ray14 in `data`.
    pub fn fit(data: &Dataset) -> Self {
        let of = |view: View| {
            let normal = |r: &Record| {
                let adult = r.age_group == Some(AgeGroup::Adult) && r.dataset == "nih_chestxray14";
                adult && r.view == Some(view) && r.is_normal() && !r.mirrored
            };
            let chosen = (0..data.len()).filter(|i| normal(&data.records[*i]));
            let differences = chosen.map(|i| asymmetry(data.image(i), data.side(i)));
            let differences: Vec<f32> = differences.collect();
            let middle = median(differences.clone())?;
            let spread = median(differences.iter().map(|d| (d - middle).abs()).collect())?;
            (spread > 0.0).then_some((middle, DEVIATION * spread))
        };
        Self {
            pa: of(View::Pa),
            ap: of(View::Ap),
        }
    }

    /// An asymmetry in deviations of normal images of the same view; none where those are unknown.
    pub fn z(&self, view: Option<View>, asymmetry: f32) -> Option<f32> {
        let (middle, deviation) = match view? {
            View::Pa => self.pa?,
            View::Ap => self.ap?,
        };
        Some((asymmetry - middle) / deviation)
    }
}

fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    let n = values.len();
    (n > 0).then(|| (values[(n - 1) / 2] + values[n / 2]) / 2.0)
}

/// The image minus its mirror image, each pixel the mean of an equal area: `[16, 8]`, of which the
/// other half is the negative.
fn unevenness(pixels: &[u8], size: usize) -> Vec<f64> {
    let edge = |i: usize| i * size / SMALL;
    let mean = |y: usize, x: usize| {
        let (rows, columns) = (edge(y)..edge(y + 1), edge(x)..edge(x + 1));
        let area = (rows.len() * columns.len()) as f64;
        let row = |y: usize| &pixels[y * size + columns.start..y * size + columns.end];
        let sum: u32 = rows.flat_map(row).map(|p| u32::from(*p)).sum();
        f64::from(sum) / area / 127.5
    };
    let cells = (0..SMALL).flat_map(|y| (0..SMALL / 2).map(move |x| (y, x)));
    cells
        .map(|(y, x)| mean(y, x) - mean(y, SMALL - 1 - x))
        .collect()
}

/// Ridge regression of the side, 1 for left and -1 for right.
#[derive(Clone, Debug, PartialEq)]
struct Ridge(DVector<f64>);

impl Ridge {
    /// Learned from `(unevenness, side)`; knows nothing without any.
    fn fit(examples: &[(&[f64], f64)]) -> Self {
        let width = SMALL * SMALL / 2;
        let a = DMatrix::from_row_iterator(
            examples.len(),
            width,
            examples.iter().flat_map(|(x, _)| x.iter().copied()),
        );
        let y = DVector::from_iterator(examples.len(), examples.iter().map(|(_, y)| *y));
        let mut normal = a.transpose() * &a;
        (0..width).for_each(|i| normal[(i, i)] += RIDGE);
        let factors = normal.cholesky().expect("positive definite by the ridge");
        Self(factors.solve(&(a.transpose() * y)))
    }

    fn read(&self, unevenness: &[f64]) -> f64 {
        self.0.iter().zip(unevenness).map(|(w, x)| w * x).sum()
    }
}

/// Reads sides off images of `data`.
#[derive(Clone, Debug)]
struct Reader<'a> {
    data: &'a Dataset,
    normals: Normals,
    unevenness: Vec<Vec<f64>>,
}

/// How sides read off images agree with boxes that the linear reading has not learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Images with boxes on one side that were read as that side.
    pub right: usize,
    /// And as the other.
    pub wrong: usize,
    /// Images with boxes on both sides that were read as one.
    pub bilateral: usize,
    /// Images with boxes on one side, read or not.
    pub single: usize,
}

impl Agreement {
    /// Share of the sides read that are right, where boxes are on one side; `None` where nothing
    /// was read.
    pub fn precision(&self) -> Option<f64> {
        let read = self.right + self.wrong;
        (read > 0).then(|| self.right as f64 / read as f64)
    }
}

impl<'a> Reader<'a> {
    fn new(data: &'a Dataset) -> Self {
        let unevenness = (0..data.len()).map(|i| unevenness(data.image(i), data.side(i)));
        Self {
            data,
            normals: Normals::fit(data),
            unevenness: unevenness.collect(),
        }
    }

    /// What is learned from the boxes of the patients that `wanted` takes.
    fn learn(&self, wanted: impl Fn(&Record) -> bool) -> Ridge {
        let mut examples = vec![];
        for (record, x) in self.data.records.iter().zip(&self.unevenness) {
            for finding in WHITE
                .into_iter()
                .filter(|_| wanted(record) && !record.mirrored)
            {
                match record.location(finding).side {
                    Some(Side::Left) => examples.push((x.as_slice(), 1.0)),
                    Some(Side::Right) => examples.push((x.as_slice(), -1.0)),
                    _ => {}
                }
            }
        }
        Ridge::fit(&examples)
    }

    /// The side on which image `i` is whiter, where both measurements say so.
    fn read(&self, i: usize, ridge: &Ridge) -> Option<Side> {
        let view = self.data.records[i].view;
        let difference = asymmetry(self.data.image(i), self.data.side(i));
        let z = self
            .normals
            .z(view, difference)
            .filter(|z| z.abs() > SURE)?;
        let left = z > 0.0;
        let agrees = (ridge.read(&self.unevenness[i]) > 0.0) == left;
        agrees.then_some(if left { Side::Left } else { Side::Right })
    }
}

/// Which fifth of the patients somebody belongs to.
fn fold(patient: &str) -> u8 {
    Sha256::digest(patient)[0] % FOLDS
}

/// How well sides are read, by finding: each fifth of the patients with the others' boxes learned
/// from.
pub fn agreement(data: &Dataset) -> [(Finding, Agreement); 4] {
    let reader = Reader::new(data);
    let mut found = WHITE.map(|finding| (finding, Agreement::default()));
    for held_out in 0..FOLDS {
        let ridge = reader.learn(|record| fold(&record.patient) != held_out);
        for (i, record) in data.records.iter().enumerate() {
            if fold(&record.patient) != held_out || record.mirrored {
                continue;
            }
            for (finding, agreement) in &mut found {
                let Some(side) = record.location(*finding).side else {
                    continue;
                };
                let single = side != Side::Bilateral;
                agreement.single += usize::from(single);
                match reader.read(i, &ridge) {
                    Some(read) if read == side => agreement.right += 1,
                    Some(_) if single => agreement.wrong += 1,
                    Some(_) => agreement.bilateral += 1,
                    None => {}
                }
            }
        }
    }
    found
}

/// Notes the sides that can be read in the records of `data`, and returns how many: of adults of
/// NIH ChestX-ray14 whose labels come from reports, for findings of [`WHITE`] without a box.
pub fn read(data: &mut Dataset) -> usize {
    let reader = Reader::new(data);
    let ridge = reader.learn(|_| true);
    let eligible = |r: &Record| {
        r.dataset == "nih_chestxray14"
            && r.age_group == Some(AgeGroup::Adult)
            && r.labels == Labels::Reports
            && !r.mirrored
    };
    let mut sides = vec![];
    for (i, record) in data.records.iter().enumerate().filter(|(_, r)| eligible(r)) {
        let Some(side) = reader.read(i, &ridge) else {
            continue;
        };
        let findings = record.findings.iter().flatten();
        let unboxed =
            |f: &Finding| WHITE.contains(f) && record.boxes.iter().all(|b| b.finding != *f);
        sides.extend(
            findings
                .copied()
                .filter(unboxed)
                .map(|finding| (i, finding, side)),
        );
    }
    for (i, finding, side) in &sides {
        data.records[*i].sides.push((*finding, *side));
    }
    sides.len()
}

#[cfg(test)]
mod tests;
