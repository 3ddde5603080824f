//! Pictures that a reader must not read: radiographs that lie on their side, and things that are
//! none.

use std::f32::consts::TAU;

use crate::data::dataset::Dataset;
use crate::data::images::to_grey;
use crate::training::random::step_rng;
use rand::RngExt;

/// Pictures of each made-up kind.
const EACH: u64 = 100;

/// Kinds of pictures, each by what it is called.
pub fn all(val: &Dataset) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let size = val.size;
    let of = |make: fn(&[u8], usize) -> Vec<u8>| -> Vec<Vec<u8>> {
        (0..val.len()).map(|i| make(val.image(i), size)).collect()
    };
    let made = |kind| (0..EACH).map(|seed| made(kind, seed, size)).collect();
    vec![
        ("val images turned by 90 degrees", of(turned)),
        ("val images upside down", of(upside_down)),
        ("val images as negatives", of(negative)),
        ("pictures of noise", made(0)),
        ("pictures of stripes", made(1)),
        ("pictures of discs", made(2)),
        ("pictures of a horizon", made(3)),
    ]
}

fn turned(image: &[u8], size: usize) -> Vec<u8> {
    let at = |i: usize| image[(size - 1 - i % size) * size + i / size];
    (0..size * size).map(at).collect()
}

fn upside_down(image: &[u8], size: usize) -> Vec<u8> {
    image.chunks(size).rev().flatten().copied().collect()
}

fn negative(image: &[u8], _: usize) -> Vec<u8> {
    image.iter().map(|p| 255 - p).collect()
}

/// A picture from numbers drawn by its seed.
fn made(kind: usize, seed: u64, size: usize) -> Vec<u8> {
    let mut rng = step_rng(seed, kind);
    let mut number = |from: f32, to: f32| rng.random_range(from..to);
    let discs: Vec<[f32; 4]> = (0..8)
        .map(|_| {
            [
                number(0.0, 1.0),
                number(0.0, 1.0),
                number(0.05, 0.3),
                number(-1.0, 1.0),
            ]
        })
        .collect();
    let (turns, angle, level) = (number(2.0, 20.0), number(0.0, TAU), number(0.2, 0.8));
    let mut pixels = Vec::with_capacity(size * size);
    for i in 0..size * size {
        let (x, y) = (
            (i % size) as f32 / size as f32,
            (i / size) as f32 / size as f32,
        );
        let value = match kind {
            0 => number(-1.0, 1.0),
            1 => (turns * TAU * (x * angle.cos() + y * angle.sin())).sin(),
            2 => discs.iter().fold(-0.5, |value, [cx, cy, r, grey]| {
                let inside = (x - cx).hypot(y - cy) < *r;
                if inside { *grey } else { value }
            }),
            _ if y < level => 0.8 - y,
            _ => -0.2 - 0.8 * number(0.0, 1.0) * (y - level),
        };
        pixels.push(to_grey(value));
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_four_times_is_none() {
        let image: Vec<u8> = (0..16).collect();
        let once = turned(&image, 4);
        assert_eq!(once[..4], [12, 8, 4, 0]);
        let back = turned(&turned(&turned(&once, 4), 4), 4);
        assert_eq!(back, image);
        assert_eq!(upside_down(&image, 4)[..4], [12, 13, 14, 15]);
    }
}
