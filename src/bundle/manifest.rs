//! `bundle.json`: what a bundle is and which files it has, checked before anything is fetched.

use super::{MANIFEST_FILE, Precision, SCHEMA_VERSIONS, SHARD_BYTES, quantize::matrix};
use crate::{
    Error, Result,
    components::{ComponentConfigs, MOST_SIDE},
    inventory,
    latents::scheduler::SchedulerKind,
    limits::{TENSOR_VALUES, TEXT_BYTES},
};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Components that a tensor's name may begin with.
const COMPONENTS: [&str; 4] = ["text_encoder.", "unet.", "vae.", "reader."];

/// The whole of `bundle.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format, one of [`SCHEMA_VERSIONS`].
    pub schema_version: u32,
    /// Name of the model as a person reads it.
    pub name: String,
    /// Text file beside the manifest that tells what the model was made from and what it cannot do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_card: Option<String>,
    /// Licence of the weights.
    pub license: String,
    /// Whom to name, in the words that the data's licences ask for.
    pub attribution: String,
    /// What the model is for, and what not.
    pub intended_use: String,
    /// Configurations with diffusers' keys.
    pub components: ComponentConfigs,
    /// The tokenizer, a Hugging Face `tokenizer.json`.
    pub tokenizer: FileEntry,
    /// Weight files, in the order in which they are decoded.
    pub shards: Vec<FileEntry>,
    /// Every tensor by its full name, `unet.conv_in.weight`.
    #[serde(deserialize_with = "unique")]
    pub tensors: BTreeMap<String, TensorEntry>,
    /// Settings that suit the model.
    pub defaults: Defaults,
    /// Prompts that show what the model can do.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Other sizes (width, height) at which somebody has found the model's images good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<[usize; 2]>,
}

/// A file beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Plain name: letters, digits, `-`, `_`, `.`; no folder.
    pub file: String,
    /// Size, at most [`SHARD_BYTES`].
    pub bytes: u64,
    /// SHA-256, 64 lower-case hex digits.
    pub sha256: String,
}

/// How one tensor is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    /// Shape of the weight itself, PyTorch's layout.
    pub shape: Vec<usize>,
    /// Number format.
    pub dtype: Precision,
    /// Indices of the shards that hold it, ascending. More than one: the rows (first dimension) are
    /// split over them.
    pub shards: Vec<usize>,
}

/// Settings that suit a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Denoising steps.
    pub num_inference_steps: usize,
    /// Strength of classifier-free guidance; 1 is none.
    pub guidance_scale: f64,
    /// Image width in pixels.
    pub width: usize,
    /// Image height in pixels.
    pub height: usize,
    /// Scheduler by its short name (`ddim`, `pndm`, `euler`, `euler-a`, `dpm++2m`, `lcm`); `None`
    /// is the one that the model's scheduler configuration names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
}

impl Manifest {
    /// Reads and checks a `bundle.json`.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Utf8`], [`Error::Json`]: not JSON of this kind.
    /// [`Error::SchemaVersion`]: another version. [`Error::FileName`]: a file outside the folder.
    /// [`Error::Manifest`]: what it says cannot be.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > TEXT_BYTES {
            return Err(Error::TooLarge {
                file: MANIFEST_FILE.into(),
                found: bytes.len() as u64,
                most: TEXT_BYTES,
            });
        }
        let json = |e: serde_json::Error| Error::Json {
            file: MANIFEST_FILE.into(),
            why: e.to_string(),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Utf8 {
            file: MANIFEST_FILE.into(),
        })?;

        // The version first: another version may differ in everything else.
        #[derive(Deserialize)]
        struct Version {
            schema_version: u64,
        }
        let Version {
            schema_version: found,
        } = serde_json::from_str(text).map_err(json)?;
        if !SCHEMA_VERSIONS.map(u64::from).contains(&found) {
            return Err(Error::SchemaVersion {
                found,
                supported: SCHEMA_VERSIONS[1],
            });
        }
        let manifest: Manifest = serde_json::from_str(text).map_err(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Bytes of the tokenizer and all shards: what a download of the model is.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|f| f.bytes).sum()
    }

    fn files(&self) -> impl Iterator<Item = &FileEntry> {
        std::iter::once(&self.tokenizer).chain(&self.shards)
    }

    /// Everything that can be known to be wrong without the other files.
    pub(super) fn check(&self) -> Result<()> {
        for (what, text) in [
            ("name", &self.name),
            ("license", &self.license),
            ("intended_use", &self.intended_use),
        ] {
            ensure(!text.trim().is_empty(), || format!("`{what}` is empty"))?;
        }
        if let Some(file) = &self.model_card {
            check_file_name(file)?;
        }
        let mut names = BTreeSet::from([MANIFEST_FILE]);
        for entry in self.files() {
            entry.check(SHARD_BYTES as u64)?;
            ensure(names.insert(&entry.file), || {
                format!("the file {} is listed twice", entry.file)
            })?;
        }
        self.tokenizer.check(TEXT_BYTES)?;
        ensure(!self.shards.is_empty(), || "it lists no shards".into())?;
        self.defaults.check()?;
        for size in &self.sizes {
            let good = |side: &usize| (1..=MOST_SIDE).contains(side);
            ensure(size.iter().all(good), || format!("`sizes` has {size:?}"))?;
        }
        self.check_tensors()?;
        self.check_reader()?;
        let names = self.tensors.keys().map(String::as_str);
        inventory::check(&self.components, names).map_err(|(component, why)| Error::Manifest {
            why: format!("`components.{component}`: {why}"),
        })
    }

    fn check_tensors(&self) -> Result<()> {
        ensure(!self.tensors.is_empty(), || "it lists no tensors".into())?;
        let mut stored = BTreeSet::new();
        let mut used = BTreeSet::<usize>::new();
        for (name, entry) in &self.tensors {
            ensure(COMPONENTS.iter().any(|c| name.starts_with(c)), || {
                format!("the tensor {name:?} belongs to none of text_encoder, unet, vae and reader")
            })?;
            entry.check(name)?;
            for &index in &entry.shards {
                ensure(index < self.shards.len(), || {
                    format!(
                        "the tensor {name:?} is said to be in shard {index} of {}",
                        self.shards.len()
                    )
                })?;
            }
            used.extend(&entry.shards);
            for key in entry.stored_names(name) {
                ensure(!stored.contains(&key), || {
                    format!("two tensors would be stored as {key:?}")
                })?;
                stored.insert(key);
            }
        }
        match (0..self.shards.len()).find(|index| !used.contains(index)) {
            Some(index) => Err(Error::Manifest {
                why: format!("no tensor is in shard {index}"),
            }),
            None => Ok(()),
        }
    }
}

