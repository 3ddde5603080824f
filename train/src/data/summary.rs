//! What a data folder holds, in lines for somebody who is about to train on it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use roentgen_web::error::Result;

use crate::data::dataset::Dataset;
use crate::data::findings::Finding;
use crate::data::location::Side;
use crate::data::readers::collection::{self, Purpose, Selection};
use crate::data::record::{Record, Split};
use crate::data::sides;

/// Height and width at which sides are read, in pixels.
const SIZE: usize = 128;

/// Sources, counts, sides by finding, and how well sides can be read off images without boxes.
///
/// # Errors
/// As [`Dataset::load`].
pub fn of(dir: &Path) -> Result<String> {
    let mut data = Dataset::load(dir, SIZE, Split::Train)?;
    let mut text = format!("train: {data}\n");
    let detail = Selection {
        purpose: Purpose::Detail,
        ..Split::Train.into()
    };
    let detail = collection::read(dir, &detail)?.records.len();
    let _ = writeln!(text, "{detail} images for an autoencoder");
    match Dataset::load(dir, SIZE, Split::Val) {
        Ok(val) => {
            let _ = writeln!(text, "val: {val}");
        }
        Err(error) => {
            let _ = writeln!(text, "val: none ({error})");
        }
    }
    for credit in data.credits() {
        let _ = writeln!(
            text,
            "{} ({}): {}",
            credit.dataset, credit.licence, credit.attribution
        );
    }
    for (name, count) in data.counts() {
        let _ = writeln!(text, "{count:7} {name}");
    }
    text += "\nsides by boxes: left, right, bilateral\n";
    text += &table(&data.records);
    text += "\nsides read off held-out images with boxes: right of those read, read of single-sided ones\n";
    let (mut right, mut read) = (0, 0);
    for (finding, found) in sides::agreement(&data) {
        let n = found.right + found.wrong;
        (right, read) = (right + found.right, read + n);
        let precision = found.precision().map_or("–".into(), |p| format!("{p:.3}"));
        let _ = writeln!(
            text,
            "{precision:>7} of {n:3}, {n:3} of {:3}, and {} with boxes on both sides: {}",
            found.single,
            found.bilateral,
            finding.name()
        );
    }
    let _ = writeln!(
        text,
        "{:7.3} of {read} in all",
        right as f64 / read.max(1) as f64
    );
    let count = sides::read(&mut data);
    let _ = writeln!(
        text,
        "\n{count} sides read off images without boxes; with them: left, right, bilateral"
    );
    text += &table(&data.records);
    Ok(text)
}

/// How many images of each finding have each side.
fn table(records: &[Record]) -> String {
    let mut counts: BTreeMap<(Finding, Side), usize> = BTreeMap::new();
    for record in records {
        for finding in record.findings.iter().flatten() {
            if let Some(side) = record.location(*finding).side {
                *counts.entry((*finding, side)).or_default() += 1;
            }
        }
    }
    let row = |finding: Finding| {
        let [left, right, both] =
            Side::ALL.map(|side| counts.get(&(finding, side)).copied().unwrap_or(0));
        let any = left + right + both > 0;
        any.then(|| format!("{left:7} {right:5} {both:5} {}\n", finding.name()))
    };
    Finding::ALL.into_iter().filter_map(row).collect()
}
