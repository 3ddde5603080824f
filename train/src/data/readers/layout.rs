//! How data can lie on disk.

use std::fmt;
use std::path::Path;

use roentgen_web::error::{Error, Result};

use crate::data::tables;

/// How data lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `metadata.csv` and `bboxes.csv` with findings.
    Table,
    /// A folder of folders, each with such a table, a table of texts, or labels of ChestX-Det.
    Collection,
    /// A CSV with the columns `file` and `text`.
    Captions,
    /// MIMIC-CXR-JPG, with the reports of MIMIC-CXR.
    MimicCxrJpg,
    /// A folder of DICOM files, described by their own headers.
    Dicom,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "a table of findings (metadata.csv)",
            Self::Collection => "a folder of data sets",
            Self::Captions => "a table of texts (file, text)",
            Self::MimicCxrJpg => "MIMIC-CXR-JPG",
            Self::Dicom => "DICOM files",
        })
    }
}

impl Layout {
    /// That of a table, by its columns.
    pub(super) fn of_table(path: &Path) -> Result<Self> {
        let (mut reader, _) = tables::open(path)?;
        let header = reader.headers();
        let header = header.map_err(|e| unknown(path, &e.to_string()))?;
        let has = |names: &[&str]| names.iter().all(|name| header.iter().any(|h| h == *name));
        if has(&["file", "text"]) {
            Ok(Self::Captions)
        } else if has(&["file", "findings", "view", "split"]) {
            // The boxes lie beside it under a fixed name, and so does the table.
            if path.file_name().is_some_and(|name| name == "metadata.csv") {
                Ok(Self::Table)
            } else {
                let why = "a table of findings must be named metadata.csv";
                Err(unknown(path, why))
            }
        } else {
            Err(unknown(path, "its columns are not known"))
        }
    }
}

/// Data that lies in none of these ways.
pub(super) fn unknown(path: &Path, why: &str) -> Error {
    Error::config(
        path.display().to_string(),
        format!(
            "{why}; give a CSV with the columns file and text, or a folder with metadata.csv, with folders that have it, with MIMIC-CXR-JPG, or with DICOM files"
        ),
    )
}
