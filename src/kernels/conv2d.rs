//! 2D convolution as a matrix product, with what belongs to the same pass: a doubled resolution of
//! the input, bias, time embedding, residual.
//!
//! `out[b, m, p] = sum_k weight[m, k] * unfolded[b, k, p]`, where `k` counts input channels and
//! taps, `[C_in, kh, kw]`.

use burn::nn::conv::Conv2d;
use burn::prelude::*;

use super::autocast::convolved;
use super::fused::Fused;

/// A convolution with 1x1 or 3x3 taps, `[B, C_in, h, w]` to `[B, C_out, H, W]`.
pub fn conv2d(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    conv2d_fused(conv, x, Fused::default())
}

/// As [`conv2d`], with what belongs to the same pass.
pub fn conv2d_fused(
    conv: &Conv2d,
    x: Tensor<4>,
    #[cfg_attr(not(feature = "gpu"), allow(unused_mut))] mut fused: Fused,
) -> Tensor<4> {
    #[cfg(feature = "gpu")]
    if let Some(out) = super::gpu::conv2d(conv, &x, &mut fused) {
        return out;
    }
    #[cfg(feature = "training")]
    if let Some(out) = super::cpu::gradient::conv2d(conv, &x, &fused) {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(out) = super::cpu::conv2d(conv, &x, &fused) {
        return out;
    }
    plain(conv, x, fused)
}

/// The same of burn's own operations.
pub fn plain(conv: &Conv2d, x: Tensor<4>, fused: Fused) -> Tensor<4> {
    let x = if fused.upsample { double(x) } else { x };
    let mut out = convolved(conv, x);
    if let Some(time) = fused.time {
        out = out + time.unsqueeze_dims::<4>(&[2, 3]);
    }
    match fused.residual {
        Some(residual) => residual + out,
        None => out,
    }
}

/// Each pixel four times, `[B, C, h, w]` to `[B, C, 2h, 2w]`.
pub(crate) fn double(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h, 1, w, 1])
        .expand([b, c, h, 2, w, 2])
        .reshape([b, c, 2 * h, 2 * w])
}
