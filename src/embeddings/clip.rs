//! Tokens -> Embeddings: the CLIP text encoder (transformers: `models/clip/modeling_clip.py`,
//! `CLIPTextModel`).
//!
//! SD 1.x:
//! <https://huggingface.co/CompVis/stable-diffusion-v1-4/blob/main/text_encoder/config.json>
//! (quick_gelu, 12 layers). SD 2.x: OpenCLIP-H with gelu and 23 of its 24 layers, so that "the
//! penultimate layer" is simply the last.

use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::{self, Activation};
use crate::nn::linear;

/// Activation of the encoder's feed-forward layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// `x * sigmoid(1.702 x)`, as OpenAI's CLIP was trained.
    #[default]
    QuickGelu,
    /// The exact Gaussian error linear unit.
    #[serde(alias = "gelu_python")]
    Gelu,
}

/// transformers' `CLIPTextConfig`, the keys that shape the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CLIPTextConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of the embeddings.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Longest sequence of tokens.
    pub max_position_embeddings: usize,
    /// Feed-forward activation.
    pub hidden_act: HiddenAct,
    /// Epsilon of every layer normalisation.
    pub layer_norm_eps: f64,
}

impl Default for CLIPTextConfig {
    /// transformers' defaults (`CLIPTextConfig`), which it leaves out of the files that it writes.
    fn default() -> Self {
        Self {
            vocab_size: 49_408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

#[derive(Module, Debug)]
struct CLIPTextEmbeddings {
    token_embedding: Embedding,
    position_embedding: Embedding,
}

#[derive(Module, Debug)]
struct CLIPAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    #[module(skip)]
    heads: usize,
}

#[allow(clippy::upper_case_acronyms, reason = "transformers' name")]
#[derive(Module, Debug)]
struct CLIPMLP {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    quick: bool,
}

#[derive(Module, Debug)]
struct CLIPEncoderLayer {
    self_attn: CLIPAttention,
    layer_norm1: LayerNorm,
    mlp: CLIPMLP,
    layer_norm2: LayerNorm,
    #[module(skip)]
    epsilon: f64,
}

#[derive(Module, Debug)]
struct CLIPEncoder {
    layers: Vec<CLIPEncoderLayer>,
}

/// The text encoder: token and position tables, causal transformer layers, a final normalisation.
#[derive(Module, Debug)]
pub struct CLIPTextModel {
    embeddings: CLIPTextEmbeddings,
    encoder: CLIPEncoder,
    final_layer_norm: LayerNorm,
    #[module(skip)]
    epsilon: f64,
}

impl CLIPTextConfig {
    /// A text encoder with random weights.
    ///
    /// # Errors
    /// [`Error::Config`] when a size is zero or the heads do not divide the width.
    pub fn init(&self, device: &Device) -> Result<CLIPTextModel> {
        let fault = |why: String| Error::config("text_encoder/config.json", why);
        let (c, heads) = (self.hidden_size, self.num_attention_heads);
        if c == 0 || self.vocab_size == 0 || self.max_position_embeddings == 0 || heads == 0 {
            return Err(fault("a size is 0".into()));
        }
        if !c.is_multiple_of(heads) {
            return Err(fault(format!(
                "hidden_size {c} is not divisible by num_attention_heads {heads}"
            )));
        }
        let norm = || {
            LayerNormConfig::new(c)
                .with_epsilon(self.layer_norm_eps)
                .init(device)
        };
        let layer = |_| CLIPEncoderLayer {
            self_attn: CLIPAttention {
                q_proj: linear(c, c, device),
                k_proj: linear(c, c, device),
                v_proj: linear(c, c, device),
                out_proj: linear(c, c, device),
                heads,
            },
            layer_norm1: norm(),
            mlp: CLIPMLP {
                fc1: linear(c, self.intermediate_size, device),
                fc2: linear(self.intermediate_size, c, device),
                quick: self.hidden_act == HiddenAct::QuickGelu,
            },
            layer_norm2: norm(),
            epsilon: self.layer_norm_eps,
        };
        // transformers starts both tables at a standard deviation of 0.02 (`initializer_range`).
        let table = |rows| {
            EmbeddingConfig::new(rows, c)
                .with_initializer(burn::nn::Initializer::Normal {
                    mean: 0.0,
                    std: 0.02,
                })
                .init(device)
        };
        Ok(CLIPTextModel {
            embeddings: CLIPTextEmbeddings {
                token_embedding: table(self.vocab_size),
                position_embedding: table(self.max_position_embeddings),
            },
            encoder: CLIPEncoder {
                layers: (0..self.num_hidden_layers).map(layer).collect(),
            },
            final_layer_norm: norm(),
            epsilon: self.layer_norm_eps,
        })
    }
}

impl CLIPAttention {
    fn forward(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let project = |layer| kernels::linear(layer, x.clone(), Activation::None, None);
        let [q, k, v] = [&self.q_proj, &self.k_proj, &self.v_proj].map(project);
        let out = kernels::attention(q, k, v, self.heads, true);
        kernels::linear(&self.out_proj, out, Activation::None, Some(residual))
    }
}

impl CLIPMLP {
    fn forward(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let activation = if self.quick {
            Activation::QuickGelu
        } else {
            Activation::Gelu
        };
        let x = kernels::linear(&self.fc1, x, activation, None);
        kernels::linear(&self.fc2, x, Activation::None, Some(residual))
    }
}

impl CLIPEncoderLayer {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let hidden = kernels::layer_norm(&self.layer_norm1, self.epsilon, x.clone());
        let x = self.self_attn.forward(hidden, x);
        let hidden = kernels::layer_norm(&self.layer_norm2, self.epsilon, x.clone());
        self.mlp.forward(hidden, x)
    }
}

impl CLIPTextModel {
    /// The last hidden state after the final normalisation, which is what Stable Diffusion attends
    /// to.
    ///
    /// # Shapes
    /// - `ids`: `[B, T]`, T at most `max_position_embeddings`, values below `vocab_size`
    /// - output: `[B, T, hidden_size]`
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [_, t] = ids.dims();
        let positions = Tensor::arange(0..t as i64, &ids.device()).unsqueeze::<2>(); // [1, T]
        let mut x = kernels::embedding(&self.embeddings.token_embedding, ids)
            + kernels::embedding(&self.embeddings.position_embedding, positions);
        for layer in &self.encoder.layers {
            x = layer.forward(x);
        }
        kernels::layer_norm(&self.final_layer_norm, self.epsilon, x)
    }
}
