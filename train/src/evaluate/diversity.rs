//! How different images of one prompt are, beside real images of one description.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::generate::Planned;
use super::metrics::ms_ssim::ms_ssim;
use crate::data::dataset::Dataset;
use crate::data::findings::Finding;
use crate::data::record::{AgeGroup, Record, View};
use crate::training::random::step_rng;

/// Images of a prompt that are compared, each with each.
pub const IMAGES: usize = 4;

/// A prompt and as many real images of what its record says.
#[derive(Clone, Debug)]
pub struct Group {
    /// The prompt.
    pub planned: Planned,
    /// Indices of real images with the same view, age group and findings.
    pub real: [usize; IMAGES],
}

type Description = (Option<View>, Option<AgeGroup>, Option<Vec<Finding>>);

fn description(record: &Record) -> Description {
    let mut findings = record.findings.clone();
    if let Some(findings) = &mut findings {
        findings.sort();
    }
    (record.view, record.age_group, findings)
}

/// The first `number` prompts of the plan with enough real images alike, one patient an image.
pub fn groups(
    plan: &[Planned],
    records: &[Record],
    real: &Dataset,
    number: usize,
    seed: u64,
) -> Vec<Group> {
    let mut alike: BTreeMap<Description, Vec<usize>> = BTreeMap::new();
    let mut order: Vec<usize> = (0..real.len()).collect();
    order.shuffle(&mut step_rng(seed, 1));
    for index in order {
        let record = &real.records[index];
        let found = alike.entry(description(record)).or_default();
        let patient = |i: &usize| real.records[*i].patient == record.patient;
        if found.len() < IMAGES && !found.iter().any(patient) {
            found.push(index);
        }
    }
    let group = |planned: &Planned| {
        let found = alike.get(&description(&records[planned.record]))?;
        Some(Group {
            planned: planned.clone(),
            real: found.as_slice().try_into().ok()?,
        })
    };
    plan.iter().filter_map(group).take(number).collect()
}

/// Mean MS-SSIM of all pairs of some images of `size` x `size` pixels: 1 where all are equal.
///
/// # Panics
/// With fewer than two images.
pub fn similarity(images: &[&[u8]], size: usize) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0);
    for (i, a) in images.iter().enumerate() {
        for b in &images[i + 1..] {
            sum += ms_ssim(a, b, size);
            pairs += 1;
        }
    }
    assert!(pairs > 0, "two images at least");
    sum / f64::from(pairs)
}
