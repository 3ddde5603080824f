//! Pixel data -> stored values, of one grey frame in 8 or 16 bits (PS3.5, 8 and annex A).

use std::borrow::Cow;

use dicom_dictionary_std::uids;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use jpeg_decoder::{Decoder, PixelFormat};

use super::fault;
use super::header::{Header, PixelData, inflate};
use crate::limits;

/// What the pixel data must hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub width: usize,
    pub height: usize,
    /// Bytes of a pixel, 1 or 2.
    pub bytes: usize,
}

/// Retired, and still in archives.
const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

const SHORT: &str = "has fewer pixels than its size says";

/// The stored values row by row. Bits above those that are stored may be anything.
///
/// # Errors
/// The end of a sentence on the file which says why it is of no use.
pub(super) fn stored(header: &Header, file: &[u8], frame: Frame) -> Result<Vec<u16>, String> {
    let data = header.inflated.as_deref().unwrap_or(file);
    let PixelData { start, length } = header.pixel_data.ok_or("has no image in it")?;
    let value = usize::try_from(start)
        .ok()
        .and_then(|start| data.get(start..))
        .ok_or(SHORT)?;
    let value = value
        .get(..length.map_or(value.len(), |n| n as usize))
        .ok_or(SHORT)?;
    let fragments = || fragments(value);
    match (header.transfer_syntax.as_str(), length) {
        (EXPLICIT_VR_BIG_ENDIAN, Some(_)) => frame.widen(value, u16::from_be_bytes),
        (
            uids::IMPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_LITTLE_ENDIAN
            | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
            | "",
            Some(_),
        ) => frame.widen(value, u16::from_le_bytes),
        (uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN, _) => {
            frame.widen(&fragments()?, u16::from_le_bytes)
        }
        (uids::DEFLATED_IMAGE_FRAME_COMPRESSION, _) => {
            // A frame of an odd number of bytes is padded.
            let most = (frame.pixels() * frame.bytes + 1) as u64;
            frame.widen(&inflate(&*fragments()?, most)?, u16::from_le_bytes)
        }
        (uids::RLE_LOSSLESS, _) => rle(&fragments()?, frame),
        (
            uids::JPEG_BASELINE8_BIT
            | uids::JPEG_EXTENDED12_BIT
            | uids::JPEG_LOSSLESS
            | uids::JPEG_LOSSLESS_SV1,
            _,
        ) => jpeg(&fragments()?, frame),
        (uid, _) => {
            let name = TransferSyntaxRegistry
                .get(uid)
                .map_or("unknown", |syntax| syntax.name());
            Err(format!(
                "has pixels that are stored in a way which is not read here, {name} ({uid}); store them uncompressed first"
            ))
        }
    }
}

impl Frame {
    fn pixels(self) -> usize {
        self.width * self.height
    }

    /// Values from the bytes of uncompressed ones.
    fn widen(self, value: &[u8], word: fn([u8; 2]) -> u16) -> Result<Vec<u16>, String> {
        let value = value.get(..self.pixels() * self.bytes).ok_or(SHORT)?;
        Ok(match self.bytes {
            1 => value.iter().copied().map(u16::from).collect(),
            _ => value
                .chunks_exact(2)
                .map(|pair| word([pair[0], pair[1]]))
                .collect(),
        })
    }
}

/// The fragments of encapsulated pixel data, of one frame and so joined, without the table of
/// offsets before them (PS3.5, A.4).
fn fragments(mut data: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let mut joined: Option<Cow<'_, [u8]>> = None;
    let mut is_table = true;
    while let Some((head, rest)) = data.split_first_chunk::<8>() {
        let [0xfe, 0xff, 0x00, 0xe0, length @ ..] = *head else {
            break; // the delimiter, or the end of a file without one
        };
        let length = u32::from_le_bytes(length) as usize;
        let (fragment, rest) = rest
            .split_at_checked(length)
            .ok_or("is cut off in its pixels")?;
        data = rest;
        joined = match joined {
            _ if std::mem::take(&mut is_table) => None,
            None => Some(fragment.into()),
            Some(before) => {
                let mut before = before.into_owned();
                before.extend_from_slice(fragment);
                Some(before.into())
            }
        };
    }
    joined.ok_or_else(|| "has no image in it".into())
}

/// Run-length encoding (PS3.5, G): a header of 16 numbers, then a segment for each byte of a pixel,
/// the highest first.
fn rle(fragment: &[u8], frame: Frame) -> Result<Vec<u16>, String> {
    let number = |i: usize| {
        let bytes = fragment.get(4 * i..4 * i + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    if number(0) != Some(frame.bytes) {
        let found = number(0).map_or("no".into(), |n| n.to_string());
        return Err(format!("has {found} RLE segments, not {}", frame.bytes));
    }
    let mut values = vec![0; frame.pixels()];
    for segment in 1..=frame.bytes {
        let end = if segment == frame.bytes {
            Some(fragment.len())
        } else {
            number(segment + 1)
        };
        let range = number(segment).zip(end).map(|(start, end)| start..end);
        let coded = range.and_then(|range| fragment.get(range));
        unpack(coded.ok_or("is cut off in its pixels")?, &mut values).ok_or(SHORT)?;
    }
    Ok(values)
}

/// Shifts the bytes that PackBits (PS3.5, G.3.2) gives into the low ends of `values`. What follows
/// the last is not read.
fn unpack(mut coded: &[u8], mut values: &mut [u16]) -> Option<()> {
    while !values.is_empty() {
        let (control, rest) = coded.split_first()?;
        let control = *control as i8;
        let count = 1 + usize::from(control.unsigned_abs());
        coded = rest;
        if control == -128 {
            continue; // says nothing
        }
        let (filled, left) = values.split_at_mut(count.min(values.len()));
        (coded, values) = match control {
            0.. => {
                let (literal, rest) = rest.split_at_checked(filled.len())?;
                for (value, byte) in filled.iter_mut().zip(literal) {
                    *value = *value << 8 | u16::from(*byte);
                }
                (rest, left)
            }
            _ => {
                let (byte, rest) = rest.split_first()?;
                for value in filled {
                    *value = *value << 8 | u16::from(*byte);
                }
                (rest, left)
            }
        };
    }
    Some(())
}

/// JPEG in 8 bits, or lossless in up to 16.
fn jpeg(file: &[u8], frame: Frame) -> Result<Vec<u16>, String> {
    limits::jpeg_scans(file, frame.pixels() as u64)?;
    let mut decoder = Decoder::new(file);
    decoder.set_max_decoding_buffer_size(frame.pixels() * 2);
    decoder.read_info().map_err(|e| fault(&e))?;
    let info = decoder.info().ok_or("has a JPEG without a frame")?;
    let size = (usize::from(info.width), usize::from(info.height));
    if size != (frame.width, frame.height) {
        let (width, height) = size;
        return Err(format!(
            "has a JPEG of {width}x{height} pixels where the header says {}x{}",
            frame.width, frame.height
        ));
    }
    let data = decoder.decode().map_err(|e| fault(&e))?;
    match info.pixel_format {
        PixelFormat::L8 => Frame { bytes: 1, ..frame }.widen(&data, u16::from_ne_bytes),
        PixelFormat::L16 => Frame { bytes: 2, ..frame }.widen(&data, u16::from_ne_bytes),
        _ => Err("has a JPEG in colours".into()),
    }
}
