//! A folder of DICOM files without a table: what is said of an image is what its header says (view,
//! sex, age).

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use roentgen_web::error::{Error, Result};

use super::listing::{Caption, Listing, Pair};
use crate::data::dicom;
use crate::data::tables::Skipped;

/// Whether there is a DICOM file in the folder or below it.
pub(super) fn any(dir: &Path) -> Result<bool> {
    Ok(files(dir)?.iter().any(|path| dicom::is_dicom(path)))
}

/// Every DICOM file in and below the folder, by name; other files are left out.
pub(super) fn list(dir: &Path) -> Result<Listing> {
    let read: Vec<_> = files(dir)?
        .into_par_iter()
        .map(|path| {
            let name = path.strip_prefix(dir).unwrap_or(&path);
            let name = name.display().to_string();
            let record = if dicom::is_dicom(&path) {
                dicom::record(&path, &name)
            } else {
                Err("is no DICOM file".into())
            };
            (path, name, record)
        })
        .collect();
    let mut listing = Listing::default();
    for (path, file, record) in read {
        match record {
            Ok((record, unread)) => {
                let skipped = unread.map(|reason| Skipped { file, reason });
                listing.skipped.extend(skipped);
                listing.pairs.push(Pair {
                    path,
                    caption: Caption::Record(Box::new(record)),
                });
            }
            Err(reason) => listing.skipped.push(Skipped { file, reason }),
        }
    }
    Ok(listing)
}

/// Every regular file in and below a folder, sorted. Links to folders are not followed, so that
/// none leads in a circle.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![dir.to_path_buf()], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            match entry.file_type().map_err(Error::io(&folder))? {
                kind if kind.is_dir() => folders.push(entry.path()),
                _ if entry.path().is_file() => files.push(entry.path()),
                _ => {} // a pipe, or a link to a folder or to nothing
            }
        }
    }
    files.sort();
    Ok(files)
}
