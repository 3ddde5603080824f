//! 16 bits of grey -> 8 that show the anatomy.

/// Percentile of the grey values which becomes black.
pub const BLACK_PERCENTILE: f64 = 1.0;
/// Percentile of the grey values which becomes white. Side markers and wires are brighter than
/// anatomy and cover less than half a percent of the image.
pub const WHITE_PERCENTILE: f64 = 99.5;
/// Narrowest range of 256 grey values that is stretched to the full range (a gain of four at most),
/// so that an almost blank exposure does not turn into noise.
pub const MIN_RANGE: f32 = 64.0;

/// 16 bits to 8: the values between [`BLACK_PERCENTILE`] and [`WHITE_PERCENTILE`], however few of
/// the bits are used. As many zeros as `padded` says are no part of the picture and do not count.
pub fn narrow(values: &[u16], padded: usize) -> Vec<u8> {
    let mut histogram = vec![0usize; 1 << 16];
    for value in values {
        histogram[usize::from(*value)] += 1;
    }
    histogram[0] = histogram[0].saturating_sub(padded);
    let low = percentile(&histogram, BLACK_PERCENTILE);
    let high = percentile(&histogram, WHITE_PERCENTILE);
    // The bits that are used at all are the full range, as 8 bits are in an 8-bit file.
    let gain = 255.0 / (high - low).max(MIN_RANGE / 256.0 * (f32::from(white(values)) + 1.0));
    // A float-to-integer cast saturates, which is the clipping wanted here.
    let grey = |v: &u16| ((f32::from(*v) - low) * gain).round() as u8;
    values.iter().map(grey).collect()
}

/// 16 bits to 8: white is the largest number of the bits that are used, 8 at least, as white is 255
/// in a file of 8 bits.
pub fn by_bits_used(values: &[u16]) -> Vec<u8> {
    let white = u32::from(white(values));
    let eight = |v: &u16| ((u32::from(*v) * 255 + white / 2) / white) as u8;
    values.iter().map(eight).collect()
}

/// The largest number of as many bits as the values use, 8 at least.
fn white(values: &[u16]) -> u16 {
    let brightest = values.iter().max().copied().unwrap_or(0);
    u16::MAX >> brightest.max(255).leading_zeros()
}

/// Smallest grey value which at least `percent` % of the pixels do not exceed, from the number of
/// pixels of each value.
pub fn percentile(histogram: &[usize], percent: f64) -> f32 {
    let pixels: usize = histogram.iter().sum();
    let wanted = (pixels as f64 * percent / 100.0).ceil() as usize;
    let mut seen = 0;
    for (value, count) in histogram.iter().enumerate() {
        seen += count;
        if seen >= wanted {
            return value as f32;
        }
    }
    histogram.len() as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_pixels() {
        let mut histogram = [0; 256];
        histogram[..200].fill(1);
        assert_eq!(percentile(&histogram, 1.0), 1.0);
        assert_eq!(percentile(&histogram, 99.5), 198.0);
    }

    #[test]
    fn twelve_bits_in_sixteen_keep_their_shades() {
        let shades: std::collections::BTreeSet<u8> = narrow(&(0..4096).collect::<Vec<_>>(), 0)
            .into_iter()
            .collect();
        assert_eq!(shades.len(), 256);
        assert!(narrow(&[2000; 4096], 0).iter().all(|p| *p == 0));
    }
}
