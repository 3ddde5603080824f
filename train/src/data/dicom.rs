//! DICOM radiographs: their pixels, and what the header says of the patient.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, OpenFileOptions, Tag};
use image::GrayImage;
use roentgen_web::dicom::{fault, read::read};
use roentgen_web::image::contrast::narrow;

use crate::data::images::grey;
use crate::data::record::{AgeGroup, Record, Sex, View};

/// `Modality` of a projection radiograph: computed, digital, film scanned (PS3.3, C.7.3.1.1.1).
const RADIOGRAPHS: [&str; 3] = ["CR", "DX", "RG"];

/// Age from which a patient is grown up, in years.
const ADULT: u32 = 18;

/// Whether the file begins as DICOM files do: 128 bytes of anything, then `DICM`.
pub fn is_dicom(path: &Path) -> bool {
    let mut start = [0; 132];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && &start[128..] == b"DICM"
}

/// The image of a file, as [`roentgen_web::dicom::read`] has it, its contrast stretched.
///
/// # Errors
/// A sentence which says why this file is of no use.
pub fn read_grey(path: &Path) -> Result<GrayImage, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let found = read(&bytes)?;
    grey(
        narrow(&found.values),
        found.width as u32,
        found.height as u32,
    )
}

/// What the header says: view, sex and age. Nobody graded the image.
///
/// # Errors
/// A sentence which says why this file is of no use.
pub fn record(path: &Path, name: &str) -> Result<Record, String> {
    let header = OpenFileOptions::new()
        .read_until(tags::PIXEL_DATA)
        .open_file(path)
        .map_err(|e| fault(&e))?;
    let modality = text(&header, tags::MODALITY);
    if !modality.is_empty() && !RADIOGRAPHS.contains(&modality.as_str()) {
        return Err(format!("is of modality {modality}, not a radiograph"));
    }
    let view = match text(&header, tags::VIEW_POSITION).as_str() {
        "PA" => Some(View::Pa),
        "AP" => Some(View::Ap),
        "" => return Err("has no view position".into()),
        other => return Err(format!("is a {other} view")),
    };
    let age = years(&text(&header, tags::PATIENT_AGE));
    Ok(Record {
        file: name.into(),
        dataset: "dicom".into(),
        patient: text(&header, tags::PATIENT_ID),
        view,
        sex: match text(&header, tags::PATIENT_SEX).as_str() {
            "M" => Some(Sex::Male),
            "F" => Some(Sex::Female),
            _ => None,
        },
        age,
        age_group: age.map(|age| match age >= ADULT {
            true => AgeGroup::Adult,
            false => AgeGroup::Child,
        }),
        ..Record::default()
    })
}

/// An element's text without its padding; empty where there is none.
fn text(header: &DefaultDicomObject, tag: Tag) -> String {
    let element = header.element_opt(tag).ok().flatten();
    let text = element.and_then(|element| element.to_str().ok());
    text.map_or(String::new(), |t| t.trim_matches(['\0', ' ']).into())
}

/// An age string (`054Y`, `018M`, `003W`, `010D`; PS3.5, 6.2) in full years.
fn years(age: &str) -> Option<u32> {
    let (number, unit) = age.split_at_checked(age.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    let years = match unit {
        "Y" => number,
        "M" => number / 12,
        "W" => number / 52,
        "D" => number / 365,
        _ => return None,
    };
    (years <= 120).then_some(years)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_full_years() {
        for (age, expected) in [
            ("054Y", Some(54)),
            ("018M", Some(1)),
            ("003W", Some(0)),
            ("400D", Some(1)),
            ("999Y", None),
            ("54", None),
            ("Y", None),
            ("", None),
            ("ß", None),
        ] {
            assert_eq!(years(age), expected, "{age:?}");
        }
    }
}
