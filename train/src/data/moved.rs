//! Radiographs moved a little, as patients stand a little differently: more examples of the same
//! findings.

use rand::RngExt;
use rand::rngs::StdRng;

/// Most that an image is moved up, down, left or right, in pixels of 256 for the whole image.
const SHIFT: f32 = 4.0 / 256.0;
/// Most that it is turned, in degrees.
const TURN: f32 = 2.0;

/// A square image shifted by at most 1/64 of its side and turned by at most two degrees about its
/// centre. What lies outside is the outermost pixel.
pub fn moved(pixels: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let side = pixels.len().isqrt();
    let most = SHIFT * side as f32;
    let shift = [(); 2].map(|()| rng.random_range(-most..=most));
    let turn = rng.random_range(-TURN..=TURN).to_radians();
    let (sin, cos) = turn.sin_cos();
    let centre = (side as f32 - 1.0) / 2.0;
    let at = |i: usize| {
        let [y, x] = [i / side, i % side].map(|v| v as f32 - centre);
        let source = [y * cos - x * sin, y * sin + x * cos];
        sample(pixels, side, [0, 1].map(|d| source[d] + centre + shift[d]))
    };
    (0..side * side).map(at).collect()
}

/// Catmull-Rom between the 4x4 pixels around a place; two lines between pixels would blur every
/// copy.
fn sample(pixels: &[u8], side: usize, place: [f32; 2]) -> u8 {
    let first = place.map(|v| v.floor());
    let [rows, columns] = [0, 1].map(|d| weights(place[d] - first[d]));
    let index = |d: usize, tap: usize| {
        (first[d] as isize + tap as isize - 1).clamp(0, side as isize - 1) as usize
    };
    let row = |y: usize| -> f32 {
        let taps = columns.iter().enumerate();
        taps.map(|(x, w)| w * f32::from(pixels[index(0, y) * side + index(1, x)]))
            .sum()
    };
    let value: f32 = rows.iter().enumerate().map(|(y, w)| w * row(y)).sum();
    value.round().clamp(0.0, 255.0) as u8
}

/// Weights of the pixels at -1, 0, 1 and 2 for a place `t` behind pixel 0 (Keys 1981, a = -1/2).
fn weights(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        (-t + 2.0 * t2 - t3) / 2.0,
        (2.0 - 5.0 * t2 + 3.0 * t3) / 2.0,
        (t + 4.0 * t2 - 3.0 * t3) / 2.0,
        (t3 - t2) / 2.0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::random::step_rng;

    #[test]
    fn an_image_is_moved_a_little_and_stays_sharp() {
        let side = 128;
        // Stripes of 8 pixels: a quarter of Nyquist.
        let stripes: Vec<u8> = (0..side * side)
            .map(|i| {
                let phase = (i % side) as f32 * std::f32::consts::TAU / 8.0;
                (127.5 + 100.0 * phase.sin()) as u8
            })
            .collect();
        let spread = |pixels: &[u8]| {
            let inner = (16..side - 16).flat_map(|y| &pixels[y * side + 16..(y + 1) * side - 16]);
            let values: Vec<f32> = inner.map(|p| f32::from(*p)).collect();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>();
            (squares / values.len() as f32).sqrt()
        };
        for seed in 0..4 {
            let found = moved(&stripes, &mut step_rng(seed, 1));
            assert_ne!(found, stripes);
            let kept = spread(&found) / spread(&stripes);
            assert!((0.95..1.02).contains(&kept), "{kept}");
        }
        assert_eq!(moved(&[7; 64], &mut step_rng(1, 1)), [7; 64]);
    }

    #[test]
    fn a_place_between_pixels_lies_between_them() {
        let ramp: Vec<u8> = (0..64).map(|i| (i % 8 * 20) as u8).collect();
        assert_eq!(sample(&ramp, 8, [3.0, 4.0]), 80);
        assert_eq!(sample(&ramp, 8, [3.3, 4.5]), 90);
        assert_eq!(sample(&ramp, 8, [-5.0, 20.0]), 140);
    }
}
