//! CSV tables of images, row by row: a bad row is noted and left out, a bad table is an error.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use roentgen_web::error::{Error, Result};
use serde::Deserialize;

/// A row that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Path inside the data folder, or the line of the table.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

/// How many were left out, by reason, each with the first one's name: `; 3 left out: is flat (a.png)`.
pub fn summary(skipped: &[Skipped]) -> String {
    let mut reasons: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for s in skipped {
        reasons.entry(&s.reason).or_insert((0, &s.file)).0 += 1;
    }
    let parts = reasons
        .into_iter()
        .map(|(reason, (n, first))| format!("; {n} left out: {reason} ({first})"));
    parts.collect()
}

/// Hands each row of a CSV file (gzipped, if its name ends in `.gz`) to `take`; rows that do not parse, and those that
/// `take` refuses with the name of a file and a reason, are noted.
///
/// # Errors
/// [`Error::Io`] where the file cannot be opened, [`Error::Config`] where it is no table or has no such column.
pub fn read_table<T: for<'de> Deserialize<'de>>(
    path: &Path,
    skipped: &mut Vec<Skipped>,
    mut take: impl FnMut(T) -> Result<(), (String, String)>,
) -> Result<()> {
    let config = |why: String| Error::Config {
        what: path.display().to_string(),
        why,
    };
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let file: Box<dyn Read> = match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(|e| config(e.to_string()))?.clone();
    for row in reader.records() {
        let outcome = match row {
            Ok(row) => match row.deserialize::<T>(Some(&header)) {
                Ok(row) => take(row),
                // Without its column every row fails alike: that is the table's fault and stops the run.
                Err(e) if e.to_string().contains("missing field") => {
                    return Err(config(e.to_string()));
                }
                Err(e) => {
                    let line = row.position().map_or(0, |p| p.line());
                    Err((format!("line {line}"), e.to_string()))
                }
            },
            Err(e) if e.is_io_error() => return Err(config(e.to_string())),
            Err(e) => Err(("a line".into(), e.to_string())),
        };
        if let Err((file, reason)) = outcome {
            skipped.push(Skipped { file, reason });
        }
    }
    Ok(())
}
