//! The records of a data folder with their grey pixels in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use roentgen_web::error::{Error, Result};

use crate::data::findings::{Labels, NO_FINDING};
use crate::data::images::{self, Fit};
use crate::data::readers::collection::{self, Selection, Source};
use crate::data::readers::credits::{Credit, credit};
use crate::data::record::{Record, Split};

/// One split in memory.
#[derive(Debug)]
pub struct Dataset {
    /// Side length of every image, of the largest ones after [`Fit::AtMost`].
    pub size: usize,
    /// What is known of each image.
    pub records: Vec<Record>,
    /// Where they come from, and what was left out.
    pub sources: Vec<Source>,
    images: Vec<Vec<u8>>,
}

impl Dataset {
    /// Reads everything of one split that has something to say, brought to `size` x `size` pixels:
    /// see [`Self::read`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn load(dir: &Path, size: usize, split: Split) -> Result<Dataset> {
        Self::read(dir, &split.into(), Fit::Exactly(size as u32))
    }

    /// Reads the selected rows of `dir` (one table, or a folder of sources) and their images, in
    /// the tables' order. A row or image that cannot be used is left out and noted in `sources`.
    ///
    /// # Errors
    /// [`Error::Io`] where a table cannot be opened, [`Error::Config`] where a column is missing or
    /// no image is left.
    pub fn read(dir: &Path, selection: &Selection, fit: Fit) -> Result<Dataset> {
        let mut found = collection::read(dir, selection)?;
        let rows = std::mem::take(&mut found.records);
        let read: Vec<_> = rows
            .into_par_iter()
            .map(|record| (images::read(&dir.join(&record.file), fit), record))
            .collect();
        let (mut records, mut images) = (vec![], vec![]);
        for (image, mut record) in read {
            match image {
                Ok(image) => {
                    record.native_size = image.native;
                    images.push(image.pixels);
                    records.push(record);
                }
                Err(reason) => found.leave_out(&record.file, &reason),
            }
        }
        if records.is_empty() {
            let mut skipped = found.sources.iter().flat_map(|s| &s.skipped);
            let why = match skipped.next() {
                Some(s) => format!(
                    "no image of the split is readable; the first: {} {}",
                    s.file, s.reason
                ),
                None => {
                    "it has no image of this split in metadata.csv, nor in folders with one".into()
                }
            };
            return Err(Error::config(dir.display().to_string(), why));
        }
        let (Fit::Exactly(size) | Fit::AtMost(size)) = fit;
        Ok(Dataset {
            size: size as usize,
            records,
            sources: found.sources,
            images,
        })
    }

    /// Images that are in memory already, each `[size, size]`.
    #[cfg(test)]
    pub(crate) fn of(size: usize, all: Vec<(Record, Vec<u8>)>) -> Self {
        let (records, images) = all.into_iter().unzip();
        Self {
            size,
            records,
            sources: vec![],
            images,
        }
    }

    /// Adds the mirror image of every image with boxes, its sides exchanged: as many lefts as
    /// rights, and twice as many. Prompts call it mirrored, so that nobody learns hearts on the
    /// right (the labelled, non-leaking augmentation of Karras et al. 2022, "EDM", appendix F.2).
    pub fn mirror_boxed(&mut self) {
        for i in 0..self.len() {
            if !self.records[i].boxes.is_empty() {
                self.images.push(images::mirror(&self.images[i]));
                self.records.push(self.records[i].mirror());
            }
        }
    }

    /// Keeps the images with these indices, in their order.
    ///
    /// # Panics
    /// Where an index is not below `len()`.
    pub fn keep(&mut self, indices: &[usize]) {
        self.records = indices.iter().map(|i| self.records[*i].clone()).collect();
        self.images = indices.iter().map(|i| self.images[*i].clone()).collect();
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no image; `read` never gives such a one.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Grey pixels of one image, row by row: `[side, side]`, 0 is black; `side` is [`Self::size`]
    /// after [`Fit::Exactly`].
    ///
    /// # Panics
    /// Where `index` is not below `len()`.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.images[index]
    }

    /// Height and width of one image in pixels.
    ///
    /// # Panics
    /// Where `index` is not below `len()`.
    pub fn side(&self, index: usize) -> usize {
        self.images[index].len().isqrt()
    }

    /// Whom a model trained on this has to name.
    pub fn credits(&self) -> Vec<Credit> {
        let mut names: Vec<&str> = vec![];
        let mut add = |name| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        self.records.iter().for_each(|r| add(&r.dataset));
        if self
            .records
            .iter()
            .any(|r| r.labels == Labels::Radiologists)
        {
            add("chestx_det");
        }
        names.into_iter().map(credit).collect()
    }

    /// Counts by data set, view, age group, finding and native size, by their names, for the log.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for r in &self.records {
            let mut add = |kind: &str, name: String| {
                *counts.entry(format!("{kind} {name}")).or_insert(0) += 1
            };
            add("data set", r.dataset.clone());
            let unknown = || "unknown".to_string();
            add(
                "view",
                r.view
                    .map_or_else(unknown, |v| format!("{v:?}").to_uppercase()),
            );
            add(
                "age group",
                r.age_group.map_or_else(unknown, |g| format!("{g:?}")),
            );
            add("native size", r.native_size.to_string());
            match &r.findings {
                None => add("finding", "not graded".into()),
                Some(_) if r.is_normal() => add("finding", NO_FINDING.into()),
                Some(f) => f.iter().for_each(|f| add("finding", f.name().into())),
            }
        }
        counts
    }
}

/// For the log: how many were read, and from each source how many, and how many were left out, by
/// reason.
impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size;
        write!(f, "{} images of {size}x{size} pixels", self.len())?;
        self.sources
            .iter()
            .try_for_each(|source| write!(f, "\n  {source}"))
    }
}

#[cfg(test)]
mod tests;
