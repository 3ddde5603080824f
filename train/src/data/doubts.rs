//! Labels mined from reports that a classifier does not believe. Of such labels 65 to 80 in 100 are
//! right when radiologists look again (Oakden-Rayner 2019, "Exploring large-scale public medical
//! image datasets"), so prompts leave the least credible ones out: neither named nor denied.

use std::path::Path;

use roentgen_web::error::Result;
use roentgen_web::files;
use serde::{Deserialize, Serialize};

use crate::data::findings::Labels;
use crate::data::record::Record;
use crate::data::tables::read_table;

/// File in a run's folder that lists them.
pub const FILE: &str = "doubtful.csv";

/// A label that is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The image, as in [`Record::file`].
    pub file: String,
    /// The finding, by its name in the data set's files.
    pub finding: String,
}

/// Writes the labels that are not believed.
///
/// # Errors
/// [`Error::Io`].
pub fn write(doubts: &[Doubt], path: &Path) -> Result<()> {
    let mut table = csv::Writer::from_writer(vec![]);
    for doubt in doubts {
        table.serialize(doubt).expect("plain text");
    }
    let bytes = table.into_inner().expect("memory does not fail");
    files::replace(path, bytes)
}

/// Moves the findings that the table at `path` lists to [`Record::doubtful`], and returns how many.
/// What radiologists drew is beyond doubt.
///
/// # Errors
/// As [`read_table`].
pub fn apply(path: &Path, records: &mut [Record]) -> Result<usize> {
    let mut doubts = std::collections::HashMap::<String, Vec<String>>::new();
    let mut skipped = vec![];
    read_table(path, &mut skipped, |doubt: Doubt| {
        doubts.entry(doubt.file).or_default().push(doubt.finding);
        Ok(())
    })?;
    let mut moved = 0;
    for record in records.iter_mut().filter(|r| r.labels == Labels::Reports) {
        let (Some(names), Some(findings)) = (doubts.get(&record.file), &mut record.findings) else {
            continue;
        };
        let boxes = &record.boxes;
        let doubtful = |f: &mut crate::data::findings::Finding| {
            names.iter().any(|name| name == f.name()) && boxes.iter().all(|b| b.finding != *f)
        };
        let before = record.doubtful.len();
        record.doubtful.extend(findings.extract_if(.., doubtful));
        moved += record.doubtful.len() - before;
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::findings::Finding;
    use crate::data::location::BoundingBox;

    #[test]
    fn doubtful_labels_of_reports_are_set_aside_and_boxes_are_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let doubt = |file: &str, finding: Finding| Doubt {
            file: file.into(),
            finding: finding.name().into(),
        };
        let doubts = [
            doubt("a", Finding::Edema),
            doubt("a", Finding::PleuralThickening),
            doubt("b", Finding::Edema),
            doubt("c", Finding::Edema),
        ];
        write(&doubts, &path).unwrap();
        let edema = |file: &str| Record {
            file: file.into(),
            findings: Some(vec![Finding::Edema, Finding::Mass]),
            ..Record::default()
        };
        let drawn = Record {
            labels: Labels::Radiologists,
            ..edema("b")
        };
        let boxed = Record {
            boxes: vec![BoundingBox::new(Finding::Edema, [0.1, 0.1, 0.1, 0.1]).unwrap()],
            ..edema("c")
        };
        let mut records = [edema("a"), drawn.clone(), boxed.clone(), edema("d")];
        assert_eq!(apply(&path, &mut records).unwrap(), 1);
        assert_eq!(records[0].findings, Some(vec![Finding::Mass]));
        assert_eq!(records[0].doubtful, [Finding::Edema]);
        assert_eq!(records[1..], [drawn, boxed, edema("d")]);
        assert!(!records[0].is_normal());
    }
}
