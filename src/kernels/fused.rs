//! What belongs to the pass of a convolution.

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
