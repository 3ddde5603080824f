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
mod layout;
mod listing;
mod mimic;
mod table;
#[cfg(test)]
mod tests;

pub use layout::Layout;
pub use listing::{Caption, Listing, Pair};

use std::path::{Path, PathBuf};

use roentgen_web::error::{Error, Result};

use self::layout::unknown;
use crate::data::record::Split;
use crate::data::tables::{Skipped, summary};

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
    if !path.is_dir() {
        return Ok((Layout::of_table(path)?, path.into()));
    }
    if mimic::table(path, "metadata").is_some() {
        return Ok((Layout::MimicCxrJpg, path.into()));
    }
    let table = path.join("metadata.csv");
    if table.exists() {
        Ok((Layout::of_table(&table)?, table))
    } else if collection::is(path) {
        Ok((Layout::Collection, path.into()))
    } else if dicoms::any(path)? {
        Ok((Layout::Dicom, path.into()))
    } else {
        Err(unknown(path, "it has neither a table nor DICOM files"))
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
