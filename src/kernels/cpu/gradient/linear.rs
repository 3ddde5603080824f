//! Gradients of a linear layer, and of what follows its sums.

use super::super::filled_chunks;
use super::super::lanes::{Lanes, vectorized};
use super::super::math::{activate, slope};
use super::super::norm::column_sums;
use super::super::tile::{load, store};
use super::precision::Products;
use super::record::{Differentiable, Input, flex, present, record, shape, values};
use crate::kernels::Activation;
use burn::nn::Linear;
use burn::prelude::*;
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};

/// Values that a thread takes.
const CHUNK: usize = 1 << 14;

/// As [`crate::kernels::linear()`], and as [`crate::kernels::geglu()`] where it is `gated`.
pub fn linear(
    linear: &Linear,
    x: &Tensor<3>,
    activation: Activation,
    gated: bool,
    residual: Option<&Tensor<3>>,
) -> Option<Tensor<3>> {
    let [b, t, c_in] = x.dims();
    let c_out = linear.weight.dims()[1];
    let inputs = [
        Input::of(x.clone())?,
        Input::of(linear.weight.val())?,
        Input::optional(linear.bias.as_ref().map(|bias| bias.val()))?,
        Input::optional(residual.cloned())?,
    ];
    let [x, weight, bias, residual] = inputs.each_ref().map(|input| input.tensor.to_contiguous());
    let products = Products::wanted()?;
    let bent = gated || activation != Activation::None;
    let at_once = present(&residual).filter(|_| !bent).unwrap_or_default();
    let added = [values(&bias), at_once];
    let sums = products.forward(values(&x), values(&weight), added, [c_in, c_out]);
    let width = if gated { c_out / 2 } else { c_out };
    let (out, before) = if bent {
        let mut out = if gated {
            gate(&sums, width)
        } else {
            activated(&sums, activation)
        };
        if let Some(residual) = present(&residual) {
            out.iter_mut().zip(residual).for_each(|(out, x)| *out += x);
        }
        (out, Some(flex(sums, [b, t, c_out])))
    } else {
        (sums, None)
    };
    Some(record(inputs, flex(out, [b, t, width]), || Layer {
        x,
        weight,
        before,
        activation,
        gated,
        products,
    }))
}

#[derive(Clone, Debug)]
struct Layer {
    x: FlexTensor,
    weight: FlexTensor,
    /// The sums, where something was applied to them.
    before: Option<FlexTensor>,
    activation: Activation,
    gated: bool,
    products: Products,
}

impl Differentiable<4> for Layer {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let [wants_x, wants_weight, wants_bias, wants_residual] = wanted;
        let lines = dy.to_contiguous();
        let sizes = shape(&self.weight);
        let [c_in, c_out] = sizes;
        let bent = self.before.as_ref().map(|z| {
            if self.gated {
                before_gate(values(z), values(&lines), c_out / 2)
            } else {
                before(values(z), values(&lines), self.activation)
            }
        });
        let dz = bent.as_deref().unwrap_or(values(&lines));
        let x_shape: [usize; 3] = shape(&self.x);
        let x = wants_x.then(|| {
            let dx = self.products.of_input(values(&self.weight), dz, sizes);
            flex(dx, x_shape)
        });
        let weight = wants_weight.then(|| {
            let dw = self.products.of_weight(values(&self.x), dz, sizes);
            flex(dw, [c_in, c_out])
        });
        let bias = wants_bias.then(|| flex(of_bias(dz, c_out), [c_out]));
        [x, weight, bias, wants_residual.then_some(dy)]
    }
}

/// Gradient of the bias, `[out]`.
fn of_bias(dy: &[f32], c_out: usize) -> Vec<f32> {
    column_sums(dy, c_out)
}

/// What an activation makes of `z`.
fn activated(z: &[f32], activation: Activation) -> Vec<f32> {
    filled_chunks(z.len(), CHUNK, |i, out| {
        let z = &z[i * CHUNK..][..out.len()];
        vectorized(Lanes::of(out.len()), Activated { z, activation, out });
    })
}

/// The gradient of what an activation was applied to.
fn before(z: &[f32], dy: &[f32], activation: Activation) -> Vec<f32> {
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
fn gate(z: &[f32], c: usize) -> Vec<f32> {
    let rows = (CHUNK / c).max(1);
    filled_chunks(z.len() / 2, rows * c, |i, out| {
        let z = &z[i * rows * 2 * c..][..2 * out.len()];
        vectorized(Lanes::of(c), Gated { z, c, out });
    })
}

/// The gradient of the rows that gated themselves, `[T, 2 C]`.
fn before_gate(z: &[f32], dy: &[f32], c: usize) -> Vec<f32> {
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
