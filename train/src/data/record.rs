//! What is known of one image.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::findings::{Finding, Labels};
use crate::data::location::{BoundingBox, Location, Side};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum AgeGroup {
    Adult,
    Child,
}

/// Reads an enum from the cell of a table.
macro_rules! cells {
    ($type:ident, $column:literal, $($cell:literal => $value:ident),+) => {
        impl FromStr for $type {
            type Err = String;

            fn from_str(cell: &str) -> Result<Self, String> {
                match cell {
                    $($cell => Ok(Self::$value),)+
                    other => Err(format!(concat!("has the ", $column, " {:?}"), other)),
                }
            }
        }
    };
}

cells!(Split, "split", "train" => Train, "val" => Val);
cells!(View, "view", "PA" => Pa, "AP" => Ap);
cells!(Sex, "sex", "M" => Male, "F" => Female);
cells!(AgeGroup, "age group", "adult" => Adult, "child" => Child);

/// A cell that may be empty.
///
/// # Errors
/// A sentence on what else is in it.
pub fn optional<T: FromStr<Err = String>>(cell: &str) -> Result<Option<T>, String> {
    match cell {
        "" => Ok(None),
        cell => cell.parse().map(Some),
    }
}

/// What is known of one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Path inside the data folder.
    pub file: String,
    /// Name of the source: `nih_chestxray14`, `kermany2018`, `mhh_covid19`, `vqa_rad`.
    pub dataset: String,
    /// Stable name of the patient.
    pub patient: String,
    /// Direction of the beam, where known.
    pub view: Option<View>,
    /// Sex, where known.
    pub sex: Option<Sex>,
    /// Age in full years, where known.
    pub age: Option<u32>,
    /// Adult or child, where known.
    pub age_group: Option<AgeGroup>,
    /// The findings: empty where nothing was found, `None` where nobody graded it.
    pub findings: Option<Vec<Finding>>,
    /// Who says so.
    pub labels: Labels,
    /// Findings that some label claims and that are not to be trusted: a prompt neither names nor
    /// denies them.
    pub doubtful: Vec<Finding>,
    /// Remarks of the source outside the vocabulary, `|` separated, e.g. `viral pneumonia`; empty
    /// for none.
    pub other: String,
    /// What clinicians wrote of this image, as sentences; empty for nothing.
    pub text: String,
    /// Boxes, in fractions of the image.
    pub boxes: Vec<BoundingBox>,
    /// Sides of findings without boxes, read off the image: see [`crate::data::sides`].
    pub sides: Vec<(Finding, Side)>,
    /// Whether left and right of the image are exchanged.
    pub mirrored: bool,
    /// Height and width in pixels of the stored image, of its largest centred square.
    pub native_size: u32,
}

impl Record {
    /// Whether somebody looked and found nothing at all.
    pub fn is_normal(&self) -> bool {
        let nothing = self.findings.as_ref().is_some_and(Vec::is_empty);
        nothing && self.doubtful.is_empty() && self.other.is_empty()
    }

    /// Where a finding is, by its boxes or else by [`Self::sides`].
    pub fn location(&self, finding: Finding) -> Location {
        let mut location = Location::of(finding, &self.boxes, self.labels);
        let read = self.sides.iter().find(|(of, _)| *of == finding);
        location.side = location.side.or(read.map(|(_, side)| *side));
        location
    }

    /// Whether a side is known of any finding.
    pub fn has_side(&self) -> bool {
        let findings = self.findings.iter().flatten();
        findings.copied().any(|f| self.location(f).side.is_some())
    }

    /// The record of the image with left and right exchanged.
    pub fn mirror(&self) -> Record {
        let boxes = self.boxes.iter().map(|b| BoundingBox {
            x: 1.0 - b.x - b.w,
            ..*b
        });
        let sides = self.sides.iter().map(|(of, side)| (*of, side.mirror()));
        Record {
            boxes: boxes.collect(),
            sides: sides.collect(),
            mirrored: !self.mirrored,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            findings: Some(vec![Finding::Effusion, Finding::Pneumonia]),
            boxes: vec![BoundingBox {
                finding: Finding::Effusion,
                x: 0.1,
                y: 0.5,
                w: 0.25,
                h: 0.25,
            }],
            sides: vec![
                (Finding::Effusion, Side::Left),
                (Finding::Pneumonia, Side::Left),
            ],
            ..Record::default()
        }
    }

    #[test]
    fn a_box_decides_before_a_side_that_was_read_off_the_image() {
        let record = record();
        assert_eq!(record.location(Finding::Effusion).side, Some(Side::Right));
        assert_eq!(record.location(Finding::Pneumonia).side, Some(Side::Left));
        assert_eq!(record.location(Finding::Mass).side, None);
        assert!(record.has_side());
    }

    #[test]
    fn mirroring_exchanges_the_sides_and_twice_is_not_at_all() {
        let mirrored = record().mirror();
        assert!(mirrored.mirrored);
        assert_eq!(mirrored.location(Finding::Effusion).side, Some(Side::Left));
        assert_eq!(
            mirrored.location(Finding::Pneumonia).side,
            Some(Side::Right)
        );
        let back = mirrored.mirror();
        assert!((back.boxes[0].x - 0.1).abs() < 1e-6 && !back.mirrored);
        assert_eq!(back.sides, record().sides);
    }

    #[test]
    fn normal_is_only_what_nobody_objects_to() {
        let normal = Record {
            findings: Some(vec![]),
            ..Record::default()
        };
        assert!(normal.is_normal());
        assert!(!Record::default().is_normal(), "nobody graded it");
        for objection in [
            Record {
                doubtful: vec![Finding::Edema],
                ..normal.clone()
            },
            Record {
                other: "Fracture".into(),
                ..normal.clone()
            },
        ] {
            assert!(!objection.is_normal());
        }
    }
}
