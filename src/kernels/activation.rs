//! What follows a layer in the same pass.

use burn::prelude::*;
use burn::tensor::activation::{gelu, sigmoid, silu};

/// What an output goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// `x * sigmoid(1.702 x)`, as OpenAI's CLIP has it.
    QuickGelu,
    /// `x * sigmoid(x)`
    Silu,
}

impl Activation {
    /// Of burn's own operations.
    pub fn plain<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::None => x,
            Activation::Gelu => gelu(x),
            Activation::QuickGelu => x.clone() * sigmoid(x * 1.702),
            Activation::Silu => silu(x),
        }
    }
}
