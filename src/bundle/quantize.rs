//! Block quantization: integers with one f16 scale for each block of a row, `weight = integer * scale`.
//!
//! A tensor is seen as `[rows, columns]` with `rows = shape[0]` and `columns` the product of the rest, which is the
//! reduction axis of a linear layer `[out, in]` and of a convolution `[out, in, kh, kw]`; a one-dimensional tensor is
//! one row. Each row is cut into blocks of [`BLOCK`] columns; the last may be shorter. q8 keeps one byte a weight; q4
//! two weights a byte, the first in the low nibble, each row starting a new byte.

use crate::{Error, Result};
use half::f16;

/// Weights that share a scale. 32 costs half a bit a weight in scales and is what GGML's Q8_0 and Q4_0 use.
pub const BLOCK: usize = 32;

/// Integers and scales of one tensor.
pub(crate) struct Quantized {
    /// q8: `[rows, columns]` two's complement; q4: `[rows, ceil(columns / 2)]`.
    pub ints: Vec<u8>,
    /// `[rows, ceil(columns / BLOCK)]`, each finite and above zero.
    pub scales: Vec<f16>,
}

/// `[rows, columns]` of a tensor's shape.
pub(crate) fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (1, *n),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    }
}

/// Bytes of one row of q4 integers.
pub(crate) fn q4_bytes(columns: usize) -> usize {
    columns.div_ceil(2)
}

/// Quantizes to integers -127..=127 with the scale that the largest weight of the block asks for.
///
/// # Errors
/// [`Error::Quantized`] if a weight is too large for an f16 scale; [`Error::NotFinite`] for NaN and infinity.
pub(crate) fn encode_q8(name: &str, columns: usize, data: &[f32]) -> Result<Quantized> {
    encode(name, columns, data, columns, |block, ints| {
        let scale = usable(largest(block) / 127.0);
        for (&x, int) in block.iter().zip(ints) {
            *int = round(x, scale, -127, 127) as u8;
        }
        scale
    })
}

