//! Teaching a U-Net to draw in a few steps without guidance what it draws in many steps with it.
//!
//! ```text
//! teacher + prompts ─trajectories─▶ samples at the student's timesteps ─target─▶ what one step must predict ─▶ U-Net
//! ```
//!
//! The student starts as the teacher. Each of its steps learns to end where the teacher's next
//! steps, with classifier-free guidance, ended: progressive distillation (Salimans and Ho 2022,
//! arXiv 2202.00512) with the guidance folded in (Meng et al. 2023, arXiv 2210.03142), in one stage
//! instead of halvings, so that no student learns from another's mistakes, and from the teacher's
//! own samples (Luhman and Luhman 2021, arXiv 2101.02388). Text encoder and autoencoder stay the
//! teacher's.

pub mod run;
pub mod target;
pub mod trajectories;

use std::fs;
use std::io::Write;
use std::path::Path;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::FloatDType;
use rand::RngExt;
use roentgen_web::bundle::{BundleInfo, Defaults};
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::error::{Error, Result};
use roentgen_web::latents::denoise::Denoiser;
use roentgen_web::latents::scheduler::{Scheduler, SchedulerKind};
use roentgen_web::latents::{Latents, UNet2DConditionModel};
use roentgen_web::weights::{self, Weights};

use self::run::{Distil, DistilRun};
use self::target::StudentSteps;
use self::trajectories::{Prompts, Settings, Teacher, Trajectories};
use crate::data::draw::Draw;
use crate::data::readers;
use crate::evaluate::generate::fingerprint;
use crate::exchange::export::INTENDED_USE;
use crate::stages::finetune::{Base, collect};
use crate::training::ema;
use crate::training::objective::TextToLatents;
use crate::training::random::step_rng;
use crate::training::ranks;
use crate::training::replicas::share;
use crate::training::run::RunFolder;
use crate::training::samples::{self, Sampling};
use crate::training::tensors::floats;
use crate::training::trainer::{Trainer, ema_path};

/// Trajectories that are never learned from: on them it is measured how near the student comes to
/// the teacher.
pub const HELD_OUT: usize = 2 * trajectories::CHUNK;

/// The network that learns, under its component's name.
#[derive(Module, Debug)]
pub struct Student {
    /// The teacher's U-Net to begin with.
    pub unet: UNet2DConditionModel,
}

/// What a bundle of the run's result says of itself.
pub fn info(run: &DistilRun, base: Base) -> BundleInfo {
    BundleInfo {
        name: run.name.clone(),
        model_card: None,
        license: run.license.clone(),
        attribution: run.attribution.clone(),
        intended_use: INTENDED_USE.into(),
        components: base.configs,
        defaults: base.defaults,
        examples: run.distil.prompts.clone(),
    }
}

/// The averaged weights of the student, with the teacher's text encoder and autoencoder.
///
/// # Errors
/// [`Error::Io`] if it has no checkpoint yet.
pub fn trained(folder: &RunFolder) -> Result<Weights> {
    let mut weights = ema::open(&folder.path("frozen.safetensors"))?;
    weights.extend(ema::open(&ema_path(&folder.path("distil")))?);
    Ok(weights)
}

