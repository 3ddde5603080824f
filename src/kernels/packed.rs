//! Weights that stay integers: what a bundle stores as q8 or q4 lies on a GPU as it is stored, and
//! kernels decode it as they read it. With their scales they take 9 or 5 bits each, and 32 in f32.
//!
//! To burn, such a weight is a parameter with a reparameterization: whoever asks for its value gets
//! it decoded, and only the kernels ask for the integers.

use burn::module::{Param, ParamId, Reparameterization};
use burn::prelude::*;

use crate::bundle::{BLOCK, Quantized, row_words};

/// A matrix of integers with a scale for each [`BLOCK`] of a row, in place of a parameter's value.
#[derive(Module, Debug)]
pub struct Packed {
    /// `[rows, words]`: see [`row_words`].
    words: Param<Tensor<2, Int>>,
    /// `[rows, blocks]`
    scales: Param<Tensor<2>>,
    /// Of one integer: 8 or 4.
    #[module(skip)]
    bits: usize,
    #[module(skip)]
    columns: usize,
    /// The parameter is `[columns, rows]`, as that of burn's linear layers.
    #[module(skip)]
    transposed: bool,
}

impl Reparameterization for Packed {
    const NAME: &'static str = "packed";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let weight = self.decode();
        let weight = if self.transposed {
            weight.swap_dims(0, 1)
        } else {
            weight
        };
        weight.reshape(base.dims())
    }
}

impl Packed {
    /// Brings a weight to a device, for a parameter that is its transpose where `transposed`.
    pub fn new(weight: &Quantized, transposed: bool, device: &Device) -> Self {
        let [rows, columns] = weight.size();
        let (bits, words) = (weight.bits(), weight.words());
        let words = TensorData::new(words, [rows, row_words(bits, columns)]);
        let scales: Vec<f32> = weight.scales.iter().map(|scale| scale.to_f32()).collect();
        let scales = TensorData::new(scales, [rows, columns.div_ceil(BLOCK)]);
        // In a pool of their own: weights stay, while everything else comes and goes.
        let words = device
            .memory_persistent_allocations(words, |data| Tensor::<2, Int>::from_data(data, device));
        let scales = device
            .memory_persistent_allocations(scales, |data| Tensor::<2>::from_data(data, device));
        Self::of(words, scales, bits, columns, transposed)
    }

    /// As a weight `[rows, columns]` of so many bits will lie, without values: for a dry run.
    #[cfg(feature = "gpu")]
    pub(crate) fn absent(
        (rows, columns): (usize, usize),
        bits: usize,
        transposed: bool,
        device: &Device,
    ) -> Self {
        let words = Tensor::empty([rows, row_words(bits, columns)], device);
        let scales = Tensor::empty([rows, columns.div_ceil(BLOCK)], device);
        Self::of(words, scales, bits, columns, transposed)
    }

    fn of(
        words: Tensor<2, Int>,
        scales: Tensor<2>,
        bits: usize,
        columns: usize,
        transposed: bool,
    ) -> Self {
        Self {
            words: Param::initialized(ParamId::new(), words),
            scales: Param::initialized(ParamId::new(), scales),
            bits,
            columns,
            transposed,
        }
    }

    /// `[rows, columns]`
    pub fn decode(&self) -> Tensor<2> {
        self.decoded(self.words.val(), self.scales.val())
    }

    /// The rows of these numbers, `[T]` to `[T, columns]`.
    pub fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        let words = self.words.val().select(0, numbers.clone());
        self.decoded(words, self.scales.val().select(0, numbers))
    }

    fn decoded(&self, words: Tensor<2, Int>, scales: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "gpu")]
        if let Some(weight) = super::gpu::decode(&words, &scales, self.bits, self.columns) {
            return weight;
        }
        plain(words, scales, self.bits, self.columns)
    }

    /// Integers, scales and bits.
    #[cfg(feature = "gpu")]
    pub(super) fn parts(&self) -> (Tensor<2, Int>, Tensor<2>, usize) {
        (self.words.val(), self.scales.val(), self.bits)
    }
}

/// Decodes with burn's own operations: `[rows, words]` and `[rows, blocks]` to `[rows, columns]`.
fn plain(words: Tensor<2, Int>, scales: Tensor<2>, bits: usize, columns: usize) -> Tensor<2> {
    let ([rows, width], [_, blocks]) = (words.dims(), scales.dims());
    let (each, zero) = (32 / bits, 1 << (bits - 1));
    let ints = (0..each).map(|i| {
        let shifted = words.clone().bitwise_right_shift_scalar((i * bits) as i32);
        shifted.bitwise_and_scalar((1 << bits) - 1)
    });
    let ints = Tensor::stack::<3>(ints.collect(), 2).reshape([rows, width * each]);
    let ints = (ints - zero).float().slice([0..rows, 0..columns]);
    let scales = scales
        .reshape([rows, blocks, 1])
        .expand([rows, blocks, BLOCK]);
    let scales = scales.reshape([rows, blocks * BLOCK]);
    ints * scales.slice([0..rows, 0..columns])
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;

    #[test]
    fn a_packed_weight_has_the_values_that_were_stored() {
        let device = Device::flex();
        for (shape, bits) in [([3, 33], 8), ([5, 8], 4), ([2, 77], 4), ([1, 1], 8)] {
            let [rows, columns] = shape;
            let data: Vec<f32> = (0..rows * columns).map(|i| (i as f32).sin()).collect();
            let stored = Quantized::encode("w", bits, columns, &data).unwrap();
            let read = |x: Tensor<2>| x.into_data().try_into_vec_as::<f32>().unwrap();
            let packed = Packed::new(&stored, false, &device);
            assert_eq!(read(packed.decode()), stored.decode());
            let last = Tensor::from_ints([rows as i32 - 1], &device);
            let expected = &stored.decode()[(rows - 1) * columns..];
            assert_eq!(read(packed.rows(last)), expected);
            let turned =
                Packed::new(&stored, true, &device).apply(Tensor::zeros([columns, rows], &device));
            assert_eq!(read(turned.swap_dims(0, 1)), stored.decode());
        }
    }
}
