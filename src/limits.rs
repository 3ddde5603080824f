//! Every limit on what is brought in, in one place, each with its reason.

#[cfg(not(target_family = "wasm"))]
use crate::error::{Error, Result};
#[cfg(not(target_family = "wasm"))]
use std::{fs::File, io, io::Read, path::Path};

/// A file of at most `most` bytes. Pipes and devices, which may have no end, are not opened.
///
/// # Errors
/// [`Error::Io`].
#[cfg(not(target_family = "wasm"))]
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (file, length) = open(path)?;
    let found = match length <= most {
        // One more than allowed, as a file can grow while it is read.
        true => file
            .take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::io(path))? as u64,
        false => length,
    };
    match found <= most {
        true => Ok(bytes),
        false => Err(Error::io(path)(io::Error::other("it is too large"))),
    }
}

/// A regular file and its length in bytes.
///
/// # Errors
/// [`Error::Io`].
#[cfg(not(target_family = "wasm"))]
pub fn open(path: &Path) -> Result<(File, u64)> {
    // Asked before opening: opening a pipe waits for its other end.
    let data = std::fs::metadata(path).map_err(Error::io(path))?;
    if !data.is_file() {
        return Err(Error::io(path)(io::Error::other("it is no regular file")));
    }
    Ok((File::open(path).map_err(Error::io(path))?, data.len()))
}

// Pictures and DICOM.

/// Most pixels of a picture that is decoded. Detectors have up to 20 million, stitched films up to 60.
pub const PICTURE_PIXELS: u64 = 1 << 26;

/// Most bytes of a picture's file: [`PICTURE_PIXELS`] of 16 bits take half of it without compression.
pub const PICTURE_BYTES: u64 = 256 << 20;

/// Most bytes of a deflated DICOM data set: [`PICTURE_PIXELS`] of 16 bits, and 16 MB of everything else.
pub const DICOM_INFLATED_BYTES: u64 = 2 * PICTURE_PIXELS + (16 << 20);

/// Most bytes of a DICOM element that is kept: a look-up table has at most 65,536 entries of 2 bytes.
pub const DICOM_VALUE_BYTES: u32 = 1 << 17;

/// Most pixels of all scans of a JPEG together. A progressive file has about ten scans; one that is made to be slow has
/// thousands, of a few bytes each.
pub const JPEG_SCANNED_PIXELS: u64 = 1 << 30;

/// # Errors
/// The end of a sentence on the JPEG `file` of so many pixels, if decoding it would take too long.
pub fn jpeg_scans(file: &[u8], pixels: u64) -> Result<(), String> {
    const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
    let scans = file.windows(2).filter(|pair| *pair == START_OF_SCAN);
    let scans = scans.count() as u64;
    match scans.saturating_mul(pixels) > JPEG_SCANNED_PIXELS.max(10 * pixels) {
        true => Err(format!(
            "has {scans} scans of {pixels} pixels, which are too many"
        )),
        false => Ok(()),
    }
}

/// Most bytes of a file of latents: 64 channels of 512 x 512.
pub const LATENTS_BYTES: u64 = 64 << 20;

// Tables and texts of training data.

/// Most bytes of a row of a table; a report has a few thousand.
pub const ROW_BYTES: u64 = 1 << 20;

/// Most bytes of a report's file.
pub const REPORT_BYTES: u64 = 1 << 20;

/// Most bytes of an image's text. A text encoder hears 77 tokens, and the longest reports have 10,000 letters.
pub const CAPTION_BYTES: usize = 1 << 16;
