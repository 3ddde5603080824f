//! The points at which Winograd's convolutions evaluate rows and columns (Toom and Cook), and what
//! they make of weights and pixels.
//!
//! For output tiles of two pixels they are 0, ±1 and infinity. For four they are 0, ±sqrt(1/2),
//! ±sqrt(2) and infinity, whose powers stay closer to 1 than those of the usual 0, ±1, ±2 and
//! infinity, and so the rounding errors.
//!
//! `Y = A^T ((G g G^T) * (B^T d B)) A` for weights `g` and pixels `d`, so the weights' gradient is
//! `G^T ((A dY A^T) * (B^T d B)) G`, summed over the tiles.

use std::f32::consts::{FRAC_1_SQRT_2 as A, SQRT_2 as B};

use pulp::Simd;

// Functions and no closures: a closure may be compiled by itself, without the vectors that it is
// called with.

#[inline(always)]
fn add<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.add_f32s(a, b)
}

#[inline(always)]
fn sub<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.sub_f32s(a, b)
}

#[inline(always)]
fn times<S: Simd>(simd: S, a: S::f32s, b: f32) -> S::f32s {
    simd.mul_f32s(a, simd.splat_f32s(b))
}

/// `G`, a row for each point.
pub fn weight_matrix<const T: usize>() -> [[f32; 3]; T] {
    let mut rows = [[0.0; 3]; T];
    rows[0][0] = 1.0;
    rows[T - 1][2] = 1.0;
    if T == 4 {
        rows[1] = [0.5; 3];
        rows[2] = [0.5, -0.5, 0.5];
    } else {
        // For a point p and the other pair's ±q: [1, p, p^2] / (2 p^2 (p^2 - q^2)).
        let (a, b) = (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2);
        for (row, (p, q)) in rows[1..5]
            .iter_mut()
            .zip([(a, b), (-a, b), (b, a), (-b, a)])
        {
            *row = [1.0, p, p * p].map(|x| (x / (2. * p * p * (p * p - q * q))) as f32);
        }
    }
    rows
}

/// `B^T d`: a row or a column of pixels, evaluated at the points.
#[inline(always)]
pub fn input_line<S: Simd, const T: usize>(simd: S, d: [S::f32s; T]) -> [S::f32s; T] {
    let mut v = d;
    if T == 4 {
        v[0] = sub(simd, d[0], d[2]);
        v[1] = add(simd, d[1], d[2]);
        v[2] = sub(simd, d[2], d[1]);
        v[3] = sub(simd, d[3], d[1]);
    } else {
        // The coefficients of x (x^2 - 1/2) (x^2 - 2), without the factor that is zero at the
        // point.
        v[0] = add(simd, sub(simd, d[0], times(simd, d[2], 2.5)), d[4]);
        v[5] = add(simd, sub(simd, d[1], times(simd, d[3], 2.5)), d[5]);
        for (at, p, q2) in [(1, A, 2.0), (3, B, 0.5)] {
            let even = sub(simd, d[4], times(simd, d[2], q2));
            let odd = times(simd, sub(simd, d[3], times(simd, d[1], q2)), p);
            v[at] = add(simd, even, odd);
            v[at + 1] = sub(simd, even, odd);
        }
    }
    v
}

/// `A^T m`: the pixels of a row or a column, of the products at the points.
#[inline(always)]
pub fn output_line<S: Simd, const T: usize, const M: usize>(
    simd: S,
    m: [S::f32s; T],
) -> [S::f32s; M] {
    let mut y = [m[0]; M];
    let (even, odd) = (add(simd, m[1], m[2]), sub(simd, m[1], m[2]));
    if T == 4 {
        y[0] = add(simd, m[0], even);
        y[1] = add(simd, odd, m[3]);
    } else {
        let (even_b, odd_b) = (add(simd, m[3], m[4]), sub(simd, m[3], m[4]));
        y[0] = add(simd, add(simd, m[0], even), even_b);
        y[1] = add(simd, times(simd, odd, A), times(simd, odd_b, B));
        y[2] = add(simd, times(simd, even, 0.5), times(simd, even_b, 2.0));
        y[3] = add(
            simd,
            add(simd, times(simd, odd, A / 2.0), times(simd, odd_b, 2.0 * B)),
            m[5],
        );
    }
    y
}

/// `A y`: the gradients of a row or a column of pixels, as those of the products at the points.
#[cfg(feature = "training")]
#[inline(always)]
pub fn gradient_line<S: Simd, const T: usize, const M: usize>(
    simd: S,
    y: [S::f32s; M],
) -> [S::f32s; T] {
    let mut m = [y[0]; T];
    if T == 4 {
        m[1] = add(simd, y[0], y[1]);
        m[2] = sub(simd, y[0], y[1]);
        m[3] = y[1];
    } else {
        for (at, p, p2) in [(1, A, 0.5), (3, B, 2.0)] {
            let even = add(simd, y[0], times(simd, y[2], p2));
            let odd = add(simd, times(simd, y[1], p), times(simd, y[3], p * p2));
            m[at] = add(simd, even, odd);
            m[at + 1] = sub(simd, even, odd);
        }
        m[5] = y[3];
    }
    m
}
