//! Folder -> model: a bundle, a diffusers checkpoint as `save_pretrained` writes it, or one file of Stable Diffusion in its
//! original layout.

mod files;
mod infer;
mod original;

use crate::{
    Error, Result,
    bundle::{Decoder, Defaults, FileEntry, MANIFEST_FILE, Manifest},
    latents::scheduler::SchedulerConfig,
    pipeline::ComponentConfigs,
    tokens::{ClipTokenizer, TokenizerOptions},
    weights::{Stored, StoredWeights, Weight, Weights},
};
use files::{Places, WeightFile};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Longest JSON or text file that is read whole: real vocabularies have 4 MB.
const TEXT_BYTES: u64 = 64 << 20;

/// Steps and guidance of diffusers' `StableDiffusionPipeline.__call__`, for checkpoints, which name none.
const DIFFUSERS_STEPS: usize = 50;
const DIFFUSERS_GUIDANCE: f64 = 7.5;

/// A model on disk, everything read but its weights.
#[derive(Debug)]
pub struct ModelFolder {
    /// Name as a person reads it; a checkpoint without one has its folder's.
    pub name: String,
    /// diffusers' configurations.
    pub configs: ComponentConfigs,
    /// Settings that suit the model.
    pub defaults: Defaults,
    /// The model's tokenizer.
    pub tokenizer: ClipTokenizer,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Bundle {
        dir: PathBuf,
        manifest: Box<Manifest>,
    },
    Checkpoint {
        files: Vec<WeightFile>,
    },
    Original {
        file: PathBuf,
    },
}

/// What a single file does not say of its model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Prediction {
    /// Noise in SD 1.x; an SD 2.x is refused, as both kinds were published.
    #[default]
    Unknown,
    /// The noise: SD 1.x, SD 2.x at 512 pixels.
    Epsilon,
    /// v: SD 2.x at 768 pixels.
    V,
}

