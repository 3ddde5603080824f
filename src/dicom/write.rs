//! Image -> DICOM file that says that it is synthetic and what gave it.
//!
//! Sections are those of the DICOM standard (PS3.3: modules, PS3.5: values). Dates and times stay
//! empty: nobody was examined, and so the same image gives the same file.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use sha2::{Digest, Sha256};

use super::fault;
use crate::device::Backend;
use crate::origin::{NEGATIVE_PROMPT, PROMPT, texts};
use crate::{Error, Result, image::Image, pipeline::Request};

/// Longest values in characters (PS3.5, 6.2): LO, ST and LT.
const LONG_STRING: usize = 64;
const SHORT_TEXT: usize = 1024;
const LONG_TEXT: usize = 10240;

/// Encodes the image as Secondary Capture in 8 bits of grey, uncompressed.
///
/// `image` has 1, 3 or 4 channels; colours are mixed to grey. `model` is the model's name. `marked`
/// says that words are in the pixels. The prompts are in Image Comments, everything else that gave
/// the image in Derivation Description.
///
/// # Errors
/// [`Error::Dicom`] if the sizes and the pixels do not belong together.
pub fn encode(
    image: &Image,
    request: &Request,
    model: &str,
    engine: Option<Backend>,
    marked: bool,
) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::error::Error| Error::Dicom(fault(e));
    let (width, height) = (image.width, image.height);
    let bad = || {
        let (found, channels) = (image.data.len(), image.channels);
        Error::Dicom(format!(
            "{found} bytes are not {width}x{height} pixels of {channels} channels, at most 65535 each way"
        ))
    };
    if !matches!(image.channels, 1 | 3 | 4) || image.data.len() != width * height * image.channels {
        return Err(bad());
    }
    let side = |pixels: usize| u16::try_from(pixels).ok().filter(|&side| side > 0);
    let (columns, rows) = (side(width).ok_or_else(bad)?, side(height).ok_or_else(bad)?);
    let pixels = image.to_grey().data;

    let texts = texts(request, model, engine);
    let uid = |level: &str| uid(level, &texts, &pixels);
    let line = |(keyword, value): &(&str, String)| format!("{keyword}: {value}");
    let (prompts, settings): (Vec<_>, Vec<_>) = texts
        .iter()
        .partition(|(keyword, _)| [PROMPT, NEGATIVE_PROMPT].contains(keyword));
    let lines = |texts: Vec<&(&str, String)>, end: &str| {
        let lines: Vec<String> = texts.into_iter().map(line).collect();
        lines.join(end)
    };
    // Conversion types: synthetic, and workstation.
    let (patient, what, conversion) = match request.source {
        None => ("SYNTHETIC", "Synthetic image, not for diagnosis", "SYN"),
        Some(_) => (
            "EDITED",
            "Image edited by a model, not for diagnosis",
            "WSD",
        ),
    };
    // Of a picture that was given, nobody here knows what is written in it.
    let burned_in = match (marked, &request.source) {
        (true, _) => Some("YES"),
        (false, None) => Some("NO"),
        (false, Some(_)) => None,
    };

    let mut object = InMemDicomObject::new_empty();
    let mut put = |tag: Tag, vr: VR, value: PrimitiveValue| {
        object.put(DataElement::new(tag, vr, value));
    };
    for (tag, vr, value) in [
        // SOP Common (PS3.3, C.12.1); Synthetic Data is YES where "some or all of the content" is.
        (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
        (
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        ),
        (tags::SOP_INSTANCE_UID, VR::UI, &uid("instance")),
        (tags::SYNTHETIC_DATA, VR::CS, "YES"),
        // Patient and General Study (C.7.1.1, C.7.2.1)
        (tags::PATIENT_NAME, VR::PN, &format!("{patient}^IMAGE")),
        (tags::PATIENT_ID, VR::LO, patient),
        (tags::PATIENT_BIRTH_DATE, VR::DA, ""),
        (tags::PATIENT_SEX, VR::CS, ""),
        (tags::STUDY_INSTANCE_UID, VR::UI, &uid("study")),
        (tags::STUDY_DATE, VR::DA, ""),
        (tags::STUDY_TIME, VR::TM, ""),
        (tags::STUDY_ID, VR::SH, ""),
        (tags::STUDY_DESCRIPTION, VR::LO, what),
        (tags::ACCESSION_NUMBER, VR::SH, ""),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
        // General Series and SC Equipment (C.7.3.1, C.8.6.1)
        (tags::MODALITY, VR::CS, "OT"),
        (tags::SERIES_INSTANCE_UID, VR::UI, &uid("series")),
        (tags::SERIES_NUMBER, VR::IS, "1"),
        (tags::LATERALITY, VR::CS, ""),
        (tags::SERIES_DESCRIPTION, VR::LO, what),
        (tags::CONVERSION_TYPE, VR::CS, conversion),
        (
            tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER,
            VR::LO,
            "roentgen-web",
        ),
        (
            tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER_MODEL_NAME,
            VR::LO,
            &short(model),
        ),
        (
            tags::SECONDARY_CAPTURE_DEVICE_SOFTWARE_VERSIONS,
            VR::LO,
            env!("CARGO_PKG_VERSION"),
        ),
        // General Image (C.7.6.1)
        (tags::INSTANCE_NUMBER, VR::IS, "1"),
        (tags::PATIENT_ORIENTATION, VR::CS, ""),
        (tags::IMAGE_TYPE, VR::CS, r"DERIVED\SECONDARY"),
        (
            tags::DERIVATION_DESCRIPTION,
            VR::ST,
            &text(&lines(settings, "; "), SHORT_TEXT),
        ),
        (
            tags::IMAGE_COMMENTS,
            VR::LT,
            &text(&lines(prompts, "\r\n"), LONG_TEXT),
        ),
        // Image Pixel and VOI LUT (C.7.6.3, C.11.2): this window shows each value as it is.
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        (tags::WINDOW_CENTER, VR::DS, "128"),
        (tags::WINDOW_WIDTH, VR::DS, "256"),
    ] {
        put(tag, vr, value.into());
    }
    if let Some(burned_in) = burned_in {
        put(tags::BURNED_IN_ANNOTATION, VR::CS, burned_in.into());
    }
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        put(tag, VR::US, value.into());
    }
    put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels.into()));

    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = object.with_meta(meta).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|e| failed(&e))?;
    Ok(bytes)
}

