//! What `AutoencoderDC` has between its convolutions, where it is trained on the CPU: burn goes
//! over a map some eight times for each, and as often backward.

use burn::prelude::*;

/// The channels of each pixel over their root mean square (Zhang and Sennrich 2019,
/// arXiv:1910.07467), times `weight`, plus `bias`, plus `residual`: `[B, C, h, w]` to the same.
/// `None` where no kernel does it.
#[cfg_attr(not(feature = "training"), allow(unused_variables))]
pub fn rms_norm(
    weight_and_bias: [&Tensor<1>; 2],
    epsilon: f64,
    x: &Tensor<4>,
    residual: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    #[cfg(feature = "training")]
    return super::cpu::gradient::rms_norm(weight_and_bias, epsilon, x, residual);
    #[cfg(not(feature = "training"))]
    None
}

/// `x * sigmoid(x)` of a map. `None` where no kernel does it.
#[cfg_attr(not(feature = "training"), allow(unused_variables))]
pub fn silu(x: &Tensor<4>) -> Option<Tensor<4>> {
    #[cfg(feature = "training")]
    return super::cpu::gradient::silu(x);
    #[cfg(not(feature = "training"))]
    None
}
