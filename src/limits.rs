//! How much of a stranger's file is read: every limit on bytes, counts and sizes, with its reason.
//!
//! A limit is a few times what the largest known model needs. What is beyond is refused before
//! memory is asked for.

#[cfg(not(target_family = "wasm"))]
use crate::error::{Error, Result};
#[cfg(not(target_family = "wasm"))]
use std::{fs::File, io::Read, path::Path};

/// Bytes of a JSON or text file of a model: manifests, configs, vocabularies, indices of shards.
/// The largest known are the tokenizers of CLIP, 4 MB; the manifest of Stable Diffusion XL would
/// have 1 MB.
pub const TEXT_BYTES: u64 = 16 << 20;

/// Bytes of the header of a safetensors file. Stable Diffusion XL in one file has 2,500 tensors in
/// 300 kB.
pub const HEADER_BYTES: u64 = 16 << 20;

/// Bytes of the pickle in a PyTorch file, which has names and shapes: 170 kB in Stable Diffusion,
/// three times that with the state of an optimizer. An opcode of one byte can take a hundred in
/// memory.
pub const PICKLE_BYTES: u64 = 4 << 20;

/// Largest number in a component's configuration. The largest known is a vocabulary, 49,408.
pub const CONFIG_NUMBER: u64 = 1 << 20;

/// Levels of a U-Net or an autoencoder, each of which halves the picture: 2048 pixels are 2^11.
pub const LEVELS: usize = 12;

/// Values of one tensor. 2^31 of them decode to 8 GiB, which is more than a browser can hold and 30
/// times Stable Diffusion's largest.
pub const TENSOR_VALUES: u64 = 1 << 31;

/// Tokens of a vocabulary and merges of a tokenizer: CLIP's has 49,408.
pub const VOCABULARY: usize = 1 << 18;

/// Bytes of one token of a vocabulary: CLIP's longest has 22 letters.
pub const TOKEN_BYTES: usize = 256;

/// Tokens that a tokenizer has beside its vocabulary: a few, or one for each learned word (textual
/// inversion).
pub const ADDED_TOKENS: usize = 4096;

/// Longest `model_max_length` of a tokenizer: CLIP's is 77. `transformers` writes 1e30 for
/// "unlimited", which no text encoder is.
pub const MODEL_MAX_LENGTH: usize = 4096;

// Pictures and DICOM.

/// Most pixels of a picture that is decoded. Detectors have up to 20 million, stitched films up to
/// 60.
pub const PICTURE_PIXELS: u64 = 1 << 26;

/// Most bytes of a picture's file: [`PICTURE_PIXELS`] of 16 bits take half of it without
/// compression.
pub const PICTURE_BYTES: u64 = 256 << 20;

/// Most bytes of a deflated DICOM data set: [`PICTURE_PIXELS`] of 16 bits, and 16 MB of everything
/// else.
pub const DICOM_INFLATED_BYTES: u64 = 2 * PICTURE_PIXELS + (16 << 20);

/// Most bytes of a DICOM element that is kept: a look-up table has at most 65,536 entries of 2
/// bytes.
pub const DICOM_VALUE_BYTES: u32 = 1 << 17;

/// Most pixels of all scans of a JPEG together. A progressive file has about ten scans; one that is
/// made to be slow has thousands, of a few bytes each.
pub const JPEG_SCANNED_PIXELS: u64 = 1 << 30;

/// # Errors
/// The end of a sentence on the JPEG `file` of so many pixels, if decoding it would take too long.
pub fn jpeg_scans(file: &[u8], pixels: u64) -> Result<(), String> {
    const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
    let scans = file.windows(2).filter(|pair| *pair == START_OF_SCAN);
    let scans = scans.count() as u64;
    if scans.saturating_mul(pixels) > JPEG_SCANNED_PIXELS.max(10 * pixels) {
        Err(format!(
            "has {scans} scans of {pixels} pixels, which are too many"
        ))
    } else {
        Ok(())
    }
}

/// Most bytes of a file of latents: 64 channels of 512 x 512.
pub const LATENTS_BYTES: u64 = 64 << 20;

// Tables and texts of training data.

/// Most bytes of a row of a table; a report has a few thousand.
pub const ROW_BYTES: u64 = 1 << 20;

/// Most bytes of a report's file.
pub const REPORT_BYTES: u64 = 1 << 20;

/// Most bytes of an image's text. A text encoder hears 77 tokens, and the longest reports have
/// 10,000 letters.
pub const CAPTION_BYTES: usize = 1 << 16;

/// Most bytes of the description of a run.
pub const RUN_BYTES: u64 = 1 << 20;

/// A file of at most `most` bytes. Pipes and devices, which may have no end, are not opened.
///
/// # Errors
/// [`Error::Io`]; [`Error::WrongFile`] for what is no regular file; [`Error::TooLarge`].
#[cfg(not(target_family = "wasm"))]
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (file, length) = open(path)?;
    let found = if length <= most {
        // One more than allowed, as a file can grow while it is read.
        let read = file.take(most + 1).read_to_end(&mut bytes);
        read.map_err(Error::io(path))? as u64
    } else {
        length
    };
    if found <= most {
        Ok(bytes)
    } else {
        Err(Error::TooLarge {
            file: path.display().to_string(),
            found,
            most,
        })
    }
}

/// As [`read`], for text.
///
/// # Errors
/// As [`read`]; [`Error::Utf8`].
#[cfg(not(target_family = "wasm"))]
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| Error::Utf8 {
        file: path.display().to_string(),
    })
}

/// A regular file and its length in bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::WrongFile`] for a folder, a pipe or a device.
#[cfg(not(target_family = "wasm"))]
pub fn open(path: &Path) -> Result<(File, u64)> {
    // Asked before opening: opening a pipe waits for its other end.
    let data = std::fs::metadata(path).map_err(Error::io(path))?;
    if !data.is_file() {
        let what = if data.is_dir() {
            "a folder where a file is expected"
        } else {
            "a pipe or a device; give a regular file"
        };
        return Err(Error::WrongFile {
            file: path.display().to_string(),
            what: what.into(),
        });
    }
    Ok((File::open(path).map_err(Error::io(path))?, data.len()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn endless_and_long_files_are_not_read() {
        let code = |path: &Path, most| read(path, most).unwrap_err().code();
        assert_eq!(code(Path::new("/dev/zero"), 9), "wrong-file");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(code(dir.path(), 9), "wrong-file");
        assert_eq!(code(&dir.path().join("none"), 9), "io");
        let long = dir.path().join("long");
        // Sparse: a terabyte that takes no room.
        File::create(&long).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(code(&long, 9), "too-large");
        let file = dir.path().join("file");
        std::fs::write(&file, "123456789").unwrap();
        assert_eq!(read(&file, 9).unwrap(), b"123456789");
        assert_eq!(code(&file, 8), "too-large");
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        assert_eq!(code(&pipe, 9), "wrong-file");
    }
}
