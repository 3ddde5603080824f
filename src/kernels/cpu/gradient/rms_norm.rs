//! Root mean square normalisation of each pixel's channels, and SiLU, forward and backward in one
//! pass each.

use super::super::lanes::{Lanes, vectorized};
use super::super::math::{activate, slope};
use super::super::norm::column_sums;
use super::super::tile::{load, store};
use super::super::{each, filled_chunks};
use super::record::{Differentiable, Input, flex, record, values};
use crate::kernels::Activation;
use burn::prelude::*;
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};

/// Pixels that a thread takes at a time.
const ROWS: usize = 64;
/// Values that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// A map's values, pixel by pixel.
fn pixels(x: &FlexTensor) -> FlexTensor {
    x.permute(&[0, 2, 3, 1]).to_contiguous()
}

/// Values that lie pixel by pixel as a map of this shape, `[B, C, h, w]`.
fn mapped(values: Vec<f32>, [b, c, h, w]: [usize; 4]) -> FlexTensor {
    flex(values, [b, h, w, c]).permute(&[0, 3, 1, 2])
}

/// As [`crate::kernels::rms_norm`].
pub fn rms_norm(
    [weight, bias]: [&Tensor<1>; 2],
    epsilon: f64,
    x: &Tensor<4>,
    residual: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    let shape = x.dims();
    let c = shape[1];
    let inputs = [
        Input::of(x.clone())?,
        Input::of(weight.clone())?,
        Input::of(bias.clone())?,
        Input::optional(residual.cloned())?,
    ];
    let [x, weight, bias, beside] = inputs.each_ref().map(|input| &input.tensor);
    let (x, weight, bias) = (pixels(x), weight.to_contiguous(), bias.to_contiguous());
    let beside = residual.map(|_| pixels(beside));
    let all = values(&x);
    let out = filled_chunks(all.len(), ROWS * c, |i, out| {
        let part = i * ROWS * c..i * ROWS * c + out.len();
        let forward = Forward {
            x: &all[part.clone()],
            residual: beside.as_ref().map(|residual| &values(residual)[part]),
            weight: values(&weight),
            bias: values(&bias),
            epsilon,
            out,
        };
        vectorized(Lanes::of(c), forward);
    });
    Some(record(inputs, mapped(out, shape), || RmsNorm {
        shape,
        epsilon,
        x,
        weight,
    }))
}

#[derive(Clone, Debug)]
struct RmsNorm {
    shape: [usize; 4],
    epsilon: f64,
    x: FlexTensor,
    weight: FlexTensor,
}

impl Differentiable<4> for RmsNorm {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let c = self.shape[1];
        let (x, lines) = (values(&self.x), pixels(&dy));
        let lines = values(&lines);
        let mut dx = vec![0.0; x.len()];
        let mut sums = vec![0.0; x.len().div_ceil(ROWS * c) * 2 * c];
        let tasks: Vec<_> = dx
            .chunks_mut(ROWS * c)
            .zip(sums.chunks_exact_mut(2 * c))
            .collect();
        each(tasks, |i, (dx, sums)| {
            let part = i * ROWS * c..i * ROWS * c + dx.len();
            let backward = Backward {
                x: &x[part.clone()],
                dy: &lines[part],
                weight: values(&self.weight),
                epsilon: self.epsilon,
                dx,
                sums,
            };
            vectorized(Lanes::of(c), backward);
        });
        let both = column_sums(&sums, 2 * c);
        let [of_x, of_weight, of_bias, of_residual] = wanted;
        [
            of_x.then(|| mapped(dx, self.shape)),
            of_weight.then(|| flex(both[..c].to_vec(), [c])),
            of_bias.then(|| flex(both[c..].to_vec(), [c])),
            of_residual.then_some(dy),
        ]
    }
}

/// One over the root mean square of a pixel's channels.
#[inline(always)]
fn scale<S: Simd>(simd: S, x: &[f32], epsilon: f64) -> f32 {
    let mut squares = simd.splat_f32s(0.0);
    for channel in (0..x.len()).step_by(S::F32_LANES) {
        let x = load(simd, x, channel);
        squares = simd.mul_add_e_f32s(x, x, squares);
    }
    let mean = simd.reduce_sum_f32s(squares) / x.len() as f32;
    (1.0 / (f64::from(mean) + epsilon).sqrt()) as f32
}