impl ModelFolder {
    /// Opens a bundle (a folder with `bundle.json`) or a diffusers checkpoint.
    ///
    /// # Errors
    /// [`Error::ModelFolder`] if it is neither or files are missing; the errors of [`Manifest::parse`] and
    /// [`ClipTokenizer`]; [`Error::Json`] or [`Error::Config`] for a bad configuration.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            let why = if dir.exists() {
                "it is a file (`train import` makes a bundle of one)"
            } else {
                "there is no such folder"
            };
            return Err(no_model(dir, why));
        }
        match read_optional(&dir.join(MANIFEST_FILE))? {
            Some(manifest) => Self::open_bundle(dir, &manifest),
            None => Self::open_checkpoint(dir),
        }
    }

    fn open_bundle(dir: &Path, manifest: &[u8]) -> Result<Self> {
        let manifest = Manifest::parse(manifest)?;
        let tokenizer = ClipTokenizer::from_json(&read_entry(dir, &manifest.tokenizer)?)?;
        Ok(Self {
            name: manifest.name.clone(),
            configs: manifest.components.clone(),
            defaults: manifest.defaults.clone(),
            tokenizer,
            source: Source::Bundle {
                dir: dir.into(),
                manifest: Box::new(manifest),
            },
        })
    }

    fn open_checkpoint(dir: &Path) -> Result<Self> {
        let configs = ComponentConfigs {
            text_encoder: config(dir, "text_encoder/config.json")?,
            unet: config(dir, "unet/config.json")?,
            vae: config(dir, "vae/config.json")?,
            scheduler: SchedulerConfig::parse(&required(dir, "scheduler/scheduler_config.json")?)?,
        };
        let tokenizer = tokenizer(dir)?;
        let mut files = Vec::new();
        for component in ["text_encoder", "unet", "vae"] {
            files.extend(WeightFile::find(dir, component)?);
        }
        Ok(Self {
            name: checkpoint_name(dir)?,
            defaults: defaults(&configs),
            configs,
            tokenizer,
            source: Source::Checkpoint { files },
        })
    }

    /// Opens a `.safetensors` file in the layout in which Stable Diffusion 1.x and 2.x were published. The folder `beside`
    /// has the tokenizer, in `tokenizer/`; a diffusers config that it has holds instead of what the file's shapes say.
    ///
    /// # Errors
    /// [`Error::Config`] for a file that is none of this kind or an SD 2.x of unknown prediction; [`Error::Io`],
    /// [`Error::Safetensors`], [`Error::UnknownTensor`] for what the file holds; those of [`Self::open`] for the folder.
    pub fn open_original(file: &Path, beside: &Path, prediction: Prediction) -> Result<Self> {
        let ends = |end: &str| {
            file.extension()
                .is_some_and(|e| e.eq_ignore_ascii_case(end))
        };
        if !ends("safetensors") {
            return Err(Error::Config {
                what: file.display().to_string(),
                why: "only .safetensors files are read; a .ckpt holds Python's pickled objects, which may run any program: \
                      convert it where it was made with safetensors' `save_file(torch.load(ckpt, weights_only=True)\
                      [\"state_dict\"], out)`"
                    .into(),
            });
        }
        let (open_clip, places) = original::places(file)?;
        let scheduler = read_optional(&beside.join("scheduler/scheduler_config.json"))?;
        if open_clip && scheduler.is_none() && prediction == Prediction::Unknown {
            return Err(Error::Request {
                field: "prediction",
                why: "has to be given for an SD 2.x, which may predict either: epsilon (512 pixels) or v (768 pixels)"
                    .into(),
            });
        }
        let mut configs = infer::configs(&places, open_clip, prediction == Prediction::V)?;
        if let Some(scheduler) = scheduler {
            configs.scheduler = SchedulerConfig::parse(&scheduler)?;
        }
        instead(beside, "text_encoder", &mut configs.text_encoder)?;
        instead(beside, "unet", &mut configs.unet)?;
        instead(beside, "vae", &mut configs.vae)?;
        let name = file.file_stem().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            defaults: defaults(&configs),
            configs,
            tokenizer: tokenizer(beside)?,
            source: Source::Original { file: file.into() },
        })
    }

    /// Every tensor of a checkpoint by its name, in the names' order, one in memory at a time.
    ///
    /// # Errors
    /// [`Error::Config`] for a bundle, whose weights have been rounded already; [`Error::Io`], [`Error::Safetensors`] and
    /// [`Error::DuplicateTensor`] for its files.
    pub fn tensors(&self) -> Result<impl Iterator<Item = Result<(String, Weight)>> + use<>> {
        let places = match &self.source {
            Source::Checkpoint { files } => Places::of(files)?,
            Source::Original { file } => original::places(file)?.1,
            Source::Bundle { dir, .. } => {
                return Err(Error::Config {
                    what: dir.display().to_string(),
                    why: "it is a bundle already; give the checkpoint that it was made from".into(),
                });
            }
        };
        Ok(places.by_name().tensors())
    }

    /// The weights part by part, one shard or a few hundred megabytes at a time. Nothing comes after an error.
    pub fn weights(&self) -> impl Iterator<Item = Result<Weights>> + '_ {
        let decode = |(name, stored): (String, Stored)| (name, stored.decode());
        self.stored()
            .map(move |part| part.map(|part| part.into_iter().map(decode).collect()))
    }

    /// As [`Self::weights`], quantized ones as a bundle stores them.
    pub fn stored(&self) -> Box<dyn Iterator<Item = Result<StoredWeights>> + '_> {
        let parts: Box<dyn Iterator<Item = Result<StoredWeights>>> = match &self.source {
            Source::Bundle { dir, manifest } => {
                let mut decoder = Decoder::new(manifest.as_ref().clone());
                let shards = manifest.shards.iter().enumerate();
                Box::new(
                    shards.map(move |(index, entry)| {
                        decoder.read_shard(index, &read_entry(dir, entry)?)
                    }),
                )
            }
            Source::Checkpoint { files } => parts_of(Places::of(files)),
            Source::Original { file } => parts_of(original::places(file).map(|(_, places)| places)),
        };
        let mut failed = false;
        Box::new(parts.take_while(move |part| !std::mem::replace(&mut failed, part.is_err())))
    }
}

