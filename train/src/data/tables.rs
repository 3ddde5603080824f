//! CSV tables of images, row by row: a bad row is noted and left out, a bad table is an error.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use roentgen_web::error::{Error, Result};
use roentgen_web::limits;
use serde::Deserialize;

/// A row that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Path inside the data folder, or the line of the table.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reasons that [`summary`] tells; a table may have a new one in each row.
const REASONS: usize = 12;

/// How many were left out, by reason, each with the first one's name:
/// `; 3 left out: is flat (a.png)`. The most frequent reasons come first.
pub fn summary(skipped: &[Skipped]) -> String {
    let mut reasons: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for s in skipped {
        reasons.entry(&s.reason).or_insert((0, &s.file)).0 += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    let others = reasons.split_off(reasons.len().min(REASONS));
    let parts = reasons
        .into_iter()
        .map(|(reason, (n, first))| format!("; {n} left out: {reason} ({first})"));
    let mut text: String = parts.collect();
    if !others.is_empty() {
        let rows: usize = others.iter().map(|(_, (n, _))| n).sum();
        text += &format!("; {rows} left out for {} other reasons", others.len());
    }
    text
}

/// Hands each row of a CSV file (gzipped, if its name ends in `.gz`) to `take`; rows that do not
/// parse, and those that `take` refuses with the name of a file and a reason, are noted.
///
/// # Errors
/// [`Error::Io`] where the file cannot be opened, [`Error::Config`] where it is no table, has no
/// such column, or has a row of more than [`limits::ROW_BYTES`].
pub fn read_table<T: for<'de> Deserialize<'de>>(
    path: &Path,
    skipped: &mut Vec<Skipped>,
    mut take: impl FnMut(T) -> Result<(), (String, String)>,
) -> Result<()> {
    let config = |why: String| Error::config(path.display().to_string(), why);
    let (mut reader, row_bytes) = open(path)?;
    let header = reader.headers().map_err(|e| config(e.to_string()))?.clone();
    for row in reader.records() {
        row_bytes.set(0);
        let outcome = match row {
            Ok(row) => match row.deserialize::<T>(Some(&header)) {
                Ok(row) => take(row),
                // Without its column every row fails alike: that is the table's fault and stops the
                // run.
                Err(e) if e.to_string().contains("missing field") => {
                    return Err(config(e.to_string()));
                }
                Err(e) => Err(fault(&e)),
            },
            Err(e) if e.is_io_error() => return Err(config(e.to_string())),
            Err(e) => Err(fault(&e)),
        };
        if let Err((file, reason)) = outcome {
            skipped.push(Skipped { file, reason });
        }
    }
    Ok(())
}

/// A table's reader, whose first row are its columns, and how many bytes were read since this
/// number was last set to 0. The table is gzipped if its name ends in `.gz`.
///
/// # Errors
/// [`Error::Io`] where it is no regular file.
pub fn open(path: &Path) -> Result<(csv::Reader<impl Read>, Rc<Cell<u64>>)> {
    let (file, _) = limits::open(path)?;
    let file: Box<dyn Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let read = Rc::new(Cell::new(0));
    let bounded = Bounded {
        file,
        read: read.clone(),
    };
    Ok((csv::Reader::from_reader(bounded), read))
}

/// Reads until a row is longer than any that makes sense: a quotation mark without its other half
/// makes one row of a table.
struct Bounded {
    file: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.get() > limits::ROW_BYTES {
            let most = limits::ROW_BYTES >> 20;
            let why = format!("a row has more than {most} MB; is a quotation mark missing?");
            return Err(io::Error::other(why));
        }
        let bytes = self.file.read(buffer)?;
        self.read.set(self.read.get() + bytes as u64);
        Ok(bytes)
    }
}

/// Where a row's fault is, and what it is: the same words for the same fault, so that it is counted
/// once.
fn fault(error: &csv::Error) -> (String, String) {
    let (position, why) = match error.kind() {
        csv::ErrorKind::Deserialize { pos, err } => {
            let field = err
                .field()
                .map_or(String::new(), |field| format!(" in field {}", field + 1));
            (pos, format!("has {}{field}", err.kind()))
        }
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => (
            pos,
            format!("has {len} fields where the first row has {expected_len}"),
        ),
        csv::ErrorKind::Utf8 { pos, .. } => (pos, "is not UTF-8".into()),
        _ => (&None, error.to_string()),
    };
    let line = position.as_ref().map(|position| position.line());
    (
        line.map_or("a line".into(), |line| format!("line {line}")),
        why,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only parsed")]
    struct Row {
        name: String,
        x: f32,
    }

    fn read(text: &[u8]) -> (Result<()>, Vec<Skipped>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let mut skipped = vec![];
        let read = read_table(&path, &mut skipped, |_: Row| Ok(()));
        (read, skipped)
    }

    #[test]
    fn rows_with_the_same_fault_are_counted_together() {
        let mut text = b"name,x\n".to_vec();
        for i in 0..50 {
            let row: &[&[u8]] = &[b"a,many\n", b"b,1\n", b"c\n", b"\xff,1\n", b"d,\n"];
            text.extend(row[i % 5]);
        }
        let (read, skipped) = read(&text);
        read.unwrap();
        assert_eq!(skipped.len(), 40);
        assert_eq!(skipped[0].file, "line 2");
        let text = summary(&skipped);
        assert_eq!(text.matches("10 left out").count(), 4, "{text}");
        assert!(
            text.contains("has 1 fields where the first row has 2 (line 4)"),
            "{text}"
        );
        let other = |i| Skipped {
            file: "f".into(),
            reason: format!("reason {i}"),
        };
        let text = summary(&(0..1000).map(other).collect::<Vec<_>>());
        assert!(
            text.ends_with("; 988 left out for 988 other reasons"),
            "{text}"
        );
    }

    #[test]
    fn a_quotation_mark_without_its_other_half_ends_the_table() {
        let mut text = b"name,x\na,1\n\"".to_vec();
        text.resize(3 << 20, b'a');
        let error = read(&text).0.unwrap_err().to_string();
        assert!(error.contains("quotation mark"), "{error}");
        let rows = "a,1\n".repeat(1 << 20);
        read(format!("name,x\n{rows}").as_bytes()).0.unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(read_table(&path, &mut vec![], |_: Row| Ok(())).is_err());
        assert!(open(Path::new("/dev/zero")).is_err());
    }
}
