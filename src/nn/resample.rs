//! Halving and doubling the resolution (diffusers: `models/downsampling.py`,
//! `models/upsampling.py`).

use burn::nn::{
    PaddingConfig2d,
    conv::{Conv2d, Conv2dConfig},
};
use burn::prelude::*;

use super::conv3x3;
use crate::kernels::{self, Fused};

/// Strided 3x3 convolution that halves height and width.
#[derive(Module, Debug)]
pub struct Downsample2D {
    conv: Conv2d,
}

impl Downsample2D {
    /// `padding` 1 pads every side (U-Net); 0 pads the bottom and right edge only, as the
    /// autoencoder's encoder does.
    pub fn init(channels: usize, padding: usize, device: &Device) -> Self {
        let padding = match padding {
            0 => PaddingConfig2d::Explicit(0, 0, 1, 1),
            p => PaddingConfig2d::Explicit(p, p, p, p),
        };
        let conv = Conv2dConfig::new([channels, channels], [3, 3])
            .with_stride([2, 2])
            .with_padding(padding)
            .init(device);
        Self { conv }
    }

    /// # Shapes
    /// - `x`: `[B, C, h, w]`
    /// - output: `[B, C, ceil(h/2), ceil(w/2)]` (floor for padding 0)
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        kernels::conv2d(&self.conv, x)
    }
}

/// Nearest-neighbour doubling followed by a 3x3 convolution.
#[derive(Module, Debug)]
pub struct Upsample2D {
    pub(super) conv: Conv2d,
}

impl Upsample2D {
    /// For `channels` channels in and out.
    pub fn init(channels: usize, device: &Device) -> Self {
        Self {
            conv: conv3x3(channels, channels, device),
        }
    }

    /// Doubles `x`, then crops to `size` where an odd resolution was halved on the way down.
    /// Cropping the doubled map is the same as diffusers' nearest interpolation to `2n - 1`.
    ///
    /// # Shapes
    /// - `x`: `[B, C, h, w]`
    /// - output: `[B, C, size[0], size[1]]`, `size` being at most `[2h, 2w]`
    pub fn forward(&self, x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        if size == [2 * h, 2 * w] {
            let fused = Fused {
                upsample: true,
                ..Fused::default()
            };
            return kernels::conv2d_fused(&self.conv, x, fused);
        }
        let doubled = kernels::conv2d::double(x).slice([0..b, 0..c, 0..size[0], 0..size[1]]);
        kernels::conv2d(&self.conv, doubled)
    }
}
