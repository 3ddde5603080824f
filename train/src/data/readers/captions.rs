//! A CSV with the columns `file` (relative to the CSV's folder) and `text`, and, if it has them, `split`.

use std::path::Path;

use roentgen_web::error::Result;
use serde::Deserialize;

use super::{Caption, Listing, Pair};
use crate::data::tables::read_table;

#[derive(Deserialize)]
struct Row {
    file: String,
    text: String,
    #[serde(default)]
    split: String,
}

/// The rows of the training split: those whose `split` is `train` or empty.
pub(super) fn list(table: &Path) -> Result<Listing> {
    let dir = table.parent().unwrap_or(Path::new("."));
    let mut listing = Listing::default();
    read_table(table, &mut listing.skipped, |row: Row| {
        let text = row.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let refuse = |why: &str| Err((row.file.clone(), why.to_string()));
        match row.split.as_str() {
            "" | "train" => {}
            other => return refuse(&format!("belongs to the split {other}")),
        }
        if text.is_empty() {
            return refuse("has no text");
        }
        let path = dir.join(&row.file);
        if !path.is_file() {
            return refuse("is not there");
        }
        listing.pairs.push(Pair {
            path,
            caption: Caption::Text(text),
        });
        Ok(())
    })?;
    Ok(listing)
}
