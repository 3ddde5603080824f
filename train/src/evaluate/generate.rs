//! The images that are measured: planned from real records, generated on every core, kept as PNG.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::prelude::*;
use image::imageops::{FilterType, resize};
use indicatif::{ProgressBar, ProgressStyle};
use rand::seq::SliceRandom;
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::latents::scheduler::SchedulerKind;
use roentgen_web::pipeline::{Generated, Pipeline, PipelineBuilder, Request};
use roentgen_web::{origin, png};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::prompts::{self, statement::Statement};
use crate::data::record::Record;
use crate::training::random::step_rng;
use crate::training::ranks;

/// Far enough from each other that no two images share a seed.
const REPETITION: u64 = 1 << 32;

/// One image to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Index of the record whose prompt it is.
    pub record: usize,
    /// The prompt.
    pub prompt: String,
    /// What it says.
    pub said: Statement,
    /// Seed of the starting noise.
    pub seed: u64,
    /// Name of its PNG.
    pub file: String,
}

/// What images depend on besides prompt and seed: images of other settings must not be mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Name of the model.
    pub model: String,
    /// SHA-256 of its configuration and weights.
    pub weights: String,
    /// Denoising steps.
    pub steps: usize,
    /// Classifier-free guidance.
    pub guidance: f64,
    /// The scheduler.
    pub scheduler: String,
    /// Height and width in pixels.
    pub size: usize,
    /// Seed of the plan.
    pub seed: u64,
    /// Most images drawn for each, until the model's reader agrees with one; none where the first
    /// one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<usize>,
}

/// `number` prompts, composed from the records in a random order, so that findings, views and ages
/// have the records' own frequencies; after the last record, again from the first with another
/// paraphrase. A larger number only adds to it.
pub fn plan(records: &[Record], number: usize, seed: u64) -> Vec<Planned> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.shuffle(&mut step_rng(seed, 0));
    let planned = (0..number).map(|i| {
        let record = order[i % order.len()];
        let (said, prompt) = prompts::say(&records[record], seed + i as u64);
        Planned {
            record,
            prompt,
            said,
            seed: seed + i as u64,
            file: format!("{i:06}-0.png"),
        }
    });
    planned.collect()
}

impl Planned {
    /// The same prompt with other noise; 0 is the image itself.
    pub fn repetition(&self, n: u64) -> Planned {
        Planned {
            seed: self.seed + n * REPETITION,
            file: self.file.replace("-0.png", &format!("-{n}.png")),
            ..self.clone()
        }
    }
}

