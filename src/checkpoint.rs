//! Folder -> model: a bundle, a diffusers checkpoint as `save_pretrained` writes it, or one file of
//! Stable Diffusion in its original layout.

mod components;
mod configs;
mod convert;
mod files;
mod formats;
mod infer;
mod lora;
mod original;
mod pickle;
mod tensors;

use crate::{
    Error, Result,
    bundle::{Defaults, FileEntry, MANIFEST_FILE, Manifest, ShardReader},
    components::ComponentConfigs,
    error::one_line,
    image::AutoencoderConfig,
    inventory,
    latents::scheduler::{SchedulerConfig, SchedulerKind},
    limits,
    tensor::HostTensor,
    tokens::ClipTokenizer,
    weights::{Stored, StoredWeights, Weights},
};
pub use components::Components;
use configs::{
    TEXT_CONFIG, checkpoint_name, config, defaults, instead, required, text_encoder, tokenizer,
};
pub use convert::to_safetensors;
use lora::Lora;
pub use lora::LoraFile;
use std::path::{Path, PathBuf};
use tensors::Places;

/// A file that is shorter can be a pointer to the real one; those of Git LFS have 130 bytes.
const POINTER_BYTES: u64 = 1024;

/// How the autoencoder's tensors begin.
const VAE: &str = "vae.";

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
    /// What of the files is not used, and what stands in for what this crate has not; each a
    /// sentence without its end.
    pub notes: Vec<String>,
    source: Source,
    loras: Vec<Lora>,
    /// Of another autoencoder than the bundle's own.
    decoder: Option<Places>,
}

