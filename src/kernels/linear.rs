//! Linear layers, with the activation or the addition that follows them.

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::activation::gelu;

use super::activation::Activation;
use super::autocast::mapped;

/// `activation(x W + b) + residual`, `[B, T, in]` to `[B, T, out]`.
pub fn linear(
    layer: &Linear,
    x: Tensor<3>,
    activation: Activation,
    #[cfg_attr(not(feature = "gpu"), allow(unused_mut))] mut residual: Option<Tensor<3>>,
) -> Tensor<3> {
    #[cfg(feature = "gpu")]
    if let Some(out) = super::gpu::linear(layer, &x, activation, false, &mut residual) {
        return out;
    }
    #[cfg(feature = "training")]
    if let Some(out) = super::cpu::gradient::linear(layer, &x, activation, false, residual.as_ref())
    {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(out) = super::cpu::linear(layer, &x, activation, false, residual.as_ref()) {
        return out;
    }
    let out = activation.plain(mapped(layer, x));
    match residual {
        Some(residual) => residual + out,
        None => out,
    }
}

/// `activation(x W + b)`, `[B, in]` to `[B, out]`.
pub fn linear_rows(layer: &Linear, x: Tensor<2>, activation: Activation) -> Tensor<2> {
    let [b, _] = x.dims();
    let out = linear(layer, x.unsqueeze_dim(1), activation, None); // [B, 1, out]
    let [_, _, c_out] = out.dims();
    out.swap_dims(1, 2).reshape([b, c_out])
}

/// `a * gelu(g)` of the halves `a` and `g` of `x W + b`, `[B, T, in]` to `[B, T, out / 2]`
/// (diffusers: `models/activations.py`, class `GEGLU`).
pub fn geglu(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "gpu")]
    if let Some(out) = super::gpu::linear(layer, &x, Activation::Gelu, true, &mut None) {
        return out;
    }
    #[cfg(feature = "training")]
    if let Some(out) = super::cpu::gradient::linear(layer, &x, Activation::Gelu, true, None) {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(out) = super::cpu::linear(layer, &x, Activation::Gelu, true, None) {
        return out;
    }
    let halves = mapped(layer, x).chunk(2, 2);
    halves[0].clone() * gelu(halves[1].clone())
}
