//! The images of a layout, and what is said of each.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::prompts;
use crate::data::record::Record;
use crate::data::tables::{Skipped, summary};

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

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images{}", self.pairs.len(), summary(&self.skipped))
    }
}
