//! Values of diffusers' configs, in the spellings that it has written over the years.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Height and width. Configs have one number where they are equal, else a list of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Sides", into = "Sides")]
pub struct SampleSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "sample_size must be a number or [height, width]"
)]
enum Sides {
    Square(usize),
    Both([usize; 2]),
}

impl From<usize> for SampleSize {
    fn from(side: usize) -> Self {
        Sides::Square(side).into()
    }
}

impl From<Sides> for SampleSize {
    fn from(sides: Sides) -> Self {
        let [height, width] = match sides {
            Sides::Square(side) => [side, side],
            Sides::Both(both) => both,
        };
        Self { height, width }
    }
}

impl From<SampleSize> for Sides {
    fn from(SampleSize { height, width }: SampleSize) -> Self {
        if height == width {
            Self::Square(height)
        } else {
            Self::Both([height, width])
        }
    }
}

/// A number for every level, or a list with one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number or a list of numbers is expected")]
pub enum PerLevel {
    /// The same at every level.
    All(usize),
    /// One for each level, from the outermost in.
    Each(Vec<usize>),
}

impl PerLevel {
    /// One number for each of `levels` levels; `key` is their name for an error.
    pub(crate) fn resolve(&self, key: &str, levels: usize) -> Result<Vec<usize>> {
        match self {
            Self::All(n) => Ok(vec![*n; levels]),
            Self::Each(list) if list.len() == levels => Ok(list.clone()),
            Self::Each(list) => Err(fault(format!(
                "{key} has {} entries for {levels} levels",
                list.len()
            ))),
        }
    }
}

/// diffusers' names of the sigmoid linear unit (`models/activations.py`, `ACT2CLS`).
pub(crate) fn is_silu(act_fn: &str) -> bool {
    ["silu", "swish"].contains(&act_fn.to_lowercase().as_str())
}

/// Today's name of a block type: diffusers leaves a prefix of its first releases out
/// (`get_down_block`).
pub(crate) fn block_type(name: &str) -> &str {
    name.strip_prefix("UNetRes").unwrap_or(name)
}

pub(super) fn fault(why: String) -> Error {
    Error::config("unet/config.json", why)
}
