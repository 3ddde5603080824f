//! Blocks shared by the U-Net and the autoencoder, named and composed as diffusers does.

pub mod attention;
pub mod resample;
pub mod resnet;
pub mod sliced;
pub mod transformer;

use burn::nn::{
    GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d,
    conv::{Conv2d, Conv2dConfig},
};
use burn::prelude::*;

/// A 3x3 convolution with "same" padding, `[B, in, h, w] -> [B, out, h, w]`.
pub(crate) fn conv3x3(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

/// A 1x1 convolution, `[B, in, h, w] -> [B, out, h, w]`.
pub(crate) fn conv1x1(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [1, 1]).init(device)
}

/// A linear layer without bias, `[.., in] -> [.., out]`.
pub(crate) fn linear_no_bias(d_in: usize, d_out: usize, device: &Device) -> Linear {
    LinearConfig::new(d_in, d_out).with_bias(false).init(device)
}

/// A linear layer, `[.., in] -> [.., out]`.
pub(crate) fn linear(d_in: usize, d_out: usize, device: &Device) -> Linear {
    LinearConfig::new(d_in, d_out).init(device)
}

/// Group normalization over `groups` groups of `channels` channels.
pub(crate) fn group_norm(groups: usize, channels: usize, eps: f64, device: &Device) -> GroupNorm {
    GroupNormConfig::new(groups, channels)
        .with_epsilon(eps)
        .init(device)
}
