//! What `AutoencoderDC`'s levels are made of: blocks, and changes of resolution.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::prelude::*;

use super::order::{in_order, mean_of_squares, pixel_shuffle, pixel_unshuffle, repeat_channels};
use super::res_block::{ResBlock, convolve};
use crate::kernels::{self, Fused};
use crate::nn::conv3x3;

/// Halves the resolution; the shortcut is the mean of pixels and channels (class `DCDownBlock2d`).
#[derive(Module, Debug)]
pub(super) struct DCDownBlock2d {
    conv: Conv2d,
    /// Whether pixels become channels after the convolution; else it is strided.
    #[module(skip)]
    unshuffles: bool,
    /// Values that each of the shortcut's is the mean of.
    #[module(skip)]
    shortcut: Option<usize>,
}

impl DCDownBlock2d {
    pub(super) fn init(
        [cin, cout]: [usize; 2],
        unshuffles: bool,
        shortcut: bool,
        device: &Device,
    ) -> Self {
        let (width, stride) = if unshuffles { (cout / 4, 1) } else { (cout, 2) };
        Self {
            conv: Conv2dConfig::new([cin, width], [3, 3])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device),
            unshuffles,
            shortcut: shortcut.then_some(4 * cin / cout),
        }
    }

    /// # Shapes
    /// - `x`: `[B, C_in, 2h, 2w]`; output: `[B, C_out, h, w]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (x, shortcut) = two_ways(x, self.shortcut, mean_of_squares);
        if !self.unshuffles {
            return convolve(&self.conv, x, shortcut);
        }
        let out = pixel_unshuffle(convolve(&self.conv, x, None));
        match shortcut {
            Some(shortcut) => in_order([out, shortcut], |[out, shortcut], _| out + shortcut),
            None => out,
        }
    }
}

/// Doubles the resolution; the shortcut repeats channels and makes pixels of them (class
/// `DCUpBlock2d`).
#[derive(Module, Debug)]
pub(super) struct DCUpBlock2d {
    conv: Conv2d,
    /// Whether channels become pixels after the convolution; else pixels are repeated before it.
    #[module(skip)]
    shuffles: bool,
    /// How often the shortcut repeats a channel.
    #[module(skip)]
    shortcut: Option<usize>,
}

impl DCUpBlock2d {
    pub(super) fn init(
        [cin, cout]: [usize; 2],
        shuffles: bool,
        shortcut: bool,
        device: &Device,
    ) -> Self {
        let width = if shuffles { 4 * cout } else { cout };
        Self {
            conv: conv3x3(cin, width, device),
            shuffles,
            shortcut: shortcut.then_some(4 * cout / cin),
        }
    }

    /// # Shapes
    /// - `x`: `[B, C_in, h, w]`; output: `[B, C_out, 2h, 2w]`
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (x, shortcut) = two_ways(x, self.shortcut, repeat_channels);
        if self.shuffles {
            // Both are shuffled, so their sum is.
            pixel_shuffle(convolve(&self.conv, x, shortcut))
        } else {
            let fused = Fused {
                upsample: true,
                residual: shortcut.map(pixel_shuffle),
                time: None,
            };
            kernels::conv2d_fused(&self.conv, x, fused)
        }
    }
}

/// A map, and what its shortcut makes of it.
fn two_ways(
    x: Tensor<4>,
    factor: Option<usize>,
    shortcut: impl FnOnce(Tensor<4>, usize) -> Tensor<4>,
) -> (Tensor<4>, Option<Tensor<4>>) {
    match factor {
        Some(factor) => {
            let [x, beside] = kernels::fork(x);
            (x, Some(shortcut(beside, factor)))
        }
        None => (x, None),
    }
}

/// One element of a level, or a half's first or last layer. diffusers keeps these in lists of mixed
/// types.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are few, and burn's modules cannot be boxed"
)]
pub(super) enum Layer {
    Conv(Conv2d),
    Res(ResBlock),
    Down(DCDownBlock2d),
    Up(DCUpBlock2d),
}

impl Layer {
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => convolve(conv, x, None),
            Self::Res(block) => block.forward(x),
            Self::Down(block) => block.forward(x),
            Self::Up(block) => block.forward(x),
        }
    }
}
