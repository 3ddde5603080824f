//! A folder or table of somebody's radiographs -> which images there are and what is said of each.
//!
//! Each layout has a file of its own; all give a [`Listing`], and the images are read later, a few
//! at a time. Nothing that is wrong with a row or an image stops a run: it is left out, and the
//! reasons are printed with their counts.

mod captions;
mod chestx_det;
pub mod collection;
pub mod credits;
mod dicoms;
pub mod impression;
mod mimic;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use roentgen_web::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::data::prompts;
use crate::data::record::{Record, Split};
use crate::data::tables::{self, Skipped, summary};

/// What is said of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Caption {
    /// These words, every time.
    Text(String),
    /// What the tables say, in new words each time.
    Record(Box<Record>),
}

impl Caption {
    /// The tables' record, if it is one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Text(_) => None,
            Self::Record(record) => Some(record),
        }
    }

    /// The prompt; `seed` chooses among paraphrases.
    pub fn prompt(&self, seed: u64) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Record(record) => prompts::compose(record, seed),
        }
    }
}

/// An image that is still on disk, and what is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The image's file.
    pub path: PathBuf,
    /// Its caption.
    pub caption: Caption,
}

/// What a layout holds for training.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// In a stable order.
    pub pairs: Vec<Pair>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

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

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images{}", self.pairs.len(), summary(&self.skipped))
    }
}

/// Finds out how the data at `path` (a CSV file or a folder) lies, and lists its training split.
///
/// # Errors
/// [`Error::Config`] if it is none of the layouts or nothing in it can be used, [`Error::Io`] if it
/// cannot be read.
pub fn list(path: &Path) -> Result<(Layout, Listing)> {
    let (layout, table) = detect(path)?;
    let dir = match table.parent() {
        Some(dir) if path.is_file() => dir,
        _ => path,
    };
    let listing = match layout {
        Layout::Table | Layout::Collection => recorded(dir)?,
        Layout::Captions => captioned(dir, &table)?,
        Layout::MimicCxrJpg => mimic::list(dir)?,
        Layout::Dicom => dicoms::list(dir)?,
    };
    if listing.pairs.is_empty() {
        return Err(Error::config(
            path.display().to_string(),
            format!(
                "as {layout} it has nothing to train on{}",
                summary(&listing.skipped)
            ),
        ));
    }
    Ok((layout, listing))
}

/// The layout, and the table that describes the images (the folder itself where there is none).
fn detect(path: &Path) -> Result<(Layout, PathBuf)> {
    let unknown = |why: &str| {
        Error::config(
            path.display().to_string(),
            format!(
                "{why}; give a CSV with the columns file and text, or a folder with metadata.csv, with folders that have it, with MIMIC-CXR-JPG, or with DICOM files"
            ),
        )
    };
    if path.is_dir() {
        if mimic::table(path, "metadata").is_some() {
            return Ok((Layout::MimicCxrJpg, path.into()));
        }
        let table = path.join("metadata.csv");
        if !table.exists() {
            if collection::is(path) {
                return Ok((Layout::Collection, path.into()));
            }
            return if dicoms::any(path)? {
                Ok((Layout::Dicom, path.into()))
            } else {
                Err(unknown("it has neither a table nor DICOM files"))
            };
        }
        return detect(&table);
    }
    let (mut reader, _) = tables::open(path)?;
    let header = reader.headers().map_err(|e| unknown(&e.to_string()))?;
    let has = |names: &[&str]| names.iter().all(|name| header.iter().any(|h| h == *name));
    if has(&["file", "text"]) {
        Ok((Layout::Captions, path.into()))
    } else if has(&["file", "findings", "view", "split"]) {
        // The boxes lie beside it under a fixed name, and so does the table.
        if path.file_name().is_some_and(|name| name == "metadata.csv") {
            Ok((Layout::Table, path.into()))
        } else {
            Err(unknown("a table of findings must be named metadata.csv"))
        }
    } else {
        Err(unknown("its columns are not known"))
    }
}

/// The train split of one table of findings, or of several sources.
fn recorded(dir: &Path) -> Result<Listing> {
    let found = collection::read(dir, &Split::Train.into())?;
    let pairs = found.records.into_iter().map(|record| Pair {
        path: dir.join(&record.file),
        caption: Caption::Record(Box::new(record)),
    });
    Ok(Listing {
        pairs: pairs.collect(),
        skipped: found.sources.into_iter().flat_map(|s| s.skipped).collect(),
    })
}

/// The train split of a table of texts, which are taken as they are.
fn captioned(dir: &Path, table: &Path) -> Result<Listing> {
    let (records, skipped) = captions::records(table, Split::Train)?;
    let mut listing = Listing {
        pairs: vec![],
        skipped,
    };
    for record in records {
        if record.text.is_empty() {
            listing.skipped.push(Skipped {
                file: record.file,
                reason: "has no text".into(),
            })
        } else {
            listing.pairs.push(Pair {
                path: dir.join(&record.file),
                caption: Caption::Text(record.text),
            })
        }
    }
    Ok(listing)
}
