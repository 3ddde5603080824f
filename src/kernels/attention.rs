//! Attention that never writes its scores down.

use burn::prelude::*;
use burn::tensor::{FloatDType, module::attention as stock, ops::AttentionModuleOptions};

use super::autocast::{lowered, raised};

/// Elements of the score matrix `[B, heads, Tq, Tk]` that may exist at once where a backend
/// materialises it: 64 MiB in f32, half of WebGPU's default binding size. Longer queries go through
/// in slices.
const MAX_SCORES: usize = 1 << 24;

/// `softmax(q k^T / sqrt(d)) v` for each of `heads` heads, which lie one after another in
/// `C = heads * d`.
///
/// # Shapes
/// - `q`: `[B, Tq, C]`; `k`, `v`: `[B, Tk, C]`; output: `[B, Tq, C]`
/// - `is_causal`: a query attends to the keys up to its own place only (`Tq = Tk`)
pub fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    is_causal: bool,
) -> Tensor<3> {
    #[cfg(feature = "gpu")]
    if let Some(out) = super::gpu::attention(&q, &k, &v, heads, is_causal) {
        return out;
    }
    #[cfg(feature = "training")]
    if let Some(out) = super::cpu::gradient::attention([&q, &k, &v], heads, is_causal) {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(out) = super::cpu::attention(&q, &k, &v, heads, is_causal) {
        return out;
    }
    // Its scores are larger than what f16 has, and their softmax is a sum.
    let dtype = FloatDType::from(q.dtype());
    let [q, k, v] = [q, k, v].map(|x| x.cast(FloatDType::F32));
    plain(q, k, v, heads, is_causal).cast(dtype)
}

/// The same of burn's own operations.
pub fn plain(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, is_causal: bool) -> Tensor<3> {
    let [q, k, v] = lowered([q, k, v]).map(|x| split_heads(x, heads));
    raised(merge_heads(sliced(q, k, v, is_causal)))
}

/// `[B, T, heads * d] -> [B, heads, T, d]`
pub(crate) fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [b, t, c] = x.dims();
    x.reshape([b, t, heads, c / heads]).swap_dims(1, 2)
}

/// `[B, heads, T, d] -> [B, T, heads * d]`
fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [b, heads, t, d] = x.dims();
    x.swap_dims(1, 2).reshape([b, t, heads * d])
}

/// Over slices of the queries where the scores would be too large to hold.
fn sliced(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, is_causal: bool) -> Tensor<4> {
    let options = AttentionModuleOptions {
        is_causal,
        ..Default::default()
    };
    let [b, heads, tq, d] = q.dims();
    let tk = k.dims()[2];
    let rows = (MAX_SCORES / (b * heads * tk)).max(1);
    if tq <= rows || is_causal {
        return stock(q, k, v, None, None, options);
    }
    let slices = (0..tq).step_by(rows).map(|start| {
        let end = (start + rows).min(tq);
        let q = q.clone().slice([0..b, 0..heads, start..end, 0..d]);
        stock(q, k.clone(), v.clone(), None, None, options)
    });
    Tensor::cat(slices.collect(), 2)
}
