//! Layer normalisation over channels.

use burn::nn::LayerNorm;
use burn::prelude::*;

/// `[B, T, C]` to the same, each token with mean 0 and variance 1 before scale and shift. `epsilon`
/// is the layer's own, which burn keeps to itself.
#[cfg_attr(not(any(feature = "cpu", feature = "gpu")), allow(unused_variables))]
pub fn layer_norm(norm: &LayerNorm, epsilon: f64, x: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "gpu")]
    if let Some(out) = super::gpu::layer_norm(norm, epsilon, &x) {
        return out;
    }
    #[cfg(feature = "training")]
    if let Some(out) = super::cpu::gradient::layer_norm(norm, epsilon, &x) {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(out) = super::cpu::layer_norm(norm, epsilon, &x) {
        return out;
    }
    norm.forward(x)
}
