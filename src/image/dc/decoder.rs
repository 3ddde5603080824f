//! The decoder of `AutoencoderDC` (diffusers: `models/autoencoders/autoencoder_dc.py`, class
//! `Decoder`).

use burn::nn::conv::Conv2d;
use burn::prelude::*;

use super::AutoencoderDCConfig;
use super::layers::{DCUpBlock2d, Layer};
use super::order::repeat_channels;
use super::res_block::{Activation, RMSNorm, ResBlock, convolve};
use crate::error::Result;
use crate::nn::conv3x3;

/// Latents to image.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    conv_in: Conv2d,
    /// What doubles the resolution, and the blocks of each level after it; from the outermost in,
    /// as diffusers numbers them.
    up_blocks: Vec<Vec<Layer>>,
    norm_out: RMSNorm,
    conv_out: Layer,
    /// How often the shortcut repeats a latent channel.
    #[module(skip)]
    in_shortcut: Option<usize>,
    #[module(skip)]
    conv_act: Activation,
}

impl Decoder {
    pub(super) fn init(config: &AutoencoderDCConfig, device: &Device) -> Result<Self> {
        let channels = &config.decoder_block_out_channels;
        let layers = &config.decoder_layers_per_block;
        let (last, latents) = (channels.len() - 1, config.latent_channels);
        let (shuffles, activations) = (config.shuffles()?, config.activations()?);
        let up = |sizes, shortcut| Layer::Up(DCUpBlock2d::init(sizes, shuffles, shortcut, device));
        let level = |level: usize| {
            let mut blocks = Vec::new();
            if level < last && layers[level] > 0 {
                blocks.push(up([channels[level + 1], channels[level]], true));
            }
            let block = || Layer::Res(ResBlock::init(channels[level], activations[level], device));
            blocks.extend((0..layers[level]).map(|_| block()));
            blocks
        };
        // Without blocks at the first level, the second one's channels go straight to the image's
        // pixels.
        let outermost = channels[usize::from(layers[0] == 0)];
        Ok(Self {
            conv_in: conv3x3(latents, channels[last], device),
            up_blocks: (0..=last).map(level).collect(),
            norm_out: RMSNorm::init(outermost, device),
            conv_out: match layers[0] {
                0 => up([outermost, config.in_channels], false),
                _ => Layer::Conv(conv3x3(outermost, config.in_channels, device)),
            },
            in_shortcut: config
                .decoder_in_shortcut
                .then_some(channels[last] / latents),
            conv_act: config.decoder_conv_act_fn.parse()?,
        })
    }

    /// # Shapes
    /// - `x`: `[B, latent_channels, h, w]`
    /// - output: `[B, in_channels, h*f, w*f]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = self
            .in_shortcut
            .map(|times| repeat_channels(x.clone(), times));
        let mut x = convolve(&self.conv_in, x, shortcut);
        for layer in self.up_blocks.iter().rev().flatten() {
            x = layer.forward(x);
        }
        let x = self.conv_act.forward(self.norm_out.forward(x, None));
        self.conv_out.forward(x)
    }
}
