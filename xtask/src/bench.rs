//! `cargo xtask bench`: the page measured as a visitor has it; `bench stages` measures the networks
//! alone.

mod memory;
mod record;
mod refusals;
mod stages;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use record::machine;

use crate::browser::chrome;
use crate::browser::page::Page;
use crate::native::Settings;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::{self, Engine, Purpose};
use crate::workspace::target;

/// The longest that loading, or one image, may take.
pub const LIMIT: Duration = Duration::from_secs(1800);

/// What `bench` can be told.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Which engine
    #[arg(long, value_enum, default_value = "cpu")]
    engine: Engine,
    /// Denoising steps
    #[arg(long, default_value_t = 20)]
    steps: u32,
    /// Runs, each in a fresh browser with an empty cache; the row shows the middle one
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// The model [default: models/default]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Its weights arrive no faster, in MB a second
    #[arg(long, value_name = "N")]
    pace: Option<f64>,
}

/// What else can be measured.
#[derive(Subcommand)]
enum Part {
    /// U-Net, text encoder and decoder alone, in every engine
    Stages(stages::Options),
    /// What a model asks of a GPU: memory, and how many kernels are launched
    Memory(memory::Options),
    /// What each kind of bad input costs until it is refused
    Refusals,
}

/// What is drawn.
const PROMPT: &str = "PA chest radiograph of a 60-year-old man. Large left pleural effusion.";

/// Measures from an empty cache to the first image, and prints a row for the README.
pub fn run(options: &Options) -> Result<()> {
    match &options.part {
        Some(Part::Stages(options)) => return stages::measure(options),
        Some(Part::Memory(options)) => return memory::measure(options),
        Some(Part::Refusals) => return refusals::measure(),
        None => {}
    }
    let site = Arc::new(Site::release(&[options.engine], options.bundle.as_deref())?);
    let mut runs = (0..options.runs.max(1))
        .map(|_| measure(&site, options))
        .collect::<Result<Vec<Value>>>()?;
    runs.sort_by(|a, b| {
        a["seconds_to_first_image"]
            .as_f64()
            .unwrap_or(f64::MAX)
            .total_cmp(&b["seconds_to_first_image"].as_f64().unwrap_or(f64::MAX))
    });
    let middle = &runs[runs.len() / 2];
    let number = |name: &str| middle[name].as_f64().unwrap_or(f64::NAN);
    let compiled = match middle["pipelines"].as_u64() {
        Some(pipelines) => format!("{pipelines} in {:.1}", number("seconds_to_compile")),
        None => String::new(),
    };
    println!(
        "\n| engine | steps | model, MB | engine, MB | pipelines compiled, s | ready, s | image, s | next image, s | first image from an empty cache, s | peak wasm memory, MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {} | {:.1} | {:.2} | {compiled} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} |",
        options.engine.name(),
        options.steps,
        number("model_bytes") / 1e6,
        number("engine_bytes") / 1e6,
        number("seconds_to_ready"),
        number("seconds_to_image"),
        number("seconds_to_next_image"),
        number("seconds_to_first_image"),
        number("peak_wasm_bytes") / 1e6,
    );
    let file = target()
        .join("bench")
        .join(format!("browser-{}.json", options.engine.name()));
    fs::create_dir_all(target().join("bench"))?;
    fs::write(&file, serde_json::to_string_pretty(&runs)?)?;
    println!(
        "\n{} runs on {}; all numbers in {}",
        runs.len(),
        machine(),
        file.display()
    );
    Ok(())
}

/// One visit in a fresh browser.
fn measure(site: &Arc<Site>, options: &Options) -> Result<Value> {
    let serving = Serving::start(site.clone(), 0, "", false)?;
    if options.engine == Engine::CpuThreads {
        serving.isolate();
    }
    if let Some(pace) = options.pace {
        serving.pace(pace * 1e6);
    }
    let browser = chrome::launch(1280, 900)?;
    let started = Instant::now();
    let page = Page::open(
        &browser,
        &format!("{}?backend={}", serving.address(), options.engine.backend()),
    )?;
    page.wait("ready", LIMIT)?;
    let ready = started.elapsed();
    let threads = page.stats()?["threads"].as_u64();
    ensure!(
        threads > Some(1) || options.engine != Engine::CpuThreads,
        "the page computes with one thread"
    );
    let settings = Settings {
        prompt: PROMPT.into(),
        negative_prompt: "".into(),
        seed: 1895,
        steps: options.steps,
        guidance: guidance(&page)?,
        scheduler: "",
        size: None,
    };
    let (image, drawing) = page.generate(&settings, LIMIT)?;
    let first = started.elapsed();
    let (_, next) = page.generate(&settings, LIMIT)?; // with everything compiled
    let stats = page.stats()?;
    let compilation = &stats["compilation"]; // of the gpu engine, while the model arrived
    Ok(json!({
        "engine": options.engine.name(),
        "adapter": stats["adapter"],
        "threads": threads,
        "machine": machine(),
        "steps": options.steps,
        "guidance_scale": settings.guidance,
        "width": image.width(),
        "height": image.height(),
        "model_bytes": stats["downloadedBytes"],
        "engine_bytes": wasm::size(&options.engine.package(Purpose::Release))?,
        "seconds_to_ready": ready.as_secs_f64(),
        "pipelines": compilation["pipelines"],
        "seconds_to_compile": compilation["milliseconds"].as_f64().map(|time| time / 1e3),
        "seconds_to_image": drawing.as_secs_f64(),
        "seconds_to_next_image": next.as_secs_f64(),
        "seconds_to_first_image": first.as_secs_f64(),
        // wasm memory never shrinks: its size at the end is its peak
        "peak_wasm_bytes": stats["wasmMemoryBytes"],
    }))
}

/// The guidance that the page proposes: the model's.
pub fn guidance(page: &Page) -> Result<f64> {
    let shown = page.evaluate("({guidance: document.getElementById('guidance').valueAsNumber})")?;
    shown["guidance"]
        .as_f64()
        .context("the page shows no guidance")
}
