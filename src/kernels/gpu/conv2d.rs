//! A convolution as a product whose unfolded input is never written down (implicit GEMM).

use burn::nn::conv::Conv2d;
use burn::prelude::*;

use super::launch::{beside, contiguous, tensor};
use super::product::{Operands, ProductSpec, product};
use super::weight::{Weight, WeightOrder};
use crate::kernels::activation::Activation;
use crate::kernels::fused::Fused;
use crate::kernels::padding::zeros_around;

pub fn conv2d(conv: &Conv2d, x: &Tensor<4>, fused: &mut Fused) -> Option<Tensor<4>> {
    let [kh, kw] = conv.kernel_size;
    let [top, left, bottom, right] = zeros_around(conv)?;
    let plain = conv.dilation == [1, 1] && conv.groups == 1 && conv.stride[0] == conv.stride[1];
    if !plain || kh != kw || !matches!(kh, 1 | 3) || top != left || bottom != right {
        return None;
    }
    let input = contiguous(x)?;
    let [b, c_in, h, w] = x.dims();
    let c_out = conv.weight.shape()[0];
    let side = |n: usize| {
        (n * if fused.upsample { 2 } else { 1 } + top + bottom - kh) / conv.stride[0] + 1
    };
    let (out_h, out_w) = (side(h), side(w));
    let spec = ProductSpec {
        side: kh,
        stride: conv.stride[0],
        padding: top,
        upsample: fused.upsample,
        activation: Activation::None,
        gated: false,
    };
    let pixels = h * w;
    let out_pixels = out_h * out_w;
    let weight = Weight::of(&conv.weight, WeightOrder::OutIn)?;
    let residual = fused.residual.take().map(beside);
    let out = product(
        spec,
        Operands {
            x_strides: [c_in * pixels, pixels, 1],
            x: input,
            size: [h, w],
            weight,
            bias: conv.bias.as_ref().map(|bias| beside(bias.val())),
            time: fused.time.as_ref().map(|time| beside(time.clone())),
            residual: residual.map(|r| (r, [c_out * out_pixels, out_pixels, 1])),
            out_size: [out_h, out_w],
            shape: [b, c_in, c_out],
        },
    );
    Some(tensor::<3>(out).reshape([b, c_out, out_h, out_w]))
}
