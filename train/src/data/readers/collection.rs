//! Everything that a data folder holds: one table of findings, or a folder of folders of which each
//! is a source.
//!
//! A sub-folder is a source of images if it holds `metadata.csv` with findings or texts, and a
//! source of labels if it is ChestX-Det. Where two sources have the same image of the same patient,
//! the one with more pixels stays.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};
use std::fmt;
use std::path::Path;

use roentgen_web::error::{Error, Result};

use super::layout::Layout;
use super::{captions, chestx_det, table};
use crate::data::record::{Record, Split};
use crate::data::tables::{Skipped, summary};

/// Sources whose images are squeezed to a square and equalised: sharp, and of no use to a model
/// that has prompts.
const DETAIL_ONLY: [&str; 1] = ["kermany_512_equalised"];

/// What images are wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Images with something to say of them.
    #[default]
    Prompts,
    /// All images, for an autoencoder.
    Detail,
}

/// Which part of a data folder is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Train or val.
    pub split: Split,
    /// What for.
    pub purpose: Purpose,
    /// Names of the sub-folders to read; `None` for all that are there.
    pub sources: Option<&'a [String]>,
}

/// What one source gave, and what it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its folder's name; empty if it is the data folder itself.
    pub folder: String,
    /// Images it gave, or images it gave labels of.
    pub used: usize,
    /// `images`, or what else it gives.
    pub gives: &'static str,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// Records of every source, images unread.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// In the order of the sources' names; files relative to the data folder.
    pub records: Vec<Record>,
    /// Where they come from.
    pub sources: Vec<Source>,
}

impl From<Split> for Selection<'_> {
    /// Everything of a split that has something to say.
    fn from(split: Split) -> Self {
        Self {
            split,
            purpose: Purpose::Prompts,
            sources: None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = match self.folder.as_str() {
            "" => "metadata.csv",
            folder => folder,
        };
        let left_out = summary(&self.skipped);
        write!(f, "{folder}: {} {}{left_out}", self.used, self.gives)
    }
}

/// Whether a folder without a table of its own has sub-folders with tables.
pub(super) fn is(dir: &Path) -> bool {
    folders(dir).is_ok_and(|found| !found.is_empty())
}

/// The sub-folders that are sources, by name.
fn folders(dir: &Path) -> Result<BTreeMap<String, Option<Layout>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        let name = path.file_name().unwrap_or_default().display().to_string();
        if chestx_det::is(&path) {
            found.insert(name, None);
        } else if path.join("metadata.csv").is_file() {
            found.insert(name, Some(Layout::of_table(&path.join("metadata.csv"))?));
        }
    }
    Ok(found)
}

/// The rows of the selection in `dir`.
///
/// # Errors
/// [`Error::Io`] where a table cannot be opened, [`Error::Config`] where a column is missing or a
/// source is not there.
pub fn read(dir: &Path, selection: &Selection) -> Result<Collection> {
    let mut collection = Collection::default();
    if dir.join("metadata.csv").is_file() {
        let (records, skipped) = table::records(dir, selection.split)?;
        collection.add("", records, skipped);
        return Ok(collection);
    }
    let mut found = folders(dir)?;
    if let Some(wanted) = selection.sources {
        if let Some(name) = wanted.iter().find(|name| !found.contains_key(*name)) {
            let there: Vec<&str> = found.keys().map(String::as_str).collect();
            return Err(Error::config(
                dir.display().to_string(),
                format!("has no source {name:?}; it has {}", there.join(", ")),
            ));
        }
        found.retain(|name, _| wanted.contains(name));
    }
    for (name, layout) in &found {
        let folder = dir.join(name);
        let (records, skipped) = match layout {
            Some(Layout::Table) => table::records(&folder, selection.split)?,
            Some(_) => captions::records(&folder.join("metadata.csv"), selection.split)?,
            None => continue,
        };
        collection.add(name, records, skipped);
    }
    collection.prune(selection.purpose);
    let doubles = collection.keep_largest(dir);
    for (name, _) in found.iter().filter(|(_, layout)| layout.is_none()) {
        let (readings, skipped) = chestx_det::read(&dir.join(name))?;
        collection.label(name, readings, skipped, &doubles);
    }
    Ok(collection)
}

