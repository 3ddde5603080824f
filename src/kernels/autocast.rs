//! Mixed precision for training: the products of convolutions, linear layers and attention in 16
//! bits, every weight, sum, norm and gradient of a weight in 32 (what `torch.autocast` does with
//! the operations on its list).

use std::cell::Cell;

use burn::nn::{Linear, conv::Conv2d};
use burn::prelude::*;
use burn::tensor::FloatDType;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::padding::zeros_around;

thread_local! {
    static PRECISION: Cell<Option<FloatDType>> = const { Cell::new(None) };
}

/// Does `work` with such products in `precision` where they are burn's own operations on this
/// thread, as they are wherever gradients are wanted. The gradients are computed in the precision
/// of what they are gradients of, and arrive in 32 bits.
pub fn autocast<R>(precision: Option<FloatDType>, work: impl FnOnce() -> R) -> R {
    let before = PRECISION.replace(precision);
    let result = work();
    PRECISION.set(before);
    result
}

/// Of products on this thread, where it is not that of their inputs.
#[cfg_attr(not(feature = "training"), allow(dead_code))]
pub(super) fn precision() -> Option<FloatDType> {
    PRECISION.get()
}

/// `inputs` as products want them.
pub(super) fn lowered<const D: usize, const N: usize>(inputs: [Tensor<D>; N]) -> [Tensor<D>; N] {
    match PRECISION.get() {
        Some(precision) => inputs.map(|x| x.cast(precision)),
        None => inputs,
    }
}

/// What a product gave, in 32 bits again.
pub(super) fn raised<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match PRECISION.get() {
        Some(_) => x.cast(FloatDType::F32),
        None => x,
    }
}

/// `conv.forward(x)`.
pub(super) fn convolved(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let around = zeros_around(conv).filter(|_| PRECISION.get().is_some());
    let Some([top, left, bottom, right]) = around else {
        return conv.forward(x);
    };
    let [x, weight] = lowered([x, conv.weight.val()]);
    let padding = [(top, bottom), (left, right)];
    let options = ConvOptions::new_with_padding(conv.stride, padding, conv.dilation, conv.groups);
    let out = raised(conv2d(x, weight, None, options));
    match &conv.bias {
        Some(bias) => out + bias.val().reshape([1, -1, 1, 1]),
        None => out,
    }
}

/// `layer.forward(x)`.
pub(super) fn mapped(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    if PRECISION.get().is_none() {
        return layer.forward(x);
    }
    let [x, weight] = lowered([x, layer.weight.val().unsqueeze_dim(0)]);
    let out = raised(x.matmul(weight));
    match &layer.bias {
        Some(bias) => out + bias.val().reshape([1, 1, -1]),
        None => out,
    }
}
