//! The autoencoder's decoder (diffusers: `models/autoencoders/vae.py`, class `Decoder`).

use burn::nn::{GroupNorm, conv::Conv2d};
use burn::prelude::*;

use super::config::AutoencoderKLConfig;
use super::mid::{EPS, MidBlock, resnet};
use crate::kernels;
use crate::nn::sliced::{self, WHOLE};
use crate::nn::{conv3x3, group_norm, resample::Upsample2D, resnet::ResnetBlock2D};

#[derive(Module, Debug)]
struct UpDecoderBlock2D {
    resnets: Vec<ResnetBlock2D>,
    upsamplers: Vec<Upsample2D>,
}

/// Latents to image.
#[derive(Module, Debug)]
pub struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpDecoderBlock2D>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    pub(super) fn init(config: &AutoencoderKLConfig, device: &Device) -> Self {
        let channels = &config.block_out_channels;
        let last = channels.len() - 1;
        let groups = config.norm_num_groups;
        let block = |level: usize| {
            let cout = channels[level];
            UpDecoderBlock2D {
                resnets: (0..config.layers_per_block + 1)
                    .map(|i| {
                        let cin = if i == 0 {
                            channels[(level + 1).min(last)]
                        } else {
                            cout
                        };
                        resnet(cin, cout, groups, device)
                    })
                    .collect(),
                upsamplers: (level != 0)
                    .then(|| Upsample2D::init(cout, device))
                    .into_iter()
                    .collect(),
            }
        };
        Self {
            conv_in: conv3x3(config.latent_channels, channels[last], device),
            mid_block: MidBlock::init(
                channels[last],
                groups,
                config.mid_block_add_attention,
                device,
            ),
            up_blocks: (0..=last).rev().map(block).collect(),
            conv_norm_out: group_norm(groups, channels[0], EPS, device),
            conv_out: conv3x3(channels[0], config.out_channels, device),
        }
    }

    /// # Shapes
    /// - `x`: `[B, latent_channels, h, w]`
    /// - output: `[B, out_channels, h*f, w*f]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut x = self.mid_block.forward(kernels::conv2d(&self.conv_in, x));
        let mut begun = false; // a block whose first resnet went with the doubling before it
        for (i, block) in self.up_blocks.iter().enumerate() {
            for resnet in block.resnets.iter().skip(usize::from(begun)) {
                x = resnet.forward(x, None);
            }
            begun = false;
            for upsampler in &block.upsamplers {
                let next = self.up_blocks.get(i + 1).map(|block| &block.resnets[0]);
                let both = next.and_then(|resnet| sliced::upsampled(upsampler, resnet, &x, WHOLE));
                begun = both.is_some();
                let [_, _, h, w] = x.dims();
                x = both.unwrap_or_else(|| upsampler.forward(x, [2 * h, 2 * w]));
            }
        }
        let x = kernels::group_norm(&self.conv_norm_out, x, true);
        kernels::conv2d(&self.conv_out, x)
    }
}
