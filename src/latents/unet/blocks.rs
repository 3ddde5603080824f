//! The U-Net's levels (diffusers: `models/unets/unet_2d_blocks.py`). A level without attention is
//! the same block with an empty list of transformers.

use burn::prelude::*;

use crate::embeddings::Embeddings;
use crate::kernels;
use crate::nn::{
    resample::{Downsample2D, Upsample2D},
    resnet::ResnetBlock2D,
    transformer::Transformer2DModel,
};

/// `DownBlock2D` and `CrossAttnDownBlock2D`.
#[derive(Module, Debug)]
pub struct DownBlock2D {
    pub(super) resnets: Vec<ResnetBlock2D>,
    pub(super) attentions: Vec<Transformer2DModel>,
    pub(super) downsamplers: Vec<Downsample2D>,
}

/// `UNetMidBlock2DCrossAttn`, and `UNetMidBlock2D` without attention.
#[derive(Module, Debug)]
pub struct MidBlock2D {
    pub(super) resnets: Vec<ResnetBlock2D>,
    pub(super) attentions: Vec<Transformer2DModel>,
}

/// `UpBlock2D` and `CrossAttnUpBlock2D`.
#[derive(Module, Debug)]
pub struct UpBlock2D {
    pub(super) resnets: Vec<ResnetBlock2D>,
    pub(super) attentions: Vec<Transformer2DModel>,
    pub(super) upsamplers: Vec<Upsample2D>,
}

/// `x`, which is also pushed onto `skips`.
pub(super) fn kept(x: Tensor<4>, skips: &mut Vec<Tensor<4>>) -> Tensor<4> {
    let [x, skip] = kernels::fork(x);
    skips.push(skip);
    x
}

impl DownBlock2D {
    /// Pushes every intermediate onto `skips`.
    ///
    /// # Shapes
    /// - `x`: `[B, C_in, h, w]`; `temb`: `[B, D]`; `text`: `[B, T, E]`
    /// - output: `[B, C_out, h/2, w/2]`, or `[B, C_out, h, w]` at the last level
    pub fn forward(
        &self,
        mut x: Tensor<4>,
        temb: &Tensor<2>,
        text: &Embeddings,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(x, Some(temb));
            if let Some(attention) = self.attentions.get(i) {
                x = attention.forward(x, text);
            }
            x = kept(x, skips);
        }
        for downsampler in &self.downsamplers {
            x = kept(downsampler.forward(x), skips);
        }
        x
    }
}

impl MidBlock2D {
    /// # Shapes
    /// - `x`, output: `[B, C, h, w]`; `temb`: `[B, D]`; `text`: `[B, T, E]`
    pub fn forward(&self, x: Tensor<4>, temb: &Tensor<2>, text: &Embeddings) -> Tensor<4> {
        let mut x = self.resnets[0].forward(x, Some(temb));
        for (i, resnet) in self.resnets[1..].iter().enumerate() {
            if let Some(attention) = self.attentions.get(i) {
                x = attention.forward(x, text);
            }
            x = resnet.forward(x, Some(temb));
        }
        x
    }
}

impl UpBlock2D {
    /// Pops one skip for every resnet.
    ///
    /// # Shapes
    /// - `x`: `[B, C_in, h, w]`; `temb`: `[B, D]`; `text`: `[B, T, E]`
    /// - output: `[B, C_out, 2h, 2w]` (cropped to the next skip's size), or `[B, C_out, h, w]` at
    ///   the last level
    pub fn forward(
        &self,
        mut x: Tensor<4>,
        temb: &Tensor<2>,
        text: &Embeddings,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            let skip = skips.pop().expect("one skip for every up resnet");
            x = resnet.forward(kernels::concatenate(x, skip), Some(temb));
            if let Some(attention) = self.attentions.get(i) {
                x = attention.forward(x, text);
            }
        }
        for upsampler in &self.upsamplers {
            let [_, _, h, w] = skips.last().expect("a skip at the next level").dims();
            x = upsampler.forward(x, [h, w]);
        }
        x
    }
}
