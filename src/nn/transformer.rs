//! `Transformer2DModel` (diffusers: `models/transformers/transformer_2d.py`): text reaches the
//! image here.

use burn::nn::{Dropout, DropoutConfig, GroupNorm, LayerNorm, LayerNormConfig, Linear};
use burn::prelude::*;

use super::{attention::Attention, group_norm, linear};
use crate::embeddings::Embeddings;
use crate::kernels::{self, Activation};

/// Epsilon of the layer normalisations (`norm_eps` of diffusers' `BasicTransformerBlock`).
const EPS: f64 = 1e-5;

/// Linear layer to twice the width, one half gating the other (`models/activations.py`, class
/// `GEGLU`).
#[derive(Module, Debug)]
pub struct GEGLU {
    proj: Linear,
}

/// GEGLU and a linear layer back, with the inner width four times the outer.
#[derive(Module, Debug)]
pub struct FeedForward {
    // A tuple, because the checkpoint's keys are `net.0.proj` and `net.2`, with dropout (no
    // weights) between.
    net: (GEGLU, Dropout, Linear),
}

impl FeedForward {
    fn init(dim: usize, device: &Device) -> Self {
        let inner = dim * 4;
        let geglu = GEGLU {
            proj: linear(dim, inner * 2, device),
        };
        let dropout = DropoutConfig::new(0.0).init();
        Self {
            net: (geglu, dropout, linear(inner, dim, device)),
        }
    }

    fn forward(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let x = kernels::geglu(&self.net.0.proj, x);
        kernels::linear(&self.net.2, x, Activation::None, Some(residual))
    }
}

/// Self-attention, cross-attention and feed-forward, each normalised before and added after
/// (`models/attention.py`, class `BasicTransformerBlock`).
#[derive(Module, Debug)]
pub struct BasicTransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
}

impl BasicTransformerBlock {
    fn init(dim: usize, context_dim: usize, heads: usize, device: &Device) -> Self {
        let norm = || LayerNormConfig::new(dim).with_epsilon(EPS).init(device);
        Self {
            norm1: norm(),
            attn1: Attention::init(dim, dim, heads, false, device),
            norm2: norm(),
            attn2: Attention::init(dim, context_dim, heads, false, device),
            norm3: norm(),
            ff: FeedForward::init(dim, device),
        }
    }

    fn forward(&self, x: Tensor<3>, text: &Embeddings, size: [usize; 2]) -> Tensor<3> {
        let query = kernels::layer_norm(&self.norm1, EPS, x.clone());
        let x = self.attn1.forward(query, None, x);
        let query = kernels::layer_norm(&self.norm2, EPS, x.clone());
        let states = || text.states.clone();
        text.attended(size, || self.attn2.probabilities(query.clone(), states()));
        let x = self.attn2.forward(query, Some(states()), x);
        let hidden = kernels::layer_norm(&self.norm3, EPS, x.clone());
        self.ff.forward(hidden, x)
    }
}

/// Sizes of a [`Transformer2DModel`].
#[derive(Clone, Debug)]
pub struct Transformer2DModelConfig {
    /// Channels in and out.
    pub channels: usize,
    /// Width of the text embeddings.
    pub cross_attention_dim: usize,
    /// Attention heads; must divide `channels`.
    pub heads: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Groups of the entry normalisation.
    pub groups: usize,
}

/// A map of features as a sequence of positions, through transformer blocks, and back.
///
/// `proj_in` and `proj_out` are linear layers whether the checkpoint stores them as such (SD 2.x)
/// or as 1x1 convolutions (SD 1.x): at one position both are the same product.
#[derive(Module, Debug)]
pub struct Transformer2DModel {
    norm: GroupNorm,
    proj_in: Linear,
    transformer_blocks: Vec<BasicTransformerBlock>,
    proj_out: Linear,
}

impl Transformer2DModelConfig {
    /// A transformer with random weights.
    pub fn init(&self, device: &Device) -> Transformer2DModel {
        let c = self.channels;
        Transformer2DModel {
            norm: group_norm(self.groups, c, 1e-6, device),
            proj_in: linear(c, c, device),
            transformer_blocks: (0..self.layers)
                .map(|_| {
                    BasicTransformerBlock::init(c, self.cross_attention_dim, self.heads, device)
                })
                .collect(),
            proj_out: linear(c, c, device),
        }
    }
}

impl Transformer2DModel {
    /// # Shapes
    /// - `x`: `[B, C, h, w]`
    /// - `text`: `[B, T, cross_attention_dim]`
    /// - output: `[B, C, h, w]`
    pub fn forward(&self, x: Tensor<4>, text: &Embeddings) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        let project = |layer, x, residual| kernels::linear(layer, x, Activation::None, residual);
        let [tokens, x] = kernels::fork(x);
        let tokens = kernels::rows(kernels::group_norm(&self.norm, tokens, false));
        let mut tokens = project(&self.proj_in, tokens, None);
        for block in &self.transformer_blocks {
            tokens = block.forward(tokens, text, [h, w]);
        }
        let tokens = project(&self.proj_out, tokens, Some(kernels::rows(x)));
        kernels::map(tokens, [h, w])
    }
}
