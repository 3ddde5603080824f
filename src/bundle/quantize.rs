//! Block quantization: integers with one f16 scale for each block of a row,
//! `weight = integer * scale`.
//!
//! A tensor is seen as `[rows, columns]` with `rows = shape[0]` and `columns` the product of the
//! rest, which is the reduction axis of a linear layer `[out, in]` and of a convolution
//! `[out, in, kh, kw]`; a one-dimensional tensor is one row. Each row is cut into blocks of
//! [`BLOCK`] columns; the last may be shorter. q8 keeps one byte a weight; q4 two weights a byte,
//! the first in the low nibble, each row starting a new byte.

use crate::{Error, Result};
use half::f16;

/// Weights that share a scale. 32 costs half a bit a weight in scales and is what GGML's Q8_0 and
/// Q4_0 use.
pub const BLOCK: usize = 32;

/// Integers and scales of one tensor, or of some of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Of one integer: 8 or 4.
    bits: usize,
    columns: usize,
    /// q8: `[rows, columns]` two's complement; q4: `[rows, ceil(columns / 2)]`.
    pub(crate) ints: Vec<u8>,
    /// `[rows, ceil(columns / BLOCK)]`, each finite and above zero.
    pub(crate) scales: Vec<f16>,
}

/// `[rows, columns]` of a tensor's shape.
pub(crate) fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (1, *n),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    }
}

/// Bytes of one row of integers.
pub(crate) fn row_bytes(bits: usize, columns: usize) -> usize {
    (columns * bits).div_ceil(8)
}

/// Quantizes to integers -127..=127 with the scale that the largest weight of the block asks for.
fn encode_q8(name: &str, columns: usize, data: &[f32]) -> Result<Quantized> {
    encode(name, 8, columns, data, |block, ints| {
        let scale = usable(largest(block) / 127.0);
        for (&x, int) in block.iter().zip(ints) {
            *int = round(x, scale, -127, 127) as u8;
        }
        scale
    })
}

/// Quantizes to integers -8..=7 with the scale that gives the least squared error among a small
/// search.
fn encode_q4(name: &str, columns: usize, data: &[f32]) -> Result<Quantized> {
    encode(name, 4, columns, data, |block, bytes| {
        let scale = search_q4(block);
        for (pair, byte) in block.chunks(2).zip(bytes) {
            // An odd row's last high nibble is 8, which reads as zero.
            let nibble = |i: usize| {
                pair.get(i)
                    .map_or(8, |&x| (round(x, scale, -8, 7) + 8) as u8)
            };
            *byte = nibble(0) | nibble(1) << 4;
        }
        scale
    })
}

fn encode(
    name: &str,
    bits: usize,
    columns: usize,
    data: &[f32],
    block: impl Fn(&[f32], &mut [u8]) -> f16,
) -> Result<Quantized> {
    if data.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { name: name.into() });
    }
    let rows = data.len() / columns;
    let row_bytes = row_bytes(bits, columns);
    let mut ints = vec![0; rows * row_bytes];
    let mut scales = Vec::with_capacity(rows * columns.div_ceil(BLOCK));
    for (row, ints) in data.chunks(columns).zip(ints.chunks_mut(row_bytes)) {
        for (weights, ints) in row.chunks(BLOCK).zip(ints.chunks_mut(BLOCK * bits / 8)) {
            let scale = block(weights, ints);
            if !scale.is_finite() {
                let why = format!("a weight of {} is too large to quantize", largest(weights));
                return Err(Error::Quantized {
                    name: name.into(),
                    why,
                });
            }
            scales.push(scale);
        }
    }
    Ok(Quantized {
        bits,
        columns,
        ints,
        scales,
    })
}

/// Squared error of the best q4 scale: each candidate is refined to the least-squares scale of its
/// own integers.
fn search_q4(block: &[f32]) -> f16 {
    let largest = largest(block);
    let mut best = (f32::INFINITY, usable(largest / 7.0));
    // The largest weight lands between 5.5 (clipped to 7 or 8 when that helps the others) and 8.5.
    for step in 0..=12 {
        let first = usable(largest / (5.5 + 0.25 * step as f32));
        let (mut xq, mut qq) = (0.0, 0.0);
        for &x in block {
            let q = round(x, first, -8, 7) as f32;
            xq += x * q;
            qq += q * q;
        }
        let refined = if qq > 0.0 && xq > 0.0 {
            usable(xq / qq)
        } else {
            first
        };
        for scale in [first, refined] {
            let error = |&x: &f32| (x - round(x, scale, -8, 7) as f32 * scale.to_f32()).powi(2);
            let error: f32 = block.iter().map(error).sum();
            if error < best.0 {
                best = (error, scale);
            }
        }
    }
    best.1
}

