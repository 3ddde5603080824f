//! One radiograph file -> 8-bit grey pixels of the wanted size, with its contrast normalised.

use std::path::Path;

use image::{GrayImage, imageops::FilterType};

/// Percentile of the grey values which becomes black.
pub const BLACK_PERCENTILE: f64 = 1.0;
/// Percentile of the grey values which becomes white. Side markers and wires are brighter than anatomy and cover
/// less than half a percent of the image.
pub const WHITE_PERCENTILE: f64 = 99.5;
/// Narrowest range of grey values that is stretched to the full range (a gain of four at most), so that an almost
/// blank exposure does not turn into noise.
pub const MIN_RANGE: f32 = 64.0;

/// Reads a grey image of `size` x `size` pixels, and the width at which it was stored.
///
/// The contrast is stretched linearly from the 1st and 99.5th percentile to 0 and 255. All data sets get the same
/// treatment: it hardly changes the NIH images (whose percentiles are near 5 and 235), lifts the flat ones of the
/// Hannover set (about 90 and 210) and takes away most of the difference in exposure between the sources, which a
/// prompt could not ask for.
///
/// # Errors
/// A sentence which says why this file is of no use.
pub fn read_grey(path: &Path, size: u32) -> Result<(Vec<u8>, u32), String> {
    let image = image::open(path).map_err(|e| e.to_string())?.into_luma8();
    let native = image.width();
    if image.width() != image.height() {
        let (w, h) = image.dimensions();
        return Err(format!("is {w}x{h} pixels, not square"));
    }
    // Catmull-Rom widens its support when it reduces, so it does not alias, and rings less at bone edges than Lanczos.
    let image = if native == size {
        image
    } else {
        image::imageops::resize(&image, size, size, FilterType::CatmullRom)
    };
    let pixels = stretch(image);
    match pixels.iter().all(|p| *p == pixels[0]) {
        true => Err("is a single flat grey".into()),
        false => Ok((pixels, native)),
    }
}

/// Stretches the contrast as [`read_grey`] says.
fn stretch(image: GrayImage) -> Vec<u8> {
    let mut pixels = image.into_raw();
    let low = percentile(&pixels, BLACK_PERCENTILE);
    let high = percentile(&pixels, WHITE_PERCENTILE);
    let gain = 255.0 / (high - low).max(MIN_RANGE);
    for p in &mut pixels {
        // A float-to-integer cast saturates, which is the clipping wanted here.
        *p = ((f32::from(*p) - low) * gain).round() as u8;
    }
    pixels
}

/// Smallest grey value which at least `percent` % of the pixels do not exceed.
fn percentile(pixels: &[u8], percent: f64) -> f32 {
    let mut histogram = [0usize; 256];
    for p in pixels {
        histogram[usize::from(*p)] += 1;
    }
    let wanted = (pixels.len() as f64 * percent / 100.0).ceil() as usize;
    let mut seen = 0;
    for (value, count) in histogram.iter().enumerate() {
        seen += count;
        if seen >= wanted {
            return value as f32;
        }
    }
    255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_pixels() {
        let pixels: Vec<u8> = (0..200).collect();
        assert_eq!(percentile(&pixels, 1.0), 1.0);
        assert_eq!(percentile(&pixels, 99.5), 198.0);
    }

    #[test]
    fn a_flat_image_is_lifted_to_the_full_range() {
        let image = GrayImage::from_fn(64, 64, |x, _| image::Luma([90 + (x * 2) as u8]));
        let pixels = stretch(image);
        assert_eq!(pixels.iter().min(), Some(&0));
        assert_eq!(pixels.iter().max(), Some(&255));
    }

    #[test]
    fn the_gain_is_limited() {
        let image = GrayImage::from_fn(64, 64, |x, _| image::Luma([100 + (x / 32) as u8]));
        assert_eq!(stretch(image).iter().max(), Some(&4));
    }
}
