//! Sliced Wasserstein distance between patches of Laplacian pyramids (Karras et al. 2018,
//! "Progressive Growing of GANs", section 5 and appendix): texture at each scale, without any
//! network.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::training::random::normal;

/// Height and width of a patch.
pub const PATCH: usize = 7;
/// Smallest level of the pyramid.
const SMALLEST: usize = 16;
/// Patches of each level that an image gives.
const PATCHES: usize = 128;
/// Directions that patches are projected onto.
const DIRECTIONS: usize = 512;
/// Taps of the filter before halving and after doubling (Burt and Adelson 1983), over 16.
const TAPS: [f32; 5] = [1.0, 4.0, 6.0, 4.0, 1.0];

/// Each value the weighted mean around it in both directions; what lies outside is mirrored about
/// the outermost value.
fn blur(image: &[f32], size: usize) -> Vec<f32> {
    let mirror = |i: isize| {
        let last = size as isize - 1;
        (last - (last - i.abs()).abs()) as usize
    };
    let along = |image: &[f32], index: &dyn Fn(usize, usize) -> usize| -> Vec<f32> {
        let value = |y: usize, x: usize| {
            let taps = TAPS.iter().enumerate();
            let terms = taps.map(|(k, t)| t * image[index(y, mirror(x as isize + k as isize - 2))]);
            terms.sum::<f32>() / 16.0
        };
        // The result is transposed, so that the second time goes along the other direction and
        // turns it back.
        (0..size * size)
            .map(|i| value(i % size, i / size))
            .collect()
    };
    let rows = along(image, &|y, x| y * size + x);
    along(&rows, &|y, x| y * size + x)
}

/// `[size, size]` to `[size / 2, size / 2]`: blurred, then every other value.
fn down(image: &[f32], size: usize) -> Vec<f32> {
    let blurred = blur(image, size);
    let n = size / 2;
    (0..n * n)
        .map(|i| blurred[i / n * 2 * size + i % n * 2])
        .collect()
}

/// `[size, size]` to `[2 size, 2 size]`: zeros between the values, then blurred to the same mean.
fn up(image: &[f32], size: usize) -> Vec<f32> {
    let n = 2 * size;
    let mut spread = vec![0.0; n * n];
    for (i, value) in image.iter().enumerate() {
        spread[i / size * 2 * n + i % size * 2] = 4.0 * value;
    }
    blur(&spread, n)
}

/// The levels from the full size down to 16 pixels: each what the next smaller one cannot say, the
/// last what is left.
pub fn pyramid(image: &[f32], size: usize) -> Vec<Vec<f32>> {
    let (mut levels, mut rest, mut size) = (vec![], image.to_vec(), size);
    while size / 2 >= SMALLEST && size.is_multiple_of(2) {
        let smaller = down(&rest, size);
        let coarse = up(&smaller, size / 2);
        levels.push(rest.iter().zip(coarse).map(|(a, b)| a - b).collect());
        (rest, size) = (smaller, size / 2);
    }
    levels.push(rest);
    levels
}

/// Patches brought to mean 0 and deviation 1 of all their values together, in place.
pub fn normalise(patches: &mut [f32]) {
    let n = patches.len() as f64;
    let mean = patches.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let squares = patches.iter().map(|v| (f64::from(*v) - mean).powi(2));
    let deviation = (squares.sum::<f64>() / n).sqrt();
    patches
        .iter_mut()
        .for_each(|v| *v = ((f64::from(*v) - mean) / deviation) as f32);
}

/// The mean over `directions` of the Wasserstein-1 distance of both clouds of patches along it.
/// Rows of `a`, `b` and `directions` are `width` long; the clouds have as many rows, the directions
/// length 1.
///
/// # Panics
/// Where the clouds are not of one size.
pub fn sliced(a: &[f32], b: &[f32], directions: &[f32], width: usize) -> f64 {
    assert_eq!(a.len(), b.len(), "clouds of one size");
    let project = |cloud: &[f32], direction: &[f32]| {
        let dot = |row: &[f32]| row.iter().zip(direction).map(|(v, d)| v * d).sum::<f32>();
        let mut along: Vec<f32> = cloud.chunks_exact(width).map(dot).collect();
        along.sort_unstable_by(f32::total_cmp);
        along
    };
    let distance = |direction: &[f32]| {
        let (a, b) = (project(a, direction), project(b, direction));
        let sum: f64 = a
            .iter()
            .zip(&b)
            .map(|(a, b)| f64::from((a - b).abs()))
            .sum();
        sum / a.len() as f64
    };
    let rows = directions.chunks_exact(width);
    let n = rows.len() as f64;
    rows.map(distance).sum::<f64>() / n
}

/// The distance at each level, from the full size to 16 pixels, times 1000 as it is published: as
/// many images of `size` x `size` values on either side. The same `rng` draws the same patches and
/// directions.
///
/// # Panics
/// Where there are not as many images on either side.
pub fn distances(
    a: &[Vec<f32>],
    b: &[Vec<f32>],
    size: usize,
    rng: &mut StdRng,
) -> Vec<(usize, f64)> {
    assert_eq!(a.len(), b.len(), "as many images");
    let [a, b] = [a, b].map(|images| -> Vec<Vec<Vec<f32>>> {
        images.iter().map(|image| pyramid(image, size)).collect()
    });
    let width = PATCH * PATCH;
    (0..a[0].len())
        .map(|level| {
            let size = size >> level;
            let mut clouds = [vec![], vec![]];
            for (a, b) in a.iter().zip(&b) {
                for _ in 0..PATCHES {
                    let [y, x] = [(); 2].map(|()| rng.random_range(0..=size - PATCH));
                    for (cloud, image) in clouds.iter_mut().zip([&a[level], &b[level]]) {
                        (y..y + PATCH).for_each(|y| cloud.extend(&image[y * size + x..][..PATCH]));
                    }
                }
            }
            clouds.iter_mut().for_each(|cloud| normalise(cloud));
            let mut directions = normal(rng, DIRECTIONS * width);
            for direction in directions.chunks_exact_mut(width) {
                let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt();
                direction.iter_mut().for_each(|v| *v /= length);
            }
            (
                size,
                1000.0 * sliced(&clouds[0], &clouds[1], &directions, width),
            )
        })
        .collect()
}