fn largest(block: &[f32]) -> f32 {
    block.iter().fold(0.0, |m: f32, x| m.max(x.abs()))
}

/// The scale as f16, rounded up so that it never clips and never is zero. Blocks of small weights
/// have subnormal scales: a reader has to widen them without flushing.
fn usable(scale: f32) -> f16 {
    let near = f16::from_f32(scale);
    if near.to_f32() < scale || near == f16::ZERO {
        f16::from_bits(near.to_bits() + 1)
    } else {
        near
    }
}

fn round(x: f32, scale: f16, low: i32, high: i32) -> i32 {
    ((x / scale.to_f32()).round() as i32).clamp(low, high)
}

impl Quantized {
    /// Quantizes rows to integers of 8 or 4 bits.
    ///
    /// # Errors
    /// [`Error::Quantized`] if a weight is too large for an f16 scale; [`Error::NotFinite`] for NaN
    /// and infinity.
    pub fn encode(name: &str, bits: usize, columns: usize, data: &[f32]) -> Result<Self> {
        match bits {
            8 => encode_q8(name, columns, data),
            _ => encode_q4(name, columns, data),
        }
    }

    /// Rows as they are stored. `ints` and `scales` fit `columns`, which the caller has checked.
    ///
    /// # Errors
    /// [`Error::Scale`] for a scale that is not finite or not above zero; [`Error::Quantized`] if
    /// the unused nibble of an odd row of q4 is not 8.
    pub(crate) fn new(
        name: &str,
        bits: usize,
        columns: usize,
        ints: &[u8],
        scales: Vec<f16>,
    ) -> Result<Self> {
        check_scales(name, &scales)?;
        let odd = bits == 4 && !columns.is_multiple_of(2);
        let mut ends = ints.chunks(row_bytes(bits, columns)).map(|row| row.last());
        if odd && ends.any(|end| end.is_some_and(|byte| byte >> 4 != 8)) {
            let why = "the unused last nibble of a row is not 8".into();
            return Err(Error::Quantized {
                name: name.into(),
                why,
            });
        }
        Ok(Self {
            bits,
            columns,
            ints: ints.to_vec(),
            scales,
        })
    }

    /// Bits of an integer: 8 or 4.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Rows and columns of the weight.
    pub fn size(&self) -> [usize; 2] {
        let rows = self.ints.len() / row_bytes(self.bits, self.columns);
        [rows, self.columns]
    }

    /// Puts more rows of the same tensor below.
    pub(crate) fn append(&mut self, below: Self) {
        self.ints.extend(below.ints);
        self.scales.extend(below.scales);
    }

    /// The weight's values, row by row.
    pub fn decode(&self) -> Vec<f32> {
        let [rows, columns] = self.size();
        let mut out = vec![0.0; rows * columns];
        let stored = self
            .ints
            .chunks(row_bytes(self.bits, columns))
            .zip(self.scales.chunks(columns.div_ceil(BLOCK)));
        for (out, (ints, scales)) in out.chunks_mut(columns).zip(stored) {
            let ints = ints.chunks(BLOCK * self.bits / 8);
            for (out, (ints, scale)) in out.chunks_mut(BLOCK).zip(ints.zip(scales)) {
                let scale = scale.to_f32();
                match self.bits {
                    8 => {
                        for (weight, &int) in out.iter_mut().zip(ints) {
                            *weight = f32::from(int as i8) * scale;
                        }
                    }
                    _ => {
                        for (pair, &byte) in out.chunks_mut(2).zip(ints) {
                            for (weight, nibble) in pair.iter_mut().zip([byte & 15, byte >> 4]) {
                                *weight = (f32::from(nibble) - 8.0) * scale;
                            }
                        }
                    }
                }
            }
        }
        out
    }

    /// The integers as kernels read them: [`row_words`] of 32 bits for each row, the first integer
    /// in the lowest bits, none below zero, as 128 is added in q8 and 8 in q4.
    pub(crate) fn words(&self) -> Vec<i32> {
        let sign = if self.bits == 8 { 0x80 } else { 0 };
        let word = |bytes: &[u8]| {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = from ^ sign;
            }
            i32::from_le_bytes(word)
        };
        let rows = self.ints.chunks(row_bytes(self.bits, self.columns));
        rows.flat_map(|row| row.chunks(4).map(word)).collect()
    }
}

/// Words of 32 bits that a row of integers fills.
pub(crate) fn row_words(bits: usize, columns: usize) -> usize {
    (columns * bits).div_ceil(32)
}

fn check_scales(name: &str, scales: &[f16]) -> Result<()> {
    let bad = |s: &f16| !s.is_finite() || *s <= f16::ZERO;
    match scales.iter().position(bad) {
        Some(block) => Err(Error::Scale {
            name: name.into(),
            block,
            scale: scales[block].to_f32(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
