//! Neighbours in feature space: whether generated points lie where the real ones do, and the other
//! way round.

use rayon::prelude::*;
use serde::Serialize;

use super::Features;

/// Four shares that together say what one distance cannot: good but few, or many but bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Manifold {
    /// Share of generated points within reach of a real one (Kynkäänniemi et al. 2019): 0 to 1.
    pub precision: f64,
    /// Share of real points within reach of a generated one (ibid.): 0 to 1.
    pub recall: f64,
    /// Real points within whose reach a generated point lies, over `k` (Naeem et al. 2020): 0 up, 1
    /// expected of equal clouds.
    pub density: f64,
    /// Share of real points with a generated one within their reach (ibid.): 0 to 1.
    pub coverage: f64,
}

impl Manifold {
    /// Compares two clouds. The reach of a point is its distance to the `k`-th nearest other point
    /// of its own cloud.
    ///
    /// # Panics
    /// Where a cloud has not more than `k` points, or the clouds have different widths.
    pub fn compare(real: &Features, generated: &Features, k: usize) -> Self {
        assert_eq!(real.width, generated.width, "features of one kind");
        let real_reach = reaches(real, k);
        let generated_reach = reaches(generated, k);
        let real_rows: Vec<&[f32]> = real.rows().collect();
        // Of each generated point: how many real ones reach it.
        let reached: Vec<usize> = generated
            .values
            .par_chunks_exact(generated.width)
            .map(|g| {
                let near = real_rows.iter().zip(&real_reach);
                near.filter(|(r, reach)| squared(r, g) < **reach).count()
            })
            .collect();
        // Of each real point: whether a generated one reaches it, and whether it reaches a
        // generated one.
        let (recalled, covered) = real_rows
            .par_iter()
            .zip(&real_reach)
            .map(|(r, reach)| {
                let distances: Vec<f32> = generated.rows().map(|g| squared(r, g)).collect();
                let recalled = distances.iter().zip(&generated_reach).any(|(d, g)| d < g);
                let covered = distances.iter().any(|d| d < reach);
                (usize::from(recalled), usize::from(covered))
            })
            .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let (r, g) = (real.len() as f64, generated.len() as f64);
        Self {
            precision: reached.iter().filter(|n| **n > 0).count() as f64 / g,
            recall: recalled as f64 / r,
            density: reached.iter().sum::<usize>() as f64 / (k as f64 * g),
            coverage: covered as f64 / r,
        }
    }
}

/// A query's nearest reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Index of the reference.
    pub index: usize,
    /// Euclidean distance to it.
    pub distance: f64,
}

/// The nearest reference of each query.
///
/// # Panics
/// Where there is no reference, or the widths differ.
pub fn nearest(queries: &Features, references: &Features) -> Vec<Neighbour> {
    assert_eq!(queries.width, references.width, "features of one kind");
    let nearest = |query: &[f32]| {
        let distances = references.rows().map(|r| squared(query, r)).enumerate();
        let least = distances.min_by(|a, b| a.1.total_cmp(&b.1));
        let (index, distance) = least.expect("at least one reference");
        Neighbour {
            index,
            distance: f64::from(distance).sqrt(),
        }
    };
    queries
        .values
        .par_chunks_exact(queries.width)
        .map(nearest)
        .collect()
}

/// Squared distance of each point to the `k`-th nearest other one.
fn reaches(points: &Features, k: usize) -> Vec<f32> {
    assert!(
        k > 0 && points.len() > k,
        "{} points have no {k}-th nearest other one",
        points.len()
    );
    let reach = |(i, point): (usize, &[f32])| {
        let others = points.rows().enumerate().filter(|(j, _)| *j != i);
        let mut distances: Vec<f32> = others.map(|(_, other)| squared(point, other)).collect();
        *distances.select_nth_unstable_by(k - 1, f32::total_cmp).1
    };
    points
        .values
        .par_chunks_exact(points.width)
        .enumerate()
        .map(reach)
        .collect()
}

/// Squared Euclidean distance, summed in eight lanes, which a compiler may turn into one vector.
fn squared(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let (a_parts, a_rest) = a.as_chunks::<8>();
    let (b_parts, b_rest) = b.as_chunks::<8>();
    for (x, y) in a_parts.iter().zip(b_parts) {
        for lane in 0..8 {
            let difference = x[lane] - y[lane];
            lanes[lane] += difference * difference;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(x, y)| (x - y) * (x - y));
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}
