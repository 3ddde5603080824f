//! Multi-head attention (diffusers: `models/attention_processor.py`, class `Attention`).

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::{activation::softmax, module::attention, ops::AttentionModuleOptions};

use super::{linear, linear_no_bias};

/// Elements of the score matrix `[B, heads, Tq, Tk]` that may exist at once: 64 MiB in f32, half of WebGPU's default
/// binding size. Backends without a fused kernel materialise the scores, so longer queries go through in slices.
const MAX_SCORES: usize = 1 << 24;

/// Self- or cross-attention with projections.
#[derive(Module, Debug)]
pub struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    // A list, because diffusers' is `[Linear, Dropout]` and the key is `to_out.0`.
    to_out: Vec<Linear>,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    /// `query_dim` wide queries attend to `context_dim` wide keys and values. `qkv_bias` is false in the U-Net and
    /// true in the autoencoder.
    pub fn init(
        query_dim: usize,
        context_dim: usize,
        heads: usize,
        qkv_bias: bool,
        device: &Device,
    ) -> Self {
        let project = if qkv_bias { linear } else { linear_no_bias };
        Self {
            to_q: project(query_dim, query_dim, device),
            to_k: project(context_dim, query_dim, device),
            to_v: project(context_dim, query_dim, device),
            to_out: vec![linear(query_dim, query_dim, device)],
            heads,
        }
    }

    /// # Shapes
    /// - `x`: `[B, Tq, query_dim]`
    /// - `context`: `[B, Tk, context_dim]`; `None` for self-attention
    /// - output: `[B, Tq, query_dim]`
    pub fn forward(&self, x: Tensor<3>, context: Option<Tensor<3>>) -> Tensor<3> {
        let context = context.unwrap_or_else(|| x.clone());
        let q = split_heads(self.to_q.forward(x), self.heads);
        let k = split_heads(self.to_k.forward(context.clone()), self.heads);
        let v = split_heads(self.to_v.forward(context), self.heads);
        self.to_out[0].forward(merge_heads(sliced_attention(q, k, v, false)))
    }

    /// How much of each query's attention each key gets, the mean of all heads: `softmax(q k^T / sqrt(d))`.
    ///
    /// # Shapes
    /// - `x`: `[B, Tq, query_dim]`
    /// - `context`: `[B, Tk, context_dim]`
    /// - output: `[B, Tq, Tk]`, which sums to 1 over the keys
    pub fn probabilities(&self, x: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        let q = split_heads(self.to_q.forward(x), self.heads);
        let k = split_heads(self.to_k.forward(context), self.heads);
        let scale = (q.dims()[3] as f64).sqrt();
        let scores = q.matmul(k.swap_dims(2, 3)) / scale; // [B, heads, Tq, Tk]
        softmax(scores, 3).mean_dim(1).squeeze_dim(1)
    }
}

/// `[B, T, heads * d] -> [B, heads, T, d]`
pub(crate) fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [b, t, c] = x.dims();
    x.reshape([b, t, heads, c / heads]).swap_dims(1, 2)
}

/// `[B, heads, T, d] -> [B, T, heads * d]`
pub(crate) fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [b, heads, t, d] = x.dims();
    x.swap_dims(1, 2).reshape([b, t, heads * d])
}

/// `softmax(q k^T / sqrt(d)) v`, over slices of the queries where the scores would be too large to hold.
///
/// # Shapes
/// - `q`: `[B, heads, Tq, d]`; `k`, `v`: `[B, heads, Tk, d]`; output: `[B, heads, Tq, d]`
pub(crate) fn sliced_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    is_causal: bool,
) -> Tensor<4> {
    let options = AttentionModuleOptions {
        is_causal,
        ..Default::default()
    };
    let [b, heads, tq, d] = q.dims();
    let tk = k.dims()[2];
    let rows = (MAX_SCORES / (b * heads * tk)).max(1);
    if tq <= rows || is_causal {
        return attention(q, k, v, None, None, options);
    }
    let slices = (0..tq).step_by(rows).map(|start| {
        let end = (start + rows).min(tq);
        let q = q.clone().slice([0..b, 0..heads, start..end, 0..d]);
        attention(q, k.clone(), v.clone(), None, None, options)
    });
    Tensor::cat(slices.collect(), 2)
}
