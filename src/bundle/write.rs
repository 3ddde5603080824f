//! Weights -> bundle, streamed: at most one shard is held in memory.
//!
//! Shards and tokenizer are named after their hash and `bundle.json` is renamed into place last, so
//! a bundle that is being replaced stays readable until the new one is whole.

use super::{
    BLOCK, Defaults, FileEntry, MANIFEST_FILE, Manifest, Policy, Precision, SHARD_BYTES,
    TensorEntry, precision_for,
    quantize::{Quantized, matrix, row_bytes},
};
use crate::{
    Error, Result, components::ComponentConfigs, files, limits, tensor::HostTensor,
    tokens::ClipTokenizer,
};
use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What the names of our files begin and end with, around their hash.
const SHARD: [&str; 2] = ["weights-", ".safetensors"];
const TOKENIZER: [&str; 2] = ["tokenizer-", ".json"];

/// Header bytes of one stored tensor beside its name: number format, up to four sizes, offsets,
/// punctuation.
const HEADER_ENTRY: usize = 192;

/// Digits of a file's SHA-256 in its name: 64 bits, so that no two files of a folder have one name.
const HASH_DIGITS: usize = 16;

/// What a manifest says beside its files; see [`Manifest`] for the fields.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of Manifest")]
pub struct BundleInfo {
    pub name: String,
    pub model_card: Option<String>,
    pub license: String,
    pub attribution: String,
    pub intended_use: String,
    pub components: ComponentConfigs,
    pub defaults: Defaults,
    pub examples: Vec<String>,
}

/// Writes a bundle tensor by tensor: [`BundleWriter::add`] each, then [`BundleWriter::finish`].
#[derive(Debug)]
pub struct BundleWriter {
    pub(super) dir: PathBuf,
    target: Policy,
    shard_bytes: usize,
    pub(super) tensors: BTreeMap<String, TensorEntry>,
    pub(super) shards: Vec<FileEntry>,
    pending: Vec<Part>,
    pending_bytes: usize,
    /// Files that no manifest names yet.
    written: Vec<String>,
}

/// One tensor as a shard will hold it.
#[derive(Debug)]
struct Part {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl BundleWriter {
    /// A writer into the folder `dir`, which is made if it is not there. `target` names the policy
    /// for number formats, see [`precision_for`].
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made.
    pub fn new(dir: impl Into<PathBuf>, target: impl Into<Policy>) -> Result<Self> {
        Self::with_shard_bytes(dir, target, SHARD_BYTES)
    }

