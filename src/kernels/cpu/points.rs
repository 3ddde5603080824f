//! The points at which Winograd's convolutions evaluate rows and columns (Toom and Cook), and what they make of weights and pixels.
//!
//! For output tiles of two pixels they are 0, ±1 and infinity. For four they are 0, ±sqrt(1/2), ±sqrt(2) and infinity, whose powers stay
//! closer to 1 than those of the usual 0, ±1, ±2 and infinity, and so the rounding errors.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::panels::Panels;
use pulp::Simd;

/// Weights `[C_out, C_in, 3, 3]`, transformed: a `[C_in, C_out]` matrix for each place of a tile.
pub fn weights(weights: &[f32], [c_out, c_in]: [usize; 2], m: usize) -> Vec<Panels> {
    let matrix: Vec<[f64; 3]> = match m {
        2 => vec![
            [1., 0., 0.],
            [0.5, 0.5, 0.5],
            [0.5, -0.5, 0.5],
            [0., 0., 1.],
        ],
        _ => {
            // For a point p and the other pair's ±q: [1, p, p^2] / (2 p^2 (p^2 - q^2)).
            let row = |p: f64, q: f64| [1.0, p, p * p].map(|x| x / (2. * p * p * (p * p - q * q)));
            let (a, b) = (FRAC_1_SQRT_2, SQRT_2);
            let finite = [row(a, b), row(-a, b), row(b, a), row(-b, a)];
            [&[[1., 0., 0.]][..], &finite, &[[0., 0., 1.]]].concat()
        }
    };
    let taps = weights.as_chunks::<9>().0;
    let place = |left: &[f64; 3], right: &[f64; 3]| {
        let parts: [f64; 9] = std::array::from_fn(|i| left[i / 3] * right[i % 3]);
        Panels::new(c_in, c_out, |k, c| {
            let taps = taps[c * c_in + k].iter().zip(parts);
            taps.map(|(tap, part)| f64::from(*tap) * part).sum::<f64>() as f32
        })
    };
    let rows = matrix.iter();
    rows.flat_map(|left| matrix.iter().map(move |right| (left, right)))
        .map(|(left, right)| place(left, right))
        .collect()
}

/// A row or a column of pixels, evaluated at the points.
#[inline(always)]
pub fn input_line<S: Simd, const T: usize>(simd: S, d: [S::f32s; T]) -> [S::f32s; T] {
    let mut v = d;
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    let times = |a, b: f32| simd.mul_f32s(a, simd.splat_f32s(b));
    if T == 4 {
        v[0] = sub(d[0], d[2]);
        v[1] = add(d[1], d[2]);
        v[2] = sub(d[2], d[1]);
        v[3] = sub(d[3], d[1]);
    } else {
        // The coefficients of x (x^2 - 1/2) (x^2 - 2), without the factor that is zero at the point.
        v[0] = add(sub(d[0], times(d[2], 2.5)), d[4]);
        v[5] = add(sub(d[1], times(d[3], 2.5)), d[5]);
        for (at, p, q2) in [(1, FRAC_1_SQRT_2 as f32, 2.0), (3, SQRT_2 as f32, 0.5)] {
            let even = sub(d[4], times(d[2], q2));
            let odd = times(sub(d[3], times(d[1], q2)), p);
            v[at] = add(even, odd);
            v[at + 1] = sub(even, odd);
        }
    }
    v
}

/// The pixels of a row or a column, of the products at the points.
#[inline(always)]
pub fn output_line<S: Simd, const T: usize, const M: usize>(
    simd: S,
    m: [S::f32s; T],
) -> [S::f32s; M] {
    let mut y = [m[0]; M];
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    let times = |a, b: f32| simd.mul_f32s(a, simd.splat_f32s(b));
    let (even, odd) = (add(m[1], m[2]), sub(m[1], m[2]));
    if T == 4 {
        y[0] = add(m[0], even);
        y[1] = add(odd, m[3]);
    } else {
        let (a, b) = (FRAC_1_SQRT_2 as f32, SQRT_2 as f32);
        let (even_b, odd_b) = (add(m[3], m[4]), sub(m[3], m[4]));
        y[0] = add(add(m[0], even), even_b);
        y[1] = add(times(odd, a), times(odd_b, b));
        y[2] = add(times(even, 0.5), times(even_b, 2.0));
        y[3] = add(add(times(odd, a / 2.0), times(odd_b, 2.0 * b)), m[5]);
    }
    y
}
