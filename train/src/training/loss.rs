//! Losses that several trainings share.

use burn::prelude::*;
use burn::tensor::activation::log_sigmoid;

/// Binary cross-entropy of every logit, without the mean: `-(y log s(x) + (1 - y) log (1 - s(x)))`.
///
/// # Shapes
/// - `logits`, `truth` (0 or 1): `[B, L]`
/// - output: `[B, L]`
pub fn binary_cross_entropy(logits: Tensor<2>, truth: Tensor<2>) -> Tensor<2> {
    let no = (-truth.clone() + 1.0) * log_sigmoid(-logits.clone());
    -(truth * log_sigmoid(logits) + no)
}

/// Mean absolute differences between neighbouring pixels of `a - b`, both directions.
pub fn edges(difference: Tensor<4>) -> Tensor<1> {
    let [b, c, h, w] = difference.dims();
    let right = difference.clone().slice([0..b, 0..c, 0..h, 1..w])
        - difference.clone().slice([0..b, 0..c, 0..h, 0..w - 1]);
    let down = difference.clone().slice([0..b, 0..c, 1..h, 0..w])
        - difference.slice([0..b, 0..c, 0..h - 1, 0..w]);
    right.abs().mean() + down.abs().mean()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `torch.nn.functional.binary_cross_entropy_with_logits(reduction="none")`.
    #[test]
    fn it_is_torch_s_and_bears_large_logits() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[0.0, 2.0, -60.0], [1.5, -0.5, 60.0]], &device);
        let truth = Tensor::<2>::from_floats([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]], &device);
        let found = crate::training::tensors::values(binary_cross_entropy(logits, truth));
        let expected = [
            std::f32::consts::LN_2,
            2.126_928,
            60.0,
            0.201_413_3,
            0.974_077,
            0.0,
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
