//! `metadata.csv`, `bboxes.csv` and a folder of images -> records and grey pixels in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rayon::prelude::*;
use roentgen_web::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::data::findings::{Finding, NO_FINDING};
use crate::data::images::read_grey;
use crate::data::location::BoundingBox;
pub use crate::data::tables::Skipped;
use crate::data::tables::{read_table, summary};

/// Side length in pixels in which `bboxes.csv` counts.
const BOX_PIXELS: f32 = 256.0;

/// Which part of the data; patients never appear in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Split {
    Train,
    Val,
}

/// Which way the beam went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum View {
    /// Posteroanterior: standing, the back to the tube.
    Pa,
    /// Anteroposterior: mostly in bed; small children too.
    Ap,
}

/// Sex of the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Sex {
    Male,
    Female,
}

/// Grown up or not (18 years).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum AgeGroup {
    Adult,
    Child,
}

/// What is known of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Path inside the data folder.
    pub file: String,
    /// Name of the source: `nih_chestxray14`, `kermany2018`, `mhh_covid19`.
    pub dataset: String,
    /// Stable name of the patient.
    pub patient: String,
    /// Direction of the beam.
    pub view: View,
    /// Sex, where known.
    pub sex: Option<Sex>,
    /// Age in full years, where known.
    pub age: Option<u32>,
    /// Adult or child, where known.
    pub age_group: Option<AgeGroup>,
    /// The findings: empty for a normal image, `None` where nobody graded it.
    pub findings: Option<Vec<Finding>>,
    /// Remarks of the source outside the vocabulary, e.g. `viral pneumonia`; empty for none.
    pub other: String,
    /// Boxes, in fractions of the image.
    pub boxes: Vec<BoundingBox>,
    /// Width in pixels in which the image is stored.
    pub native_size: u32,
}

/// One split in memory.
#[derive(Debug)]
pub struct Dataset {
    /// Side length of every image.
    pub size: usize,
    /// What is known of each image.
    pub records: Vec<Record>,
    /// Rows that could not be used.
    pub skipped: Vec<Skipped>,
    pixels: Vec<u8>,
}

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

impl Dataset {
    /// Reads the rows of one split and their images, brought to `size` x `size` pixels, in the table's order.
    ///
    /// A row or image that cannot be used is left out and noted in `skipped`.
    ///
    /// # Errors
    /// [`Error::Io`] where a table cannot be opened, [`Error::Config`] where a column is missing or no image is left.
    pub fn load(dir: &Path, size: usize, split: Split) -> Result<Dataset> {
        let (rows, mut skipped) = records(dir, split)?;
        let read: Vec<_> = rows
            .into_par_iter()
            .map(|record| (read_grey(&dir.join(&record.file), size as u32), record))
            .collect();
        let mut records = Vec::with_capacity(read.len());
        let mut pixels = Vec::with_capacity(read.len() * size * size);
        for (image, mut record) in read {
            match image {
                Ok((image, native)) => {
                    record.native_size = native;
                    pixels.extend(image);
                    records.push(record);
                }
                Err(reason) => skipped.push(Skipped {
                    file: record.file,
                    reason,
                }),
            }
        }
        if records.is_empty() {
            let why = match skipped.first() {
                Some(s) => format!(
                    "no image of the split is readable; the first: {} {}",
                    s.file, s.reason
                ),
                None => "metadata.csv has no row of this split".into(),
            };
            return Err(Error::Config {
                what: dir.display().to_string(),
                why,
            });
        }
        Ok(Dataset {
            size,
            records,
            skipped,
            pixels,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no image; `load` never gives such a one.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Grey pixels of one image, row by row: `[size, size]`, 0 is black.
    ///
    /// # Panics
    /// Where `index` is not below `len()`.
    pub fn image(&self, index: usize) -> &[u8] {
        let n = self.size * self.size;
        &self.pixels[index * n..][..n]
    }

    /// Counts by data set, view, age group, finding and native size, by their names, for the log.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for r in &self.records {
            let mut add = |kind: &str, name: String| {
                *counts.entry(format!("{kind} {name}")).or_insert(0) += 1
            };
            add("data set", r.dataset.clone());
            add("view", format!("{:?}", r.view).to_uppercase());
            add(
                "age group",
                r.age_group.map_or("unknown".into(), |g| format!("{g:?}")),
            );
            add("native size", r.native_size.to_string());
            match &r.findings {
                None => add("finding", "not graded".into()),
                Some(f) if f.is_empty() => add("finding", NO_FINDING.into()),
                Some(f) => f.iter().for_each(|f| add("finding", f.name().into())),
            }
        }
        counts
    }
}

/// One line for the log: how many were read and how many left out, by reason.
impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size;
        let left_out = summary(&self.skipped);
        write!(f, "{} images of {size}x{size} pixels{left_out}", self.len())
    }
}

