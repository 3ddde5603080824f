//! The text as a whole, as an addition to the time embedding (diffusers: `models/embeddings.py`,
//! classes `TextTimeEmbedding` and `AttentionPooling`, as in DeepFloyd IF).

use burn::module::Param;
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear};
use burn::prelude::*;
use burn::tensor::FloatDType;

use crate::kernels::{self, Activation};
use crate::nn::linear;

/// Epsilon of `torch.nn.LayerNorm`.
const EPS: f64 = 1e-5;

/// Attention of the mean token, to which a learned position is added, to itself and all tokens.
#[derive(Module, Debug)]
struct AttentionPooling {
    positional_embedding: Param<Tensor<2>>,
    k_proj: Linear,
    q_proj: Linear,
    v_proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl AttentionPooling {
    fn init(width: usize, heads: usize, device: &Device) -> Self {
        let project = || linear(width, width, device);
        let std = (width as f64).sqrt().recip();
        Self {
            positional_embedding: Initializer::Normal { mean: 0.0, std }.init([1, width], device),
            k_proj: project(),
            q_proj: project(),
            v_proj: project(),
            heads,
        }
    }

    /// # Shapes
    /// - `x`: `[B, T, E]`; output: `[B, 1, E]`
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let position = self.positional_embedding.val().unsqueeze_dim(0); // [1, 1, E]
        let class_token = x.clone().mean_dim(1) + position;
        let x = Tensor::cat(vec![class_token.clone(), x], 1); // [B, 1 + T, E]
        let project = |layer, x| kernels::linear(layer, x, Activation::None, None);
        let q = project(&self.q_proj, class_token);
        let k = project(&self.k_proj, x.clone());
        let v = project(&self.v_proj, x);
        kernels::attention(q, k, v, self.heads, false)
    }
}

/// Norm, pooling, linear layer, norm.
#[derive(Module, Debug)]
pub(super) struct TextTimeEmbedding {
    norm1: LayerNorm,
    pool: AttentionPooling,
    proj: Linear,
    norm2: LayerNorm,
}

impl TextTimeEmbedding {
    /// From embeddings `width` wide to time embeddings `temb` wide. `heads` must divide `width`.
    pub(super) fn init(width: usize, temb: usize, heads: usize, device: &Device) -> Self {
        let norm = |width| LayerNormConfig::new(width).with_epsilon(EPS).init(device);
        Self {
            norm1: norm(width),
            pool: AttentionPooling::init(width, heads, device),
            proj: linear(width, temb, device),
            norm2: norm(temb),
        }
    }

    /// # Shapes
    /// - `text`: `[B, T, width]`; output: `[B, temb]`, in f32 as time embeddings are
    pub(super) fn forward(&self, text: Tensor<3>) -> Tensor<2> {
        let text = text.cast(FloatDType::F32);
        let text = kernels::layer_norm(&self.norm1, EPS, text);
        let pooled = kernels::linear(&self.proj, self.pool.forward(text), Activation::None, None);
        let [b, _, temb] = pooled.dims();
        kernels::layer_norm(&self.norm2, EPS, pooled).reshape([b, temb])
    }
}
