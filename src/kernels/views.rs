//! Maps as rows of tokens and back, and maps side by side, without moving values more than their
//! order in memory asks for.

use burn::prelude::*;

/// `[B, C, h, w]` to `[B, h*w, C]`.
pub fn rows(x: Tensor<4>) -> Tensor<3> {
    #[cfg(feature = "cpu")]
    if let Some(rows) = super::cpu::rows(&x) {
        return rows;
    }
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h * w]).swap_dims(1, 2)
}

/// `[B, h*w, C]` to `[B, C, h, w]`.
pub fn map(rows: Tensor<3>, size: [usize; 2]) -> Tensor<4> {
    #[cfg(feature = "cpu")]
    if let Some(map) = super::cpu::map(&rows, size) {
        return map;
    }
    let [b, _, c] = rows.dims();
    rows.swap_dims(1, 2).reshape([b, c, size[0], size[1]])
}

/// The same map twice, for a network that goes two ways. Where gradients are wanted, both must go
/// into the loss.
pub fn fork(x: Tensor<4>) -> [Tensor<4>; 2] {
    #[cfg(feature = "training")]
    if let Some(both) = super::cpu::gradient::fork(&x) {
        return both;
    }
    [x.clone(), x]
}

/// `[B, C, h, w]` and `[B, D, h, w]` to `[B, C + D, h, w]`.
pub fn concatenate(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "training")]
    if let Some(out) = super::cpu::gradient::concatenate(&x, &y) {
        return out;
    }
    #[cfg(feature = "cpu")]
    if let Some(both) = super::cpu::concatenate(&x, &y) {
        return both;
    }
    Tensor::cat(vec![x, y], 1)
}
