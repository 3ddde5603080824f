//! Gradients of attention: the scores are computed again, a head at a time, and never leave the caches.

use super::super::attention::{Sizes, softmax};
use super::super::each;
use super::super::panels::Panels;
use super::super::tile::{Lanes, Strided, VECTORS, WithTiles, load, multiply, store, tiled, zeros};
use super::transposed::accumulate;
use pulp::Simd;

/// Gradients of queries, keys and values, of that of the output; `q` and `dy` are `[B, Tq, C]`, `k` and `v` `[B, Tk, C]`.
pub fn attention(
    [q, k, v, dy]: [&[f32]; 4],
    batch: usize,
    sizes: Sizes,
) -> [Vec<f32>; 3] {
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
        tiled(Lanes::of(sizes.channels / sizes.heads), image);
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
        let lanes = Lanes::of(d);
        let stride = keys.next_multiple_of(VECTORS * S::F32_LANES);
        let mut weights = vec![0.0; queries * stride];
        let mut slopes = vec![0.0; queries * stride];
        let mut sums = vec![0.0; keys * d];
        for head in 0..heads {
            let part = head * d..(head + 1) * d;
            let at = |key: usize, i: usize| key * c + head * d + i;
            let panels = Panels::with_lanes(lanes, d, keys, |i, key| self.k[at(key, i)] * scale);
            products::<S, R>(simd, self.q, [c, head * d], &panels, &mut weights, stride);
            let panels = Panels::with_lanes(lanes, d, keys, |i, key| self.v[at(key, i)]);
            products::<S, R>(simd, self.dy, [c, head * d], &panels, &mut slopes, stride);
            for query in 0..queries {
                let seen = if is_causal { keys.min(query + 1) } else { keys };
                let weights = &mut weights[query * stride..][..stride];
                let slopes = &mut slopes[query * stride..][..stride];
                let total = softmax(simd, &mut weights[..seen]);
                weights[seen..].fill(0.0);
                let part = simd.splat_f32s(1.0 / total);
                let mut mean = simd.splat_f32s(0.0);
                for at in (0..stride).step_by(S::F32_LANES) {
                    let weight = simd.mul_f32s(load(simd, weights, at), part);
                    store(simd, weights, at, weight);
                    mean = simd.mul_add_e_f32s(weight, load(simd, slopes, at), mean);
                }
                let mean = simd.splat_f32s(simd.reduce_sum_f32s(mean));
                let factor = simd.splat_f32s(scale);
                for at in (0..stride).step_by(S::F32_LANES) {
                    let slope = simd.sub_f32s(load(simd, slopes, at), mean);
                    let weight = simd.mul_f32s(load(simd, weights, at), factor);
                    store(simd, slopes, at, simd.mul_f32s(weight, slope));
                }
            }
            // Of the queries: the scores' gradients times the keys.
            let panels = Panels::with_lanes(lanes, keys, d, |key, i| self.k[at(key, i)]);
            let width = VECTORS * S::F32_LANES;
            for strip in 0..d.div_ceil(width) {
                for first in (0..queries).step_by(R) {
                    let rows: [&[f32]; R] = std::array::from_fn(|r| {
                        &slopes[(first + r).min(queries - 1) * stride..][..keys]
                    });
                    let tile = multiply::<S, R>(simd, zeros(simd), rows, panels.strip(strip));
                    for (r, vectors) in tile.into_iter().enumerate().take(queries - first) {
                        let out = &mut self.dq[(first + r) * c..][part.clone()];
                        for (v, sum) in vectors.into_iter().enumerate() {
                            store(simd, out, strip * width + v * S::F32_LANES, sum);
                        }
                    }
                }
            }
            for (left, right, out) in [
                (&slopes, self.q, &mut *self.dk),
                (&weights, self.dy, &mut *self.dv),
            ] {
                sums.fill(0.0);
                let left = Strided {
                    values: left,
                    stride,
                    width: keys,
                };
                let right = Strided {
                    values: &right[head * d..],
                    stride: c,
                    width: d,
                };
                accumulate::<S, R>(simd, queries, &left, &right, &mut sums, d);
                for (out, sums) in out.chunks_exact_mut(c).zip(sums.chunks_exact(d)) {
                    out[part.clone()].copy_from_slice(sums);
                }
            }
        }
    }
}

/// `[Tq, stride]` of the products of a head's rows with the panels.
#[inline(always)]
fn products<S: Simd, const R: usize>(
    simd: S,
    rows: &[f32],
    [c, first]: [usize; 2],
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
                std::array::from_fn(|r| &rows[(row + r).min(count - 1) * c + first..][..d]);
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
