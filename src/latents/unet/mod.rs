//! `UNet2DConditionModel` (diffusers: `models/unets/unet_2d_condition.py`): noise in latents, given
//! time and text.

pub mod blocks;
pub mod config;
mod pooling;
pub mod time;
pub mod values;

use burn::nn::{GroupNorm, conv::Conv2d};
use burn::prelude::*;

use self::blocks::{DownBlock2D, MidBlock2D, UpBlock2D};
pub use self::config::UNet2DConditionConfig;
use self::pooling::TextTimeEmbedding;
use self::time::{TimestepEmbedding, Timesteps};
use crate::embeddings::Embeddings;
use crate::kernels;

/// The U-Net: predicts the noise (or the velocity) in noisy latents.
#[derive(Module, Debug)]
pub struct UNet2DConditionModel {
    #[module(skip)]
    time_proj: Timesteps,
    time_embedding: TimestepEmbedding,
    add_embedding: Option<TextTimeEmbedding>,
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock2D>,
    mid_block: Option<MidBlock2D>,
    up_blocks: Vec<UpBlock2D>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl UNet2DConditionModel {
    /// # Shapes
    /// - `sample`: `[B, in_channels, h, w]` noisy latents
    /// - `timesteps`: `[B]`, 0 to `num_train_timesteps` - 1
    /// - `text`: `[B, T, cross_attention_dim]`
    /// - output: `[B, out_channels, h, w]`
    pub fn forward(&self, sample: Tensor<4>, timesteps: Tensor<1>, text: &Embeddings) -> Tensor<4> {
        // 1. time, and the text as a whole
        let addition = self.add_embedding.as_ref();
        let addition = addition.map(|embedding| embedding.forward(text.states.clone()));
        let features = self.time_proj.forward(timesteps);
        let temb = self.time_embedding.forward(features, addition);
        // 2. down, keeping every intermediate for the way up
        let mut skips = Vec::new();
        let mut sample = blocks::kept(kernels::conv2d(&self.conv_in, sample), &mut skips);
        for block in &self.down_blocks {
            sample = block.forward(sample, &temb, text, &mut skips);
        }
        // 3. middle
        if let Some(mid) = &self.mid_block {
            sample = mid.forward(sample, &temb, text);
        }
        // 4. up
        for block in &self.up_blocks {
            sample = block.forward(sample, &temb, text, &mut skips);
        }
        // 5. out
        let sample = kernels::group_norm(&self.conv_norm_out, sample, true);
        kernels::conv2d(&self.conv_out, sample)
    }
}
