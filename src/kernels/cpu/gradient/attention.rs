//! Gradients of attention: the scores are computed again, a head and some queries at a time, and
//! never leave the caches.

use super::super::attention::attend;
use super::super::attention::{Sizes, softmax};
use super::super::each;
use super::super::lanes::{Lanes, VECTORS};
use super::super::panels::Panels;
use super::super::tile::{Strided, WithTiles, multiply, multiply_narrow, store, tiled, zeros};
use super::record::{Differentiable, Input, flex, record, shape, values};
use super::transposed::accumulate;
use burn::prelude::*;
use burn_flex::FlexTensor;
use pulp::Simd;

/// As [`crate::kernels::attention()`].
pub fn attention([q, k, v]: [&Tensor<3>; 3], heads: usize, is_causal: bool) -> Option<Tensor<3>> {
    let [b, queries, channels] = q.dims();
    let keys = k.dims()[1];
    let inputs = [
        Input::of(q.clone())?,
        Input::of(k.clone())?,
        Input::of(v.clone())?,
    ];
    let operands = inputs.each_ref().map(|input| input.tensor.to_contiguous());
    let sizes = Sizes {
        keys,
        channels,
        heads,
        is_causal,
    };
    let out = attend(operands.each_ref().map(values), b, sizes);
    let out = flex(out, [b, queries, channels]);
    Some(record(inputs, out, || Attended {
        operands,
        batch: b,
        sizes,
    }))
}

#[derive(Clone, Debug)]
struct Attended {
    operands: [FlexTensor; 3],
    batch: usize,
    sizes: Sizes,
}

impl Differentiable<3> for Attended {
    fn gradients(self, dy: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let dy = dy.to_contiguous();
        let [q, k, v] = self.operands.each_ref().map(values);
        let found = of_attention([q, k, v, values(&dy)], self.batch, self.sizes);
        let shapes = self.operands.each_ref().map(shape::<3>);
        let mut wanted = wanted.into_iter().zip(shapes);
        found.map(|gradient| {
            let (wanted, shape) = wanted.next()?;
            wanted.then(|| flex(gradient, shape))
        })
    }
}

/// Queries whose scores are kept at once.
const BLOCK: usize = 64;

/// Gradients of queries, keys and values, of that of the output; `q` and `dy` are `[B, Tq, C]`, `k`
/// and `v` `[B, Tk, C]`.
fn of_attention([q, k, v, dy]: [&[f32]; 4], batch: usize, sizes: Sizes) -> [Vec<f32>; 3] {
    let of_queries = (q.len() / batch.max(1)).max(1);
    let of_keys = (sizes.keys * sizes.channels).max(1);
    let [mut dq, mut dk, mut dv] = [q.len(), k.len(), v.len()].map(|n| vec![0.0; n]);
    let outs = dq
        .chunks_exact_mut(of_queries)
        .zip(dk.chunks_exact_mut(of_keys))
        .zip(dv.chunks_exact_mut(of_keys));
    each(outs.collect(), |i, ((dq, dk), dv)| {
        let queries = i * of_queries..(i + 1) * of_queries;
        let keys = i * of_keys..(i + 1) * of_keys;
        let image = Image {
            q: &q[queries.clone()],
            k: &k[keys.clone()],
            v: &v[keys],
            dy: &dy[queries],
            sizes,
            dq,
            dk,
            dv,
        };
        tiled(image.lanes(), image);
    });
    [dq, dk, dv]
}

struct Image<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    dy: &'a [f32],
    sizes: Sizes,
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

impl Image<'_> {
    fn lanes(&self) -> Lanes {
        let Sizes {
            keys,
            channels,
            heads,
            ..
        } = self.sizes;
        Lanes::of(keys.max(channels / heads))
    }
}

