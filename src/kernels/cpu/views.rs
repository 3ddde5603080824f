//! Maps as rows of tokens and back, and maps side by side.

#[cfg(feature = "training")]
use super::gradient;
use super::tensor::here;
use burn::prelude::*;

/// As [`crate::kernels::rows()`]: no value moves.
pub fn rows(x: &Tensor<4>) -> Option<Tensor<3>> {
    let [b, c, h, w] = x.dims();
    lies_here(x).then_some(())?;
    Some(x.clone().permute([0, 2, 3, 1]).reshape([b, h * w, c]))
}

/// As [`crate::kernels::map()`]: no value moves.
pub fn map(rows: &Tensor<3>, [h, w]: [usize; 2]) -> Option<Tensor<4>> {
    let [b, _, c] = rows.dims();
    lies_here(rows).then_some(())?;
    Some(rows.clone().reshape([b, h, w, c]).permute([0, 3, 1, 2]))
}

/// As [`crate::kernels::concatenate()`].
pub fn concatenate(x: &Tensor<4>, y: &Tensor<4>) -> Option<Tensor<4>> {
    here(x.clone())?;
    let [x, y] = [x, y].map(|x| x.clone().permute([0, 2, 3, 1]));
    Some(Tensor::cat(vec![x, y], 3).permute([0, 3, 1, 2]))
}

/// Whether a tensor lies here, with gradients or without.
fn lies_here<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "training")]
    if gradient::takes(tensor) {
        return true;
    }
    here(tensor.clone()).is_some()
}
