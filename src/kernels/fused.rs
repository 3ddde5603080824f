//! What belongs to the pass of a convolution, and what lies around its input.

use burn::nn::{PaddingConfig2d, conv::Conv2d};
use burn::prelude::*;

/// What is computed in the same pass as a convolution.
#[derive(Clone, Debug, Default)]
pub struct Fused {
    /// The input is read at twice its resolution (nearest neighbour).
    pub upsample: bool,
    /// `[B, C_out]`, added to every pixel.
    pub time: Option<Tensor<2>>,
    /// As the output, added to it.
    pub residual: Option<Tensor<4>>,
}

/// Zeros above, on the left, below and on the right; `None` where they depend on the input.
pub(super) fn zeros_around(conv: &Conv2d) -> Option<[usize; 4]> {
    match conv.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) => Some([top, left, bottom, right]),
        PaddingConfig2d::Valid => Some([0; 4]),
        PaddingConfig2d::Same => None,
    }
}
