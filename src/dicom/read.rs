//! DICOM file -> grey values as a viewer shows them.

use std::io::Cursor;

use dicom_dictionary_std::tags;

use super::grey::Grey;
use super::header::Header;
pub use super::header::is_dicom;
use super::pixels::{Frame, stored};
use crate::error::one_line;
use crate::image::{Image, contrast};
use crate::limits;

/// A radiograph in 16 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Radiograph {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Row by row, 0 is black.
    pub values: Vec<u16>,
    /// Whether the file says which values are black and white; else the darkest and the brightest
    /// one are.
    pub windowed: bool,
    /// How many pixels are padding around what was measured. They are 0.
    pub padded: usize,
}

/// The one grey image of a file after its whole grey-scale pipeline (`grey`), so that bones are
/// white.
///
/// Pixels may be uncompressed, deflated, RLE or JPEG (8 bits, or lossless).
///
/// # Errors
/// The end of a sentence on the file which says why it is of no use, on one line whatever the file
/// holds.
pub fn read(bytes: &[u8]) -> Result<Radiograph, String> {
    decode(bytes).map_err(|why| one_line(&why))
}

fn decode(bytes: &[u8]) -> Result<Radiograph, String> {
    let header = Header::read(Cursor::new(bytes))?;
    if header.pixel_data.is_none() {
        return Err("has no image in it".into());
    }
    let (width, height) = match (header.whole(tags::COLUMNS), header.whole(tags::ROWS)) {
        (Some(width), Some(height)) => (width, height),
        _ => return Err("does not say how large its image is".into()),
    };
    if !(1..=limits::PICTURE_PIXELS).contains(&width.saturating_mul(height)) {
        return Err(format!("is {width}x{height} pixels large"));
    }
    let allocated = match header.whole(tags::BITS_ALLOCATED) {
        Some(8) => 8,
        Some(16) => 16,
        Some(other) => return Err(format!("has {other} bits a pixel, not 8 or 16")),
        None => return Err("does not say how many bits a pixel has".into()),
    };
    match header.whole(tags::NUMBER_OF_FRAMES) {
        None | Some(1) => {}
        Some(frames) => return Err(format!("has {frames} frames, not one")),
    }
    let grey = Grey::new(&header, allocated)?;
    if header
        .whole(tags::SAMPLES_PER_PIXEL)
        .is_some_and(|n| n != 1)
    {
        return Err("is in colours, not monochrome".into());
    }
    let frame = Frame {
        width: width as usize,
        height: height as usize,
        bytes: allocated as usize / 8,
    };
    let mut values = stored(&header, bytes, frame)?;
    let padded = grey.show(&mut values);
    Ok(Radiograph {
        width: frame.width,
        height: frame.height,
        values,
        windowed: grey.windowed(),
        padded,
    })
}

impl Radiograph {
    /// The same in 8 bits: as its window shows it, or stretched.
    pub fn to_image(&self) -> Image {
        Image {
            width: self.width,
            height: self.height,
            channels: 1,
            data: if self.windowed {
                let eight = |v: &u16| ((u32::from(*v) + 128) / 257) as u8;
                self.values.iter().map(eight).collect()
            } else {
                self.stretched()
            },
        }
    }

