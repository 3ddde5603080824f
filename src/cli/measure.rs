//! `roentgen stages` and `roentgen random`: what `cargo xtask bench stages` asks of the native program.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use roentgen_web::device::{self, Backend, Limits};
use roentgen_web::pipeline::{ComponentConfigs, stages};
use roentgen_web::{Error, Result, checkpoint::ModelFolder};
use serde_json::{Map, Value, json};

#[derive(Args)]
pub struct Stages {
    /// Folder of a bundle
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// cpu or gpu
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    backend: Backend,
    /// What is asked of a GPU: adapter or default
    #[arg(long, value_name = "NAME", default_value = "adapter")]
    limits: Limits,
    /// Runs of each stage after the first one
    #[arg(long, value_name = "N", default_value_t = 7)]
    runs: usize,
}

#[derive(Args)]
pub struct Random {
    /// A JSON file with the component configs of a bundle.json
    #[arg(long, value_name = "FILE")]
    configs: PathBuf,
    /// A bundle that the tokenizer is taken from
    #[arg(long, value_name = "DIR")]
    tokenizer: PathBuf,
    /// Width and height of its images in pixels
    #[arg(long, value_name = "N")]
    side: usize,
    /// Folder of the new bundle
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints `{adapter, stages: {name: {first, runs}}}` in milliseconds; the first run compiles, so that it is told apart.
pub fn stages(args: &Stages) -> Result<()> {
    let model = ModelFolder::open(&args.model)?;
    let pipeline = crate::load(&model, args.backend, args.limits)?;
    let mut measured = Map::new();
    for stage in stages::STAGES {
        let input = stages::input(pipeline.configs(), stage, model.defaults.width)?;
        let once = || -> Result<f64> {
            let started = Instant::now();
            pollster::block_on(pipeline.stage(stage, &input))?;
            Ok(started.elapsed().as_secs_f64() * 1e3)
        };
        let first = once()?;
        let runs = (0..args.runs).map(|_| once()).collect::<Result<Vec<_>>>()?;
        measured.insert(stage.into(), json!({"first": first, "runs": runs}));
    }
    let adapter = match args.backend {
        Backend::Cpu => None,
        Backend::Gpu => device::adapter_name(),
    };
    println!(
        "{}",
        json!({"adapter": adapter, "stages": Value::Object(measured)})
    );
    Ok(())
}

pub fn random(args: &Random) -> Result<()> {
    let bytes = std::fs::read(&args.configs).map_err(Error::io(&args.configs))?;
    let configs: ComponentConfigs = serde_json::from_slice(&bytes).map_err(|e| Error::Json {
        file: args.configs.display().to_string(),
        why: e.to_string(),
    })?;
    let tokenizer = ModelFolder::open(&args.tokenizer)?.tokenizer;
    stages::write_random(&configs, &tokenizer, args.side, &args.out)
}
