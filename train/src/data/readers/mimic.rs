//! MIMIC-CXR-JPG (Johnson et al., PhysioNet): JPEGs and tables, with the reports of MIMIC-CXR
//! unpacked into the same folder.
//!
//! ```text
//! mimic-cxr-2.0.0-metadata.csv[.gz]   dicom_id, subject_id, study_id, ViewPosition, ...
//! mimic-cxr-2.0.0-split.csv[.gz]      dicom_id, split
//! files/p10/p10000032/s50414267.txt   the report (or below mimic-cxr-reports/)
//! files/p10/p10000032/s50414267/{dicom_id}.jpg
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use roentgen_web::error::{Error, Result};
use roentgen_web::{files, limits};
use serde::Deserialize;

use super::impression::impression;
use super::listing::{Caption, Listing, Pair};
use crate::data::tables::read_table;

#[derive(Deserialize)]
struct Image {
    dicom_id: String,
    subject_id: String,
    study_id: String,
    #[serde(rename = "ViewPosition")]
    view_position: String,
}

#[derive(Deserialize)]
struct Part {
    dicom_id: String,
    split: String,
}

/// `mimic-cxr-{version}-{name}.csv` or `.csv.gz`, of the newest version.
pub(super) fn table(dir: &Path, name: &str) -> Option<PathBuf> {
    let ends = [format!("-{name}.csv"), format!("-{name}.csv.gz")];
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let file = path.file_name().map(|n| n.to_string_lossy().into_owned());
            file.is_some_and(|f| {
                f.starts_with("mimic-cxr-") && ends.iter().any(|end| f.ends_with(end))
            })
        })
        .collect();
    found.sort();
    found.pop()
}

/// Frontal images of the training split whose reports have an impression: what RoentGen was trained
/// on.
pub(super) fn list(dir: &Path) -> Result<Listing> {
    let missing = |name: &str| {
        Error::config(
            dir.display().to_string(),
            format!("it has no mimic-cxr-2.0.0-{name}.csv.gz; download it from PhysioNet"),
        )
    };
    let mut listing = Listing::default();
    let mut splits = HashMap::new();
    let parts = table(dir, "split").ok_or_else(|| missing("split"))?;
    read_table(&parts, &mut listing.skipped, |row: Part| {
        splits.insert(row.dicom_id, row.split);
        Ok(())
    })?;
    // A study has one report and often two images.
    let mut texts: HashMap<PathBuf, Result<String, String>> = HashMap::new();
    let images = table(dir, "metadata").ok_or_else(|| missing("metadata"))?;
    read_table(&images, &mut listing.skipped, |row: Image| {
        let refuse = |why: String| Err((row.dicom_id.clone(), why));
        match splits.get(&row.dicom_id).map(String::as_str) {
            Some("train") => {}
            Some(other) => return refuse(format!("belongs to the split {other}")),
            None => return refuse("belongs to no split".into()),
        }
        match row.view_position.as_str() {
            "PA" | "AP" => {}
            "" => return refuse("has no view position".into()),
            other => return refuse(format!("is a {other} view")),
        }
        let Some(group) = row.subject_id.get(..2) else {
            return refuse("has no subject".into());
        };
        let patient = format!("files/p{group}/p{}", row.subject_id);
        let study = format!("{patient}/s{}", row.study_id);
        if let Err(why) = files::inside(dir, &format!("{study}/{}", row.dicom_id)) {
            return refuse(why);
        }
        let image = ["jpg", "dcm"].map(|kind| dir.join(format!("{study}/{}.{kind}", row.dicom_id)));
        let Some(path) = image.into_iter().find(|path| path.is_file()) else {
            return refuse("is not there".into());
        };
        let report =
            ["", "mimic-cxr-reports/"].map(|below| dir.join(format!("{below}{study}.txt")));
        let report = report.into_iter().find(|path| path.is_file());
        let Some(report) = report else {
            return refuse("has no report (unpack mimic-cxr-reports.zip beside the images)".into());
        };
        match texts.entry(report).or_insert_with_key(|path| read(path)) {
            Ok(text) => listing.pairs.push(Pair {
                path,
                caption: Caption::Text(text.clone()),
            }),
            Err(why) => return refuse(why.clone()),
        }
        Ok(())
    })?;
    Ok(listing)
}

fn read(report: &Path) -> Result<String, String> {
    let bytes = limits::read(report, limits::REPORT_BYTES).map_err(|e| e.to_string())?;
    // A stray byte of an old encoding spoils one letter, not the report.
    let text = String::from_utf8_lossy(&bytes);
    impression(&text).ok_or_else(|| "its report has no impression".into())
}