/// A unique identifier that is the same for the same image: a UUID of version 8 (RFC 9562) from the
/// SHA-256 of all that is said of the image and of its pixels, in decimal below the root for UUIDs
/// (PS3.5, B.2).
fn uid(level: &str, texts: &[(&str, String)], pixels: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(level);
    for (keyword, value) in texts {
        hash.update(format!("\0{keyword}\0{value}"));
    }
    hash.update(pixels);
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.finalize()[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(uuid))
}

/// A text as ST and LT may have it: no control characters but the ends of lines, and of `most`
/// characters at most.
fn text(value: &str, most: usize) -> String {
    let allowed = |c: char| !c.is_control() || matches!(c, '\r' | '\n' | '\t');
    let clean = value.chars().map(|c| if allowed(c) { c } else { ' ' });
    clean.take(most).collect()
}

/// A text as LO may have it: one line, and no backslash, which would part two values.
fn short(value: &str) -> String {
    let allowed = |c: char| !c.is_control() && c != '\\';
    let clean = value.chars().map(|c| if allowed(c) { c } else { ' ' });
    clean.take(LONG_STRING).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::read::read;
    use crate::latents::img2img::Img2Img;

    fn image() -> Image {
        Image {
            width: 3,
            height: 3,
            channels: 1,
            data: (0..9).map(|i| i * 31).collect(),
        }
    }

    fn request(prompt: &str) -> Request {
        Request {
            prompt: prompt.into(),
            negative_prompt: String::new(),
            seed: u64::MAX,
            num_inference_steps: 20,
            guidance_scale: 3.5,
            scheduler: None,
            width: 3,
            height: 3,
            latents: None,
            source: None,
            words: false,
            selected_from: 1,
        }
    }

    /// The text of an element; `None` where it is not there.
    fn said(bytes: &[u8], tag: Tag) -> Option<String> {
        let file = dicom_object::from_reader(bytes).unwrap();
        let element = file.element_opt(tag).unwrap()?;
        Some(element.to_str().unwrap().into_owned())
    }

    #[test]
    fn pixels_and_origin_are_in_the_file() {
        let bytes = encode(&image(), &request("Erguß links.\0"), "A\\B", None, true).unwrap();
        let found = read(&bytes).unwrap();
        assert_eq!(found.to_image(), image());
        let said = |tag| said(&bytes, tag).unwrap();
        assert_eq!(
            said(tags::SOP_CLASS_UID),
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE
        );
        assert_eq!(said(tags::CONVERSION_TYPE), "SYN");
        assert_eq!(said(tags::SYNTHETIC_DATA), "YES");
        assert_eq!(said(tags::BURNED_IN_ANNOTATION), "YES");
        assert_eq!(said(tags::PATIENT_NAME), "SYNTHETIC^IMAGE");
        assert_eq!(
            said(tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER_MODEL_NAME),
            "A B"
        );
        assert_eq!(
            said(tags::IMAGE_COMMENTS),
            "Prompt: Erguß links. \r\nNegative prompt:"
        );
        let how = said(tags::DERIVATION_DESCRIPTION);
        for word in [
            "shows no person",
            "Seed: 18446744073709551615",
            "Steps: 20",
            "Guidance scale: 3.5",
            "Size: 3x3",
        ] {
            assert!(how.contains(word), "{word}: {how}");
        }
    }

    #[test]
    fn what_began_from_a_picture_does_not_say_that_it_shows_no_person() {
        let source = Some(Img2Img {
            image: image(),
            mask: None,
            strength: 0.5,
        });
        let edited = Request {
            source,
            ..request("")
        };
        let bytes = encode(&image(), &edited, "m", None, false).unwrap();
        let how = said(&bytes, tags::DERIVATION_DESCRIPTION).unwrap();
        assert!(
            how.contains("may show a person") && how.contains("Strength: 0.5"),
            "{how}"
        );
        assert_eq!(said(&bytes, tags::PATIENT_ID).unwrap(), "EDITED");
        assert_eq!(said(&bytes, tags::BURNED_IN_ANNOTATION), None);
    }

    #[test]
    fn identifiers_belong_to_the_image() {
        let ids = |image: &Image, prompt: &str| {
            let bytes = encode(image, &request(prompt), "m", None, false).unwrap();
            [
                tags::STUDY_INSTANCE_UID,
                tags::SERIES_INSTANCE_UID,
                tags::SOP_INSTANCE_UID,
            ]
            .map(|tag| said(&bytes, tag).unwrap())
        };
        let mut other = image();
        other.data[8] = 0;
        assert_eq!(ids(&image(), "a"), ids(&image(), "a"));
        let all = [ids(&image(), "a"), ids(&image(), "b"), ids(&other, "a")].concat();
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), 9);
        assert!(
            all.iter()
                .all(|uid| uid.len() <= 64 && uid.starts_with("2.25."))
        );
    }

    #[test]
    fn long_words_are_cut_and_wrong_sizes_refused() {
        let long = "ß".repeat(20_000);
        let bytes = encode(&image(), &request(&long), &long, None, false).unwrap();
        let length = |tag| said(&bytes, tag).unwrap().chars().count();
        assert_eq!(
            length(tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER_MODEL_NAME),
            LONG_STRING
        );
        assert_eq!(length(tags::DERIVATION_DESCRIPTION), SHORT_TEXT);
        assert_eq!(length(tags::IMAGE_COMMENTS), LONG_TEXT);
        for (width, height, channels) in [(3, 2, 1), (9, 1, 2), (0, 0, 1), (3, 3, 3)] {
            let bad = Image {
                width,
                height,
                channels,
                ..image()
            };
            assert_eq!(
                encode(&bad, &request(""), "m", None, false)
                    .unwrap_err()
                    .code(),
                "dicom"
            );
        }
    }
}
