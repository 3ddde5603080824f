//! The encoder of `AutoencoderDC` (diffusers: `models/autoencoders/autoencoder_dc.py`, class
//! `Encoder`).

use burn::nn::conv::Conv2d;
use burn::prelude::*;

use super::AutoencoderDCConfig;
use super::layers::{DCDownBlock2d, Layer};
use super::order::mean_of_channels;
use super::res_block::{Activation, ResBlock, convolve};
use crate::error::Result;
use crate::nn::conv3x3;

/// Image to latents.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    conv_in: Layer,
    /// The blocks of each level, and what halves the resolution after them.
    down_blocks: Vec<Vec<Layer>>,
    conv_out: Conv2d,
    /// Channels that each latent of the shortcut is the mean of.
    #[module(skip)]
    out_shortcut: Option<usize>,
}

impl Encoder {
    pub(super) fn init(config: &AutoencoderDCConfig, device: &Device) -> Result<Self> {
        let channels = &config.encoder_block_out_channels;
        let layers = &config.encoder_layers_per_block;
        let (last, latents) = (channels.len() - 1, config.latent_channels);
        let unshuffles = config.unshuffles()?;
        let down =
            |sizes, shortcut| Layer::Down(DCDownBlock2d::init(sizes, unshuffles, shortcut, device));
        let level = |level: usize| {
            let block = || Layer::Res(ResBlock::init(channels[level], Activation::Silu, device));
            let mut blocks: Vec<Layer> = (0..layers[level]).map(|_| block()).collect();
            if level < last && layers[level] > 0 {
                blocks.push(down([channels[level], channels[level + 1]], true));
            }
            blocks
        };
        Ok(Self {
            conv_in: match layers[0] {
                0 => down([config.in_channels, channels[1]], false),
                _ => Layer::Conv(conv3x3(config.in_channels, channels[0], device)),
            },
            down_blocks: (0..=last).map(level).collect(),
            conv_out: conv3x3(channels[last], latents, device),
            out_shortcut: config
                .encoder_out_shortcut
                .then_some(channels[last] / latents),
        })
    }

    /// # Shapes
    /// - `x`: `[B, in_channels, H, W]`
    /// - output: `[B, latent_channels, H/f, W/f]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut x = self.conv_in.forward(x);
        for layer in self.down_blocks.iter().flatten() {
            x = layer.forward(x);
        }
        let shortcut = self
            .out_shortcut
            .map(|size| mean_of_channels(x.clone(), size));
        convolve(&self.conv_out, x, shortcut)
    }
}