    /// As [`Self::new`], with smaller shards.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_shard_bytes(
        dir: impl Into<PathBuf>,
        target: impl Into<Policy>,
        shard_bytes: usize,
    ) -> Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        Ok(Self {
            dir,
            target: target.into(),
            shard_bytes: shard_bytes.min(SHARD_BYTES),
            tensors: BTreeMap::new(),
            shards: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            written: Vec::new(),
        })
    }

    /// Adds one tensor by its full name, `unet.conv_in.weight`, in the format that the policy gives
    /// it.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`], [`Error::NotFinite`], [`Error::Quantized`] (a weight too large
    /// for f16), [`Error::Io`].
    pub fn add(&mut self, name: &str, weight: &HostTensor) -> Result<()> {
        self.add_as(
            name,
            weight,
            precision_for(self.target, name, &weight.shape),
        )
    }

    /// Adds one tensor in a format of the caller's choice.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_as(&mut self, name: &str, weight: &HostTensor, dtype: Precision) -> Result<()> {
        if self.tensors.contains_key(name) {
            return Err(Error::DuplicateTensor { name: name.into() });
        }
        let found = vec![weight.data.len()];
        if weight.data.is_empty() || weight.shape.iter().product::<usize>() != weight.data.len() {
            return Err(Error::TensorShape {
                name: name.into(),
                expected: weight.shape.clone(),
                found,
            });
        }
        // A bias is split by its numbers and a quantized row never.
        let (rows, columns) = match (dtype.suffix(), &weight.shape[..]) {
            (None, [n]) => (*n, 1),
            _ => matrix(&weight.shape),
        };
        let row_bytes = match dtype {
            Precision::F32 => columns * 4,
            Precision::F16 => columns * 2,
            Precision::Q8 => columns + columns.div_ceil(BLOCK) * 2,
            Precision::Q4 => row_bytes(4, columns) + columns.div_ceil(BLOCK) * 2,
        };
        let header = 2 * (name.len() + HEADER_ENTRY);
        if self.pending_bytes + header + row_bytes * rows > self.shard_bytes {
            self.flush()?;
        }
        let rows_at_once = self.shard_bytes.saturating_sub(header) / row_bytes;
        if rows_at_once == 0 {
            let why = format!(
                "one row has {row_bytes} bytes and a shard at most {}",
                self.shard_bytes
            );
            return Err(Error::Quantized {
                name: name.into(),
                why,
            });
        }
        let mut shards = Vec::new();
        for part in weight.data.chunks(rows_at_once * columns) {
            if !shards.is_empty() {
                self.flush()?;
            }
            shards.push(self.shards.len());
            self.pending_bytes += header + row_bytes * (part.len() / columns);
            let mut shape = weight.shape.clone();
            if let (None, Some(first)) = (dtype.suffix(), shape.first_mut()) {
                *first = part.len() / columns;
            }
            self.pending
                .extend(encode(name, shape, columns, part, dtype)?);
        }
        self.tensors.insert(
            name.into(),
            TensorEntry {
                shape: weight.shape.clone(),
                dtype,
                shards,
            },
        );
        Ok(())
    }

    /// Writes the last shard, the tokenizer and at last the manifest; removes what other bundles,
    /// or attempts at them, left here under names like ours.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Manifest`] or [`Error::FileName`] if `info` is not fit for a
    /// manifest.
    pub fn finish(mut self, info: BundleInfo, tokenizer: &ClipTokenizer) -> Result<Manifest> {
        self.flush()?;
        let tokenizer = tokenizer.to_json()?;
        let manifest = Manifest {
            schema_version: Manifest::version_for(&info.components),
            name: info.name,
            model_card: info.model_card,
            license: info.license,
            attribution: info.attribution,
            intended_use: info.intended_use,
            components: info.components,
            tokenizer: named(TOKENIZER, tokenizer.as_bytes()),
            shards: std::mem::take(&mut self.shards),
            tensors: std::mem::take(&mut self.tensors),
            defaults: info.defaults,
            examples: info.examples,
            sizes: vec![], // for whoever looks at the new model's images
        };
        manifest.check()?;
        files::replace(&self.dir.join(&manifest.tokenizer.file), &tokenizer)?;
        self.written.push(manifest.tokenizer.file.clone());
        self.replace(&manifest)
    }

    /// Writes the manifest, as the last of a bundle's files.
    pub(super) fn replace(mut self, manifest: &Manifest) -> Result<Manifest> {
        let json = serde_json::to_string_pretty(manifest)
            .map_err(|e| Error::Manifest { why: e.to_string() })?;
        // What is written can be read: the same checks as for a stranger's manifest.
        let manifest = Manifest::parse(json.as_bytes())?;
        files::replace(&self.dir.join(MANIFEST_FILE), &json)?;
        self.written.clear();
        sweep(&self.dir, &manifest)?;
        Ok(manifest)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let fault = |e: safetensors::SafeTensorError| Error::Safetensors {
            file: format!("shard {}", self.shards.len()),
            why: e.to_string(),
        };
        let mut views = Vec::with_capacity(self.pending.len());
        for s in &self.pending {
            views.push((
                &s.name,
                TensorView::new(s.dtype, s.shape.clone(), &s.bytes).map_err(fault)?,
            ));
        }
        let bytes = safetensors::serialize(views, None).map_err(fault)?;
        let entry = named(SHARD, &bytes);
        files::replace(&self.dir.join(&entry.file), &bytes)?;
        self.written.push(entry.file.clone());
        self.shards.push(entry);
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }
}

