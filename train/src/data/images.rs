//! One radiograph file -> 8-bit grey pixels of the wanted size, with its contrast normalised.

use std::path::Path;

use image::{GrayImage, imageops, imageops::FilterType};
use roentgen_web::Error;
use roentgen_web::image::contrast::{BLACK_PERCENTILE, MIN_RANGE, WHITE_PERCENTILE, percentile};
use roentgen_web::picture::Picture;

/// How large an image is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// So many pixels, whatever is stored.
    Exactly(u32),
    /// So many pixels where that many are stored, else half as many, a quarter and so on: never
    /// enlarged.
    AtMost(u32),
}

impl Fit {
    /// Height and width for an image stored with `native` pixels.
    fn side(self, native: u32) -> u32 {
        match self {
            Fit::Exactly(size) => size,
            Fit::AtMost(size) => (0..32)
                .map(|halvings| size >> halvings)
                .find(|side| *side <= native)
                .unwrap_or(native),
        }
    }
}

/// A square grey image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grey {
    /// `[side, side]`, row by row, 0 is black.
    pub pixels: Vec<u8>,
    /// Height and width in pixels at which its largest centred square is stored.
    pub native: u32,
}

/// Reads the largest centred square of anything that a radiograph comes in: WebP, PNG, JPEG or
/// DICOM, told apart by their first bytes, in 8 or 16 bits.
///
/// The contrast is stretched linearly from the 1st and 99.5th percentile to 0 and 255. All data
/// sets get the same treatment: it hardly changes the NIH images (whose percentiles are near 5 and
/// 235), lifts the flat ones of the Hannover set (about 90 and 210) and takes away most of the
/// difference in exposure between the sources, which a prompt could not ask for.
///
/// # Errors
/// A sentence which says why this file is of no use.
pub fn read(path: &Path, fit: Fit) -> Result<Grey, String> {
    let image = open(path)?;
    let (w, h) = image.dimensions();
    let side = w.min(h);
    let square = imageops::crop_imm(&image, (w - side) / 2, (h - side) / 2, side, side);
    normalise(square.to_image(), fit)
}

/// The same pixels with left and right exchanged.
pub fn mirror(pixels: &[u8]) -> Vec<u8> {
    let side = pixels.len().isqrt();
    let rows = pixels.chunks_exact(side.max(1));
    rows.flat_map(|row| row.iter().rev().copied()).collect()
}

/// Anything that a radiograph comes in: WebP, PNG, JPEG or DICOM, told apart by their first bytes,
/// in 8 or 16 bits.
fn open(path: &Path) -> Result<GrayImage, String> {
    Picture::open(path)
        .map(Picture::stretched)
        .map_err(|error| match error {
            Error::Picture { why, .. } => why,
            // Without the file's name, so that many files with the same fault are counted together.
            Error::Io { source, .. } => source.to_string(),
            error => error.to_string(),
        })
}

/// 8-bit grey to -1 to 1.
pub fn to_unit(grey: u8) -> f32 {
    f32::from(grey) / 127.5 - 1.0
}

/// -1 to 1 to 8-bit grey.
pub fn to_grey(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

/// A square image at the wanted size with its contrast stretched.
fn normalise(image: GrayImage, fit: Fit) -> Result<Grey, String> {
    let native = image.width();
    if native == 0 {
        return Err("has no pixels".into());
    }
    let size = fit.side(native);
    // Catmull-Rom widens its support when it reduces, so it does not alias, and rings less at bone
    // edges than Lanczos.
    let image = if native == size {
        image
    } else {
        image::imageops::resize(&image, size, size, FilterType::CatmullRom)
    };
    let pixels = stretch(image);
    if pixels.iter().all(|p| *p == pixels[0]) {
        Err("is a single flat grey".into())
    } else {
        Ok(Grey { pixels, native })
    }
}

/// Stretches the contrast as [`read`] says.
fn stretch(image: GrayImage) -> Vec<u8> {
    let mut pixels = image.into_raw();
    let mut histogram = [0usize; 256];
    for p in &pixels {
        histogram[usize::from(*p)] += 1;
    }
    let low = percentile(&histogram, BLACK_PERCENTILE);
    let high = percentile(&histogram, WHITE_PERCENTILE);
    let gain = 255.0 / (high - low).max(MIN_RANGE);
    for p in &mut pixels {
        // A float-to-integer cast saturates, which is the clipping wanted here.
        *p = ((f32::from(*p) - low) * gain).round() as u8;
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_middle_of_a_wide_sixteen_bit_image_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wide"); // no extension: the first bytes decide
        let image = image::ImageBuffer::from_fn(96, 32, |x, y| {
            image::Luma([if (32..64).contains(&x) {
                100 * (y as u16 + 1)
            } else {
                4000
            }])
        });
        image
            .save_with_format(&path, image::ImageFormat::Png)
            .unwrap();
        let Grey { pixels, native } = read(&path, Fit::Exactly(32)).unwrap();
        assert_eq!(native, 32);
        assert!(pixels[..32].iter().all(|p| *p == pixels[0]));
        assert!(pixels[31 * 32] > pixels[0]);
    }

    #[test]
    fn small_images_are_not_enlarged_unless_one_size_is_wanted() {
        let side = |fit: Fit| [512, 256, 200, 128, 100].map(|native| fit.side(native));
        assert_eq!(side(Fit::AtMost(256)), [256, 256, 128, 128, 64]);
        assert_eq!(side(Fit::Exactly(256)), [256; 5]);
    }

    #[test]
    fn the_mirror_image_of_the_mirror_image_is_the_image() {
        let pixels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(mirror(&pixels), [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(mirror(&mirror(&pixels)), pixels);
    }
}
