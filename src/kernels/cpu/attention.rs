//! Attention, four queries at a time: their scores, the softmax of these, and the mean of the
//! values that they weigh, all in the nearest cache.

use super::lanes::{Lanes, VECTORS};
use super::math::{Highest, exp};
use super::panels::Panels;
use super::tensor::{dense, tensor, values};
use super::tile::{WithTiles, multiply, multiply_narrow, store, tiled, zeros};
use super::{each_chunk, filled_chunks, share, share_images};
use burn::prelude::*;
use pulp::Simd;

/// Queries that a task takes at most.
const CHUNK: usize = 64;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// `Tk`
    pub keys: usize,
    /// `C`, all heads together.
    pub channels: usize,
    /// Heads.
    pub heads: usize,
    /// A query attends to the keys up to its own place only.
    pub is_causal: bool,
}

/// As [`crate::kernels::attention()`].
pub fn attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    heads: usize,
    is_causal: bool,
) -> Option<Tensor<3>> {
    let [b, queries, channels] = q.dims();
    let keys = k.dims()[1];
    let [q, k, v] = [dense(q.clone())?, dense(k.clone())?, dense(v.clone())?];
    let sizes = Sizes {
        keys,
        channels,
        heads,
        is_causal,
    };
    let out = attend([values(&q)?, values(&k)?, values(&v)?], b, sizes);
    Some(tensor(out, [b, queries, channels]))
}

/// Attention of `[B, Tq, C]` to `[B, Tk, C]`.
pub(super) fn attend([q, k, v]: [&[f32]; 3], batch: usize, sizes: Sizes) -> Vec<f32> {
    let of_queries = (q.len() / batch.max(1)).max(1);
    let of_keys = (sizes.keys * sizes.channels).max(1);
    let images = share_images(batch, 2 * of_queries * sizes.keys);
    filled_chunks(q.len(), images * of_queries, |i, out| {
        let images = i * images..;
        for (image, out) in images.zip(out.chunks_mut(of_queries)) {
            let [k, v] = [k, v].map(|all| &all[image * of_keys..][..of_keys]);
            attend_image(&q[image * of_queries..][..of_queries], k, v, sizes, out);
        }
    })
}

/// Fills `out`, `[Tq, C]`, of `q` as `[Tq, C]`, `k` and `v` as `[Tk, C]`.
fn attend_image(q: &[f32], k: &[f32], v: &[f32], sizes: Sizes, out: &mut [f32]) {
    let Sizes {
        keys,
        channels: c,
        heads,
        ..
    } = sizes;
    let d = c / heads;
    let scale = 1.0 / (d as f32).sqrt();
    let lanes = Lanes::of(keys.max(d));
    let panels: Vec<[Panels; 2]> = (0..heads)
        .map(|head| {
            let at = |key: usize, i: usize| key * c + head * d + i;
            [
                Panels::with_lanes(lanes, d, keys, |i, key| k[at(key, i)] * scale),
                Panels::with_lanes(lanes, keys, d, |key, i| v[at(key, i)]),
            ]
        })
        .collect();
    let chunk = share(out.len() / c.max(1), 2 * keys * c);
    let chunk = chunk.next_multiple_of(lanes.rows()).min(CHUNK);
    each_chunk(out, chunk * c, |i, out| {
        let first = i * chunk;
        let queries = Queries {
            q: &q[first * c..][..out.len()],
            first,
            panels: &panels,
            sizes,
            out,
        };
        tiled(lanes, queries);
    });
}

struct Queries<'a> {
    q: &'a [f32],
    first: usize,
    /// Keys and values of each head.
    panels: &'a [[Panels; 2]],
    sizes: Sizes,
    out: &'a mut [f32],
}

impl WithTiles for Queries<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Sizes {
            keys,
            channels: c,
            heads,
            is_causal,
        } = self.sizes;
        let d = c / heads;
        let width = VECTORS * S::F32_LANES;
        let stride = keys.next_multiple_of(width);
        // As many queries at once as make it worth to fetch a head's keys and values, where these
        // are many.
        let group = R * (d / 16).clamp(1, 4);
        let mut scores = vec![0.0; group * stride];
        let count = self.out.len() / c;
        for (head, [k, v]) in self.panels.iter().enumerate() {
            for first in (0..count).step_by(group) {
                let group = group.min(count - first);
                // As many keys as the last query of the group sees.
                let seen = if is_causal {
                    keys.min(self.first + first + group)
                } else {
                    keys
                };
                for strip in 0..seen.div_ceil(width) {
                    for row in (0..group).step_by(R) {
                        let queries = std::array::from_fn(|r| {
                            let query = first + (row + r).min(group - 1);
                            &self.q[query * c + head * d..][..d]
                        });
                        let tile = multiply::<S, R>(simd, zeros(simd), queries, k.strip(strip));
                        let scores = scores[row * stride..].chunks_exact_mut(stride);
                        for (scores, sums) in scores.zip(tile) {
                            let (scores, _) = S::as_mut_simd_f32s(&mut scores[strip * width..]);
                            for (score, sum) in scores.iter_mut().zip(sums) {
                                *score = sum;
                            }
                        }
                    }
                }
                let mut weights = [[1.0; R]; 4];
                let rows = scores
                    .chunks_exact_mut(stride)
                    .zip(weights.as_flattened_mut());
                for (r, (scores, weight)) in rows.enumerate().take(group) {
                    let own = if is_causal {
                        seen.min(self.first + first + r + 1)
                    } else {
                        seen
                    };
                    *weight = softmax(simd, &mut scores[..own]);
                    scores[own..seen].fill(0.0);
                }
                for strip in 0..d.div_ceil(width) {
                    let values = &v.strip(strip)[..seen * width];
                    for row in (0..group).step_by(R) {
                        let rows = std::array::from_fn(|r| &scores[(row + r) * stride..][..seen]);
                        let tile = if d <= S::F32_LANES {
                            multiply_narrow::<S, R>(simd, rows, values)
                        } else {
                            multiply::<S, R>(simd, zeros(simd), rows, values)
                        };
                        for r in 0..R.min(group - row) {
                            let out = (first + row + r) * c + head * d;
                            let out = &mut self.out[out..out + d];
                            let part = simd.splat_f32s(1.0 / weights[row / R][r]);
                            for (i, sum) in tile[r].iter().enumerate() {
                                let at = strip * width + i * S::F32_LANES;
                                if at < d {
                                    store(simd, out, at, simd.mul_f32s(*sum, part));
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Scores become `e^(score - highest)`; their sum is returned.
#[inline(always)]
pub fn softmax<S: Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let (vectors, rest) = S::as_mut_simd_f32s(scores);
    let mut highest = Highest::new(simd);
    for x in vectors.iter() {
        highest.add(simd, *x);
    }
    let highest = match vectors {
        [] => f32::MIN,
        _ => highest.of_all(simd),
    };
    let highest = rest.iter().fold(highest, |a, b| a.max(*b));
    let top = simd.splat_f32s(highest);
    let mut sum = simd.splat_f32s(0.0);
    for x in vectors {
        *x = exp(simd, simd.sub_f32s(*x, top));
        sum = simd.add_f32s(sum, *x);
    }
    let last = simd.sub_f32s(simd.partial_load_f32s(rest), top);
    simd.partial_store_f32s(rest, exp(simd, last));
    simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>()
}
