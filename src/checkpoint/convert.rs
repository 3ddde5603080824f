//! A `.ckpt` -> `.safetensors`: the same tensors under the same names, which then need no pickle to
//! be read.

use super::{
    formats,
    tensors::{Place, Places},
};
use crate::{Error, Result, files};
use safetensors::tensor::{Metadata, TensorInfo};
use std::{collections::HashMap, fs, io::Write, path::Path};

/// Writes the tensors of any weight file that is read here, bytes unchanged, one in memory at a
/// time; gives their number.
///
/// # Errors
/// [`Error::Config`] for a pickle that is not read, or a file without tensors;
/// [`Error::WrongFile`], [`Error::Safetensors`]; [`Error::Request`] if both are the same file;
/// [`Error::Io`].
pub fn to_safetensors(from: &Path, to: &Path) -> Result<usize> {
    if fs::canonicalize(from).is_ok_and(|from| fs::canonicalize(to).is_ok_and(|to| from == to)) {
        return Err(Error::request(
            "out",
            "is the file that is read; give another",
        ));
    }
    let mut places = formats::tensors(from, 0)?;
    if places.is_empty() {
        return Err(Error::config(
            from.display().to_string(),
            "it holds no tensors",
        ));
    }
    // As safetensors orders them, so that each number lies at a multiple of its size.
    places.sort_by(|a, b| (b.dtype.bitsize(), &a.name).cmp(&(a.dtype.bitsize(), &b.name)));
    let places = Places::new(vec![from.into()], places)?;
    let (head, count) = head(&places).map_err(|why| Error::Safetensors {
        file: to.display().to_string(),
        why,
    })?;
    files::replace_with(to, |file| {
        file.write_all(&head).map_err(Error::io(to))?;
        for tensor in places.bytes() {
            file.write_all(&tensor?.1).map_err(Error::io(to))?;
        }
        Ok(())
    })?;
    Ok(count)
}

/// The file up to the first tensor's bytes, and how many tensors there are.
fn head(places: &Places) -> Result<(Vec<u8>, usize), String> {
    let mut end = 0;
    let infos = places.iter().map(|place: &Place| {
        let start = end;
        end += place.bytes;
        let info = TensorInfo {
            dtype: place.dtype,
            shape: place.shape.clone(),
            data_offsets: (start, end),
        };
        (place.name.clone(), info)
    });
    let infos: Vec<_> = infos.collect();
    let count = infos.len();
    // what transformers asks for
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos).map_err(|e| e.to_string())?;
    let mut json = serde_json::to_vec(&metadata).map_err(|e| e.to_string())?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut head = (json.len() as u64).to_le_bytes().to_vec();
    head.append(&mut json);
    Ok((head, count))
}
