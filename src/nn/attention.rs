//! Multi-head attention (diffusers: `models/attention_processor.py`, class `Attention`).

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::{FloatDType, activation::softmax};

use super::{linear, linear_no_bias};
use crate::kernels::attention::split_heads;
use crate::kernels::{self, Activation};

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
    /// `query_dim` wide queries attend to `context_dim` wide keys and values. `qkv_bias` is false
    /// in the U-Net and true in the autoencoder.
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
    /// - `residual`: `[B, Tq, query_dim]`, which is added
    /// - output: `[B, Tq, query_dim]`
    pub fn forward(
        &self,
        x: Tensor<3>,
        context: Option<Tensor<3>>,
        residual: Tensor<3>,
    ) -> Tensor<3> {
        let context = context.unwrap_or_else(|| x.clone());
        let project = |layer, x| kernels::linear(layer, x, Activation::None, None);
        let q = project(&self.to_q, x);
        let k = project(&self.to_k, context.clone());
        let v = project(&self.to_v, context);
        let out = kernels::attention(q, k, v, self.heads, false);
        kernels::linear(&self.to_out[0], out, Activation::None, Some(residual))
    }

    /// How much of each query's attention each key gets, the mean of all heads:
    /// `softmax(q k^T / sqrt(d))`.
    ///
    /// # Shapes
    /// - `x`: `[B, Tq, query_dim]`
    /// - `context`: `[B, Tk, context_dim]`
    /// - output: `[B, Tq, Tk]`, which sums to 1 over the keys
    pub fn probabilities(&self, x: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        // These are burn's own operations, which want what they are given in the type of the
        // weights.
        let [x, context] = [x, context].map(|x| x.cast(FloatDType::F32));
        let q = split_heads(self.to_q.forward(x), self.heads);
        let k = split_heads(self.to_k.forward(context), self.heads);
        let scale = (q.dims()[3] as f64).sqrt();
        let scores = q.matmul(k.swap_dims(2, 3)) / scale; // [B, heads, Tq, Tk]
        softmax(scores, 3).mean_dim(1).squeeze_dim(1)
    }
}
