//! A teacher's way from noise to images, kept at the timesteps of the student's steps.
//!
//! The student learns from where the teacher has been, not from noisy photographs: these are the
//! very samples that it meets when it draws, with what guidance does to them, and every file serves
//! as often as training needs it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::prelude::*;
use burn::tensor::FloatDType;
use indicatif::ProgressBar;
use rand::RngExt;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::latents::Latents;
use roentgen_web::latents::denoise::Denoiser;
use roentgen_web::latents::scheduler::{Scheduler, SchedulerConfig, SchedulerKind};
use roentgen_web::tensor::HostTensor;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::Weights;
use serde::{Deserialize, Serialize};

use super::run::Distil;
use super::target::StudentSteps;
use crate::data::draw::Draw;
use crate::data::readers::Pair;
use crate::training::ema;
use crate::training::objective::TextToLatents;
use crate::training::random::{normal, step_rng};
use crate::training::ranks;
use crate::training::tensors::values;

/// Trajectories that are drawn together and share a file.
pub const CHUNK: usize = 16;

/// What trajectories depend on: those of another teacher or other settings must not be mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// SHA-256 of the teacher's configuration and weights.
    pub teacher: String,
    /// Seed of prompts and noise.
    pub seed: u64,
    /// The student's steps.
    pub num_inference_steps: usize,
    /// The teacher's timesteps.
    pub teacher_timesteps: Vec<usize>,
    /// The teacher's guidance.
    pub guidance_scale: f64,
    /// Share of empty prompts.
    pub caption_dropout: f64,
}

/// A model that shows how it draws.
pub struct Teacher<'a> {
    /// Text encoder and U-Net, on a device that keeps no gradients.
    pub networks: TextToLatents,
    /// The model's tokenizer.
    pub tokenizer: &'a ClipTokenizer,
    /// Its scheduler as [`super::target::scheduler`] makes it.
    pub scheduler: &'a SchedulerConfig,
    /// `[C, h, w]` of its latents.
    pub shape: [usize; 3],
    /// Where its networks are.
    pub device: &'a Device,
}

/// Where prompts come from.
pub struct Prompts<'a> {
    /// Images with captions.
    pub pairs: &'a [Pair],
    /// How often each caption is drawn.
    pub draw: Draw,
}

/// Trajectories in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectories {
    /// `[C, h, w]` of a sample.
    pub shape: [usize; 3],
    /// `[T, E]` of a prompt's embeddings.
    pub context_shape: [usize; 2],
    /// Samples of one trajectory, the noise and the end included.
    pub length: usize,
    samples: Vec<f32>,
    contexts: Vec<f32>,
}

impl Trajectories {
    /// Number of trajectories.
    pub fn len(&self) -> usize {
        self.contexts.len() / self.context_shape.iter().product::<usize>().max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.contexts.is_empty()
    }

    /// The sample of trajectory `i` before step `step` of the student; after its last step, the
    /// end.
    pub fn sample(&self, i: usize, step: usize) -> &[f32] {
        let n: usize = self.shape.iter().product();
        &self.samples[(i * self.length + step) * n..][..n]
    }

    /// The embeddings of the prompt of trajectory `i`.
    pub fn context(&self, i: usize) -> &[f32] {
        let n: usize = self.context_shape.iter().product();
        &self.contexts[i * n..][..n]
    }