#[derive(Debug)]
enum Source {
    Bundle {
        dir: PathBuf,
        manifest: Box<Manifest>,
    },
    Weights(Places),
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
    /// [`Error::ModelFolder`] if it is neither or files are missing; the errors of
    /// [`Manifest::parse`] and [`ClipTokenizer`]; [`Error::Json`] or [`Error::Config`] for a bad
    /// configuration.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            if !dir.exists() {
                return Err(Error::model_folder(dir, "there is no such folder"));
            }
            // What stands in a model's place by accident is named; any other file may be one of a
            // model's.
            if let Err(error @ Error::WrongFile { .. }) = formats::tensors(dir, 0) {
                return Err(error);
            }
            let why = "it is a file (`train import` makes a bundle of one)";
            return Err(Error::model_folder(dir, why));
        }
        match formats::text(&dir.join(MANIFEST_FILE))? {
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
            notes: vec![],
            source: Source::Bundle {
                dir: dir.into(),
                manifest: Box::new(manifest),
            },
            loras: vec![],
            decoder: None,
        })
    }

    fn open_checkpoint(dir: &Path) -> Result<Self> {
        let configs = ComponentConfigs {
            text_encoder: text_encoder(dir)?,
            unet: config(dir, "unet/config.json")?,
            vae: config(dir, "vae/config.json")?,
            scheduler: SchedulerConfig::parse(&required(dir, "scheduler/scheduler_config.json")?)?,
            reader: None,
        };
        let (places, notes) = files::places(dir)?;
        Self::of_places(
            checkpoint_name(dir)?,
            configs,
            tokenizer(dir)?,
            places,
            notes,
        )
    }

    fn of_places(
        name: String,
        configs: ComponentConfigs,
        tokenizer: ClipTokenizer,
        places: Places,
        mut notes: Vec<String>,
    ) -> Result<Self> {
        let names = places.iter().map(|place| &place.name[..]);
        inventory::check(&configs, names).map_err(in_config)?;
        let mut defaults = defaults(&configs);
        if let Some((class, kind)) = SchedulerKind::stand_in(&configs.scheduler) {
            defaults.scheduler = Some(kind.name().into());
            notes.push(format!(
                "its scheduler {class} is not one of those here; unless you choose another, {kind} draws in its place"
            ));
        }
        Ok(Self {
            name,
            defaults,
            configs,
            tokenizer,
            notes: notes.iter().map(|note| one_line(note)).collect(),
            source: Source::Weights(places),
            loras: vec![],
            decoder: None,
        })
    }

    /// Opens a `.safetensors`, `.ckpt` or `.pt` file in the layout in which Stable Diffusion 1.x
    /// and 2.x were published. The folder `beside` has the tokenizer, in `tokenizer/`; a diffusers
    /// config that it has holds instead of what the file's shapes say.
    ///
    /// # Errors
    /// [`Error::Config`] for a file that is none of this kind or an SD 2.x of unknown prediction;
    /// [`Error::Io`], [`Error::Safetensors`], [`Error::UnknownTensor`] for what the file holds;
    /// those of [`Self::open`] for the folder.
    pub fn open_original(file: &Path, beside: &Path, prediction: Prediction) -> Result<Self> {
        let configured = if beside.join(TEXT_CONFIG).is_file() {
            Some(text_encoder(beside)?)
        } else {
            None
        };
        let layers = configured.as_ref().map(|config| config.num_hidden_layers);
        let (open_clip, places) = original::places(file, layers)?;
        let scheduler = formats::text(&beside.join("scheduler/scheduler_config.json"))?;
        if open_clip && scheduler.is_none() && prediction == Prediction::Unknown {
            return Err(Error::request(
                "prediction",
                "has to be given for an SD 2.x, which may predict either: epsilon (512 pixels) or v (768 pixels)",
            ));
        }
        let mut configs = infer::configs(&places, open_clip, prediction == Prediction::V)?;
        if let Some(scheduler) = scheduler {
            configs.scheduler = SchedulerConfig::parse(&scheduler)?;
        }
        if let Some(configured) = configured {
            configs.text_encoder = configured;
        }
        instead(beside, "unet", &mut configs.unet)?;
        instead(beside, "vae", &mut configs.vae)?;
        let name = one_line(&file.file_stem().unwrap_or_default().to_string_lossy());
        Self::of_places(name, configs, tokenizer(beside)?, places, vec![])
    }

    /// Adds a LoRA to the weights that come from here. On a bundle it is added to what the rounded
    /// weights stand for.
    ///
    /// # Errors
    /// [`Error::Config`] for an adapter of another kind or for another model; [`Error::Io`],
    /// [`Error::WrongFile`], [`Error::Safetensors`] for its file.
    pub fn with_lora(mut self, lora: &LoraFile) -> Result<Self> {
        let lora = match &self.source {
            Source::Bundle { manifest, .. } => {
                let tensors = manifest.tensors.iter();
                Lora::open(
                    lora,
                    &tensors.map(|(name, t)| (&name[..], &t.shape[..])).collect(),
                )?
            }
            Source::Weights(places) => Lora::open(lora, &places.shapes())?,
        };
        self.name = format!("{} + {}", self.name, lora.label);
        self.loras.push(lora);
        Ok(self)
    }

    /// Takes another autoencoder for the same latents, such as TAESD: the folder of a diffusers
    /// autoencoder, or a checkpoint's.
    ///
    /// # Errors
    /// [`Error::Config`] if its latents are of other sizes; those of [`Self::open`] for its files.
    pub fn with_decoder(mut self, dir: &Path) -> Result<Self> {
        let dir = if dir.join("vae/config.json").is_file() {
            dir.join("vae")
        } else {
            dir.to_path_buf()
        };
        let vae: AutoencoderConfig = config(&dir, "config.json")?;
        let own = &self.configs.vae;
        let latents = |vae: &AutoencoderConfig| (vae.latent_channels(), vae.downscale());
        if latents(&vae) != latents(own) {
            let why = format!(
                "its latents have {} channels of {} pixels a side, and the model's {} of {}; it decodes another model's",
                vae.latent_channels(),
                vae.downscale(),
                own.latent_channels(),
                own.downscale()
            );
            return Err(Error::config(dir.display().to_string(), why));
        }
        let (places, _) = files::of_component(&dir, "vae")?;
        self.configs.vae = vae;
        match &mut self.source {
            Source::Bundle { manifest, .. } => {
                let own = manifest.tensors.keys().map(String::as_str);
                let own = own.filter(|name| !name.starts_with(VAE));
                let new = places.iter().map(|place| &place.name[..]);
                inventory::check(&self.configs, own.chain(new)).map_err(in_config)?;
                self.decoder = Some(places);
            }
            Source::Weights(own) => {
                *own = std::mem::take(own).without(VAE).and(places)?;
                let names = own.iter().map(|place| &place.name[..]);
                inventory::check(&self.configs, names).map_err(in_config)?;
            }
        }
        Ok(self)
    }

    /// Every tensor of a checkpoint by its name, in the names' order, one in memory at a time.
    ///
    /// # Errors
    /// [`Error::Config`] for a bundle, whose weights have been rounded already; [`Error::Io`],
    /// [`Error::Safetensors`] and [`Error::DuplicateTensor`] for its files.
    pub fn tensors(&self) -> Result<impl Iterator<Item = Result<(String, HostTensor)>> + '_> {
        let places = match &self.source {
            Source::Weights(places) => places.clone(),
            Source::Bundle { dir, .. } => {
                return Err(Error::config(
                    dir.display().to_string(),
                    "it is a bundle already; give the checkpoint that it was made from",
                ));
            }
        };
        Ok(places.by_name().tensors().map(|tensor| {
            let (name, mut weight) = tensor?;
            self.loras
                .iter()
                .for_each(|lora| lora.merge(&name, &mut weight));
            Ok((name, weight))
        }))
    }

    /// The weights part by part, one shard or a few hundred megabytes at a time. Nothing comes
    /// after an error.
    pub fn weights(&self) -> impl Iterator<Item = Result<Weights>> + '_ {
        let decode = |(name, stored): (String, Stored)| (name, stored.decode());
        self.stored()
            .map(move |part| part.map(|part| part.into_iter().map(decode).collect()))
    }

    /// As [`Self::weights`], quantized ones as a bundle stores them.
    pub fn stored(&self) -> Box<dyn Iterator<Item = Result<StoredWeights>> + '_> {
        let parts: Box<dyn Iterator<Item = Result<StoredWeights>>> = match &self.source {
            Source::Bundle { dir, manifest } => {
                let mut decoder = ShardReader::new(manifest.as_ref().clone());
                let shards = manifest.shards.iter().enumerate();
                let parts = shards.map(move |(index, entry)| {
                    let mut part = decoder.read_shard(index, &read_entry(dir, entry)?)?;
                    if self.decoder.is_some() {
                        part.retain(|name, _| !name.starts_with(VAE));
                    }
                    Ok(part)
                });
                Box::new(parts.chain(self.decoder.clone().into_iter().flat_map(Places::parts)))
            }
            Source::Weights(places) => Box::new(places.clone().parts()),
        };
        let parts = parts.map(|part| Ok(self.merged(part?)));
        let mut failed = false;
        Box::new(parts.take_while(move |part| !std::mem::replace(&mut failed, part.is_err())))
    }
}