/// Distils the model in `teacher` (a bundle or a diffusers folder) with prompts from `data` (see
/// [`readers::list`]; no image is read) into `folder`, or continues there.
///
/// # Errors
/// As [`ModelFolder`], [`readers::list`], [`trajectories::draw`] and [`Trainer`]; [`Error::Config`]
/// if model and run do not fit.
pub fn train(
    run: &DistilRun,
    teacher: &Path,
    data: &Path,
    folder: &RunFolder,
    device: &Device,
) -> Result<()> {
    folder.create()?;
    let r = &run.distil;
    let model = ModelFolder::open(teacher)?;
    let mut base = Base {
        configs: model.configs.clone(),
        defaults: Defaults {
            num_inference_steps: r.num_inference_steps,
            guidance_scale: 1.0,
            scheduler: Some(SchedulerKind::Ddim.name().into()),
            ..model.defaults.clone()
        },
    };
    base.configs.scheduler = target::scheduler(&model.configs.scheduler);
    let student_steps = StudentSteps::new(&base.configs.scheduler, r.num_inference_steps)?;
    base.keep(&model.tokenizer, folder)?;

    let mut taught = collect(&model, |_| true)?;
    let vae = taught.split_off("vae."); // which sorts after the names of the others
    let unet = taught.split_off("unet.");
    let mut frozen = taught.clone();
    frozen.extend(vae);
    if ranks::is_first() {
        ema::save(&frozen, &folder.path("frozen.safetensors"))?;
    }
    taught.extend(unet.clone());

    let samples = folder.path("trajectories");
    let settings = Settings {
        teacher: fingerprint(&model)?,
        seed: run.seed,
        num_inference_steps: r.num_inference_steps,
        teacher_timesteps: r.teacher_timesteps.clone(),
        guidance_scale: r.guidance_scale,
        caption_dropout: r.caption_dropout,
    };
    let networks = TextToLatents {
        text_encoder: base.configs.text_encoder.init(device)?,
        unet: base.configs.unet.init(device)?,
    };
    let (vae, size) = (&base.configs.vae, &base.defaults);
    let [h, w] = [size.height, size.width].map(|pixels| pixels / vae.downscale());
    let of = Teacher {
        networks: weights::load(networks, taught)?,
        tokenizer: &model.tokenizer,
        scheduler: &base.configs.scheduler,
        shape: [vae.latent_channels(), h, w],
        device,
    };
    draw(run, &of, &settings, data, &samples)?;
    // In whole files, so that the last file of those learned from has none that are held out.
    let learned = r.trajectories.next_multiple_of(trajectories::CHUNK);
    let held_out = Trajectories::open(&samples, learned..learned + HELD_OUT)?;
    let learned = Trajectories::open(&samples, 0..learned)?;
    println!("{} trajectories, and {HELD_OUT} held out", learned.len());

    let learning = device.clone().autodiff();
    let student = Student {
        unet: base.configs.unet.init(&learning)?,
    };
    let sheet = |unet: &Weights, steps, guidance, kind, file: &str| -> Result<()> {
        let mut all = frozen.clone();
        all.extend(unet.clone());
        let pipeline = samples::pipeline(base.configs.clone(), &model.tokenizer, all, device)?;
        let sampling = Sampling {
            steps,
            guidance,
            scheduler: Some(kind),
            size: base.defaults.width,
            seed: 0,
        };
        samples::contact_sheet(&pipeline, sampling, &folder.path(file))
    };
    let (file, kind) = ("sheets/teacher.png", SchedulerKind::DpmSolverMultistep);
    if ranks::is_first() && !folder.path(file).exists() {
        let steps = model.defaults.num_inference_steps;
        sheet(&unet, steps, r.guidance_scale, kind, file)?;
    }
    let student = weights::load(student, unet)?;
    let look = |step: usize, averaged: &Weights| -> Result<()> {
        let unet = weights::load(
            Student {
                unet: base.configs.unet.init(device)?,
            },
            averaged.clone(),
        )?;
        let distance = distance(&unet.unet, &base, &held_out, device)?;
        println!("step {step}: {distance:.4} from the teacher's ends");
        note(folder, step, distance)?;
        let (steps, file) = (
            r.num_inference_steps,
            format!("sheets/distil-{step:06}.png"),
        );
        sheet(averaged, steps, 1.0, SchedulerKind::Ddim, &file)
    };
    let batches = DistilBatches {
        trajectories: &learned,
        student_steps: &student_steps,
        seed: run.seed,
    };
    fit(r, student, &batches, folder, look)
}

/// Draws the trajectories that are not there yet.
fn draw(
    run: &DistilRun,
    teacher: &Teacher,
    settings: &Settings,
    data: &Path,
    samples: &Path,
) -> Result<()> {
    let (layout, listing) = readers::list(data)?;
    println!("{}: {layout}, {listing}", data.display());
    let prompts = Prompts {
        draw: Draw::new(listing.pairs.iter().map(|pair| pair.caption.record())),
        pairs: &listing.pairs,
    };
    let count = run
        .distil
        .trajectories
        .next_multiple_of(trajectories::CHUNK)
        + HELD_OUT;
    trajectories::draw(teacher, &prompts, &run.distil, settings, count, samples)
}

/// Trains `student`; `look` is given the step and the averaged weights before the first step and
/// when a sheet is due.
fn fit(
    r: &Distil,
    student: Student,
    batches: &DistilBatches,
    folder: &RunFolder,
    mut look: impl FnMut(usize, &Weights) -> Result<()>,
) -> Result<()> {
    let mut trainer = Trainer::new(student, r.optimization.clone(), folder.path("distil"))?;
    if trainer.step == 0 && ranks::is_first() {
        look(0, &trainer.ema.weights)?;
    }
    let n = trainer.share();
    while !trainer.is_done() {
        let batch = batches.batch(r.optimization.batch_size, trainer.step);
        trainer.step(|module, part, device| batch.loss(module, part, n, device))?;
        if trainer.sheet_is_due() {
            look(trainer.step, &trainer.ema.weights)?;
        }
    }
    Ok(())
}