struct Forward<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f64,
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let c = self.weight.len();
        let lines = self.x.chunks_exact(c).zip(self.out.chunks_exact_mut(c));
        for (i, (x, out)) in lines.enumerate() {
            let scale = simd.splat_f32s(scale(simd, x, self.epsilon));
            for channel in (0..c).step_by(S::F32_LANES) {
                let normed = simd.mul_f32s(load(simd, x, channel), scale);
                let [weight, bias] =
                    [self.weight, self.bias].map(|values| load(simd, values, channel));
                let mut y = simd.mul_add_e_f32s(normed, weight, bias);
                if let Some(residual) = self.residual {
                    y = simd.add_f32s(y, load(simd, &residual[i * c..(i + 1) * c], channel));
                }
                store(simd, out, channel, y);
            }
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    weight: &'a [f32],
    epsilon: f64,
    dx: &'a mut [f32],
    /// `[2, C]`: of the weight and of the bias.
    sums: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let c = self.weight.len();
        let (of_weight, of_bias) = self.sums.split_at_mut(c);
        let channels = || (0..c).step_by(S::F32_LANES);
        let lines = self.x.chunks_exact(c).zip(self.dy.chunks_exact(c));
        for ((x, dy), dx) in lines.zip(self.dx.chunks_exact_mut(c)) {
            let scale = simd.splat_f32s(scale(simd, x, self.epsilon));
            let mut with = simd.splat_f32s(0.0);
            for channel in channels() {
                let normed = simd.mul_f32s(load(simd, x, channel), scale);
                let dy = load(simd, dy, channel);
                let dn = simd.mul_f32s(dy, load(simd, self.weight, channel));
                with = simd.mul_add_e_f32s(dn, normed, with);
                let sum = simd.mul_add_e_f32s(dy, normed, load(simd, of_weight, channel));
                store(simd, of_weight, channel, sum);
                let sum = simd.add_f32s(dy, load(simd, of_bias, channel));
                store(simd, of_bias, channel, sum);
            }
            // dx = scale * (dn - normed * mean(dn * normed))
            let mean = simd.splat_f32s(-simd.reduce_sum_f32s(with) / c as f32);
            for channel in channels() {
                let normed = simd.mul_f32s(load(simd, x, channel), scale);
                let dn = simd.mul_f32s(load(simd, dy, channel), load(simd, self.weight, channel));
                let rest = simd.mul_add_e_f32s(normed, mean, dn);
                store(simd, dx, channel, simd.mul_f32s(rest, scale));
            }
        }
    }
}

/// As [`crate::kernels::silu`].
pub fn silu(x: &Tensor<4>) -> Option<Tensor<4>> {
    let shape = x.dims();
    let inputs = [Input::of(x.clone())?];
    let x = pixels(&inputs[0].tensor);
    let out = through(values(&x), None);
    Some(record(inputs, mapped(out, shape), || Silu { shape, x }))
}

#[derive(Clone, Debug)]
struct Silu {
    shape: [usize; 4],
    x: FlexTensor,
}

impl Differentiable<1> for Silu {
    fn gradients(self, dy: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let dx = through(values(&self.x), Some(values(&pixels(&dy))));
        [Some(mapped(dx, self.shape))]
    }
}

/// SiLU of `x`, or its slope times the gradient of its output.
fn through(x: &[f32], dy: Option<&[f32]>) -> Vec<f32> {
    filled_chunks(x.len(), CHUNK, |i, out| {
        let part = i * CHUNK..i * CHUNK + out.len();
        let (x, dy) = (&x[part.clone()], dy.map(|dy| &dy[part]));
        vectorized(Lanes::of(out.len()), Through { x, dy, out });
    })
}

struct Through<'a> {
    x: &'a [f32],
    dy: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl WithSimd for Through<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for at in (0..self.x.len()).step_by(S::F32_LANES) {
            let x = load(simd, self.x, at);
            let y = match self.dy {
                Some(dy) => simd.mul_f32s(slope(simd, x, Activation::Silu), load(simd, dy, at)),
                None => activate(simd, x, Activation::Silu),
            };
            store(simd, self.out, at, y);
        }
    }
}
