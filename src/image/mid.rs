//! The autoencoder's middle (diffusers: `UNetMidBlock2D` with its `Attention` over positions).

use burn::nn::{GroupNorm, Linear};
use burn::prelude::*;

use crate::nn::{
    attention::sliced_attention,
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
        let [b, c, h, w] = x.dims();
        let tokens = self.group_norm.forward(x.clone()).reshape([b, c, h * w]);
        let tokens: Tensor<3> = tokens.swap_dims(1, 2); // [B, h*w, C]
        let head = |t: Tensor<3>| t.unsqueeze_dim::<4>(1); // [B, 1, h*w, C]
        let q = head(self.to_q.forward(tokens.clone()));
        let k = head(self.to_k.forward(tokens.clone()));
        let v = head(self.to_v.forward(tokens));
        let tokens = sliced_attention(q, k, v, false).squeeze_dim::<3>(1);
        let tokens = self.to_out[0].forward(tokens).swap_dims(1, 2);
        x + tokens.reshape([b, c, h, w])
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
