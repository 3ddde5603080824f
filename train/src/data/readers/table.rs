//! `metadata.csv` and `bboxes.csv`: findings in the vocabulary of NIH ChestX-ray14, and
//! radiologists' boxes.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use roentgen_web::error::Result;
use roentgen_web::files;
use serde::Deserialize;

use crate::data::findings::{Finding, NO_FINDING};
use crate::data::location::BoundingBox;
use crate::data::record::{Record, Split, optional};
use crate::data::tables::{Skipped, read_table};

/// Side length in pixels in which `bboxes.csv` counts.
const BOX_PIXELS: f32 = 256.0;

/// A row of `metadata.csv`; columns that are not named here are ignored.
#[derive(Deserialize)]
struct Row {
    file: String,
    dataset: String,
    patient: String,
    view: String,
    sex: String,
    age: String,
    age_group: String,
    findings: String,
    other: String,
    split: String,
}

/// A row of `bboxes.csv`, in pixels of a 256-pixel image.
#[derive(Deserialize)]
struct BoxRow {
    file: String,
    label: String,
    x: f32,
    y: f32,
    w: f32,
    h: f32,
}

/// The rows of one split of `metadata.csv` in `dir` with their boxes, images unread, and the rows
/// that make no sense.
///
/// # Errors
/// [`roentgen_web::Error::Io`] where a table cannot be opened, [`roentgen_web::Error::Config`]
/// where a column is missing.
pub fn records(dir: &Path, split: Split) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let mut skipped = Vec::new();
    let boxes = read_boxes(dir, &mut skipped)?;
    let mut rows = Vec::new();
    read_table(&dir.join("metadata.csv"), &mut skipped, |row: Row| {
        let (record, of) = parse(row, &boxes)?;
        if let Err(why) = files::inside(dir, &record.file) {
            return Err((record.file, why));
        }
        if of == split {
            rows.push(record);
        }
        Ok(())
    })?;
    Ok((rows, skipped))
}

/// Boxes by file; a folder without `bboxes.csv` has none.
fn read_boxes(dir: &Path, skipped: &mut Vec<Skipped>) -> Result<HashMap<String, Vec<BoundingBox>>> {
    let path = dir.join("bboxes.csv");
    let mut boxes: HashMap<String, Vec<BoundingBox>> = HashMap::new();
    if !path.exists() {
        return Ok(boxes);
    }
    read_table(&path, skipped, |row: BoxRow| {
        let edges = [row.x, row.y, row.w, row.h].map(|v| v / BOX_PIXELS);
        let found = Finding::from_str(&row.label).and_then(|f| BoundingBox::new(f, edges));
        let found = found.map_err(|why| (row.file.clone(), why))?;
        boxes.entry(row.file).or_default().push(found);
        Ok(())
    })?;
    Ok(boxes)
}

/// A row of the table -> a record, without its native size, and its split.
fn parse(
    row: Row,
    boxes: &HashMap<String, Vec<BoundingBox>>,
) -> Result<(Record, Split), (String, String)> {
    let read = || {
        let findings = match row.findings.as_str() {
            "" => None,
            NO_FINDING => Some(Vec::new()),
            names => Some(names.split('|').map(str::parse).collect::<Result<_, _>>()?),
        };
        let age = match row.age.as_str() {
            "" => None,
            years => match years.parse() {
                Ok(age @ 0..=120) => Some(age),
                // Without the age, so that many such rows have one reason.
                _ => return Err("has an age that is no number of years".into()),
            },
        };
        let record = Record {
            view: optional(&row.view)?,
            sex: optional(&row.sex)?,
            age,
            age_group: optional(&row.age_group)?,
            findings,
            boxes: boxes.get(&row.file).cloned().unwrap_or_default(),
            ..Record::default()
        };
        Ok((record, row.split.parse()?))
    };
    let (record, split) = read().map_err(|why: String| (row.file.clone(), why))?;
    let record = Record {
        file: row.file,
        dataset: row.dataset,
        patient: row.patient,
        other: row.other,
        ..record
    };
    Ok((record, split))
}
