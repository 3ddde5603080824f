//! The left factor of a product as it lies on a GPU, and how a kernel reads one value of it.

use burn::module::Param;
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::decode::integer;
use super::launch::contiguous;
use super::tile::decodes_first;
use crate::bundle::BLOCK;
use crate::kernels::Packed;

/// How a weight lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightOrder {
    /// `[C_out, K]`, as convolutions have it.
    OutIn,
    /// `[K, C_out]`, as burn's linear layers have it.
    InOut,
    /// `[C_out, K]` in integers of so many bits, see [`Packed`].
    Packed(usize),
}

impl WeightOrder {
    /// Whether terms of a sum are neighbours, and not output channels.
    pub fn terms_first(self) -> bool {
        self != WeightOrder::InOut
    }
}

/// A weight's buffers.
pub struct Weight {
    pub values: CubeTensor,
    /// Of packed ones.
    pub scales: Option<CubeTensor>,
    pub order: WeightOrder,
}

impl Weight {
    /// The buffers of a parameter that lies in `order` where it is not packed; `None` if it is not
    /// on a GPU.
    pub fn of<const D: usize>(param: &Param<Tensor<D>>, order: WeightOrder) -> Option<Self> {
        let plain = |values, order| Self {
            values,
            scales: None,
            order,
        };
        let Some(packed) = param.reparameterization::<Packed>() else {
            return Some(plain(contiguous(&param.val())?, order));
        };
        if decodes_first() {
            let values = contiguous(&packed.decode())?;
            return Some(plain(values, WeightOrder::OutIn));
        }
        let (words, scales, bits) = packed.parts();
        Some(Self {
            values: words.try_into_primitive::<CubeBackend>().ok()?,
            scales: Some(contiguous(&scales)?),
            order: WeightOrder::Packed(bits),
        })
    }
}

/// The value at output channel `line` and term `term` of a weight with so many `rows` and `terms`.
#[cube]
pub fn weight_at(
    values: &[u32],
    scales: ComptimeOption<&[f32]>,
    line: usize,
    term: usize,
    terms: usize,
    rows: usize,
    #[comptime] order: WeightOrder,
) -> f32 {
    #[comptime]
    match scales {
        ComptimeOption::Some(scales) => {
            let bits = comptime!(match order {
                WeightOrder::Packed(bits) => bits,
                _ => unreachable!("only packed weights have scales"),
            });
            let each = comptime!(32 / bits);
            let word = values[line * terms.div_ceil(each) + term / each];
            integer(word, term % each, bits) * scales[line * terms.div_ceil(BLOCK) + term / BLOCK]
        }
        ComptimeOption::None => {
            let at = if comptime!(order.terms_first()) {
                line * terms + term
            } else {
                term * rows + line
            };
            f32::reinterpret(values[at])
        }
    }
}
