//! ChestX-Det: boxes that radiologists drew on images of NIH ChestX-ray14 (Lian et al., IEEE TMI
//! 2021).
//!
//! `images.csv` has the findings of each image, `boxes.csv` their boxes in pixels of a 1024-pixel
//! image. `file` is relative to the folder that holds both this folder and the images'.

use std::collections::HashMap;
use std::path::Path;

use roentgen_web::error::Result;
use serde::Deserialize;

use crate::data::findings::{Finding, Labels, NO_FINDING};
use crate::data::location::BoundingBox;
use crate::data::record::Record;
use crate::data::tables::{Skipped, read_table};

/// Side length in pixels in which `boxes.csv` counts.
const BOX_PIXELS: f32 = 1024.0;

/// What the radiologists say of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    findings: Vec<Finding>,
    /// What they looked for and our vocabulary has no word for, `|` separated.
    other: String,
    boxes: Vec<BoundingBox>,
}

#[derive(Deserialize)]
struct ImageRow {
    file: String,
    findings: String,
}

#[derive(Deserialize)]
struct BoxRow {
    file: String,
    label: String,
    x1: f32,
    y1: f32,
    x2: f32,
    y2: f32,
}

/// One of their thirteen labels in our vocabulary; `None` for fractures and calcifications.
fn finding(label: &str) -> Option<Finding> {
    match label {
        "Diffuse Nodule" => Some(Finding::Nodule),
        "Pleural Thickening" => Some(Finding::PleuralThickening),
        other => other.parse().ok(),
    }
}

/// Whether a folder holds this data set.
pub fn is(dir: &Path) -> bool {
    dir.join("images.csv").is_file() && dir.join("boxes.csv").is_file()
}

/// What is said of each image, by its file, and what could not be used.
///
/// # Errors
/// As [`read_table`].
pub fn read(dir: &Path) -> Result<(HashMap<String, Reading>, Vec<Skipped>)> {
    let (mut readings, mut skipped) = (HashMap::<String, Reading>::new(), vec![]);
    read_table(&dir.join("images.csv"), &mut skipped, |row: ImageRow| {
        let mut reading = Reading::default();
        let mut other = vec![];
        for label in row.findings.split('|').filter(|l| *l != NO_FINDING) {
            match finding(label) {
                Some(finding) if !reading.findings.contains(&finding) => {
                    reading.findings.push(finding);
                }
                Some(_) => {}
                None => other.push(label),
            }
        }
        reading.other = other.join("|");
        readings.insert(row.file, reading);
        Ok(())
    })?;
    read_table(&dir.join("boxes.csv"), &mut skipped, |row: BoxRow| {
        let Some(reading) = readings.get_mut(&row.file) else {
            return Err((row.file, "has a box but no row in images.csv".into()));
        };
        let Some(finding) = finding(&row.label) else {
            let why = format!("has a box of {}, which no prompt places", row.label);
            return Err((row.file, why));
        };
        let edges = [row.x1, row.y1, row.x2 - row.x1, row.y2 - row.y1].map(|v| v / BOX_PIXELS);
        let found = BoundingBox::new(finding, edges);
        reading.boxes.push(found.map_err(|why| (row.file, why))?);
        Ok(())
    })?;
    Ok((readings, skipped))
}

impl Reading {
    /// Replaces what reports were mined for by what the radiologists saw. Labels of kinds that they
    /// did not look for become doubtful: an infiltrate by its report may be their consolidation, or
    /// nothing.
    pub fn replace(self, record: &mut Record) {
        let mined = record.findings.take().unwrap_or_default();
        record.doubtful = mined.into_iter().filter(|f| !f.is_drawn()).collect();
        record.findings = Some(self.findings);
        record.other = self.other;
        record.boxes = self.boxes;
        record.labels = Labels::Radiologists;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::location::Side;

    #[test]
    fn radiologists_replace_mined_labels() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        write(
            "images.csv",
            "file,nih,findings,split\na.png,,Effusion|Fracture|Diffuse Nodule|Nodule,train\nb.png,,No Finding,train\n",
        );
        write(
            "boxes.csv",
            "file,label,x1,y1,x2,y2\na.png,Effusion,752,600,952,900\na.png,Fracture,1,1,9,9\nc.png,Mass,1,1,9,9\na.png,Nodule,0,0,2000,9\n",
        );
        assert!(is(dir.path()));
        let (mut readings, skipped) = read(dir.path()).unwrap();
        let reasons: Vec<&str> = skipped.iter().map(|s| s.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "has a box of Fracture, which no prompt places",
                "has a box but no row in images.csv",
                "has a box outside its image"
            ]
        );
        let mined = Record {
            findings: Some(vec![Finding::Infiltration, Finding::Mass]),
            ..Record::default()
        };
        let mut record = mined.clone();
        readings.remove("a.png").unwrap().replace(&mut record);
        assert_eq!(
            record.findings,
            Some(vec![Finding::Effusion, Finding::Nodule])
        );
        assert_eq!(record.doubtful, [Finding::Infiltration]);
        assert_eq!(record.other, "Fracture");
        assert_eq!(record.location(Finding::Effusion).side, Some(Side::Left));
        let mut free = mined;
        readings.remove("b.png").unwrap().replace(&mut free);
        assert_eq!(free.findings, Some(vec![]));
        assert!(!free.is_normal(), "an infiltrate is still claimed");
    }
}
