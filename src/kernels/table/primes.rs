//! Shapes that no tile divides.

use crate::kernels::Activation;
use crate::kernels::cases::Case;

/// Shapes that no tile divides, and the smallest.
pub(super) fn primes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, channels) in [
        ([1, 1, 1, 1], 1),
        ([1, 3, 5, 7], 11),
        ([3, 7, 13, 11], 5),
        ([2, 17, 31, 3], 67),
        ([1, 37, 2, 41], 131),
    ] {
        for side in [1, 3] {
            for added in [false, true] {
                let stride = 1;
                cases.push(Case::Conv2d {
                    shape,
                    channels,
                    side,
                    stride,
                    padding: side / 2,
                    upsample: false,
                    added,
                });
                cases.push(Case::Conv2d {
                    shape,
                    channels,
                    side,
                    stride,
                    padding: side / 2,
                    upsample: true,
                    added,
                });
            }
        }
        if shape[2].min(shape[3]) > 1 {
            for padding in [0, 1] {
                cases.push(Case::Conv2d {
                    shape,
                    channels,
                    side: 3,
                    stride: 2,
                    padding,
                    upsample: false,
                    added: true,
                });
            }
        }
        // burn refuses to normalise one number
        if shape != [1, 1, 1, 1] {
            cases.push(Case::GroupNorm {
                shape,
                groups: 1,
                activated: true,
            });
            cases.push(Case::GroupNorm {
                shape,
                groups: shape[1],
                activated: false,
            });
        }
    }
    for (shape, channels) in [
        ([1, 1, 1], 2),
        ([2, 13, 29], 34),
        ([3, 67, 7], 130),
        ([1, 131, 61], 74),
    ] {
        for transposed in [false, true] {
            for activation in [
                Activation::None,
                Activation::Gelu,
                Activation::QuickGelu,
                Activation::Silu,
            ] {
                cases.push(Case::Linear {
                    shape,
                    channels,
                    activation: Some(activation),
                    added: transposed,
                    transposed,
                });
            }
            cases.push(Case::Linear {
                shape,
                channels,
                activation: None,
                added: false,
                transposed,
            });
            cases.push(Case::LayerNorm { shape, transposed });
        }
    }
    for (shape, keys, heads) in [
        ([1, 1, 3], 1, 1),
        ([2, 67, 21], 13, 3),
        ([1, 5, 22], 71, 2),
        ([1, 131, 34], 131, 1),
    ] {
        cases.push(Case::Attention {
            shape,
            keys,
            heads,
            is_causal: false,
        });
        cases.push(Case::Attention {
            shape,
            keys: shape[1],
            heads,
            is_causal: true,
        });
    }
    cases
}
