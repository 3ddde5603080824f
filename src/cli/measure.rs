//! `roentgen stages`, `memory` and `random`: what `cargo xtask bench` asks of the native program.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use roentgen_web::components::ComponentConfigs;
use roentgen_web::device::{self, Backend, Limits, Precision};
use roentgen_web::pipeline::{STAGES, stages};
use roentgen_web::{Error, Result, checkpoint::ModelFolder, files};
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
    /// What the GPU computes in: f16 or f32 [default: as generate has it]
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,
    /// Runs of each stage after the first one
    #[arg(long, value_name = "N", default_value_t = 7)]
    runs: usize,
}

#[cfg(feature = "gpu")]
#[derive(Args)]
pub struct Memory {
    /// Folder of a bundle
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// What is asked of the GPU: adapter or default
    #[arg(long, value_name = "NAME", default_value = "default")]
    limits: Limits,
    /// What the GPU computes in: f16 or f32 [default: as generate has it]
    #[arg(long, value_name = "NAME", conflicts_with = "stock")]
    precision: Option<Precision>,
    /// Which stages, in this order
    #[arg(long, value_delimiter = ',', default_values_t = STAGES.map(String::from))]
    stages: Vec<String>,
    /// Width and height of the images in pixels [default: the model's]
    #[arg(long, value_name = "N")]
    side: Option<usize>,
    /// Images at once; guidance takes two
    #[arg(long, value_name = "N", default_value_t = 1)]
    images: usize,
    /// burn's own operations in place of our kernels
    #[arg(long)]
    stock: bool,
    /// The tiles that kernels have for graphics cards, whatever the adapter is
    #[arg(long)]
    gpu_tiles: bool,
    /// Compute nothing, so that no size takes long: kernels are compiled, and the memory they would
    /// work in is counted
    #[arg(long, conflicts_with_all = ["compare", "out"])]
    dry_run: bool,
    /// Also run each stage on the CPU and say how far the outputs are apart
    #[arg(long)]
    compare: bool,
    /// Write each output there as little-endian f32, `STAGE.f32`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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

/// Prints `{adapter, stages: {name: {first, runs}}}` in milliseconds; the first run compiles, so
/// that it is told apart.
pub fn stages(args: &Stages) -> Result<()> {
    let model = ModelFolder::open(&args.model)?;
    let pipeline = crate::load(&model, args.backend, args.limits, args.precision)?;
    let mut measured = Map::new();
    for stage in STAGES {
        let input = stages::input(pipeline.configs(), stage, model.defaults.width, 1)?;
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

/// Prints `{adapter, loaded: usage, stages: {name: usage}}`, a usage being
/// `{launches, in_use, reserved}`, of a stage also with its `error` to the CPU.
#[cfg(feature = "gpu")]
pub fn memory(args: &Memory) -> Result<()> {
    use roentgen_web::device::{AdapterClass, watch::Usage};
    use roentgen_web::{kernels, parity::relative_l2};
    let model = ModelFolder::open(&args.model)?;
    kernels::take_plain(args.stock);
    if args.gpu_tiles {
        kernels::take_tiles_of(AdapterClass::Gpu);
    }
    let json = |usage: Usage| json!({"launches": usage.launches, "in_use": usage.in_use, "reserved": usage.reserved});
    let side = args.side.unwrap_or(model.defaults.width);
    let mut found = Map::new();
    let mut runs = Vec::new();
    let loaded = {
        let pipeline = crate::load(&model, Backend::Gpu, args.limits, args.precision)?;
        let loaded = pipeline.usage();
        for stage in &args.stages {
            let input = stages::input(pipeline.configs(), stage, side, args.images)?;
            let (output, usage) =
                pollster::block_on(pipeline.watched(stage, &input, args.dry_run))?;
            if let Some(folder) = &args.out {
                let bytes: Vec<u8> = output.data.iter().flat_map(|x| x.to_le_bytes()).collect();
                let file = folder.join(format!("{stage}.f32"));
                files::replace(&file, bytes)?;
            }
            found.insert(stage.clone(), json(usage));
            runs.push((stage, input, output));
        }
        loaded
    };
    if args.compare {
        let pipeline = crate::load(&model, Backend::Cpu, args.limits, None)?;
        for (stage, input, output) in runs {
            let expected = pollster::block_on(pipeline.stage(stage, &input))?;
            found[stage]["error"] = relative_l2(&output.data, &expected.data).into();
        }
    }
    println!(
        "{}",
        json!({"adapter": device::adapter_name(), "loaded": json(loaded), "stages": found})
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