/// A bundle that could not be finished takes its files with it: a full disk is not to stay full of
/// them.
impl Drop for BundleWriter {
    fn drop(&mut self) {
        if self.written.is_empty() {
            return;
        }
        let manifest = limits::read(&self.dir.join(MANIFEST_FILE), limits::TEXT_BYTES);
        let manifest = manifest.ok().and_then(|bytes| Manifest::parse(&bytes).ok());
        let named = |file: &String| {
            let named = |manifest: &Manifest| {
                let mut all = manifest.shards.iter().chain([&manifest.tokenizer]);
                all.any(|entry| entry.file == *file)
            };
            manifest.as_ref().is_some_and(named)
        };
        for file in self.written.iter().filter(|file| !named(file)) {
            let _ = fs::remove_file(self.dir.join(file)); // the first error is the one to tell
        }
    }
}

/// Removes files of ours that the manifest does not name. It is not asked what an old one named:
/// that may be anybody's.
fn sweep(dir: &Path, manifest: &Manifest) -> Result<()> {
    let io = || Error::io(dir);
    for entry in fs::read_dir(dir).map_err(io())? {
        let entry = entry.map_err(io())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut named = manifest.shards.iter().chain([&manifest.tokenizer]);
        if is_ours(&name) && !named.any(|file| file.file == name) {
            let removed = fs::remove_file(entry.path()).or_else(ignore_missing);
            removed.map_err(Error::io(entry.path()))?;
        }
    }
    Ok(())
}

/// A file that is called after its SHA-256.
fn named([start, end]: [&str; 2], bytes: &[u8]) -> FileEntry {
    let hash = super::manifest::sha256(bytes);
    FileEntry::of(&format!("{start}{}{end}", &hash[..HASH_DIGITS]), bytes)
}

/// Whether [`named`] gave this name.
fn is_ours(file: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    [SHARD, TOKENIZER].iter().any(|[start, end]| {
        let hash = file
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end));
        hash.is_some_and(|hash| hash.len() == HASH_DIGITS && hash.bytes().all(hex))
    })
}

/// One part of a tensor, `[rows, columns]`, as the shard holds it. `shape` is that of a plain
/// tensor's part.
fn encode(
    name: &str,
    shape: Vec<usize>,
    columns: usize,
    data: &[f32],
    dtype: Precision,
) -> Result<Vec<Part>> {
    if data.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { name: name.into() });
    }
    let plain = |dtype, bytes| {
        vec![Part {
            name: name.into(),
            dtype,
            shape,
            bytes,
        }]
    };
    let (suffix, dtype, bits) = match dtype {
        Precision::F32 => {
            return Ok(plain(
                Dtype::F32,
                data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ));
        }
        Precision::F16 => {
            if let Some(x) = data.iter().find(|x| !f16::from_f32(**x).is_finite()) {
                return Err(Error::Quantized {
                    name: name.into(),
                    why: format!("{x} is too large for f16"),
                });
            }
            return Ok(plain(
                Dtype::F16,
                data.iter()
                    .flat_map(|x| f16::from_f32(*x).to_le_bytes())
                    .collect(),
            ));
        }
        Precision::Q8 => ("q8", Dtype::I8, 8),
        Precision::Q4 => ("q4", Dtype::U8, 4),
    };
    let quantized = Quantized::encode(name, bits, columns, data)?;
    let rows = data.len() / columns;
    Ok(vec![
        Part {
            name: format!("{name}.{suffix}"),
            dtype,
            shape: vec![rows, row_bytes(bits, columns)],
            bytes: quantized.ints,
        },
        Part {
            name: format!("{name}.scale"),
            dtype: Dtype::F16,
            shape: vec![rows, columns.div_ceil(BLOCK)],
            bytes: quantized
                .scales
                .iter()
                .flat_map(|s| s.to_le_bytes())
                .collect(),
        },
    ])
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}
