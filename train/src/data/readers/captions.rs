//! A CSV with the columns `file` (relative to the CSV's folder) and `text`, and, if it has them,
//! `split`, `view`, `sex`.

use std::path::Path;

use roentgen_web::error::Result;
use roentgen_web::{files, limits};
use serde::Deserialize;

use crate::data::record::{Record, Split, optional};
use crate::data::tables::{Skipped, read_table};

#[derive(Deserialize)]
struct Row {
    file: String,
    text: String,
    #[serde(default)]
    split: String,
    #[serde(default)]
    view: String,
    #[serde(default)]
    sex: String,
}

/// The rows of one split (`train` where the column is empty or absent), each a patient of its own;
/// some have no text.
///
/// # Errors
/// As [`read_table`].
pub fn records(table: &Path, split: Split) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let dir = table.parent().unwrap_or(Path::new("."));
    let (mut records, mut skipped) = (vec![], vec![]);
    read_table(table, &mut skipped, |row: Row| {
        let refuse = |why: String| (row.file.clone(), why);
        let of = match row.split.as_str() {
            "" => Split::Train,
            name => name.parse().map_err(refuse)?,
        };
        if of != split {
            return Ok(());
        }
        if row.text.len() > limits::CAPTION_BYTES {
            return Err(refuse("has a text that is longer than any report".into()));
        }
        if !files::inside(dir, &row.file).map_err(refuse)?.is_file() {
            return Err(refuse("is not there".into()));
        }
        records.push(Record {
            patient: row.file.clone(),
            view: optional(&row.view).map_err(refuse)?,
            sex: optional(&row.sex).map_err(refuse)?,
            text: row.text.split_whitespace().collect::<Vec<_>>().join(" "),
            file: row.file.clone(),
            ..Record::default()
        });
        Ok(())
    })?;
    Ok((records, skipped))
}
