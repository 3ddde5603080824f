//! Which kind of file this is, by its first bytes: names and extensions are often wrong.

use super::{pickle, tensors::Place};
use crate::{
    Error, Result,
    limits::{self, HEADER_BYTES, TEXT_BYTES},
};
use safetensors::tensor::Metadata;
use std::{
    collections::HashMap,
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

/// Bytes that are looked at to tell a file's kind.
const SNIFFED: u64 = 128;

/// Every tensor of a weight file under the file's own names, in the order in which safetensors has
/// them. `file` is the index that the places are given.
///
/// # Errors
/// [`Error::Io`]; [`Error::WrongFile`] for a Git LFS pointer, GGUF or a web page;
/// [`Error::Safetensors`] for a damaged header; [`Error::Config`] for a pickle that is not read.
pub(super) fn tensors(path: &Path, file: usize) -> Result<Vec<Place>> {
    let (mut opened, size) = limits::open(path)?;
    let mut first = Vec::new();
    let sniffed = opened.by_ref().take(SNIFFED).read_to_end(&mut first);
    sniffed.map_err(Error::io(path))?;
    refuse_other_kinds(path, &first)?;
    if pickle::is_pickle(&first) {
        return pickle::tensors(path, file);
    }
    drop(opened);
    let (start, header) = header(path, size)?;
    let names = header.offset_keys().into_iter();
    let place = |name: String| Some(Place::of(name.clone(), header.info(&name)?, file, start));
    Ok(names.filter_map(place).collect())
}

/// The texts in the header of a safetensors file; none of another file.
///
/// # Errors
/// As [`tensors`].
pub(super) fn metadata(path: &Path) -> Result<HashMap<String, String>> {
    let (mut opened, size) = limits::open(path)?;
    let mut first = Vec::new();
    let sniffed = opened.by_ref().take(SNIFFED).read_to_end(&mut first);
    sniffed.map_err(Error::io(path))?;
    if pickle::is_pickle(&first) {
        return Ok(HashMap::new());
    }
    refuse_other_kinds(path, &first)?;
    Ok(header(path, size)?.1.metadata().clone().unwrap_or_default())
}

/// A JSON or text file, `None` if it is not there.
///
/// # Errors
/// As [`limits::read`]; [`Error::WrongFile`] for a Git LFS pointer or a web page.
pub(super) fn text(path: &Path) -> Result<Option<Vec<u8>>> {
    if let Err(error) = std::fs::metadata(path)
        && error.kind() == ErrorKind::NotFound
    {
        return Ok(None);
    }
    let bytes = limits::read(path, TEXT_BYTES)?;
    refuse_other_kinds(path, &bytes)?;
    Ok(Some(bytes))
}

/// # Errors
/// [`Error::WrongFile`] for files that stand in a model's place by accident.
pub(super) fn refuse_other_kinds(path: &Path, first: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(&first[..first.len().min(SNIFFED as usize)]);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    let begins = |start: &str| {
        text.get(..start.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(start))
    };
    let what = if begins("version https://git-lfs") {
        "a Git LFS pointer, which only names the real file; fetch that with `git lfs pull` or download it"
    } else if first.starts_with(b"GGUF") {
        "a GGUF file, which is not read; give the model's safetensors files or its .ckpt"
    } else if begins("<!doctype html") || begins("<html") {
        "a web page; the download was answered with a page of the site, fetch the file again"
    } else {
        return Ok(());
    };
    Err(Error::WrongFile {
        file: path.display().to_string(),
        what: what.into(),
    })
}

/// Where the data of a safetensors file begins, and its header.
fn header(path: &Path, size: u64) -> Result<(u64, Metadata)> {
    let bad = |why: &str| Error::Safetensors {
        file: path.display().to_string(),
        why: why.into(),
    };
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut length = [0; 8];
    if size < 8 {
        return Err(bad("it is too short"));
    }
    file.read_exact(&mut length).map_err(Error::io(path))?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES || length > size - 8 {
        return Err(bad(
            "its header would be longer than the file, or than any header is",
        ));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(Error::io(path))?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|e| bad(&e.to_string()))?;
    if header.data_len() as u64 != size - 8 - length {
        return Err(bad("it is not as long as its header says"));
    }
    Ok((8 + length, header))
}