impl ModelFolder {
    /// The weights with every LoRA in them. One that is changed is not quantized any more.
    fn merged(&self, mut part: StoredWeights) -> StoredWeights {
        for (name, stored) in &mut part {
            if self.loras.iter().any(|lora| lora.changes(name)) {
                let nothing = Stored::Plain(HostTensor {
                    shape: vec![],
                    data: vec![],
                });
                let mut weight = std::mem::replace(stored, nothing).decode();
                self.loras
                    .iter()
                    .for_each(|lora| lora.merge(name, &mut weight));
                *stored = Stored::Plain(weight);
            }
        }
        part
    }
}

/// A file of a bundle, its size known before it is read.
fn read_entry(dir: &Path, entry: &FileEntry) -> Result<Vec<u8>> {
    let path = dir.join(&entry.file);
    let found = limits::open(&path)?.1;
    if found != entry.bytes {
        if found < POINTER_BYTES {
            formats::refuse_other_kinds(&path, &limits::read(&path, POINTER_BYTES)?)?;
        }
        return Err(Error::FileSize {
            file: entry.file.clone(),
            expected: entry.bytes,
            found,
        });
    }
    let bytes = limits::read(&path, entry.bytes)?;
    entry.verify(&bytes)?;
    Ok(bytes)
}

fn in_config((component, why): (&'static str, String)) -> Error {
    Error::config(format!("{component}/config.json"), why)
}
