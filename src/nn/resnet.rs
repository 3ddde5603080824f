//! `ResnetBlock2D` (diffusers: `models/resnet.py`): two normalised convolutions around the time
//! embedding.

use burn::nn::{GroupNorm, Linear, conv::Conv2d};
use burn::prelude::*;

use super::{conv1x1, conv3x3, group_norm, linear};
use crate::kernels::{self, Activation, Fused};

/// Sizes of a [`ResnetBlock2D`].
#[derive(Clone, Debug)]
pub struct ResnetBlock2DConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Width of the time embedding; `None` in the autoencoder.
    pub temb_channels: Option<usize>,
    /// Groups of both normalisations.
    pub groups: usize,
    /// Epsilon of both normalisations.
    pub eps: f64,
}

/// Norm, SiLU, conv, plus time; norm, SiLU, conv; plus the input.
#[derive(Module, Debug)]
pub struct ResnetBlock2D {
    pub(super) norm1: GroupNorm,
    pub(super) conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    pub(super) conv_shortcut: Option<Conv2d>,
}

impl ResnetBlock2DConfig {
    /// A block with random weights.
    pub fn init(&self, device: &Device) -> ResnetBlock2D {
        let (cin, cout) = (self.in_channels, self.out_channels);
        ResnetBlock2D {
            norm1: group_norm(self.groups, cin, self.eps, device),
            conv1: conv3x3(cin, cout, device),
            time_emb_proj: self.temb_channels.map(|t| linear(t, cout, device)),
            norm2: group_norm(self.groups, cout, self.eps, device),
            conv2: conv3x3(cout, cout, device),
            conv_shortcut: (cin != cout).then(|| conv1x1(cin, cout, device)),
        }
    }
}

impl ResnetBlock2D {
    /// # Shapes
    /// - `x`: `[B, C_in, h, w]`
    /// - `temb`: `[B, D]`, present exactly when the block was made with `temb_channels`. It has
    ///   been through the SiLU that diffusers puts here: it is the same in every block.
    /// - output: `[B, C_out, h, w]`
    pub fn forward(&self, x: Tensor<4>, temb: Option<&Tensor<2>>) -> Tensor<4> {
        let time = self.time_emb_proj.as_ref().zip(temb);
        let time =
            // [B, C_out]
            time.map(|(proj, temb)| kernels::linear_rows(proj, temb.clone(), Activation::None));
        let [h, x] = kernels::fork(x);
        let h = kernels::group_norm(&self.norm1, h, true);
        let fused = Fused {
            time,
            ..Fused::default()
        };
        let h = kernels::conv2d_fused(&self.conv1, h, fused);
        let x = match &self.conv_shortcut {
            Some(shortcut) => kernels::conv2d(shortcut, x),
            None => x,
        };
        self.second_half(h, x)
    }

    /// From the first convolution's output and what goes past both, `[B, C_out, h, w]` each.
    pub(super) fn second_half(&self, h: Tensor<4>, skipped: Tensor<4>) -> Tensor<4> {
        let h = kernels::group_norm(&self.norm2, h, true);
        let fused = Fused {
            residual: Some(skipped),
            ..Fused::default()
        };
        kernels::conv2d_fused(&self.conv2, h, fused)
    }
}
