//! Whether generated images are copies: how near each comes to a training image, beside what
//! patients nobody trained on do.

use std::path::Path;

use roentgen_web::error::Result;

use super::metrics::Features;
use super::metrics::manifold::{Neighbour, nearest};
use crate::data::dataset::Dataset;
use crate::training::sheet;

/// Pixels across the pictures that are compared: a copy is found also if it is a little shifted or
/// smoother.
const SMALL: usize = 32;
/// Pairs on the sheet from each of the two spaces.
const PAIRS: usize = 8;

/// Distances to the nearest training image.
#[derive(Clone, Debug)]
pub struct Distances {
    /// Of each generated image.
    pub generated: Vec<Neighbour>,
    /// Of each real image of the val split.
    pub val: Vec<Neighbour>,
}

impl Distances {
    /// Between the rows of three clouds of one space.
    pub fn measure(generated: &Features, val: &Features, train: &Features) -> Self {
        Self {
            generated: nearest(generated, train),
            val: nearest(val, train),
        }
    }

    /// Share of the generated images that are nearer to a training image than all but one in a
    /// hundred of the real val images are: 0.01 is expected of new patients, much more asks for a
    /// look at the pairs.
    pub fn suspicious(&self) -> f64 {
        let limit = quantile(&self.val, 0.01);
        let near = self.generated.iter().filter(|n| n.distance < limit).count();
        near as f64 / self.generated.len() as f64
    }

    /// The generated images nearest to a training image, nearest first.
    fn worst(&self, number: usize) -> Vec<(usize, Neighbour)> {
        let mut order: Vec<_> = self.generated.iter().copied().enumerate().collect();
        order.sort_by(|a, b| a.1.distance.total_cmp(&b.1.distance));
        order.truncate(number);
        order
    }
}

/// The distance that this share of the neighbours does not exceed.
///
/// # Panics
/// Where there are none.
pub fn quantile(neighbours: &[Neighbour], share: f64) -> f64 {
    let mut distances: Vec<f64> = neighbours.iter().map(|n| n.distance).collect();
    distances.sort_by(f64::total_cmp);
    distances[(share * (distances.len() - 1) as f64).round() as usize]
}

/// Images as points whose Euclidean distance is the root mean square difference in grey levels (0
/// to 255) of pictures of 32 x 32 pixels.
pub fn pixels<'a>(images: impl Iterator<Item = &'a [u8]>, size: usize) -> Features {
    let small = SMALL.min(size);
    let values = images.flat_map(|image| shrunk(image, size, small));
    Features::new(small * small, values.collect())
}

/// Means over equal areas, over `small`, so that distances come out as [`pixels`] says.
fn shrunk(image: &[u8], size: usize, small: usize) -> Vec<f32> {
    let edge = |i: usize| i * size / small;
    let mean = |y: usize, x: usize| {
        let (rows, columns) = (edge(y)..edge(y + 1), edge(x)..edge(x + 1));
        let area = (rows.len() * columns.len() * small) as f32;
        let sum: usize = rows
            .flat_map(|row| &image[row * size..][columns.clone()])
            .map(|p| usize::from(*p))
            .sum();
        sum as f32 / area
    };
    (0..small * small)
        .map(|i| mean(i / small, i % small))
        .collect()
}

/// The worst pairs as one PNG: the eight nearest by features, then the eight nearest by pixels,
/// each generated image beside its training image.
///
/// # Errors
/// As [`sheet::save`].
pub fn draw(
    path: &Path,
    by_features: &Distances,
    by_pixels: &Distances,
    generated: &[Vec<u8>],
    train: &Dataset,
) -> Result<()> {
    let (mut images, mut captions) = (vec![], vec![]);
    for (space, distances) in [("features", by_features), ("pixels", by_pixels)] {
        for (index, nearest) in distances.worst(PAIRS) {
            images.push(generated[index].clone());
            captions.push(format!(
                "generated {index}, {space} {:.3}",
                nearest.distance
            ));
            images.push(train.image(nearest.index).to_vec());
            captions.push("its nearest training image".to_string());
        }
    }
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    sheet::save(path, &images, &captions, train.size, train.size, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_pixels_are_grey_levels() {
        let (dark, bright) = (vec![10u8; 64 * 64], vec![30u8; 64 * 64]);
        let images = pixels([&dark[..], &bright[..]].into_iter(), 64);
        let found = nearest(&images.select(&[0]), &images.select(&[1]));
        assert!((found[0].distance - 20.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn copies_are_suspicious_and_strangers_are_not() {
        let line = |from: usize, to: usize, off: f32| {
            let points = (from..to).flat_map(|i| [i as f32, off]);
            Features::new(2, points.collect())
        };
        let train = line(0, 200, 0.0);
        let val = line(0, 200, 1.0);
        let copies = Distances::measure(&line(0, 50, 0.01), &val, &train);
        assert_eq!(copies.suspicious(), 1.0);
        assert_eq!(copies.worst(3).len(), 3);
        let strangers = Distances::measure(&line(0, 50, 1.1), &val, &train);
        assert_eq!(strangers.suspicious(), 0.0);
        assert_eq!(quantile(&copies.val, 0.5), 1.0);
    }
}
