//! Distilling a small checkpoint of random weights: trajectories, resuming, learning, and the
//! bundle that comes out.

use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use roentgen_web::bundle::Precision;
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::latents::scheduler::{Scheduler, SchedulerKind};
use roentgen_web::pipeline::Request;
use roentgen_web::tensor::HostTensor;
use roentgen_web::weights::Weights;
use train::exchange::export;
use train::stages::distil::run::DistilRun;
use train::stages::distil::trajectories::Trajectories;
use train::stages::distil::{self, HELD_OUT};
use train::stages::finetune::Base;
use train::training::run::RunFolder;
use train::training::samples;

/// Stable Diffusion 2 in small, which predicts velocity, as published checkpoints lie.
fn teacher() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/pipeline_sd2"
    ))
}

fn run() -> DistilRun {
    toml::from_str(include_str!("distil.toml")).unwrap()
}

/// A table of texts. The images are never opened.
fn data(dir: &Path) -> PathBuf {
    let mut table = "file,text\n".to_string();
    for i in 0..5 {
        fs::write(dir.join(format!("{i}.png")), "").unwrap();
        table += &format!("{i}.png,Effusion of size {i}.\n");
    }
    let path = dir.join("texts.csv");
    fs::write(&path, table).unwrap();
    path
}

fn train(run: &DistilRun, dir: &Path, name: &str) -> RunFolder {
    let folder = RunFolder(dir.join(name));
    let data = dir.join("texts.csv");
    distil::train(run, &teacher(), &data, &folder, &Device::flex()).unwrap();
    folder
}

fn lines(folder: &RunFolder, file: &str, columns: usize) -> Vec<String> {
    let text = fs::read_to_string(folder.path("distil").join(file)).unwrap();
    let cut = |line: &str| line.split(',').take(columns).collect::<Vec<_>>().join(",");
    text.lines().skip(1).map(cut).collect()
}

#[test]
fn a_resumed_distillation_goes_on_to_the_same_losses_and_leaves_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path());
    let mut run = run();
    let whole = train(&run, dir.path(), "whole");
    run.distil.optimization.pause_at = Some(10);
    let broken = train(&run, dir.path(), "broken");
    // A file of trajectories that is lost is drawn again as it was.
    let lost = broken.path("trajectories/00001.safetensors");
    let before = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    run.distil.optimization.pause_at = None;
    train(&run, dir.path(), "broken");
    assert_eq!(fs::read(&lost).unwrap(), before);
    assert_eq!(lines(&whole, "log.csv", 4).len(), 20);
    assert_eq!(lines(&whole, "log.csv", 4), lines(&broken, "log.csv", 4));
    let trained = distil::trained(&whole).unwrap();
    assert!(trained == distil::trained(&broken).unwrap());

    let model = ModelFolder::open(&teacher()).unwrap();
    let mut before = Weights::new();
    for part in model.weights() {
        before.extend(part.unwrap());
    }
    assert!(trained.keys().eq(before.keys()));
    for (name, weight) in &trained {
        let same = weight.data == before[name].data;
        assert_eq!(same, !name.starts_with("unet."), "{name}");
    }

    let (base, tokenizer) = Base::open(&whole).unwrap();
    let bundle = dir.path().join("bundle");
    let info = distil::info(&run, base);
    export::write(info, &tokenizer, &trained, Precision::F32, &bundle).unwrap();
    let model = ModelFolder::open(&bundle).unwrap();
    assert_eq!(model.defaults.num_inference_steps, 4);
    assert_eq!(model.defaults.guidance_scale, 1.0);
    assert_eq!(model.defaults.scheduler.as_deref(), Some("ddim"));
    let mut scheduler = Scheduler::new(&model.configs.scheduler, None).unwrap();
    scheduler.set_timesteps(4).unwrap();
    assert_eq!(scheduler.timesteps(), [999.0, 749.0, 499.0, 249.0]);

    // Another teacher's trajectories, or other settings, are not mixed with these.
    run.distil.guidance_scale = 2.0;
    let data = dir.path().join("texts.csv");
    let error = distil::train(&run, &teacher(), &data, &whole, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");
}

/// The trajectories are what the page draws, and the student comes nearer to their ends than its
/// teacher, who takes as few steps without guidance.
#[test]
fn trajectories_are_the_page_s_and_the_student_follows_them() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path());
    let mut run = run();
    run.distil.caption_dropout = 1.0; // one prompt, so that the request below is known
    run.distil.optimization.steps = 60;
    run.distil.optimization.sheet_every = 60;
    let folder = train(&run, dir.path(), "run");
    let distances: Vec<f64> = lines(&folder, "held-out.csv", 2)
        .iter()
        .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(distances[1] < 0.8 * distances[0], "{distances:?}");

    let all = Trajectories::open(&folder.path("trajectories"), 0..32 + HELD_OUT).unwrap();
    assert_eq!((all.len(), all.length), (32 + HELD_OUT, 5));
    let model = ModelFolder::open(&teacher()).unwrap();
    let mut weights = Weights::new();
    for part in model.weights() {
        weights.extend(part.unwrap());
    }
    let mut configs = model.configs.clone();
    configs.scheduler = distil::target::scheduler(&configs.scheduler);
    let pipeline = samples::pipeline(configs, &model.tokenizer, weights, &Device::flex()).unwrap();
    for i in [0, 17] {
        let shape = [1].into_iter().chain(all.shape).collect();
        let request = Request {
            prompt: String::new(),
            negative_prompt: String::new(),
            seed: 0,
            num_inference_steps: run.distil.teacher_timesteps.len(),
            guidance_scale: run.distil.guidance_scale,
            scheduler: Some(SchedulerKind::DpmSolverMultistep),
            width: model.defaults.width,
            height: model.defaults.height,
            latents: Some(HostTensor {
                shape,
                data: all.sample(i, 0).to_vec(),
            }),
            source: None,
            words: false,
            selected_from: 1,
        };
        let drawn = pollster::block_on(pipeline.generate(&request, async |_| Ok(()))).unwrap();
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * (1.0 + b.abs());
        let embeds = &drawn.prompt_embeds.data;
        assert!(embeds.iter().zip(all.context(i)).all(close));
        for (a, b) in drawn.latents.data.iter().zip(all.sample(i, 4)) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} is not {b}");
        }
    }
}