impl WithTiles for Image<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Sizes {
            keys,
            channels: c,
            heads,
            is_causal,
        } = self.sizes;
        let d = c / heads;
        let queries = self.q.len() / c;
        let scale = 1.0 / (d as f32).sqrt();
        let lanes = self.lanes();
        let stride = keys.next_multiple_of(VECTORS * S::F32_LANES);
        let factor = simd.splat_f32s(scale);
        let mut weights = vec![0.0; BLOCK * stride];
        let mut slopes = vec![0.0; BLOCK * stride];
        // [d, stride], of the keys and of the values: turned over, so that lines are long and whole
        let mut sums = vec![0.0; 2 * d * stride];
        for head in 0..heads {
            let part = head * d..(head + 1) * d;
            let at = |key: usize, i: usize| key * c + head * d + i;
            let scaled = Panels::with_lanes(lanes, d, keys, |i, key| self.k[at(key, i)] * scale);
            let values = Panels::with_lanes(lanes, d, keys, |i, key| self.v[at(key, i)]);
            let rows = Panels::with_lanes(lanes, keys, d, |key, i| self.k[at(key, i)]);
            sums.fill(0.0);
            let (of_keys, of_values) = sums.split_at_mut(d * stride);
            for first in (0..queries).step_by(BLOCK) {
                let count = BLOCK.min(queries - first);
                let weights = &mut weights[..count * stride];
                let slopes = &mut slopes[..count * stride];
                let lines = |all: &'_ [f32]| first * c + head * d..all.len();
                let (q, dy) = (&self.q[lines(self.q)], &self.dy[lines(self.dy)]);
                products::<S, R>(simd, (q, c), &scaled, weights, stride);
                products::<S, R>(simd, (dy, c), &values, slopes, stride);
                let pairs = weights
                    .chunks_exact_mut(stride)
                    .zip(slopes.chunks_exact_mut(stride));
                for (i, (weights, slopes)) in pairs.enumerate() {
                    let seen = if is_causal {
                        keys.min(first + i + 1)
                    } else {
                        keys
                    };
                    let total = softmax(simd, &mut weights[..seen]);
                    weights[seen..].fill(0.0);
                    let part = simd.splat_f32s(1.0 / total);
                    let mut mean = simd.splat_f32s(0.0);
                    let (weights, _) = S::as_mut_simd_f32s(weights);
                    let (slopes, _) = S::as_mut_simd_f32s(slopes);
                    for (weight, slope) in weights.iter_mut().zip(slopes.iter()) {
                        *weight = simd.mul_f32s(*weight, part);
                        mean = simd.mul_add_e_f32s(*weight, *slope, mean);
                    }
                    let mean = simd.splat_f32s(simd.reduce_sum_f32s(mean));
                    for (weight, slope) in weights.iter().zip(slopes) {
                        let difference = simd.sub_f32s(*slope, mean);
                        *slope = simd.mul_f32s(simd.mul_f32s(*weight, factor), difference);
                    }
                }
                // Of the queries: the scores' gradients times the keys.
                let width = VECTORS * S::F32_LANES;
                for strip in 0..d.div_ceil(width) {
                    for row in (0..count).step_by(R) {
                        let lines: [&[f32]; R] = std::array::from_fn(|r| {
                            &slopes[(row + r).min(count - 1) * stride..][..keys]
                        });
                        let tile = if d <= S::F32_LANES {
                            multiply_narrow::<S, R>(simd, lines, rows.strip(strip))
                        } else {
                            multiply::<S, R>(simd, zeros(simd), lines, rows.strip(strip))
                        };
                        for (r, vectors) in tile.into_iter().enumerate().take(count - row) {
                            let out = &mut self.dq[(first + row + r) * c..][part.clone()];
                            for (v, sum) in vectors.into_iter().enumerate() {
                                store(simd, out, strip * width + v * S::F32_LANES, sum);
                            }
                        }
                    }
                }
                for (left, right, sums) in [(q, &*slopes, &mut *of_keys), (dy, weights, of_values)]
                {
                    let left = Strided {
                        values: left,
                        stride: c,
                        width: d,
                    };
                    let right = Strided {
                        values: right,
                        stride,
                        width: stride,
                    };
                    accumulate::<S, R>(simd, count, &left, &right, sums, stride);
                }
            }
            for (sums, out) in [(&*of_keys, &mut *self.dk), (of_values, self.dv)] {
                for (i, sums) in sums.chunks_exact(stride).enumerate() {
                    for (out, sum) in out.chunks_exact_mut(c).zip(sums) {
                        out[part.start + i] = *sum;
                    }
                }
            }
        }
    }
}

/// `[Tq, stride]` of the products of a head's rows with the panels.
#[inline(always)]
fn products<S: Simd, const R: usize>(
    simd: S,
    (rows, c): (&[f32], usize),
    panels: &Panels,
    out: &mut [f32],
    stride: usize,
) {
    let count = out.len() / stride;
    let d = panels.depth();
    let width = VECTORS * S::F32_LANES;
    for strip in 0..stride / width {
        for row in (0..count).step_by(R) {
            let rows: [&[f32]; R] =
                std::array::from_fn(|r| &rows[(row + r).min(count - 1) * c..][..d]);
            let tile = multiply::<S, R>(simd, zeros(simd), rows, panels.strip(strip));
            for (r, vectors) in tile.into_iter().enumerate().take(count - row) {
                let out = &mut out[(row + r) * stride + strip * width..][..width];
                for (v, sum) in vectors.into_iter().enumerate() {
                    store(simd, out, v * S::F32_LANES, sum);
                }
            }
        }
    }
}
