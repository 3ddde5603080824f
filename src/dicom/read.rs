//! DICOM file -> grey values as a viewer shows them.

use dicom_dictionary_std::tags;
use dicom_object::from_reader;
use dicom_pixeldata::{
    ConvertOptions, DecodedPixelData, PhotometricInterpretation, PixelDecoder, VoiLutFunction,
    VoiLutOption, WindowLevelTransform,
};

use super::fault;
use crate::image::{Image, contrast};

/// Most pixels that are decoded, so that a damaged header cannot ask for gigabytes. Detectors have up to 20 million.
const MOST_PIXELS: u64 = 1 << 26;

/// A radiograph in 16 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Radiograph {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Row by row, 0 is black.
    pub values: Vec<u16>,
    /// Whether the file says which values are black and white; else the darkest and the brightest one are.
    pub windowed: bool,
}

/// Whether a file begins as DICOM files do: 128 bytes of anything, then `DICM`.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// The one grey image of a file: rescale slope and intercept applied, then the first window if there is one, then turned
/// over where low values are bright (`MONOCHROME1`), so that bones are white. 8 bits without a window are taken as they are.
///
/// Pixels may be uncompressed, deflated, RLE or JPEG.
///
/// # Errors
/// The end of a sentence on the file which says why it is of no use.
pub fn read(bytes: &[u8]) -> Result<Radiograph, String> {
    let file = from_reader(bytes).map_err(|e| fault(&e))?;
    let number = |tag| file.element(tag).ok()?.to_int::<u64>().ok();
    match (number(tags::COLUMNS), number(tags::ROWS)) {
        (Some(width), Some(height)) if (1..=MOST_PIXELS).contains(&(width * height)) => {}
        (Some(width), Some(height)) => return Err(format!("is {width}x{height} pixels large")),
        _ => return Err("has no image in it".into()),
    }
    match (number(tags::BITS_ALLOCATED), number(tags::BITS_STORED)) {
        (Some(all @ (8 | 16)), Some(used)) if (1..=all).contains(&used) => {}
        (all, used) => {
            let bits = |bits: Option<u64>| bits.map_or("no".into(), |bits| bits.to_string());
            return Err(format!("has {} of {} bits a pixel", bits(used), bits(all)));
        }
    }
    let pixels = file.decode_pixel_data().map_err(|e| {
        let why = fault(&e);
        match why.contains("ransfer syntax") || why.contains("TransferSyntax") {
            true => format!("has pixels that are stored in a way which is not read here; store them uncompressed first: {why}"),
            false => why,
        }
    })?;
    if pixels.number_of_frames() != 1 {
        return Err(format!("has {} frames, not one", pixels.number_of_frames()));
    }
    let bright_is_low = match pixels.photometric_interpretation() {
        PhotometricInterpretation::Monochrome1 => true,
        PhotometricInterpretation::Monochrome2 => false,
        other => return Err(format!("is {other}, not monochrome")),
    };
    let (mut values, windowed) = shown(&pixels).map_err(|e| fault(&e))?;
    if bright_is_low {
        values
            .iter_mut()
            .for_each(|value| *value = u16::MAX - *value);
    }
    Ok(Radiograph {
        width: pixels.columns() as usize,
        height: pixels.rows() as usize,
        values,
        windowed,
    })
}

/// Values from 0 to 65535, and whether the file says what is black and white.
fn shown(pixels: &DecodedPixelData<'_>) -> Result<(Vec<u16>, bool), dicom_pixeldata::Error> {
    let options = ConvertOptions::new().with_voi_lut(VoiLutOption::Identity);
    let values: Vec<f32> = pixels.to_vec_frame_with_options(0, &options)?;
    // A float-to-integer cast saturates, and takes what is no number as 0.
    let linear = |low: f32, high: f32| {
        let range = (high - low).max(f32::MIN_POSITIVE);
        let wide = |v: &f32| ((v - low) / range * f32::from(u16::MAX)).round() as u16;
        values.iter().map(wide).collect()
    };
    if let Some(window) = pixels.window()?.and_then(|windows| windows.first()) {
        let functions = pixels.voi_lut_function()?;
        let function = functions.and_then(|functions| functions.first());
        let function = function.copied().unwrap_or(VoiLutFunction::Linear);
        let window = WindowLevelTransform::new(function, *window);
        let wide = |v: &f32| window.apply(f64::from(*v), f64::from(u16::MAX)).round() as u16;
        return Ok((values.iter().map(wide).collect(), true));
    }
    if pixels.bits_allocated() == 8 {
        return Ok((linear(0.0, 255.0), true));
    }
    let finite = values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
    Ok((linear(low, high), false))
}

impl Radiograph {
    /// The same in 8 bits: as its window shows it, or stretched as [`contrast::narrow`] does.
    pub fn to_image(&self) -> Image {
        Image {
            width: self.width,
            height: self.height,
            channels: 1,
            data: match self.windowed {
                true => self
                    .values
                    .iter()
                    .map(|v| ((u32::from(*v) + 128) / 257) as u8)
                    .collect(),
                false => contrast::narrow(&self.values),
            },
        }
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
        assert_eq!(turned, [255, 255, 255, 127, 0, 0, 0, 0]);
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