impl Collection {
    fn add(&mut self, folder: &str, records: Vec<Record>, skipped: Vec<Skipped>) {
        self.sources.push(Source {
            folder: folder.into(),
            used: records.len(),
            gives: "images",
            skipped,
        });
        self.records.extend(records.into_iter().map(|record| {
            let file = match folder {
                "" => record.file,
                folder => format!("{folder}/{}", record.file),
            };
            let dataset = match record.dataset.as_str() {
                "" => folder.to_string(),
                _ => record.dataset,
            };
            Record {
                file,
                dataset,
                ..record
            }
        }));
    }

    /// Notes that the image of a record is not used.
    pub fn leave_out(&mut self, file: &str, reason: &str) {
        let folder = if self.sources.iter().any(|s| s.folder.is_empty()) {
            ""
        } else {
            file.split('/').next().unwrap_or_default()
        };
        if let Some(source) = self.sources.iter_mut().find(|s| s.folder == folder) {
            source.used -= 1;
            source.skipped.push(Skipped {
                file: file.into(),
                reason: reason.into(),
            });
        }
    }

    /// Leaves out the records that `reason` gives a reason for.
    fn retain(&mut self, mut reason: impl FnMut(&Record) -> Option<String>) {
        let all = std::mem::take(&mut self.records);
        for record in all {
            match reason(&record) {
                Some(why) => self.leave_out(&record.file, &why),
                None => self.records.push(record),
            }
        }
    }

    /// Leaves out what is of no use for the purpose.
    fn prune(&mut self, purpose: Purpose) {
        let captions = |r: &Record| r.findings.is_none() && r.other.is_empty() && r.view.is_none();
        self.retain(|record| match purpose {
            Purpose::Detail => None,
            Purpose::Prompts if detail_only(record) => Some("is for an autoencoder only".into()),
            Purpose::Prompts if captions(record) && record.text.is_empty() => {
                Some("has no text".into())
            }
            Purpose::Prompts => None,
        });
    }

    /// Leaves out the smaller of two files of one image. Returns which file stands for each that
    /// was left out.
    fn keep_largest(&mut self, dir: &Path) -> HashMap<String, String> {
        let side = |file: &str| {
            let sides = image::image_dimensions(dir.join(file));
            sides.map_or(0, |(w, h)| w.min(h))
        };
        // A file's name alone may be another patient's in another source.
        let mut largest: HashMap<(String, String), (String, u32)> = HashMap::new();
        let mut doubles: HashMap<String, String> = HashMap::new();
        for record in self.records.iter().filter(|r| !detail_only(r)) {
            let stem = Path::new(&record.file).file_stem().unwrap_or_default();
            let key = (stem.display().to_string(), record.patient.clone());
            match largest.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert((record.file.clone(), 0));
                }
                Entry::Occupied(mut entry) => {
                    let (other, known) = entry.get_mut();
                    if *known == 0 {
                        *known = side(other);
                    }
                    let own = side(&record.file);
                    if own > *known {
                        doubles.insert(
                            std::mem::replace(other, record.file.clone()),
                            record.file.clone(),
                        );
                        *known = own;
                    } else {
                        doubles.insert(record.file.clone(), other.clone());
                    }
                }
            }
        }
        self.retain(|record| {
            let larger = doubles.get(&record.file)?;
            let folder = larger.split('/').next().unwrap_or_default();
            Some(format!("is in {folder} too, at least as large"))
        });
        doubles
    }

    /// Replaces mined labels by what radiologists drew.
    fn label(
        &mut self,
        folder: &str,
        mut readings: HashMap<String, chestx_det::Reading>,
        skipped: Vec<Skipped>,
        doubles: &HashMap<String, String>,
    ) {
        for (smaller, larger) in doubles {
            if let Some(reading) = readings.remove(smaller) {
                readings.entry(larger.clone()).or_insert(reading);
            }
        }
        let mut used = 0;
        for record in &mut self.records {
            if let Some(reading) = readings.remove(&record.file) {
                reading.replace(record);
                used += 1;
            }
        }
        self.sources.push(Source {
            folder: folder.into(),
            used,
            gives: "images' labels and boxes",
            skipped,
        });
    }
}

fn detail_only(record: &Record) -> bool {
    let folder = record.file.split('/').next().unwrap_or_default();
    DETAIL_ONLY.contains(&folder)
}

#[cfg(test)]
mod tests;