/// Quantizes to integers -8..=7 with the scale that gives the least squared error among a small search.
///
/// # Errors
/// As [`encode_q8`].
pub(crate) fn encode_q4(name: &str, columns: usize, data: &[f32]) -> Result<Quantized> {
    encode(name, columns, data, q4_bytes(columns), |block, bytes| {
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
    columns: usize,
    data: &[f32],
    row_bytes: usize,
    block: impl Fn(&[f32], &mut [u8]) -> f16,
) -> Result<Quantized> {
    if data.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { name: name.into() });
    }
    let rows = data.len() / columns;
    let mut ints = vec![0; rows * row_bytes];
    let mut scales = Vec::with_capacity(rows * columns.div_ceil(BLOCK));
    let block_bytes = if row_bytes == columns {
        BLOCK
    } else {
        BLOCK / 2
    };
    for (row, ints) in data.chunks(columns).zip(ints.chunks_mut(row_bytes)) {
        for (weights, ints) in row.chunks(BLOCK).zip(ints.chunks_mut(block_bytes)) {
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
    Ok(Quantized { ints, scales })
}

/// Squared error of the best q4 scale: each candidate is refined to the least-squares scale of its own integers.
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

/// The scale as f16, rounded up so that it never clips and never is zero. Blocks of small weights have subnormal
/// scales: a reader has to widen them without flushing.
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

/// Weights of q8 rows. `ints` and `scales` fit `columns`, which the caller has checked.
///
/// # Errors
/// [`Error::Scale`] for a scale that is not finite or not above zero.
pub(crate) fn decode_q8(
    name: &str,
    columns: usize,
    ints: &[u8],
    scales: &[f16],
) -> Result<Vec<f32>> {
    check_scales(name, scales)?;
    let mut out = vec![0.0; ints.len()];
    let rows = ints
        .chunks(columns)
        .zip(scales.chunks(columns.div_ceil(BLOCK)));
    for (out, (ints, scales)) in out.chunks_mut(columns).zip(rows) {
        for (out, (ints, scale)) in out.chunks_mut(BLOCK).zip(ints.chunks(BLOCK).zip(scales)) {
            let scale = scale.to_f32();
            for (weight, &int) in out.iter_mut().zip(ints) {
                *weight = f32::from(int as i8) * scale;
            }
        }
    }
    Ok(out)
}

/// Weights of q4 rows. `ints` and `scales` fit `columns`, which the caller has checked.
///
/// # Errors
/// [`Error::Scale`] as for q8; [`Error::Quantized`] if the unused nibble of an odd row is not 8.
pub(crate) fn decode_q4(
    name: &str,
    columns: usize,
    ints: &[u8],
    scales: &[f16],
) -> Result<Vec<f32>> {
    check_scales(name, scales)?;
    let row_bytes = q4_bytes(columns);
    let mut out = vec![0.0; ints.len() / row_bytes * columns];
    let rows = ints
        .chunks(row_bytes)
        .zip(scales.chunks(columns.div_ceil(BLOCK)));
    for (out, (ints, scales)) in out.chunks_mut(columns).zip(rows) {
        for (out, (ints, scale)) in out
            .chunks_mut(BLOCK)
            .zip(ints.chunks(BLOCK / 2).zip(scales))
        {
            let scale = scale.to_f32();
            let weight = |nibble: u8| (f32::from(nibble) - 8.0) * scale;
            for (pair, &byte) in out.chunks_mut(2).zip(ints) {
                pair[0] = weight(byte & 15);
                match pair.get_mut(1) {
                    Some(second) => *second = weight(byte >> 4),
                    None if byte >> 4 == 8 => {}
                    None => {
                        let why = "the unused last nibble of a row is not 8".into();
                        return Err(Error::Quantized {
                            name: name.into(),
                            why,
                        });
                    }
                }
            }
        }
    }
    Ok(out)
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
mod tests {
    use super::*;

    /// Bell-shaped numbers, as weights are, without a random generator: sums of three sines.
    fn weights(n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| {
                (1..4)
                    .map(|k| ((i * k * k) as f32 * 0.7371 + k as f32).sin())
                    .sum::<f32>()
                    * 0.02
            })
            .collect()
    }

    fn relative(a: &[f32], b: &[f32]) -> f32 {
        let sum = |it: &mut dyn Iterator<Item = f32>| it.map(|x| x * x).sum::<f32>();
        (sum(&mut a.iter().zip(b).map(|(a, b)| a - b)) / sum(&mut a.iter().copied())).sqrt()
    }

    #[test]
    fn every_weight_is_within_half_a_scale_and_odd_rows_fit() {
        for columns in [1, 31, 32, 33, 64, 77] {
            let data = weights(columns * 5);
            let q8 = encode_q8("w", columns, &data).unwrap();
            let back = decode_q8("w", columns, &q8.ints, &q8.scales).unwrap();
            assert_eq!(back.len(), data.len());
            for (i, (x, y)) in data.iter().zip(&back).enumerate() {
                let block = i / columns * columns.div_ceil(BLOCK) + i % columns / BLOCK;
                assert!(
                    (x - y).abs() <= q8.scales[block].to_f32() * 0.5001,
                    "{columns} {i}: {x} {y}"
                );
            }
            assert!(relative(&data, &back) < 0.006);
            let q4 = encode_q4("w", columns, &data).unwrap();
            let back = decode_q4("w", columns, &q4.ints, &q4.scales).unwrap();
            assert_eq!(back.len(), data.len());
            assert!(
                relative(&data, &back) < 0.1,
                "{columns}: {}",
                relative(&data, &back)
            );
        }
    }

    #[test]
    fn searching_the_q4_scale_beats_the_largest_weight() {
        let data = weights(32 * 64);
        let q4 = encode_q4("w", 32, &data).unwrap();
        let searched = relative(&data, &decode_q4("w", 32, &q4.ints, &q4.scales).unwrap());
        let plain: Vec<f32> = data
            .chunks(32)
            .flat_map(|b| {
                let scale = largest(b) / 7.0;
                b.iter().map(move |x| (x / scale).round() * scale)
            })
            .collect();
        assert!(
            searched < relative(&data, &plain) * 0.97,
            "{searched} {}",
            relative(&data, &plain)
        );
    }

    #[test]
    fn zeros_and_tiny_weights_get_a_good_scale() {
        for data in [vec![0.0; 40], vec![1e-30; 40], vec![-1e-9; 40]] {
            for q in [
                encode_q8("w", 40, &data).unwrap(),
                encode_q4("w", 40, &data).unwrap(),
            ] {
                assert!(q.scales.iter().all(|s| s.is_finite() && *s > f16::ZERO));
            }
            let q = encode_q8("w", 40, &data).unwrap();
            let back = decode_q8("w", 40, &q.ints, &q.scales).unwrap();
            assert!(back.iter().zip(&data).all(|(a, b)| (a - b).abs() < 1e-7));
        }
    }

    #[test]
    fn what_cannot_be_stored_is_an_error() {
        assert_eq!(
            encode_q8("w", 2, &[1.0, f32::NAN]).err().unwrap().code(),
            "not-finite"
        );
        assert_eq!(
            encode_q4("w", 2, &[1.0, f32::INFINITY])
                .err()
                .unwrap()
                .code(),
            "not-finite"
        );
        assert_eq!(
            encode_q8("w", 2, &[1.0, 1e30]).err().unwrap().code(),
            "quantized"
        );
        assert_eq!(
            encode_q4("w", 2, &[1.0, 1e30]).err().unwrap().code(),
            "quantized"
        );
    }

    #[test]
    fn bad_scales_and_nibbles_are_errors() {
        for scale in [
            f16::NAN,
            f16::INFINITY,
            f16::ZERO,
            f16::NEG_ZERO,
            f16::from_f32(-1.0),
        ] {
            assert_eq!(
                decode_q8("w", 1, &[1], &[scale]).unwrap_err().code(),
                "scale"
            );
            assert_eq!(
                decode_q4("w", 1, &[0x81], &[scale]).unwrap_err().code(),
                "scale"
            );
        }
        assert_eq!(decode_q4("w", 1, &[0x81], &[f16::ONE]).unwrap(), [-7.0]);
        assert_eq!(
            decode_q4("w", 1, &[0x71], &[f16::ONE]).unwrap_err().code(),
            "quantized"
        );
    }
}