    /// Reads the files that [`draw`] left, in order, as far as they hold the trajectories `range`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] if a file is damaged.
    pub fn open(folder: &Path, range: std::ops::Range<usize>) -> Result<Self> {
        let mut all: Option<Self> = None;
        for chunk in range.start / CHUNK..range.end.div_ceil(CHUNK) {
            let path = file(folder, chunk);
            let damaged = || {
                Error::config(
                    path.display().to_string(),
                    "it holds no trajectories of this run; delete it to draw them anew",
                )
            };
            let mut weights = ema::open(&path)?;
            let mut take = |name: &str| weights.remove(name).ok_or_else(damaged);
            let (samples, contexts) = (take("samples")?, take("contexts")?);
            let (&[n, length, c, h, w], &[m, tokens, width]) =
                (&samples.shape[..], &contexts.shape[..])
            else {
                return Err(damaged());
            };
            let all = all.get_or_insert_with(|| Self {
                shape: [c, h, w],
                context_shape: [tokens, width],
                length,
                samples: vec![],
                contexts: vec![],
            });
            let same =
                (all.shape, all.context_shape, all.length) == ([c, h, w], [tokens, width], length);
            if !same || n != m {
                return Err(damaged());
            }
            let first = chunk * CHUNK;
            let from = range.start.max(first) - first;
            let to = range.end.min(first + n).saturating_sub(first);
            let (s, e) = (length * c * h * w, tokens * width);
            all.samples.extend(&samples.data[from * s..to * s]);
            all.contexts.extend(&contexts.data[from * e..to * e]);
        }
        match all {
            Some(all) if all.len() == range.len() => Ok(all),
            _ => Err(Error::config(
                folder.display().to_string(),
                "it lacks trajectories; give the command again",
            )),
        }
    }
}

fn file(folder: &Path, chunk: usize) -> PathBuf {
    folder.join(format!("{chunk:05}.safetensors"))
}

/// Draws the trajectories 0 to `count` that `folder` lacks, on every core of every rank.
///
/// # Errors
/// [`Error::Config`] if the folder has those of other settings; as [`Teacher::draw`];
/// [`Error::Io`].
pub fn draw(
    teacher: &Teacher,
    prompts: &Prompts,
    run: &Distil,
    settings: &Settings,
    count: usize,
    folder: &Path,
) -> Result<()> {
    if ranks::is_first() {
        claim(folder, settings)?;
    }
    let mut missing = ranks::divided(0..count.div_ceil(CHUNK));
    missing.retain(|chunk| !file(folder, *chunk).exists());
    println!(
        "{} of {} files of {CHUNK} trajectories to draw here",
        missing.len(),
        count.div_ceil(CHUNK)
    );
    let bar = ProgressBar::new(missing.len() as u64);
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    // Most operations on a CPU use one thread, so each core draws a file of its own.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(missing.len()) {
            scope.spawn(|| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                let work = || -> Result<()> {
                    while let Some(&chunk) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let weights = teacher.chunk(prompts, run, settings.seed, chunk)?;
                        ema::save(&weights, &file(folder, chunk))?;
                        bar.inc(1);
                        if bar.is_hidden() && bar.position().is_multiple_of(20) {
                            println!("{} of {} files", bar.position(), missing.len());
                        }
                    }
                    Ok(())
                };
                if let Err(error) = pool.expect("a thread").install(work) {
                    next.store(missing.len(), Ordering::Relaxed);
                    *failure.lock().expect("no panic") = Some(error);
                }
            });
        }
    });
    bar.finish_and_clear();
    failure
        .into_inner()
        .expect("no panic")
        .map_or(Ok(()), Err)?;
    ranks::world().barrier();
    Ok(())
}

/// Notes the settings in `folder`, or compares them with those that are there.
fn claim(folder: &Path, settings: &Settings) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join("settings.json");
    if let Ok(json) = std::fs::read(&path) {
        return if serde_json::from_slice(&json).ok() == Some(settings.clone()) {
            Ok(())
        } else {
            Err(Error::config(
                folder.display().to_string(),
                "has trajectories of another teacher or other settings; give another --folder",
            ))
        };
    }
    let json = serde_json::to_vec_pretty(settings).expect("plain values");
    files::replace(&path, json)
}

