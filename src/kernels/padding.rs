//! What lies around the input of a convolution.

use burn::nn::{PaddingConfig2d, conv::Conv2d};

/// Zeros above, on the left, below and on the right; `None` where they depend on the input.
pub(super) fn zeros_around(conv: &Conv2d) -> Option<[usize; 4]> {
    match conv.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) => Some([top, left, bottom, right]),
        PaddingConfig2d::Valid => Some([0; 4]),
        PaddingConfig2d::Same => None,
    }
}
