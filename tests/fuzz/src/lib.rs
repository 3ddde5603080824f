//! What strangers bring, as fuzz targets: bytes in, a result or an error out, in bounded time and
//! memory.
//!
//! `cargo xtask fuzz` runs them in libFuzzer; the test `inputs` runs what is in `regressions/` and
//! the seeds.

mod models;
mod pictures;
mod texts;

use std::fs;
use std::path::{Path, PathBuf};

/// A way in for a stranger's file.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Puts into an empty folder what an input is read beside.
    pub prepare: fn(&Path),
    /// Good inputs to begin with, from the goldens.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads an input as the programs do. A panic, an abort, five seconds or 2 GB are faults.
    pub run: fn(&Path, &[u8]),
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    models::MANIFEST,
    models::SHARD,
    models::TOKENIZER,
    models::CONFIG,
    models::SAFETENSORS,
    models::CKPT,
    models::LORA,
    pictures::DICOM,
    pictures::PICTURE,
    texts::TABLE,
    texts::REPORT,
];

/// What means something to the readers, as libFuzzer's dictionary: it is put whole into inputs.
pub const WORDS: [&str; 34] = [
    "null",
    "true",
    "-1",
    "0.5",
    "1e999",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "18446744073709551615",
    "[]",
    "{}",
    "\"\"",
    "NaN",
    "F16",
    "F32",
    "BF16",
    "I64",
    "BOOL",
    "q8",
    "q4",
    "../bundle.json",
    "/dev/zero",
    "data_offsets",
    "__metadata__",
    "weight",
    "lora_up",
    "alpha",
    "v_prediction",
    "IMPRESSION:",
    "train",
    "Effusion|",
    "\\xff\\xff\\xff\\xff",
    "\\xfe\\xff\\x00\\xe0",
];

/// Writes the seeds of each target into a folder of its name, and [`WORDS`] as `words`.
pub fn write_seeds(folder: &Path) {
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder).expect("a folder");
        for (i, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("{i:03}")), seed).expect("a file");
        }
    }
    let line = |word: &str| format!("\"{}\"\n", word.replace('"', "\\\""));
    let words: String = WORDS.iter().map(|word| line(word)).collect();
    fs::write(folder.join("words"), words).expect("a file");
}

/// The folder of the goldens.
fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../reference/goldens")
}

/// A golden's bytes.
fn golden(file: &str) -> Vec<u8> {
    fs::read(goldens().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Copies a golden's folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

/// An input that begins with the number of one of `kinds`, and the rest.
fn kind<'a, T>(kinds: &'a [T], bytes: &'a [u8]) -> Option<(&'a T, &'a [u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((&kinds[usize::from(*first) % kinds.len()], rest))
}

/// A seed of [`kind`].
fn of_kind(number: usize, bytes: Vec<u8>) -> Vec<u8> {
    [vec![number as u8], bytes].concat()
}
