//! Gradients of a linear layer, and of what follows its sums.

use super::super::math::{activate, slope};
use super::super::norm::column_sums;
use super::super::panels::Panels;
use super::super::product::{Finish, Matrix, product};
use super::super::tile::{Lanes, load, store};
use super::super::{filled_chunks, vectorized};
use super::transposed;
use crate::kernels::Activation;
use pulp::{Simd, WithSimd};

/// Values that a thread takes.
const CHUNK: usize = 1 << 14;

/// Gradient of the input, `[T, in]`, of that of the output, `[T, out]`, and the weights `[in, out]`.
pub fn of_input(weight: &[f32], dy: &[f32], [c_in, c_out]: [usize; 2]) -> Vec<f32> {
    let panels = Panels::of_columns(weight, [c_out, c_in]);
    let matrix = Matrix {
        values: dy,
        width: c_out,
    };
    product(
        &matrix,
        &panels,
        Finish::default(),
        [dy.len() / c_out, c_in],
    )
}

/// Gradient of the weights, `[in, out]`.
pub fn of_weight(x: &[f32], dy: &[f32], [c_in, c_out]: [usize; 2]) -> Vec<f32> {
    let matrix = Matrix {
        values: x,
        width: c_in,
    };
    transposed::product(&matrix, dy, [dy.len() / c_out, c_in, c_out])
}

/// Gradient of the bias, `[out]`.
pub fn of_bias(dy: &[f32], c_out: usize) -> Vec<f32> {
    column_sums(dy, c_out)
}

/// What an activation makes of `z`.
pub fn activated(z: &[f32], activation: Activation) -> Vec<f32> {
    filled_chunks(z.len(), CHUNK, |i, out| {
        let z = &z[i * CHUNK..][..out.len()];
        vectorized(Lanes::of(out.len()), Activated { z, activation, out });
    })
}

/// The gradient of what an activation was applied to.
pub fn before(z: &[f32], dy: &[f32], activation: Activation) -> Vec<f32> {
    filled_chunks(z.len(), CHUNK, |i, out| {
        let [z, dy] = [z, dy].map(|all| &all[i * CHUNK..][..out.len()]);
        let before = Before {
            z,
            dy,
            activation,
            out,
        };
        vectorized(Lanes::of(z.len()), before);
    })
}

/// `a * gelu(g)` of the halves `a` and `g` of each row of `z`, `[T, 2 C]` to `[T, C]`.
pub fn gated(z: &[f32], c: usize) -> Vec<f32> {
    let rows = (CHUNK / c).max(1);
    filled_chunks(z.len() / 2, rows * c, |i, out| {
        let z = &z[i * rows * 2 * c..][..2 * out.len()];
        vectorized(Lanes::of(c), Gated { z, c, out });
    })
}

/// The gradient of the rows that gated themselves, `[T, 2 C]`.
pub fn before_gate(z: &[f32], dy: &[f32], c: usize) -> Vec<f32> {
    let rows = (CHUNK / c).max(1);
    filled_chunks(z.len(), rows * 2 * c, |i, out| {
        let z = &z[i * rows * 2 * c..][..out.len()];
        let dy = &dy[i * rows * c..][..out.len() / 2];
        vectorized(Lanes::of(c), BeforeGate { z, dy, c, out });
    })
}

struct Activated<'a> {
    z: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl WithSimd for Activated<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for at in (0..self.z.len()).step_by(S::F32_LANES) {
            let value = activate(simd, load(simd, self.z, at), self.activation);
            store(simd, self.out, at, value);
        }
    }
}

struct Before<'a> {
    z: &'a [f32],
    dy: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl WithSimd for Before<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for at in (0..self.z.len()).step_by(S::F32_LANES) {
            let slope = slope(simd, load(simd, self.z, at), self.activation);
            let value = simd.mul_f32s(load(simd, self.dy, at), slope);
            store(simd, self.out, at, value);
        }
    }
}

struct Gated<'a> {
    z: &'a [f32],
    c: usize,
    out: &'a mut [f32],
}

impl WithSimd for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.z.chunks_exact(2 * self.c);
        for (z, out) in rows.zip(self.out.chunks_exact_mut(self.c)) {
            let (a, g) = z.split_at(self.c);
            for at in (0..self.c).step_by(S::F32_LANES) {
                let gate = activate(simd, load(simd, g, at), Activation::Gelu);
                store(simd, out, at, simd.mul_f32s(load(simd, a, at), gate));
            }
        }
    }
}

struct BeforeGate<'a> {
    z: &'a [f32],
    dy: &'a [f32],
    c: usize,
    out: &'a mut [f32],
}

impl WithSimd for BeforeGate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self
            .z
            .chunks_exact(2 * self.c)
            .zip(self.dy.chunks_exact(self.c));
        for ((z, dy), out) in rows.zip(self.out.chunks_exact_mut(2 * self.c)) {
            let (a, g) = z.split_at(self.c);
            let (of_a, of_g) = out.split_at_mut(self.c);
            for at in (0..self.c).step_by(S::F32_LANES) {
                let [a, g, dy] = [a, g, dy].map(|values| load(simd, values, at));
                let gate = activate(simd, g, Activation::Gelu);
                store(simd, of_a, at, simd.mul_f32s(dy, gate));
                let slope = slope(simd, g, Activation::Gelu);
                store(simd, of_g, at, simd.mul_f32s(simd.mul_f32s(dy, a), slope));
            }
        }
    }
}