    /// The values in 8 bits, stretched as [`contrast::narrow`] does.
    pub fn stretched(&self) -> Vec<u8> {
        contrast::narrow(&self.values, self.padded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_dictionary_std::uids;
    use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

    /// 4 x 2 pixels of 12 bits, 0 to 700, with more elements.
    fn file(photometric: &str, more: &[(dicom_core::Tag, VR, &str)]) -> Vec<u8> {
        stored(uids::EXPLICIT_VR_LITTLE_ENDIAN, photometric, more)
    }

    fn stored(
        transfer_syntax: &str,
        photometric: &str,
        more: &[(dicom_core::Tag, VR, &str)],
    ) -> Vec<u8> {
        let mut object = InMemDicomObject::new_empty();
        let texts = [
            (
                tags::SOP_CLASS_UID,
                VR::UI,
                uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
            ),
            (tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric),
        ];
        for (tag, vr, value) in texts.iter().chain(more) {
            object.put(DataElement::new(*tag, *vr, PrimitiveValue::from(*value)));
        }
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1u16),
            (tags::ROWS, 2),
            (tags::COLUMNS, 4),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 12),
            (tags::HIGH_BIT, 11),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
        let pixels: Vec<u16> = (0..8).map(|i| i * 100).collect();
        let pixels = PrimitiveValue::U16(pixels.into());
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, pixels));
        let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax);
        let mut bytes = Vec::new();
        object
            .with_meta(meta)
            .unwrap()
            .write_all(&mut bytes)
            .unwrap();
        bytes
    }

    const WINDOW: [(dicom_core::Tag, VR, &str); 3] = [
        (tags::RESCALE_SLOPE, VR::DS, "1"),
        (tags::RESCALE_INTERCEPT, VR::DS, "1000"),
        (tags::WINDOW_CENTER, VR::DS, "1300.5"),
    ];

    #[test]
    fn a_window_shows_its_values_and_low_ones_may_be_bright() {
        let more = [&WINDOW[..], &[(tags::WINDOW_WIDTH, VR::DS, "201")]].concat();
        let shown = read(&file("MONOCHROME2", &more)).unwrap();
        assert_eq!((shown.width, shown.height, shown.windowed), (4, 2, true));
        let grey = shown.to_image().data;
        assert_eq!(grey, [0, 0, 0, 128, 255, 255, 255, 255]); // 1200 is black, 1400 white
        let turned = read(&file("MONOCHROME1", &more)).unwrap().to_image().data;
        assert_eq!(turned, [255, 255, 255, 128, 0, 0, 0, 0]);
    }

    #[test]
    fn without_a_window_the_values_are_stretched() {
        let shown = read(&file("MONOCHROME2", &[])).unwrap();
        assert!(!shown.windowed);
        let grey = shown.to_image().data;
        assert_eq!((grey[0], grey[7]), (0, 255));
        assert!(
            grey.is_sorted() && grey[3] > 100 && grey[3] < 116,
            "{grey:?}"
        );
    }

    #[test]
    fn what_is_no_radiograph_is_refused_in_words() {
        let refused = |bytes: &[u8]| read(bytes).unwrap_err();
        assert!(refused(&file("RGB", &[])).contains("not monochrome"));
        let frames = [(tags::NUMBER_OF_FRAMES, VR::IS, "2")];
        assert!(!refused(&file("MONOCHROME2", &frames)).is_empty());
        let jpeg2000 = stored(uids::JPEG2000_LOSSLESS, "MONOCHROME2", &[]);
        let words = refused(&jpeg2000);
        assert!(
            words.contains("not read here") && words.contains(uids::JPEG2000_LOSSLESS),
            "{words}"
        );
        assert!(refused(b"words").len() > 3 && !is_dicom(b"words"));
        assert!(is_dicom(&file("MONOCHROME2", &[])));
    }

    #[test]
    fn a_damaged_file_is_refused_and_nothing_panics() {
        let good = file("MONOCHROME2", &WINDOW);
        for end in 0..good.len() - 16 {
            assert!(read(&good[..end]).is_err(), "{end} bytes");
        }
        // Sizes and bits that cannot be.
        let number = b"US\x02\x00";
        let numbers = good.windows(4).enumerate().filter(|(_, w)| w == number);
        let mut tried = 0;
        for (at, _) in numbers {
            for value in [0u16, 1, 0x7fff, 0xffff] {
                let mut bad = good.clone();
                bad[at + 4..at + 6].copy_from_slice(&value.to_le_bytes());
                let _ = read(&bad);
                tried += 1;
            }
        }
        assert_eq!(tried, 28);
    }
}