/// What diffusers' pipeline does where nothing is asked for.
fn defaults(configs: &ComponentConfigs) -> Defaults {
    let pixels = configs.unet.sample_size.unwrap_or(64) * configs.vae.downscale();
    Defaults {
        num_inference_steps: DIFFUSERS_STEPS,
        guidance_scale: DIFFUSERS_GUIDANCE,
        width: pixels,
        height: pixels,
        scheduler: None,
    }
}

fn parts_of(places: Result<Places>) -> Box<dyn Iterator<Item = Result<StoredWeights>>> {
    match places {
        Ok(places) => Box::new(places.parts()),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

/// Takes a component's `config.json` where the folder has one.
fn instead<T: DeserializeOwned>(dir: &Path, component: &str, inferred: &mut T) -> Result<()> {
    let file = format!("{component}/config.json");
    if dir.join(&file).is_file() {
        *inferred = config(dir, &file)?;
    }
    Ok(())
}

/// A file of a bundle, its size known before it is read.
fn read_entry(dir: &Path, entry: &FileEntry) -> Result<Vec<u8>> {
    let path = dir.join(&entry.file);
    let found = fs::metadata(&path).map_err(Error::io(&path))?.len();
    if found != entry.bytes {
        return Err(Error::FileSize {
            file: entry.file.clone(),
            expected: entry.bytes,
            found,
        });
    }
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    entry.verify(&bytes)?;
    Ok(bytes)
}

/// A text file, `None` if it is not there.
fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path)(error)),
        Ok(data) if data.len() > TEXT_BYTES => {
            let (file, found) = (path.display().to_string(), data.len());
            return Err(Error::FileSize {
                file,
                expected: TEXT_BYTES,
                found,
            });
        }
        Ok(_) => {}
    }
    fs::read(path).map(Some).map_err(Error::io(path))
}

fn required(dir: &Path, file: &str) -> Result<Vec<u8>> {
    read_optional(&dir.join(file))?.ok_or_else(|| no_model(dir, &format!("it has no {file}")))
}

fn config<T: DeserializeOwned>(dir: &Path, file: &str) -> Result<T> {
    let json = |e: serde_json::Error| Error::Json {
        file: file.into(),
        why: e.to_string(),
    };
    serde_json::from_slice(&required(dir, file)?).map_err(json)
}

fn tokenizer(dir: &Path) -> Result<ClipTokenizer> {
    let file = |name: &str| read_optional(&dir.join("tokenizer").join(name));
    let (config, special) = (
        file("tokenizer_config.json")?,
        file("special_tokens_map.json")?,
    );
    let options = TokenizerOptions::from_json(config.as_deref(), special.as_deref())?;
    match (
        file("tokenizer.json")?,
        file("vocab.json")?,
        file("merges.txt")?,
    ) {
        (Some(json), ..) => ClipTokenizer::from_json_with(&json, &options),
        (None, Some(vocab), Some(merges)) => {
            ClipTokenizer::from_vocab_and_merges(&vocab, &merges, &options)
        }
        _ => Err(no_model(
            dir,
            "it has neither tokenizer/tokenizer.json nor tokenizer/vocab.json and merges.txt",
        )),
    }
}

/// `_name_or_path` of `model_index.json`, which a checkpoint may lack, or the folder's own name.
fn checkpoint_name(dir: &Path) -> Result<String> {
    let folder = || {
        let whole = dir.canonicalize().unwrap_or_else(|_| dir.into());
        whole.file_name().map_or_else(
            || "model".into(),
            |name| name.to_string_lossy().into_owned(),
        )
    };
    let Some(index) = read_optional(&dir.join("model_index.json"))? else {
        return Ok(folder());
    };
    let index: Value = serde_json::from_slice(&index).map_err(|e| Error::Json {
        file: "model_index.json".into(),
        why: e.to_string(),
    })?;
    Ok(index["_name_or_path"]
        .as_str()
        .map_or_else(folder, str::to_owned))
}

fn no_model(dir: &Path, why: &str) -> Error {
    Error::ModelFolder {
        path: dir.display().to_string(),
        why: why.into(),
    }
}
