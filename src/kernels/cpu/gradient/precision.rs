//! Which number format the products of linear layers are in.

use super::super::panels::Panels;
use super::super::product::{Finish, Matrix, product};
#[cfg(target_arch = "x86_64")]
use super::bf16::Bf16;
use super::transposed;
use crate::kernels::autocast;
use burn::tensor::FloatDType;

/// The products of a linear layer, `[T, in]` by `[in, out]`.
#[derive(Clone, Copy, Debug)]
pub enum Products {
    /// In 32 bits.
    F32,
    /// In bf16, with sums in 32 bits.
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16),
}

impl Products {
    /// Those that are wanted on this thread: where bf16 is, what this processor is faster with.
    /// None where f16 is, which the kernels have not.
    pub fn wanted() -> Option<Self> {
        match autocast::precision() {
            None => Some(Self::F32),
            #[cfg(target_arch = "x86_64")]
            Some(FloatDType::BF16) => Some(Bf16::try_new().map_or(Self::F32, Self::Bf16)),
            #[cfg(not(target_arch = "x86_64"))]
            Some(FloatDType::BF16) => Some(Self::F32),
            Some(_) => None,
        }
    }

    /// `x weight + shift + residual`, `[T, out]`; nothing is added where one of both is empty.
    pub fn forward(
        self,
        x: &[f32],
        weight: &[f32],
        [shift, residual]: [&[f32]; 2],
        [c_in, c_out]: [usize; 2],
    ) -> Vec<f32> {
        let count = x.len() / c_in;
        match self {
            Self::F32 => {
                let panels = Panels::of_rows(weight, [c_in, c_out]);
                let finish = Finish {
                    shift,
                    residual: Some(residual).filter(|values| !values.is_empty()),
                    ..Finish::default()
                };
                let matrix = Matrix {
                    values: x,
                    width: c_in,
                };
                product(&matrix, &panels, finish, [count, c_out])
            }
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(bf16) => {
                let panels = bf16.of_rows(weight, [c_in, c_out]);
                bf16.product(x, &panels, [shift, residual], [count, c_in, c_out])
            }
        }
    }

    /// Gradient of the input, `[T, in]`, of that of the output, `[T, out]`, and the weights
    /// `[in, out]`.
    pub fn of_input(self, weight: &[f32], dy: &[f32], [c_in, c_out]: [usize; 2]) -> Vec<f32> {
        let count = dy.len() / c_out;
        match self {
            Self::F32 => {
                let panels = Panels::of_columns(weight, [c_out, c_in]);
                let matrix = Matrix {
                    values: dy,
                    width: c_out,
                };
                product(&matrix, &panels, Finish::default(), [count, c_in])
            }
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(bf16) => {
                let panels = bf16.of_columns(weight, [c_out, c_in]);
                bf16.product(dy, &panels, [&[]; 2], [count, c_out, c_in])
            }
        }
    }

    /// Gradient of the weights, `[in, out]`.
    pub fn of_weight(self, x: &[f32], dy: &[f32], [c_in, c_out]: [usize; 2]) -> Vec<f32> {
        match self {
            Self::F32 => {
                let matrix = Matrix {
                    values: x,
                    width: c_in,
                };
                transposed::product(&matrix, dy, [dy.len() / c_out, c_in, c_out])
            }
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(bf16) => bf16.transposed(x, dy, [c_in, c_out]),
        }
    }
}
