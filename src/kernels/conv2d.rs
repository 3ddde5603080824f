//! 2D convolution as a matrix product that never writes the unfolded input down (implicit GEMM), with what follows it in the
//! same pass: bias, time embedding, residual. A doubled resolution is folded into the reading of the input.
//!
//! `out[b, m, p] = sum_k weight[m, k] * unfolded[b, k, p]`, where `k` counts input channels and taps, `[C_in, kh, kw]`.

use burn::nn::{PaddingConfig2d, conv::Conv2d};
use burn::prelude::*;

use super::autocast::convolved;

/// What is added to a convolution's output.
#[derive(Clone, Debug, Default)]
pub struct Added {
    /// `[B, C_out]`, to every pixel.
    pub time: Option<Tensor<2>>,
    /// As the output.
    pub residual: Option<Tensor<4>>,
}

/// A convolution with 1x1 or 3x3 taps, `[B, C_in, h, w]` to `[B, C_out, H, W]`, of the input at twice its resolution (nearest
/// neighbour) where it is `doubled`, plus what is `added`.
pub fn conv2d(
    conv: &Conv2d,
    x: Tensor<4>,
    doubled: bool,
    #[cfg_attr(not(feature = "gpu"), allow(unused_mut))] mut added: Added,
) -> Tensor<4> {
    #[cfg(feature = "gpu")]
    if let Some(out) = gpu::conv2d(conv, &x, doubled, &mut added) {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(out) = super::cpu::conv2d(conv, &x, doubled, &added) {
        return out;
    }
    plain(conv, x, doubled, added)
}

/// The same of burn's own operations.
pub fn plain(conv: &Conv2d, x: Tensor<4>, doubled: bool, added: Added) -> Tensor<4> {
    let x = match doubled {
        true => double(x),
        false => x,
    };
    let mut out = convolved(conv, x);
    if let Some(time) = added.time {
        out = out + time.unsqueeze_dims::<4>(&[2, 3]);
    }
    match added.residual {
        Some(residual) => residual + out,
        None => out,
    }
}

/// Zeros above, on the left, below and on the right; `None` where they depend on the input.
pub(super) fn zeros_around(conv: &Conv2d) -> Option<[usize; 4]> {
    match conv.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) => Some([top, left, bottom, right]),
        PaddingConfig2d::Valid => Some([0; 4]),
        PaddingConfig2d::Same => None,
    }
}

/// Each pixel four times, `[B, C, h, w]` to `[B, C, 2h, 2w]`.
pub(crate) fn double(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h, 1, w, 1])
        .expand([b, c, h, 2, w, 2])
        .reshape([b, c, 2 * h, 2 * w])
}

#[cfg(feature = "gpu")]
mod gpu {
    use super::*;
    use crate::kernels::launch::{beside, contiguous, tensor};
    use crate::kernels::linear::Activation;
    use crate::kernels::product::{Arguments, Form, product};
    use crate::kernels::weight::{Weight, WeightOrder};

    pub(super) fn conv2d(
        conv: &Conv2d,
        x: &Tensor<4>,
        doubled: bool,
        added: &mut Added,
    ) -> Option<Tensor<4>> {
        let [kh, kw] = conv.kernel_size;
        let [top, left, bottom, right] = zeros_around(conv)?;
        let plain = conv.dilation == [1, 1] && conv.groups == 1 && conv.stride[0] == conv.stride[1];
        if !plain || kh != kw || !matches!(kh, 1 | 3) || top != left || bottom != right {
            return None;
        }
        let input = contiguous(x)?;
        let [b, c_in, h, w] = x.dims();
        let c_out = conv.weight.shape()[0];
        let side =
            |n: usize| (n * if doubled { 2 } else { 1 } + top + bottom - kh) / conv.stride[0] + 1;
        let (out_h, out_w) = (side(h), side(w));
        let form = Form {
            side: kh,
            stride: conv.stride[0],
            padding: top,
            doubled,
            activation: Activation::None,
            gated: false,
        };
        let pixels = h * w;
        let out_pixels = out_h * out_w;
        let weight = Weight::of(&conv.weight, WeightOrder::OutIn)?;
        let residual = added.residual.take().map(beside);
        let out = product(
            form,
            Arguments {
                x_strides: [c_in * pixels, pixels, 1],
                x: input,
                size: [h, w],
                weight,
                bias: conv.bias.as_ref().map(|bias| beside(bias.val())),
                time: added.time.as_ref().map(|time| beside(time.clone())),
                residual: residual.map(|r| (r, [c_out * out_pixels, out_pixels, 1])),
                out_size: [out_h, out_w],
                shape: [b, c_in, c_out],
            },
        );
        Some(tensor::<3>(out).reshape([b, c_out, out_h, out_w]))
    }
}
