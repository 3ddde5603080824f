//! A network that tells an image from what a decoder made of its latents, patch by patch.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::prelude::*;
use burn::tensor::activation::leaky_relu;
use roentgen_web::kernels::conv2d;

/// Standard deviation of what an L1 decoder misses of an image in -1 to 1, at 256 pixels from
/// 16x16x16 latents. It brings the discriminator's input to about 1.
pub const MISSED: f64 = 0.045;
/// Widths of the convolutions that halve the resolution.
const CHANNELS: [usize; 4] = [32, 64, 96, 128];
/// What is left of negative values (Radford et al. 2016, arXiv:1511.06434, "DCGAN").
const SLOPE: f64 = 0.2;

/// Four 4x4 convolutions of stride 2, two 3x3, without normalisation (as PatchGAN, Isola et al.
/// 2017, arXiv:1611.07004).
#[derive(Module, Debug)]
pub struct Discriminator {
    halves: Vec<Conv2d>,
    conv: Conv2d,
    conv_out: Conv2d,
}

impl Discriminator {
    /// With random weights.
    pub fn init(device: &Device) -> Self {
        let conv = |[cin, cout]: [usize; 2], side: usize, stride: usize| {
            Conv2dConfig::new([cin, cout], [side, side])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        let mut cin = 2;
        let halves = CHANNELS.map(|cout| conv([std::mem::replace(&mut cin, cout), cout], 4, 2));
        Self {
            halves: halves.into(),
            conv: conv([cin, cin], 3, 1),
            conv_out: conv([cin, 1], 3, 1),
        }
    }

    /// How real each patch looks, `[B, 1, n/16, n/16]`. It judges what an image has beside the L1
    /// decoder's output of the same latents, and sees that output: so it can judge detail, given
    /// the content, and not what the latents do not hold.
    ///
    /// # Shapes
    /// - `detail`: the image less `plain`, over [`MISSED`], without what is coarse, `[B, 1, n, n]`
    /// - `plain`: the output of the L1 decoder, `[B, 1, n, n]` in -1 to 1
    pub fn forward(&self, detail: Tensor<4>, plain: Tensor<4>) -> Tensor<4> {
        let mut x = Tensor::cat(vec![detail, plain], 1);
        for conv in self.halves.iter().chain([&self.conv]) {
            x = bend(conv2d(conv, x));
        }
        conv2d(&self.conv_out, x)
    }
}

/// The leaky rectifier, in the order in which values lie on the CPU.
fn bend(x: Tensor<4>) -> Tensor<4> {
    leaky_relu(x.permute([0, 2, 3, 1]), SLOPE).permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_judges_patches_of_16_pixels() {
        let device = Device::flex();
        let d = Discriminator::init(&device);
        assert_eq!(d.num_params(), 477_761);
        let x = || Tensor::ones([2, 1, 64, 64], &device);
        assert_eq!(d.forward(x(), x()).dims(), [2, 1, 4, 4]);
    }
}