/// What batches are drawn from.
struct DistilBatches<'a> {
    trajectories: &'a Trajectories,
    student_steps: &'a StudentSteps,
    seed: u64,
}

/// One batch on the host, example after example.
struct Batch {
    shape: [usize; 3],
    context_shape: [usize; 2],
    samples: Vec<f32>,
    targets: Vec<f32>,
    timesteps: Vec<f32>,
    contexts: Vec<f32>,
}

impl DistilBatches<'_> {
    /// The batch of a step: every step of the student as often as every other, each of a trajectory
    /// by the step's own random numbers.
    fn batch(&self, size: usize, step: usize) -> Batch {
        // Other numbers than those of the trajectories, which also count from 0.
        let mut rng = step_rng(!self.seed, step);
        let (all, student_steps) = (self.trajectories, &self.student_steps.0);
        let mut batch = Batch {
            shape: all.shape,
            context_shape: all.context_shape,
            samples: vec![],
            targets: vec![],
            timesteps: vec![],
            contexts: vec![],
        };
        for j in 0..size {
            let i = rng.random_range(0..all.len());
            let k = (step * size + j) % student_steps.len();
            let (sample, next) = (all.sample(i, k), all.sample(i, k + 1));
            batch.samples.extend(sample);
            batch.targets.extend(student_steps[k].target(sample, next));
            batch.timesteps.push(student_steps[k].timestep as f32);
            batch.contexts.extend(all.context(i));
        }
        batch
    }
}

impl Batch {
    /// Mean squared error `[1]` over the `part`-th `n` examples.
    fn loss(&self, module: &Student, part: usize, n: usize, device: &Device) -> Tensor<1> {
        let [c, h, w] = self.shape;
        let [tokens, width] = self.context_shape;
        let latents = |values| floats(share(values, part, [n, c, h, w]), [n, c, h, w], device);
        let timesteps = Tensor::<1>::from_floats(share(&self.timesteps, part, [n]), device);
        let context = share(&self.contexts, part, [n, tokens, width]).to_vec();
        let context = Tensor::<3>::from_data(TensorData::new(context, [n, tokens, width]), device);
        let prediction = module
            .unet
            .forward(latents(&self.samples), timesteps, &context.into());
        (prediction - latents(&self.targets)).powi_scalar(2).mean()
    }
}

/// How far the ends of a student's steps lie from the teacher's, from the same noise and prompts:
/// root mean square of the difference, over the standard deviation of the teacher's. 0 is the same
/// image, 1.4 is another one.
fn distance(
    unet: &UNet2DConditionModel,
    base: &Base,
    held_out: &Trajectories,
    device: &Device,
) -> Result<f64> {
    let [c, h, w] = held_out.shape;
    let [tokens, width] = held_out.context_shape;
    let n = held_out.len();
    let all = |step| -> Vec<f32> {
        (0..n)
            .flat_map(|i| held_out.sample(i, step))
            .copied()
            .collect()
    };
    let context: Vec<f32> = (0..n).flat_map(|i| held_out.context(i)).copied().collect();
    let context = Tensor::<3>::from_data(TensorData::new(context, [n, tokens, width]), device);
    let text = context.into();
    let denoiser = Denoiser {
        unet,
        guidance_scale: 1.0,
        device,
        dtype: FloatDType::F32,
    };
    let mut scheduler = Scheduler::new(&base.configs.scheduler, None)?;
    scheduler.set_timesteps(held_out.length - 1)?;
    let mut latents = Latents {
        shape: [n, c, h, w],
        data: all(0),
    };
    for timestep in scheduler.timesteps().to_vec() {
        let step = denoiser.step(&mut scheduler, &latents, timestep, &text);
        latents = latents.with(pollster::block_on(step)?.prev_sample);
    }
    let sample = latents.data;
    let ends = all(held_out.length - 1);
    let mean = ends.iter().map(|&v| f64::from(v)).sum::<f64>() / ends.len() as f64;
    let variance: f64 = ends.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    let error: f64 = sample
        .iter()
        .zip(&ends)
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum();
    Ok((error / variance).sqrt())
}

/// Adds a line to `distil/held-out.csv`.
fn note(folder: &RunFolder, step: usize, distance: f64) -> Result<()> {
    let path = folder.path("distil/held-out.csv");
    let new = !path.exists();
    let file = fs::OpenOptions::new().create(true).append(true).open(&path);
    let mut file = file.map_err(Error::io(&path))?;
    let head = if new { "step,distance\n" } else { "" };
    writeln!(file, "{head}{step},{distance:.5}").map_err(Error::io(&path))
}
