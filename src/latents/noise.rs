//! Initial noise: the same numbers for a seed on every machine and backend.
//!
//! Counter-based, so a number depends on nothing but the seed and its place: Philox4x32-10 (Salmon
//! et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), and Box-Muller in float64 by
//! `libm`, whose functions are the same code on every target (those of the system's C library and
//! of a browser differ in their last bits).

use std::f64::consts::TAU;

/// `n` standard normal numbers of the seed's stream 0: initial noise.
pub fn gaussian(seed: u64, n: usize) -> Vec<f32> {
    gaussian_stream(seed, 0, n)
}

/// `n` standard normal numbers of one of a seed's independent streams, in the order of the tensor's
/// elements (row-major).
///
/// Numbers `4 i` to `4 i + 3` come from the Philox block with counter `[i, i >> 32, stream, 0]` and
/// key `[seed, seed >> 32]` (low words first). Its words `a, b, c, d` give the uniforms
/// `u = (word + 1/2) / 2^32` and the numbers `r cos t`, `r sin t` with `r = sqrt(-2 ln u_a)`,
/// `t = 2 pi u_b`, then the same from `c, d`. The largest possible number is 6.76.
pub fn gaussian_stream(seed: u64, stream: u32, n: usize) -> Vec<f32> {
    let key = [seed as u32, (seed >> 32) as u32];
    let block = |i: u64| philox4x32([i as u32, (i >> 32) as u32, stream, 0], key);
    let numbers = (0..).flat_map(|i| {
        let [a, b, c, d] = block(i);
        let ([x, y], [z, w]) = (box_muller(a, b), box_muller(c, d));
        [x, y, z, w]
    });
    numbers.take(n).collect()
}

fn box_muller(a: u32, b: u32) -> [f32; 2] {
    let uniform = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
    let radius = (-2.0 * libm::log(uniform(a))).sqrt();
    let angle = TAU * uniform(b);
    [
        (radius * libm::cos(angle)) as f32,
        (radius * libm::sin(angle)) as f32,
    ]
}

/// Philox4x32 with ten rounds: the multipliers and Weyl constants of the paper's Random123 library.
fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let product = |m: u32, x: u32| {
        let wide = u64::from(m) * u64::from(x);
        ((wide >> 32) as u32, wide as u32)
    };
    for _ in 0..10 {
        let [c0, c1, c2, c3] = counter;
        let (high0, low0) = product(0xD251_1F53, c0);
        let (high1, low1) = product(0xCD9E_8D57, c2);
        counter = [high1 ^ c1 ^ key[0], low1, high0 ^ c3 ^ key[1], low0];
        key[0] = key[0].wrapping_add(0x9E37_79B9);
        key[1] = key[1].wrapping_add(0xBB67_AE85);
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123 (`tests/kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_known_answers() {
        let ones = u32::MAX;
        for (counter, key, expected) in [
            (
                [0; 4],
                [0; 2],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [ones; 4],
                [ones; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn numbers_are_standard_normal() {
        let n = 100_000;
        let numbers = gaussian(7, n);
        let moment = |power: i32| {
            let sum: f64 = numbers.iter().map(|x| f64::from(*x).powi(power)).sum();
            sum / n as f64
        };
        // Four standard errors of each moment of a normal sample.
        for (power, expected, variance) in [
            (1, 0.0, 1.0f64),
            (2, 1.0, 2.0),
            (3, 0.0, 15.0),
            (4, 3.0, 96.0),
        ] {
            let tolerance = 4.0 * (variance / n as f64).sqrt();
            let found = moment(power);
            assert!((found - expected).abs() < tolerance, "{power}: {found}");
        }
        let neighbours: f64 = numbers.windows(2).map(|p| f64::from(p[0] * p[1])).sum();
        assert!((neighbours / n as f64).abs() < 4.0 / (n as f64).sqrt());
    }

    #[test]
    fn a_number_depends_on_seed_and_place_alone() {
        let long = gaussian(3, 11);
        assert_eq!(gaussian(3, 6), long[..6]);
        assert_ne!(gaussian(4, 11), long);
        assert_ne!(gaussian(3 + (1 << 32), 11), long);
        assert!(gaussian(3, 0).is_empty());
    }
}
