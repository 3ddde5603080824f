//! Group normalisation and the SiLU that follows it almost everywhere, in one launch.

use burn::nn::GroupNorm;
use burn::prelude::*;
use burn::tensor::activation::silu;

/// `[B, C, h, w]` to the same, each group of channels with mean 0 and variance 1 before scale and
/// shift; then `x * sigmoid(x)` where `activated`.
pub fn group_norm(norm: &GroupNorm, x: Tensor<4>, activated: bool) -> Tensor<4> {
    #[cfg(feature = "gpu")]
    if super::gpu::takes_group_norm(norm, &x) {
        return super::gpu::group_norm(norm, x, activated);
    }
    #[cfg(feature = "training")]
    if let Some(out) = super::cpu::gradient::group_norm(norm, &x, activated) {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(out) = super::cpu::group_norm(norm, &x, activated) {
        return out;
    }
    plain(norm, x, activated)
}

/// The same of burn's own operations.
pub fn plain(norm: &GroupNorm, x: Tensor<4>, activated: bool) -> Tensor<4> {
    let out = norm.forward(x);
    if activated { silu(out) } else { out }
}
