//! What the header of a DICOM radiograph says of the patient.

use std::io::{BufReader, Read};
use std::path::Path;

use dicom_dictionary_std::tags;
use roentgen_web::dicom::header::{self, Header};
use roentgen_web::limits;

use crate::data::record::{AgeGroup, Record, Sex, View};

/// `Modality` of a projection radiograph: computed, digital, film scanned (PS3.3, C.7.3.1.1.1).
const RADIOGRAPHS: [&str; 3] = ["CR", "DX", "RG"];

/// Age from which a patient is grown up, in years.
const ADULT: u32 = 18;

/// Oldest age that is believed, in years.
const OLDEST: u32 = 120;

/// Whether it is a regular file that begins as DICOM files do.
pub fn is_dicom(path: &Path) -> bool {
    let mut start = [0; 132];
    let file = limits::open(path).map(|(mut file, _)| file.read_exact(&mut start));
    matches!(file, Ok(Ok(()))) && header::is_dicom(&start)
}

/// What the header says: view, sex and age. Nobody graded the image. The second is what of it
/// cannot be read, if anything.
///
/// # Errors
/// The end of a sentence which says why this file is of no use.
pub fn record(path: &Path, name: &str) -> Result<(Record, Option<String>), String> {
    let (file, _) = limits::open(path).map_err(|e| e.to_string())?;
    let header = Header::read(BufReader::new(file))?;
    let text = |tag| header.text(tag).unwrap_or_default();
    let modality = text(tags::MODALITY);
    if !modality.is_empty() && !RADIOGRAPHS.contains(&modality.as_str()) {
        return Err(format!("is of modality {modality}, not a radiograph"));
    }
    let view = match text(tags::VIEW_POSITION).as_str() {
        "PA" => Some(View::Pa),
        "AP" => Some(View::Ap),
        "" => return Err("has no view position".into()),
        other => return Err(format!("is a {other} view")),
    };
    let stated = text(tags::PATIENT_AGE);
    let age = years(&stated);
    let unread = age.is_none() && !stated.is_empty();
    let record = Record {
        file: name.into(),
        dataset: "dicom".into(),
        patient: text(tags::PATIENT_ID),
        view,
        sex: match text(tags::PATIENT_SEX).as_str() {
            "M" => Some(Sex::Male),
            "F" => Some(Sex::Female),
            _ => None,
        },
        age,
        age_group: age.map(|age| {
            if age >= ADULT {
                AgeGroup::Adult
            } else {
                AgeGroup::Child
            }
        }),
        ..Record::default()
    };
    Ok((
        record,
        unread.then(|| "only its age, which cannot be read".into()),
    ))
}

/// An age string (`054Y`, `018M`, `003W`, `010D`; PS3.5, 6.2) in full years. Public data sets write
/// bare numbers of years.
fn years(age: &str) -> Option<u32> {
    let (number, unit) = age.split_at(age.trim_end_matches(|c: char| !c.is_ascii_digit()).len());
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u32 = number.parse().ok()?;
    let years = match unit {
        "Y" | "" => number,
        "M" => number / 12,
        "W" => number / 52,
        "D" => number / 365,
        _ => return None,
    };
    (years <= OLDEST).then_some(years)
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
            ("54", Some(54)),
            ("063", Some(63)),
            ("7", Some(7)),
            ("0540", None),
            ("+5", None),
            ("5 Y", None),
            ("54YY", None),
            ("Y", None),
            ("", None),
            ("ß", None),
        ] {
            assert_eq!(years(age), expected, "{age:?}");
        }
    }
}
