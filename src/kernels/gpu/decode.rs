//! Weights that stay integers, decoded.

use burn::tensor::{Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::launch::{contiguous, empty, tensor};
use crate::bundle::BLOCK;

/// `[rows, words]` and `[rows, blocks]` to `[rows, columns]`.
pub fn decode(
    words: &Tensor<2, Int>,
    scales: &Tensor<2>,
    bits: usize,
    columns: usize,
) -> Option<Tensor<2>> {
    let scales = contiguous(scales)?;
    let words = into_contiguous(words.clone().try_into_primitive::<CubeBackend>().ok()?);
    let [rows, width] = [words.meta.shape()[0], words.meta.shape()[1]];
    let out = empty(&scales, [rows, columns]);
    // SAFETY: the kernel stays within `[rows, columns]`.
    unsafe {
        kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(width.div_ceil(UNITS) as u32, rows as u32, 1),
            CubeDim::new_1d(UNITS as u32),
            words.into_buffer_arg(),
            scales.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            width,
            columns,
            bits,
        );
    }
    Some(tensor(out))
}

/// Units of a workgroup of the decoding.
const UNITS: usize = 64;

/// Every unit decodes one word.
#[cube(launch_unchecked)]
fn kernel(
    words: &[u32],
    scales: &[f32],
    out: &mut [f32],
    width: usize,
    columns: usize,
    #[comptime] bits: usize,
) {
    let each = comptime!(32 / bits);
    let at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let row = CUBE_POS_Y as usize;
    if at < width {
        let word = words[row * width + at];
        let blocks = columns.div_ceil(BLOCK);
        let scale = scales[row * blocks + at * each / BLOCK];
        #[unroll]
        for i in 0..each {
            let column = at * each + i;
            if column < columns {
                out[row * columns + column] = integer(word, i, bits) * scale;
            }
        }
    }
}

/// Integer `i` of a word.
#[cube]
pub fn integer(word: u32, i: usize, #[comptime] bits: usize) -> f32 {
    let mask = comptime!((1u32 << bits) - 1);
    let zero = comptime!((1u32 << (bits - 1)) as f32);
    let shift = i as u32 * comptime!(bits as u32);
    f32::cast_from((word >> shift) & mask) - zero
}
