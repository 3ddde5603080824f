//! The autoencoder's middle (diffusers: `UNetMidBlock2D` with its `Attention` over positions).

use burn::nn::{GroupNorm, Linear};
use burn::prelude::*;

use crate::kernels::{self, Activation};
use crate::nn::{
    group_norm, linear,
    resnet::{ResnetBlock2D, ResnetBlock2DConfig},
};

/// Epsilon of every normalisation in the autoencoder (`resnet_eps=1e-6` in diffusers' `vae.py`).
pub(super) const EPS: f64 = 1e-6;

/// One-head self-attention over all positions, normalised before and added after.
#[derive(Module, Debug)]
pub struct SpatialAttention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Vec<Linear>,
}

impl SpatialAttention {
    fn init(channels: usize, groups: usize, device: &Device) -> Self {
        let project = || linear(channels, channels, device);
        Self {
            group_norm: group_norm(groups, channels, EPS, device),
            to_q: project(),
            to_k: project(),
            to_v: project(),
            to_out: vec![project()],
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        let [tokens, x] = kernels::fork(x);
        let tokens = kernels::rows(kernels::group_norm(&self.group_norm, tokens, false));
        let project = |layer| kernels::linear(layer, tokens.clone(), Activation::None, None);
        let [q, k, v] = [&self.to_q, &self.to_k, &self.to_v].map(project);
        let tokens = kernels::attention(q, k, v, 1, false);
        let tokens = kernels::linear(
            &self.to_out[0],
            tokens,
            Activation::None,
            Some(kernels::rows(x)),
        );
        kernels::map(tokens, [h, w])
    }
}

/// Resnet, attention (optional), resnet.
#[derive(Module, Debug)]
pub struct MidBlock {
    resnets: Vec<ResnetBlock2D>,
    attentions: Vec<SpatialAttention>,
}

impl MidBlock {
    pub(super) fn init(channels: usize, groups: usize, attention: bool, device: &Device) -> Self {
        Self {
            resnets: (0..2)
                .map(|_| resnet(channels, channels, groups, device))
                .collect(),
            attentions: attention
                .then(|| SpatialAttention::init(channels, groups, device))
                .into_iter()
                .collect(),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut x = self.resnets[0].forward(x, None);
        for attention in &self.attentions {
            x = attention.forward(x);
        }
        self.resnets[1].forward(x, None)
    }
}

/// A resnet without time embedding.
pub(super) fn resnet(cin: usize, cout: usize, groups: usize, device: &Device) -> ResnetBlock2D {
    ResnetBlock2DConfig {
        in_channels: cin,
        out_channels: cout,
        temb_channels: None,
        groups,
        eps: EPS,
    }
    .init(device)
}
