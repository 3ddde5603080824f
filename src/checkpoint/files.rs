//! Weight files of a checkpoint: which there are, and where each tensor of the model lies, under this crate's names.

use super::{infer::Shapes, no_model, read_optional};
use crate::{
    Error, Result,
    bundle::{check_file_name, decode_plain},
    names::current_name,
    weights::{StoredWeights, Weight},
};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo, TensorView},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

/// Stored bytes of one part; as f32 at most twice this is in memory.
const PART_BYTES: usize = 256 << 20;

/// Longest header believed; safetensors' own limit.
const HEADER_BYTES: u64 = 100_000_000;

/// Names that `save_pretrained` gives weights, by preference: full precision first, whole before sharded. The last
/// two are the index of a half-precision variant as diffusers and as transformers name it.
const NAMES: [(&str, bool); 5] = [
    (".safetensors", false),
    (".safetensors.index.json", true),
    (".fp16.safetensors", false),
    (".safetensors.index.fp16.json", true),
    (".fp16.safetensors.index.json", true),
];

/// One safetensors file of one component.
#[derive(Debug)]
pub(super) struct WeightFile {
    component: &'static str,
    path: PathBuf,
}

impl WeightFile {
    /// The weight files of a component: one, or those that its index names.
    pub fn find(dir: &Path, component: &'static str) -> Result<Vec<WeightFile>> {
        let folder = dir.join(component);
        for (suffix, index) in NAMES {
            for stem in ["diffusion_pytorch_model", "model"] {
                let path = folder.join(format!("{stem}{suffix}"));
                if !path.is_file() {
                    continue;
                }
                if !index {
                    return Ok(vec![WeightFile { component, path }]);
                }
                let names = shards(&path)?;
                return Ok(names
                    .into_iter()
                    .map(|n| WeightFile {
                        component,
                        path: folder.join(n),
                    })
                    .collect());
            }
        }
        let why =
            format!("{component} has no safetensors weights (.bin files have to be converted)");
        Err(no_model(dir, &why))
    }
}

/// The files that an index names, each once.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = read_optional(index)?.unwrap_or_default();
    let Index { weight_map } = serde_json::from_slice(&bytes).map_err(|e| Error::Json {
        file: index.display().to_string(),
        why: e.to_string(),
    })?;
    let files: BTreeSet<String> = weight_map.into_values().collect();
    files.iter().try_for_each(|file| check_file_name(file))?;
    Ok(files)
}

/// One tensor of a model, or the rows of a larger one that it is, in a file.
#[derive(Debug)]
pub(super) struct Place {
    /// This crate's name, component first.
    pub name: String,
    /// The model's shape of it.
    pub shape: Vec<usize>,
    dtype: Dtype,
    file: usize,
    /// Where its bytes are, from the beginning of the file.
    start: u64,
    bytes: usize,
}

impl Place {
    /// The whole of a tensor.
    pub fn of(name: String, info: &TensorInfo, file: usize, data_start: u64) -> Self {
        let (start, end) = info.data_offsets;
        Self {
            name,
            shape: info.shape.clone(),
            dtype: info.dtype,
            file,
            start: data_start + start as u64,
            bytes: end - start,
        }
    }

    /// Some of its rows (first dimension), which it must have.
    pub fn rows(mut self, rows: Range<usize>) -> Self {
        let row = self.bytes / self.shape[0].max(1);
        self.start += (rows.start * row) as u64;
        self.bytes = rows.len() * row;
        self.shape[0] = rows.len();
        self
    }
}

/// Where every tensor of a model is.
#[derive(Debug)]
pub(super) struct Places {
    files: Vec<PathBuf>,
    places: Vec<Place>,
}

impl Places {
    /// Those of some files, every name once.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`].
    pub fn new(files: Vec<PathBuf>, places: Vec<Place>) -> Result<Self> {
        let mut names = BTreeSet::new();
        match places.iter().find(|place| !names.insert(&place.name)) {
            Some(Place { name, .. }) => Err(Error::DuplicateTensor { name: name.clone() }),
            None => Ok(Self { files, places }),
        }
    }

    /// Those of a diffusers checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Safetensors`], [`Error::DuplicateTensor`].
    pub fn of(weights: &[WeightFile]) -> Result<Self> {
        let (mut files, mut places) = (Vec::new(), Vec::new());
        for WeightFile { component, path } in weights {
            let (start, tensors) = header(path)?;
            for (key, info) in tensors {
                if let Some(name) = current_name(component, &key) {
                    let name = format!("{component}.{name}");
                    places.push(Place::of(name, &info, files.len(), start));
                }
            }
            files.push(path.clone());
        }
        Self::new(files, places)
    }

    /// Shapes by name.
    pub fn shapes(&self) -> Shapes<'_> {
        let places = self.places.iter();
        places.map(|p| (&p.name[..], &p.shape[..])).collect()
    }

    /// The same, ordered by name.
    pub fn by_name(mut self) -> Self {
        self.places.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// The tensors one after another.
    pub fn tensors(self) -> impl Iterator<Item = Result<(String, Weight)>> {
        let mut open: Option<(usize, File)> = None;
        let Self { files, places } = self;
        places.into_iter().map(move |place| {
            let path = &files[place.file];
            let file = match &mut open {
                Some((index, file)) if *index == place.file => file,
                other => {
                    let file = File::open(path).map_err(Error::io(path))?;
                    &mut other.insert((place.file, file)).1
                }
            };
            let weight = read(&place, file, path)?;
            Ok((place.name, weight))
        })
    }

    /// The tensors a few hundred megabytes at a time.
    pub fn parts(self) -> impl Iterator<Item = Result<StoredWeights>> {
        let mut tensors = self.tensors();
        std::iter::from_fn(move || {
            let mut part = StoredWeights::new();
            let mut bytes = 0;
            while bytes < PART_BYTES {
                match tensors.next() {
                    None => return (!part.is_empty()).then_some(Ok(part)),
                    Some(Err(error)) => return Some(Err(error)),
                    Some(Ok((name, weight))) => {
                        bytes += weight.data.len() * 4;
                        part.insert(name, weight.into());
                    }
                }
            }
            Some(Ok(part))
        })
    }
}

/// Where the data of a safetensors file begins, and its tensors in the order in which they lie.
pub(super) fn header(path: &Path) -> Result<(u64, Vec<(String, TensorInfo)>)> {
    let bad = |why: &str| Error::Safetensors {
        file: path.display().to_string(),
        why: why.into(),
    };
    let mut file = File::open(path).map_err(Error::io(path))?;
    let size = file.metadata().map_err(Error::io(path))?.len();
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
    let names = header.offset_keys().into_iter();
    let tensors = names.filter_map(|name| Some((name.clone(), header.info(&name)?.clone())));
    Ok((8 + length, tensors.collect()))
}

/// One tensor. Its offsets lie within the file and fit its shape: safetensors checked that with the header.
fn read(place: &Place, file: &mut File, path: &Path) -> Result<Weight> {
    let mut bytes = vec![0; place.bytes];
    file.seek(SeekFrom::Start(place.start))
        .map_err(Error::io(path))?;
    file.read_exact(&mut bytes).map_err(Error::io(path))?;
    let view = TensorView::new(place.dtype, place.shape.clone(), &bytes).map_err(|e| {
        Error::Safetensors {
            file: path.display().to_string(),
            why: e.to_string(),
        }
    })?;
    Ok(Weight {
        shape: place.shape.clone(),
        data: decode_plain(&place.name, &view)?,
    })
}
