//! What a product's kernel is compiled for, and what it is given at each launch.

use cubecl::prelude::*;

use crate::kernels::Activation;

/// What distinguishes one compiled kernel from another, beside its tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProductSpec {
    /// Taps in a row and in a column: 1 or 3.
    pub side: usize,
    pub stride: usize,
    /// Zeros above and on the left.
    pub padding: usize,
    /// The input is read at twice its resolution (nearest neighbour).
    pub upsample: bool,
    pub activation: Activation,
    /// The first half of the channels is multiplied with GELU of the second (GEGLU).
    pub gated: bool,
}

/// Sizes and strides, which a kernel is given at each launch.
#[derive(CubeType, CubeLaunch, Clone)]
pub struct Uniforms {
    pub channels_in: usize,
    /// Rows of the weight.
    pub rows: usize,
    pub height: usize,
    pub width: usize,
    pub out_width: usize,
    pub out_pixels: usize,
    pub x_batch: usize,
    pub x_channel: usize,
    pub x_pixel: usize,
    pub residual_batch: usize,
    pub residual_channel: usize,
    pub residual_pixel: usize,
}
