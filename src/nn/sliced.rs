//! Maps that are too large for one buffer, as parts of their channels.
//!
//! WebGPU's default limits bind 128 MiB to a kernel. Stable Diffusion's decoder has one map of
//! twice that at 512x512 pixels: the 256 channels that its last doubling gives and the next block
//! makes 128 of. Channels divide without a seam: a group of a normalisation stays whole, and a
//! convolution is the sum of those over parts of its input.

use std::ops::Range;

use burn::module::Param;
use burn::nn::{GroupNorm, conv::Conv2d};
use burn::prelude::*;

use super::{resample::Upsample2D, resnet::ResnetBlock2D};
use crate::kernels::{self, Fused};

/// Most values of a map that is kept whole: 128 MiB in f32.
pub const WHOLE: usize = 1 << 25;

/// `resnet` of `x` doubled by `upsampler`, where the doubled map has more than `whole` values and
/// the resnet can take it in parts. Not where gradients are wanted.
///
/// # Shapes
/// - `x`: `[B, C_in, h, w]`; output: `[B, C_out, 2h, 2w]`
pub fn upsampled(
    upsampler: &Upsample2D,
    resnet: &ResnetBlock2D,
    x: &Tensor<4>,
    whole: usize,
) -> Option<Tensor<4>> {
    let [b, c, h, w] = x.dims();
    let needed = (4 * b * c * h * w).div_ceil(whole);
    if needed == 1 || x.device().is_autodiff() {
        return None;
    }
    let shortcut = resnet.conv_shortcut.as_ref()?;
    let groups = resnet.norm1.num_groups;
    let parts = (needed..=groups).find(|n| groups.is_multiple_of(*n))?;
    let width = c / parts;
    let [mut hidden, mut skipped] = [None, None];
    for i in 0..parts {
        let share = i * width..(i + 1) * width;
        let up = part(&upsampler.conv, share.clone(), 0..c);
        let fused = Fused {
            upsample: true,
            ..Fused::default()
        };
        let up = kernels::conv2d_fused(&up, x.clone(), fused);
        let sum = |conv: &Conv2d, x, before| {
            let outputs = 0..conv.weight.shape()[0];
            let conv = part(conv, outputs, share.clone());
            let fused = Fused {
                residual: before,
                ..Fused::default()
            };
            kernels::conv2d_fused(&conv, x, fused)
        };
        skipped = Some(sum(shortcut, up.clone(), skipped));
        let normed = kernels::group_norm(&norm_part(&resnet.norm1, share.clone(), parts), up, true);
        hidden = Some(sum(&resnet.conv1, normed, hidden));
    }
    Some(resnet.second_half(hidden?, skipped?))
}

/// What a convolution gives to some of its output channels from some of its input channels; the
/// first of these bring the bias.
fn part(conv: &Conv2d, outputs: Range<usize>, inputs: Range<usize>) -> Conv2d {
    let [_, _, kh, kw] = conv.weight.dims();
    let weight = conv.weight.val();
    let weight = weight.slice([outputs.clone(), inputs.clone(), 0..kh, 0..kw]);
    let bias = conv.bias.as_ref().filter(|_| inputs.start == 0);
    Conv2d {
        weight: Param::from_tensor(weight),
        bias: bias.map(|bias| Param::from_tensor(bias.val().slice([outputs]))),
        ..conv.clone()
    }
}

/// The normalisation of some channels, one of so many `parts` of all groups.
fn norm_part(norm: &GroupNorm, channels: Range<usize>, parts: usize) -> GroupNorm {
    let part = |values: &Option<Param<Tensor<1>>>| {
        let values = values.as_ref()?.val().slice([channels.clone()]);
        Some(Param::from_tensor(values))
    };
    GroupNorm {
        gamma: part(&norm.gamma),
        beta: part(&norm.beta),
        num_groups: norm.num_groups / parts,
        num_channels: channels.len(),
        ..norm.clone()
    }
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use crate::nn::resnet::ResnetBlock2DConfig;
    use burn::tensor::{DeviceType, Distribution};

    #[test]
    fn parts_give_what_the_whole_gives() {
        let gpu = Device::enumerate(DeviceType::Wgpu).into_iter().next();
        for device in [Some(Device::flex()), gpu].into_iter().flatten() {
            device.seed(3);
            let upsampler = Upsample2D::init(16, &device);
            let config = ResnetBlock2DConfig {
                in_channels: 16,
                out_channels: 8,
                temb_channels: None,
                groups: 4,
                eps: 1e-6,
            };
            let resnet = config.init(&device);
            let x = Tensor::<4>::random([1, 16, 5, 7], Distribution::Normal(0.5, 2.0), &device);
            let expected = resnet.forward(upsampler.forward(x.clone(), [10, 14]), None);
            let values = 16 * 10 * 14;
            assert!(upsampled(&upsampler, &resnet, &x, values).is_none());
            for whole in [values - 1, values / 2, values / 3, values / 4] {
                let found = upsampled(&upsampler, &resnet, &x, whole).unwrap();
                let difference = (found - expected.clone()).abs().max().into_scalar::<f32>();
                assert!(difference < 1e-5, "{device:?}, {whole}: {difference}");
            }
            // a group is never divided
            assert!(upsampled(&upsampler, &resnet, &x, values / 5).is_none());
        }
    }
}