/// The rows of one split of `metadata.csv` in `dir` with their boxes, images unread, and the rows that make no sense.
///
/// # Errors
/// [`Error::Io`] where a table cannot be opened, [`Error::Config`] where a column is missing.
pub fn records(dir: &Path, split: Split) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let mut skipped = Vec::new();
    let boxes = read_boxes(dir, &mut skipped)?;
    let mut rows = Vec::new();
    read_table(&dir.join("metadata.csv"), &mut skipped, |row: Row| {
        let (record, of) = parse(row, &boxes)?;
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
        let [x, y, w, h] = [row.x, row.y, row.w, row.h].map(|v| v / BOX_PIXELS);
        // The published boxes reach up to a pixel over the edge.
        let inside =
            |from: f32, length: f32| from >= -0.01 && length > 0.0 && from + length <= 1.01;
        if !inside(x, w) || !inside(y, h) {
            return Err((
                "a box".into(),
                format!("of {} lies outside its image", row.file),
            ));
        }
        let finding = Finding::from_str(&row.label).map_err(|why| (row.file.clone(), why))?;
        boxes.entry(row.file).or_default().push(BoundingBox {
            finding,
            x,
            y,
            w,
            h,
        });
        Ok(())
    })?;
    Ok(boxes)
}

/// A row of the table -> a record, without its native size, and its split.
fn parse(
    row: Row,
    boxes: &HashMap<String, Vec<BoundingBox>>,
) -> Result<(Record, Split), (String, String)> {
    let file = row.file.clone();
    let bad = |column: &str, value: &str| (file.clone(), format!("has the {column} {value:?}"));
    let split = match row.split.as_str() {
        "train" => Split::Train,
        "val" => Split::Val,
        other => return Err(bad("split", other)),
    };
    let findings = match row.findings.as_str() {
        "" => None,
        NO_FINDING => Some(Vec::new()),
        names => Some(
            names
                .split('|')
                .map(|name| name.parse().map_err(|why| (file.clone(), why)))
                .collect::<Result<Vec<Finding>, _>>()?,
        ),
    };
    let record = Record {
        view: match row.view.as_str() {
            "PA" => View::Pa,
            "AP" => View::Ap,
            other => return Err(bad("view", other)),
        },
        sex: match row.sex.as_str() {
            "M" => Some(Sex::Male),
            "F" => Some(Sex::Female),
            "" => None,
            other => return Err(bad("sex", other)),
        },
        age: match row.age.as_str() {
            "" => None,
            years => Some(
                years
                    .parse()
                    .ok()
                    .filter(|y| *y <= 120)
                    .ok_or_else(|| bad("age", years))?,
            ),
        },
        age_group: match row.age_group.as_str() {
            "adult" => Some(AgeGroup::Adult),
            "child" => Some(AgeGroup::Child),
            "" => None,
            other => return Err(bad("age group", other)),
        },
        boxes: boxes.get(&row.file).cloned().unwrap_or_default(),
        file: row.file,
        dataset: row.dataset,
        patient: row.patient,
        findings,
        other: row.other,
        native_size: 0,
    };
    Ok((record, split))
}

#[cfg(test)]
mod tests;