impl Teacher<'_> {
    /// The file of one chunk. Every trajectory draws its prompt and its noise from the seed and its
    /// own number.
    fn chunk(&self, prompts: &Prompts, run: &Distil, seed: u64, chunk: usize) -> Result<Weights> {
        let (mut ids, mut noise) = (vec![], vec![]);
        for i in chunk * CHUNK..(chunk + 1) * CHUNK {
            let mut rng = step_rng(seed, i);
            let pair = &prompts.pairs[prompts.draw.index(&mut rng)];
            let prompt = if rng.random_bool(run.caption_dropout) {
                String::new()
            } else {
                pair.caption.prompt(rng.random())
            };
            ids.push(self.tokenizer.encode(&prompt)?.ids);
            noise.extend(normal(&mut rng, self.shape.iter().product()));
        }
        self.draw(&ids, noise, run)
    }

    /// Draws an image for each of the prompts `ids` from its share of `noise`: `samples`
    /// `[n, steps + 1, C, h, w]` before each of the student's steps and after the last, and
    /// `contexts` `[n, T, E]`.
    ///
    /// # Errors
    /// [`Error::Config`] if the steps of teacher and student do not fit; [`Error::Tokenizer`];
    /// [`Error::Output`] if what the teacher draws is not finite.
    pub fn draw(&self, ids: &[Vec<u32>], noise: Vec<f32>, run: &Distil) -> Result<Weights> {
        let kind = SchedulerKind::DpmSolverMultistep;
        let mut scheduler = Scheduler::new(self.scheduler, Some(kind))?;
        scheduler.set_custom_timesteps(&run.teacher_timesteps)?;
        let steps = StudentSteps::new(self.scheduler, run.num_inference_steps)?;
        steps.check(&run.teacher_timesteps)?;

        let (n, [c, h, w]) = (ids.len(), self.shape);
        let context = self.embed(ids);
        let [_, tokens, width] = context.dims();
        let states = if run.guidance_scale > 1.0 {
            let empty = self.tokenizer.encode("")?.ids;
            let nothing = self.embed(&[empty]).repeat_dim(0, n);
            Tensor::cat(vec![nothing, context.clone()], 0)
        } else {
            context.clone()
        };
        let text = states.into();
        let denoiser = Denoiser {
            unet: &self.networks.unet,
            guidance_scale: run.guidance_scale,
            device: self.device,
            dtype: FloatDType::F32,
        };
        let mut latents = Latents {
            shape: [n, c, h, w],
            data: noise,
        };
        let mut kept = vec![];
        for &timestep in &run.teacher_timesteps {
            if steps.0.iter().any(|step| step.timestep == timestep) {
                kept.push(latents.data.clone());
            }
            let step = denoiser.step(&mut scheduler, &latents, timestep as f64, &text);
            latents = latents.with(pollster::block_on(step)?.prev_sample);
        }
        let sample = latents.data;
        if let Some(bad) = sample.iter().find(|v| !v.is_finite()) {
            return Err(Error::Output(format!("the teacher's latents became {bad}")));
        }
        kept.push(sample);
        // Sample by sample of all prompts to prompt by prompt.
        let size = c * h * w;
        let of = |i: usize| kept.iter().flat_map(move |k| &k[i * size..][..size]);
        let samples = HostTensor {
            shape: vec![n, kept.len(), c, h, w],
            data: (0..n).flat_map(of).copied().collect(),
        };
        let contexts = HostTensor {
            shape: vec![n, tokens, width],
            data: values(context),
        };
        Ok(Weights::from([
            ("samples".into(), samples),
            ("contexts".into(), contexts),
        ]))
    }

    /// `[n, T]` ids to `[n, T, E]`.
    fn embed(&self, ids: &[Vec<u32>]) -> Tensor<3> {
        let shape = [ids.len(), ids.first().map_or(0, Vec::len)];
        let flat: Vec<i32> = ids.iter().flatten().map(|&id| id as i32).collect();
        let ids = Tensor::<1, Int>::from_ints(flat.as_slice(), self.device);
        self.networks.text_encoder.forward(ids.reshape(shape))
    }
}
