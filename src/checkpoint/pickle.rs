//! Weights in PyTorch's files (`.ckpt`, `.pt`, `.bin`): a zip archive of a pickle and the tensors'
//! bytes.
//!
//! A pickle is a program for Python, which may call any function. [`pytorch_reader`] (burn's reader
//! of these files) runs none of it: it knows the few calls that make tensors and keeps the name
//! alone of every other. A file that names functions which no checkpoint needs is refused before
//! that, as it was made to be run.

mod globals;

use super::tensors::Place;
use crate::{Error, Result, limits::PICKLE_BYTES};
use pytorch_reader::{DType, PytorchReader, Tensor};
use safetensors::Dtype;
use std::{collections::HashMap, fs::File, io::Read, path::Path};
use zip::ZipArchive;

/// Where training programs put the weights among their other state. Files of weights alone have no
/// such key.
const STATE_DICT: &str = "state_dict";

/// Whether a file begins as PyTorch's do: as a zip archive (since 1.6, 2020) or as a bare pickle of
/// protocol 2 and later (before).
pub(super) fn is_pickle(first: &[u8]) -> bool {
    let is_safetensors = first.get(8) == Some(&b'{');
    first.starts_with(b"PK\x03\x04") || (first.first() == Some(&0x80) && !is_safetensors)
}

/// Every tensor under its name in the state dictionary, ordered by name.
///
/// # Errors
/// [`Error::Config`] for an archive that is no checkpoint, names functions that it has no need of,
/// or is damaged; [`Error::Io`].
pub(super) fn tensors(path: &Path, file: usize) -> Result<Vec<Place>> {
    let bad = |why: String| Error::config(path.display().to_string(), why);
    let program = program(path)?;
    globals::check(&program).map_err(bad)?;
    drop(program);
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    let read = |key| match key {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let reader = read(Some(STATE_DICT)).or_else(|_| read(None));
    let reader = reader.map_err(|e| bad(format!("{e}; {ADVICE}")))?;
    let tensors: HashMap<String, Tensor> = reader.into_tensors();
    let mut places = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        // A view can repeat one stored number as often as it says.
        if tensor.byte_len() as u64 > length {
            return Err(bad(format!(
                "the tensor {name} would be larger than the file; {ADVICE}"
            )));
        }
        places.push(Place::pickled(name, dtype(tensor.dtype()), file, tensor));
    }
    places.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(places)
}

const ADVICE: &str = "save the weights alone where PyTorch is, \
    `torch.save(torch.load(file, weights_only=True)[\"state_dict\"], out)`";

/// The archive's pickle.
fn program(path: &Path) -> Result<Vec<u8>> {
    let bad = |why: String| Error::config(path.display().to_string(), why);
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = ZipArchive::new(file).map_err(|e| {
        bad(format!(
            "it is no zip archive as PyTorch 1.6 and later write them ({e}); {ADVICE}"
        ))
    })?;
    let names = archive.file_names().flatten();
    let name = names
        .filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .min_by_key(|name| name.len())
        .map(|name| name.into_owned());
    let name = name.ok_or_else(|| {
        bad("it is a zip archive without data.pkl, so no checkpoint of PyTorch; unpack it".into())
    })?;
    let entry = archive.by_name(&name).map_err(|e| bad(e.to_string()))?;
    let mut bytes = Vec::new();
    let read = entry.take(PICKLE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(Error::io(path))?;
    if bytes.len() as u64 <= PICKLE_BYTES {
        Ok(bytes)
    } else {
        Err(bad(format!(
            "its data.pkl has more than {PICKLE_BYTES} bytes, where names and shapes take a few hundred thousand; {ADVICE}"
        )))
    }
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
