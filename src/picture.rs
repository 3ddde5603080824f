//! A picture's file -> pixels, upright and of bounded size: what `roentgen` and `train` read alike.
//!
//! The page leaves PNG, JPEG and WebP to the browser, which turns and limits them likewise; see
//! `web/engine/picture.js`.

use std::io::Cursor;
use std::panic;
use std::path::Path;

use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::dicom::read::{self, Radiograph, is_dicom};
use crate::image::{Image, contrast};
use crate::{Error, Result, limits};

/// A decoded picture.
pub enum Picture {
    /// DICOM.
    Radiograph(Radiograph),
    /// PNG, JPEG or WebP, turned as its EXIF says.
    Other(DynamicImage),
}

impl Picture {
    /// Reads a file, told from others by its first bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Picture`] where it cannot be decoded or has more than
    /// [`limits::PICTURE_PIXELS`].
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = limits::read(path, limits::PICTURE_BYTES)?;
        Self::decode(&bytes).map_err(|why| Error::Picture {
            file: path.display().to_string(),
            why,
        })
    }

    /// # Errors
    /// The end of a sentence on the file, on one line; also where a decoder panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let decoded = panic::catch_unwind(|| {
            if is_dicom(bytes) {
                read::read(bytes).map(Self::Radiograph)
            } else {
                decode(bytes).map(Self::Other)
            }
        });
        let decoded = decoded.unwrap_or_else(|_| Err("is damaged: its decoder gave up".into()));
        // Decoders write paragraphs.
        decoded.map_err(|why| why.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// As a viewer shows it, in 8 bits, grey or RGB: a radiograph in its window, 16 bits by those
    /// that are used, what is transparent on black.
    pub fn shown(self) -> DynamicImage {
        use DynamicImage::{ImageLuma8, ImageRgb8};
        let image = match self {
            Self::Radiograph(found) => {
                return ImageLuma8(grey(found.to_image().data, found.width, found.height));
            }
            Self::Other(image) => image,
        };
        let is_grey = !image.color().has_color();
        match (is_grey, is_wide(&image), image.color().has_alpha()) {
            (true, true, _) => {
                let image = image.into_luma16();
                let (width, height) = image.dimensions();
                ImageLuma8(grey(
                    contrast::by_bits_used(&image),
                    width as usize,
                    height as usize,
                ))
            }
            (false, true, _) => {
                let image = image.into_rgb16();
                let (width, height) = image.dimensions();
                let samples = contrast::by_bits_used(&image);
                ImageRgb8(RgbImage::from_raw(width, height, samples).expect("as many samples"))
            }
            (_, false, true) => {
                let mut image = image.into_rgba8();
                for pixel in image.pixels_mut() {
                    let opacity = u16::from(pixel[3]);
                    let shown = |sample: u8| ((u16::from(sample) * opacity + 127) / 255) as u8;
                    pixel.0 = [shown(pixel[0]), shown(pixel[1]), shown(pixel[2]), 255];
                }
                let image = DynamicImage::ImageRgba8(image);
                if is_grey {
                    ImageLuma8(image.into_luma8())
                } else {
                    ImageRgb8(image.into_rgb8())
                }
            }
            (true, false, false) => ImageLuma8(image.into_luma8()),
            (false, false, false) => ImageRgb8(image.into_rgb8()),
        }
    }

    /// Grey in 8 bits for training: what has more is stretched over the anatomy
    /// ([`contrast::narrow`]), with or without a window, as all data sets are stretched alike.
    pub fn stretched(self) -> GrayImage {
        match self {
            Self::Radiograph(found) => grey(found.stretched(), found.width, found.height),
            Self::Other(image) if is_wide(&image) => {
                let image = image.into_luma16();
                let (width, height) = image.dimensions();
                grey(contrast::narrow(&image, 0), width as usize, height as usize)
            }
            other => other.shown().into_luma8(),
        }
    }

    /// The middle of the picture in `width` times `height` pixels, in 8 bits, grey or RGB. It is
    /// cropped before it is resized, so that a picture of one pixel by millions does not grow.
    pub fn fit(self, width: u32, height: u32) -> Image {
        let picture = self.shown();
        let (w, h) = (u64::from(picture.width()), u64::from(picture.height()));
        let (width_, height_) = (u64::from(width), u64::from(height));
        // The largest part of the wanted shape, in whole pixels.
        let part = |pixels: u64, other: u64, ratio: u64, over: u64| {
            let wanted = (other * ratio + over / 2) / over;
            wanted.clamp(1, pixels) as u32
        };
        let (w, h) = (part(w, h, width_, height_), part(h, w, height_, width_));
        let (x, y) = ((picture.width() - w) / 2, (picture.height() - h) / 2);
        // Catmull-Rom widens its support when it reduces, so it does not alias, and rings less at
        // edges than Lanczos.
        let picture =
            picture
                .crop_imm(x, y, w, h)
                .resize_exact(width, height, FilterType::CatmullRom);
        let channels = usize::from(picture.color().channel_count());
        Image {
            width: width as usize,
            height: height as usize,
            channels,
            data: picture.into_bytes(),
        }
    }
}

/// PNG, JPEG or WebP.
fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|e| e.to_string())?;
    let is_jpeg = reader.format() == Some(ImageFormat::Jpeg);
    if reader.format() == Some(ImageFormat::WebP) {
        webp_is_whole(bytes)?;
    }
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if !(1..=limits::PICTURE_PIXELS).contains(&pixels) {
        return Err(format!(
            "is {width}x{height} pixels large, and at most {} are read",
            limits::PICTURE_PIXELS
        ));
    }
    if is_jpeg {
        limits::jpeg_scans(bytes, pixels)?;
    }
    // What is wrong with the EXIF is not wrong with the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Whether each chunk of a WebP file is in it: the decoder asks for as much memory as a chunk says
/// that it has.
///
/// # Errors
/// The end of a sentence on the file.
fn webp_is_whole(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes.get(12..).unwrap_or_default(); // "RIFF", a size, "WEBP"
    while let Some((head, after)) = rest.split_at_checked(8) {
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if size > after.len() {
            return Err("is cut off, or says of a part that it is larger than the file".into());
        }
        rest = after.get(size.next_multiple_of(2)..).unwrap_or_default();
    }
    Ok(())
}

/// Whether a sample has more than 8 bits.
fn is_wide(image: &DynamicImage) -> bool {
    image.color().bytes_per_pixel() > image.color().channel_count()
}

fn grey(pixels: Vec<u8>, width: usize, height: usize) -> GrayImage {
    GrayImage::from_raw(width as u32, height as u32, pixels).expect("a pixel for each")
}
