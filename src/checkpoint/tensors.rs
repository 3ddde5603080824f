//! Where each tensor of a model lies, and reading them one at a time.

use crate::{Error, Result, bundle::decode_plain, tensor::HostTensor, weights::StoredWeights};
use safetensors::{
    Dtype,
    tensor::{TensorInfo, TensorView},
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

/// One tensor of a model, or the rows of a larger one that it is, in a file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The file's name of it, or this crate's with the component first.
    pub name: String,
    /// The model's shape of it.
    pub shape: Vec<usize>,
    /// Number format.
    pub dtype: Dtype,
    file: usize,
    /// Where its bytes are, from the beginning of the file, or of what `pickled` reads.
    start: u64,
    pub bytes: usize,
    /// Reads a tensor of a pickle's archive.
    pickled: Option<pytorch_reader::Tensor>,
}

impl Place {
    /// The whole of a tensor of a safetensors file.
    pub fn of(name: String, info: &TensorInfo, file: usize, data_start: u64) -> Self {
        let (start, end) = info.data_offsets;
        Self {
            name,
            shape: info.shape.clone(),
            dtype: info.dtype,
            file,
            start: data_start + start as u64,
            bytes: end - start,
            pickled: None,
        }
    }

    /// The whole of a tensor of a pickle's archive.
    pub fn pickled(
        name: String,
        dtype: Dtype,
        file: usize,
        tensor: pytorch_reader::Tensor,
    ) -> Self {
        Self {
            name,
            shape: tensor.shape().to_vec(),
            dtype,
            file,
            start: 0,
            bytes: tensor.byte_len(),
            pickled: Some(tensor),
        }
    }

    /// The same tensor under another name.
    pub fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Some of its rows (first dimension), which it must have.
    pub fn rows(mut self, rows: Range<usize>) -> Self {
        if let Some(all) = self.shape.first_mut() {
            let row = self.bytes / (*all).max(1);
            self.start += (rows.start * row) as u64;
            self.bytes = rows.len() * row;
            *all = rows.len();
        }
        self
    }

    /// Its bytes as they are stored, row by row. `file` is open at `path`.
    fn read(&self, file: &mut File, path: &Path) -> Result<Vec<u8>> {
        if let Some(tensor) = &self.pickled {
            let mut bytes = tensor.read().map_err(Error::io(path))?;
            let start = self.start as usize;
            bytes.truncate(start + self.bytes);
            return Ok(bytes.split_off(start.min(bytes.len())));
        }
        let mut bytes = vec![0; self.bytes];
        let read = file.seek(SeekFrom::Start(self.start));
        read.and_then(|_| file.read_exact(&mut bytes))
            .map_err(Error::io(path))?;
        Ok(bytes)
    }
}

/// Shapes by name.
pub(super) type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// Where every tensor of a model is.
#[derive(Debug, Clone, Default)]
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

    /// These and others of other files.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`].
    pub fn and(mut self, others: Self) -> Result<Self> {
        let files = self.files.len();
        self.files.extend(others.files);
        self.places
            .extend(others.places.into_iter().map(|mut place| {
                place.file += files;
                place
            }));
        Self::new(self.files, self.places)
    }

    /// Without those whose name begins so.
    pub fn without(mut self, prefix: &str) -> Self {
        self.places.retain(|place| !place.name.starts_with(prefix));
        self
    }

    /// Every tensor, in the order in which they are read.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
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

    /// The stored bytes of one tensor after another.
    pub fn bytes(self) -> impl Iterator<Item = Result<(Place, Vec<u8>)>> {
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
            let bytes = place.read(file, path)?;
            Ok((place, bytes))
        })
    }

    /// The tensors one after another.
    pub fn tensors(self) -> impl Iterator<Item = Result<(String, HostTensor)>> {
        self.bytes().map(|tensor| {
            let (
                Place {
                    name, shape, dtype, ..
                },
                bytes,
            ) = tensor?;
            let view = TensorView::new(dtype, shape.clone(), &bytes);
            let view = view.map_err(|e| Error::Safetensors {
                file: name.clone(),
                why: e.to_string(),
            })?;
            let data = decode_plain(&name, &view)?;
            Ok((name, HostTensor { shape, data }))
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