/// SHA-256 of a model's weights and configuration, in hexadecimal digits.
///
/// # Errors
/// As [`ModelFolder::weights`].
pub fn fingerprint(model: &ModelFolder) -> Result<String> {
    let mut hash = Sha256::new();
    for part in model.weights() {
        for (name, weight) in part? {
            hash.update(name);
            weight
                .data
                .iter()
                .for_each(|v| hash.update(v.to_le_bytes()));
        }
    }
    hash.update(serde_json::to_vec(&model.configs).expect("plain values"));
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A model and how images are made with it.
pub struct Generator {
    /// The model.
    pub model: ModelFolder,
    scheduler: Option<SchedulerKind>,
    device: Device,
    /// What its images depend on.
    pub settings: Settings,
}

impl Generator {
    /// Opens the bundle in `dir`; steps and guidance are its own where none are given.
    ///
    /// # Errors
    /// As [`ModelFolder::open`].
    pub fn open(
        dir: &Path,
        steps: Option<usize>,
        guidance: Option<f64>,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let model = ModelFolder::open(dir)?;
        let defaults = &model.defaults;
        let scheduler: Option<SchedulerKind> =
            defaults.scheduler.as_deref().map(str::parse).transpose()?;
        if defaults.width != defaults.height {
            return Err(Error::config(
                dir.display().to_string(),
                "makes images that are not square; the classifier knows none",
            ));
        }
        let settings = Settings {
            model: model.name.clone(),
            weights: fingerprint(&model)?,
            steps: steps.unwrap_or(defaults.num_inference_steps),
            guidance: guidance.unwrap_or(defaults.guidance_scale),
            scheduler: defaults.scheduler.clone().unwrap_or("the model's".into()),
            size: defaults.width,
            seed,
            verify: None,
        };
        Ok(Self {
            model,
            scheduler,
            device: device.clone(),
            settings,
        })
    }

    /// The same, but each image is the first of at most `tries` seeds that the model's reader
    /// agrees with, or the nearest to it. Where a prompt asks for nothing that the reader tells,
    /// its first image is kept.
    ///
    /// # Errors
    /// [`Error::Request`] if `tries` is 0 or the model has no reader.
    pub fn verified(mut self, tries: usize) -> Result<Self> {
        let why = match (tries, &self.model.configs.reader) {
            (0, _) => "it needs at least 1 try",
            (_, None) => "the model has no reader; leave it out",
            (_, Some(_)) => {
                self.settings.verify = Some(tries);
                return Ok(self);
            }
        };
        Err(Error::request("verify", why))
    }

    /// Makes the images that `folder` lacks, each rank some. Two commands with the same settings add
    /// to each other's.
    ///
    /// # Errors
    /// [`Error::Config`] if the folder has images of other settings; as [`Pipeline::generate`];
    /// [`Error::Io`].
    pub fn fill(&self, folder: &Path, planned: &[Planned]) -> Result<()> {
        if ranks::is_first() {
            self.claim(folder)?;
        }
        let mut missing = ranks::divided(planned);
        let own = missing.len();
        missing.retain(|p| !folder.join(&p.file).exists());
        println!(
            "{} images to generate, {} are there",
            missing.len(),
            own - missing.len()
        );
        self.each(&missing, |planned, request, generated| {
            let image = png::encode(&generated.to_image(), &request, &self.model.name, None)?;
            files::replace(&folder.join(&planned.file), image)
        })?;
        ranks::world().barrier();
        Ok(())
    }

    /// Makes the images of a plan, in any order and on several threads, and hands each to `take`.
    ///
    /// # Errors
    /// As [`Pipeline::generate`], and what `take` gives.
    pub fn each(
        &self,
        planned: &[&Planned],
        take: impl Fn(&Planned, Request, Generated) -> Result<()> + Sync,
    ) -> Result<()> {
        let style = ProgressStyle::with_template(
            "{elapsed_precise} [{bar:40}] {pos}/{len} images, eta {eta}",
        );
        let bar =
            ProgressBar::new(planned.len() as u64).with_style(style.expect("a valid template"));
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        // Most operations on a CPU use one thread: an image on each core is faster than one image
        // on all of them.
        let workers = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(planned.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                    let work = || -> Result<()> {
                        let pipeline = self.pipeline()?;
                        while let Some(planned) = planned.get(next.fetch_add(1, Ordering::Relaxed))
                        {
                            let (request, generated) = self.make(&pipeline, planned)?;
                            take(planned, request, generated)?;
                            bar.inc(1);
                        }
                        Ok(())
                    };
                    if let Err(error) = pool.expect("a thread").install(work) {
                        next.store(planned.len(), Ordering::Relaxed);
                        *failure.lock().expect("no panic") = Some(error);
                    }
                });
            }
        });
        bar.finish_and_clear();
        failure.into_inner().expect("no panic").map_or(Ok(()), Err)
    }

    /// Notes the settings in `folder`, or compares them with those that are there.
    fn claim(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join("settings.json");
        if let Ok(json) = std::fs::read(&path) {
            if serde_json::from_slice(&json).ok() == Some(self.settings.clone()) {
                return Ok(());
            }
            return Err(Error::config(
                folder.display().to_string(),
                "has images of another model or other settings; choose another --out",
            ));
        }
        let json = serde_json::to_vec_pretty(&self.settings).expect("plain values");
        files::replace(&path, json)
    }

    fn pipeline(&self) -> Result<Pipeline> {
        let (configs, tokenizer) = (self.model.configs.clone(), self.model.tokenizer.clone());
        let mut builder = PipelineBuilder::new(configs, tokenizer, &self.device)?;
        for part in self.model.weights() {
            builder = builder.apply(part?)?;
        }
        builder.finish()
    }

    fn make(&self, pipeline: &Pipeline, planned: &Planned) -> Result<(Request, Generated)> {
        let size = self.settings.size;
        let request = Request {
            prompt: planned.prompt.clone(),
            negative_prompt: String::new(),
            seed: planned.seed,
            num_inference_steps: self.settings.steps,
            guidance_scale: self.settings.guidance,
            scheduler: self.scheduler,
            width: size,
            height: size,
            latents: None,
            source: None,
            words: false,
            selected_from: 1,
        };
        let plain = || pollster::block_on(pipeline.generate(&request, async |_| Ok(())));
        let Some(tries) = self.settings.verify else {
            return plain().map(|generated| (request.clone(), generated));
        };
        let verified = pipeline.generate_verified(&request, tries, async |_| Ok(()));
        match pollster::block_on(verified) {
            Ok(verified) => Ok((verified.request, verified.generated)),
            Err(Error::Request {
                field: "verify", ..
            }) => plain().map(|generated| (request.clone(), generated)),
            Err(error) => Err(error),
        }
    }
}

/// How many images were drawn for each one that was kept, as the files of `planned` say: the mean.
///
/// # Errors
/// [`Error::Io`].
pub fn drawn(folder: &Path, planned: &[Planned]) -> Result<f64> {
    let mut sum = 0;
    for planned in planned {
        let path = folder.join(&planned.file);
        let file = std::fs::read(&path).map_err(Error::io(&path))?;
        let texts = origin::read(&file).unwrap_or_default();
        let selected = texts.iter().find(|(keyword, _)| keyword == "Selected");
        let number = selected.and_then(|(_, value)| value.split(' ').nth(1)?.parse().ok());
        sum += number.unwrap_or(1);
    }
    Ok(f64::from(sum) / planned.len().max(1) as f64)
}

/// The grey pixels of planned images, brought to `size` x `size`.
///
/// # Errors
/// [`Error::Png`] naming an image that cannot be read.
pub fn read(folder: &Path, planned: &[Planned], size: usize) -> Result<Vec<Vec<u8>>> {
    let read = |planned: &Planned| {
        let path = folder.join(&planned.file);
        let image = image::open(&path).map_err(|e| {
            Error::Png(format!(
                "{}: {e}; delete it and start again",
                path.display()
            ))
        })?;
        let image = image.into_luma8();
        let image = if image.width() as usize == size {
            image
        } else {
            resize(&image, size as u32, size as u32, FilterType::CatmullRom)
        };
        Ok(image.into_raw())
    };
    planned.iter().map(read).collect()
}