impl FileEntry {
    /// The entry of a file with these bytes.
    pub fn of(file: &str, bytes: &[u8]) -> Self {
        Self {
            file: file.into(),
            bytes: bytes.len() as u64,
            sha256: sha256(bytes),
        }
    }

    /// # Errors
    /// [`Error::FileSize`] or [`Error::Hash`] if these are not the bytes that the manifest means.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != self.bytes {
            let found = bytes.len() as u64;
            return Err(Error::FileSize {
                file: self.file.clone(),
                expected: self.bytes,
                found,
            });
        }
        let found = sha256(bytes);
        if found != self.sha256 {
            return Err(Error::Hash {
                file: self.file.clone(),
                expected: self.sha256.clone(),
                found,
            });
        }
        Ok(())
    }

    fn check(&self, most: u64) -> Result<()> {
        check_file_name(&self.file)?;
        ensure((1..=most).contains(&self.bytes), || {
            format!(
                "{} is said to have {} bytes, and 1 to {most} is allowed",
                self.file, self.bytes
            )
        })?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        ensure(
            self.sha256.len() == 64 && self.sha256.bytes().all(hex),
            || {
                format!(
                    "the sha256 of {} is not 64 lower-case hex digits",
                    self.file
                )
            },
        )
    }
}

impl TensorEntry {
    /// Names under which the shards hold the tensor `name`: one for plain numbers, integers and
    /// scales for quantized.
    pub(super) fn stored_names(&self, name: &str) -> impl Iterator<Item = String> + use<> {
        let names = match self.dtype.suffix() {
            None => [Some(name.to_owned()), None],
            Some(suffix) => [
                Some(format!("{name}.{suffix}")),
                Some(format!("{name}.scale")),
            ],
        };
        names.into_iter().flatten()
    }

    fn check(&self, name: &str) -> Result<()> {
        let elements = self
            .shape
            .iter()
            .try_fold(1u64, |n, &d| n.checked_mul(d as u64));
        ensure(
            elements.is_some_and(|n| (1..TENSOR_VALUES).contains(&n)),
            || {
                format!(
                    "the tensor {name:?} has the impossible shape {:?}",
                    self.shape
                )
            },
        )?;
        ensure(
            !self.shards.is_empty() && self.shards.is_sorted_by(|a, b| a < b),
            || format!("the shards of the tensor {name:?} are not an ascending list"),
        )?;
        let rows = match self.dtype.suffix() {
            None => self.shape.first().copied().unwrap_or(1),
            Some(_) => matrix(&self.shape).0,
        };
        ensure(self.shards.len() <= rows, || {
            format!("the tensor {name:?} has more shards than rows")
        })
    }
}

impl Defaults {
    fn check(&self) -> Result<()> {
        ensure((1..=1000).contains(&self.num_inference_steps), || {
            format!(
                "`num_inference_steps` is {}, and 1 to 1000 makes sense",
                self.num_inference_steps
            )
        })?;
        ensure((0.0..=100.0).contains(&self.guidance_scale), || {
            format!(
                "`guidance_scale` is {}, and 0 to 100 makes sense",
                self.guidance_scale
            )
        })?;
        if let Some(name) = &self.scheduler {
            let known = name.parse::<SchedulerKind>();
            ensure(known.is_ok(), || {
                format!("the default scheduler {name:?} is not known")
            })?;
        }
        for (what, pixels) in [("width", self.width), ("height", self.height)] {
            ensure((8..=8192).contains(&pixels), || {
                format!("the default {what} is {pixels}, and 8 to 8192 is allowed")
            })?;
        }
        Ok(())
    }
}

/// SHA-256 as 64 lower-case hex digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    use std::fmt::Write;
    let mut hex = String::with_capacity(64);
    for byte in sha2::Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// # Errors
/// [`Error::FileName`] unless it is a plain name that stays in its folder on every system and in
/// every URL.
pub(crate) fn check_file_name(file: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if file.is_empty() || file.len() > 200 || file.starts_with('.') || !file.bytes().all(plain) {
        return Err(Error::FileName { file: file.into() });
    }
    Ok(())
}

pub(super) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::Manifest { why: why() })
    }
}

/// A JSON object in which no key comes twice; serde would keep the last one silently.
fn unique<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, TensorEntry>, D::Error> {
    struct Unique;
    impl<'de> de::Visitor<'de> for Unique {
        type Value = BTreeMap<String, TensorEntry>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object of tensors")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, entry)) = access.next_entry::<String, TensorEntry>()? {
                if map.contains_key(&name) {
                    return Err(de::Error::custom(format!(
                        "the tensor {name:?} is listed twice"
                    )));
                }
                map.insert(name, entry);
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Unique)
}
