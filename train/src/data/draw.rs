//! How often each image is drawn: what is rare more often than it is there, and every fourth image
//! has a side.

use std::collections::HashMap;
use std::hash::Hash;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::data::findings::Finding;
use crate::data::location::Side;
use crate::data::record::{AgeGroup, Record};

/// How much more often than the most frequent kind a rare one is drawn at most: more teaches
/// copies.
const MOST: f64 = 8.0;
/// Share of the images drawn that have a side, where there are any: one in ten images has one, and
/// a prompt's effect is learned in proportion to how often it is seen.
const SIDED: f64 = 0.25;

/// Draws indices by weight.
#[derive(Clone, Debug)]
struct Weighted {
    indices: Vec<usize>,
    /// Sums of the weights up to each index.
    sums: Vec<f64>,
}

/// Draws indices of images.
#[derive(Clone, Debug)]
pub struct Draw {
    plain: Weighted,
    sided: Weighted,
}

/// What an image counts as: each finding with its side, or that it is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Finding(Finding, Option<Side>),
    Normal(Option<AgeGroup>),
    /// Nobody graded it, or somebody's own words are all that is known.
    Other,
}

fn kinds(record: Option<&Record>) -> Vec<Kind> {
    let Some(record) = record else {
        return vec![Kind::Other];
    };
    let found = record.findings.iter().flatten();
    let kinds: Vec<Kind> = found
        .map(|f| Kind::Finding(*f, record.location(*f).side))
        .collect();
    if !kinds.is_empty() {
        kinds
    } else if record.is_normal() {
        vec![Kind::Normal(record.age_group)]
    } else {
        vec![Kind::Other]
    }
}

impl Weighted {
    /// Items of `(index, kinds)`, each by its rarest kind: by the inverse root of how frequent that
    /// is.
    fn new<K: Copy + Eq + Hash>(items: Vec<(usize, Vec<K>)>) -> Self {
        let mut counts: HashMap<K, usize> = HashMap::new();
        for kind in items.iter().flat_map(|(_, kinds)| kinds) {
            *counts.entry(*kind).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or(1) as f64;
        let mut sum = 0.0;
        let sums = items.iter().map(|(_, kinds)| {
            let rarest = kinds.iter().map(|kind| counts[kind]).min().unwrap_or(1);
            sum += (most / rarest as f64).sqrt().min(MOST);
            sum
        });
        Self {
            sums: sums.collect(),
            indices: items.into_iter().map(|(index, _)| index).collect(),
        }
    }

    fn index(&self, rng: &mut StdRng) -> usize {
        let all = self.sums.last().expect("something to draw from");
        let at = rng.random::<f64>() * all;
        let i = self.sums.partition_point(|sum| *sum <= at);
        self.indices[i.min(self.indices.len() - 1)]
    }
}

impl Draw {
    /// For records in their order; `None` is an image described in somebody's own words.
    ///
    /// # Panics
    /// Without any.
    pub fn new<'a>(records: impl Iterator<Item = Option<&'a Record>>) -> Self {
        let all = records
            .map(|r| (r.is_some_and(Record::has_side), kinds(r)))
            .enumerate();
        let (sided, plain): (Vec<_>, Vec<_>) = all.partition(|(_, (sided, _))| *sided);
        let weighted = |items: Vec<(usize, (bool, Vec<Kind>))>| {
            Weighted::new(
                items
                    .into_iter()
                    .map(|(i, (_, kinds))| (i, kinds))
                    .collect(),
            )
        };
        let draw = Self {
            plain: weighted(plain),
            sided: weighted(sided),
        };
        assert!(
            !draw.plain.indices.is_empty() || !draw.sided.indices.is_empty(),
            "no image"
        );
        draw
    }

    /// The index of one image.
    pub fn index(&self, rng: &mut StdRng) -> usize {
        let sided = match (self.sided.indices.is_empty(), self.plain.indices.is_empty()) {
            (true, _) => false,
            (_, true) => true,
            _ => rng.random_bool(SIDED),
        };
        if sided {
            self.sided.index(rng)
        } else {
            self.plain.index(rng)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::location::BoundingBox;
    use crate::training::random::step_rng;

    fn record(findings: Vec<Finding>, sided: bool) -> Record {
        let boxes = findings
            .iter()
            .filter(|_| sided)
            .map(|finding| BoundingBox {
                finding: *finding,
                x: 0.1,
                y: 0.5,
                w: 0.2,
                h: 0.2,
            });
        Record {
            boxes: boxes.collect(),
            findings: Some(findings),
            ..Record::default()
        }
    }

    fn shares(records: &[Record], draws: usize) -> Vec<f64> {
        let draw = Draw::new(records.iter().map(Some));
        let mut rng = step_rng(1, 0);
        let mut shares = vec![0.0; records.len()];
        for _ in 0..draws {
            shares[draw.index(&mut rng)] += 1.0 / draws as f64;
        }
        shares
    }

    #[test]
    fn rare_findings_are_drawn_by_the_root_of_how_rare_they_are_and_eight_times_at_most() {
        let mut records = vec![record(vec![], false); 900];
        records.extend(vec![record(vec![Finding::Edema], false); 100]);
        records.push(record(vec![Finding::Hernia, Finding::Edema], false));
        let shares = shares(&records, 200_000);
        let of = |range: std::ops::Range<usize>| {
            shares[range.clone()].iter().sum::<f64>() / range.len() as f64
        };
        let (normal, edema, hernia) = (of(0..900), of(900..1000), of(1000..1001));
        assert!((edema / normal - 3.0).abs() < 0.15, "{}", edema / normal);
        assert!((hernia / normal - 8.0).abs() < 1.0, "{}", hernia / normal);
    }

    #[test]
    fn every_fourth_image_has_a_side_however_few_there_are() {
        let mut records = vec![record(vec![], false); 990];
        records.extend(vec![record(vec![Finding::Effusion], true); 10]);
        let shares = shares(&records, 40_000);
        let sided: f64 = shares[990..].iter().sum();
        assert!((sided - 0.25).abs() < 0.01, "{sided}");
    }

    #[test]
    fn texts_are_drawn_alike() {
        let draw = Draw::new([None, None].into_iter());
        let mut rng = step_rng(2, 0);
        let ones: usize = (0..1000).map(|_| draw.index(&mut rng)).sum();
        assert!((450..550).contains(&ones), "{ones}");
    }
}
