//! The autoencoder's encoder (diffusers: `models/autoencoders/vae.py`, class `Encoder`).

use burn::nn::{GroupNorm, conv::Conv2d};
use burn::prelude::*;

use super::config::AutoencoderKLConfig;
use super::mid::{EPS, MidBlock, resnet};
use crate::kernels;
use crate::nn::{conv3x3, group_norm, resample::Downsample2D, resnet::ResnetBlock2D};

#[derive(Module, Debug)]
struct DownEncoderBlock2D {
    resnets: Vec<ResnetBlock2D>,
    downsamplers: Vec<Downsample2D>,
}

/// Image to the moments of its latents.
#[derive(Module, Debug)]
pub struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownEncoderBlock2D>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn init(config: &AutoencoderKLConfig, device: &Device) -> Self {
        let channels = &config.block_out_channels;
        let last = channels.len() - 1;
        let groups = config.norm_num_groups;
        let block = |level: usize| {
            let cout = channels[level];
            DownEncoderBlock2D {
                resnets: (0..config.layers_per_block)
                    .map(|i| {
                        let cin = if i == 0 {
                            channels[level.saturating_sub(1)]
                        } else {
                            cout
                        };
                        resnet(cin, cout, groups, device)
                    })
                    .collect(),
                downsamplers: (level != last)
                    .then(|| Downsample2D::init(cout, 0, device))
                    .into_iter()
                    .collect(),
            }
        };
        Self {
            conv_in: conv3x3(config.in_channels, channels[0], device),
            down_blocks: (0..=last).map(block).collect(),
            mid_block: MidBlock::init(
                channels[last],
                groups,
                config.mid_block_add_attention,
                device,
            ),
            conv_norm_out: group_norm(groups, channels[last], EPS, device),
            conv_out: conv3x3(channels[last], 2 * config.latent_channels, device),
        }
    }

    /// # Shapes
    /// - `x`: `[B, in_channels, H, W]`
    /// - output: `[B, 2 * latent_channels, H/f, W/f]`, means then log-variances
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut x = kernels::conv2d(&self.conv_in, x);
        for block in &self.down_blocks {
            for resnet in &block.resnets {
                x = resnet.forward(x, None);
            }
            for downsampler in &block.downsamplers {
                x = downsampler.forward(x);
            }
        }
        let x = self.mid_block.forward(x);
        let x = kernels::group_norm(&self.conv_norm_out, x, true);
        kernels::conv2d(&self.conv_out, x)
    }
}
