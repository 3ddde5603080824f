//! `cargo xtask bench memory`: what a model asks of a GPU at WebGPU's default limits, natively and
//! in a browser: memory, and how many kernels a stage launches.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::stages::native;
use crate::browser::chrome;
use crate::browser::page::Page;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;
use crate::workspace::{command, root, target};

/// What `bench memory` can be told.
#[derive(Args)]
pub struct Options {
    /// The model
    #[arg(long, value_name = "DIR", default_value = "models/default")]
    bundle: PathBuf,
    /// Which stages, in this order
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "text_encoder,unet,decoder"
    )]
    stages: Vec<String>,
    /// Width and height of the image in pixels [default: the model's]
    #[arg(long, value_name = "N")]
    side: Option<usize>,
    /// Images at once; guidance takes two
    #[arg(long, value_name = "N", default_value_t = 1)]
    images: usize,
    /// What the GPU computes in natively: f32, or f16, which is beyond WebGPU's default limits
    /// [default: f32]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["browser", "stock"])]
    precision: Option<String>,
    /// Only natively, and compute nothing: kernels are compiled, and the memory they would work in
    /// is counted
    #[arg(long, conflicts_with_all = ["browser", "compare"])]
    dry_run: bool,
    /// With the tiles for graphics cards natively, whatever the adapter is
    #[arg(long)]
    gpu_tiles: bool,
    /// Also in a browser, whose outputs are compared with the native ones
    #[arg(long)]
    browser: bool,
    /// Runs of each stage in the browser, of which the middle one says what a launch costs; 0 where
    /// a run takes minutes
    #[arg(long, value_name = "N", default_value_t = 9)]
    timed: usize,
    /// Also on the CPU natively, whose outputs are compared with the GPU's
    #[arg(long)]
    compare: bool,
    /// Also with burn's own operations, natively
    #[arg(long)]
    stock: bool,
    /// Build the native program as the tests do, and not with `--release`
    #[arg(long)]
    dev: bool,
}

/// Measures and prints a table.
pub fn measure(options: &Options) -> Result<()> {
    let roentgen = native(options.dev)?;
    let outputs = tempfile::tempdir()?;
    let kept = ["--out".as_ref(), outputs.path().as_os_str()];
    let more = if options.dry_run { &[][..] } else { &kept };
    let mut found = vec![("native wgpu", natively(options, &roentgen, more)?)];
    if options.stock {
        let stock = natively(options, &roentgen, &["--stock".as_ref()])?;
        found.push(("native wgpu, burn's operations", stock));
    }
    if options.browser {
        found.push(("browser", in_browser(options, outputs.path())?));
    }
    println!(
        "\n| where | adapter | stage | launches | each, µs | median between two, µs | submits | tensors, MB | GPU memory, MB | wasm memory, MB | error |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (place, measured) in &found {
        let adapter = measured["adapter"].as_str().unwrap_or_default();
        row(place, adapter, "loaded", &measured["loaded"]);
        for stage in &options.stages {
            row(place, adapter, stage, &measured["stages"][stage.as_str()]);
        }
    }
    let file = target().join("bench/memory.json");
    fs::create_dir_all(target().join("bench"))?;
    fs::write(&file, serde_json::to_string_pretty(&json!(found))?)?;
    println!("\n{}", file.display());
    Ok(())
}

fn row(place: &str, adapter: &str, stage: &str, usage: &Value) {
    let megabytes = |name: &str| {
        let bytes = usage[name].as_f64();
        bytes.map_or("".into(), |bytes| format!("{:.0}", bytes / 1e6))
    };
    let (error, launching) = (usage["error"].as_f64(), &usage["launching"]);
    let time = |name: &str| {
        let microseconds = launching[name].as_f64();
        microseconds.map_or("".into(), |time| format!("{time:.0}"))
    };
    println!(
        "| {place} | {adapter} | {stage} | {} | {} | {} | {} | {} | {} | {} | {} |",
        usage["launches"],
        time("each"),
        time("median"),
        time("submits"),
        megabytes("in_use"),
        megabytes("reserved"),
        megabytes("wasm"),
        error.map_or("".into(), |error| format!("{error:.1e}")),
    );
}

fn natively(options: &Options, roentgen: &Path, more: &[&std::ffi::OsStr]) -> Result<Value> {
    let mut program = command(roentgen);
    program.arg("memory").arg("--model").arg(&options.bundle);
    program.args(["--stages", &options.stages.join(",")]);
    if let Some(side) = options.side {
        program.args(["--side", &side.to_string()]);
    }
    program.args(["--images", &options.images.to_string()]);
    if let Some(precision) = &options.precision {
        program.args(["--limits", "adapter", "--precision", precision]);
    }
    for (given, name) in [
        (options.compare, "--compare"),
        (options.dry_run, "--dry-run"),
        (options.gpu_tiles, "--gpu-tiles"),
    ] {
        if given {
            program.arg(name);
        }
    }
    let output = program.args(more).output();
    let output = output.context("the native program does not start")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The same in a browser at the default limits; `folder` has the native outputs.
fn in_browser(options: &Options, folder: &Path) -> Result<Value> {
    let site = Site::of_engines(&[Engine::Gpu])?
        .and("peers", &root().join("tests/peers"))
        .and("measured", &options.bundle)
        .and("native", folder);
    let serving = Serving::start(Arc::new(site), 0, "", false)?;
    serving.isolate(); // for a clock of 5 µs
    let browser = chrome::launch(800, 600)?;
    let page = Page::open(&browser, &format!("{}peers/ours.js", serving.address()))?;
    let side = options
        .side
        .map_or("undefined".into(), |side| side.to_string());
    let mut found = page.evaluate(&format!(
        "(async () => {{ const {{ open, distance, launching }} = await import('/peers/ours.js'); Object.assign(globalThis, {{ distance, launching }}); \
         globalThis.ours = await open('gpu', '/measured/', 'default', {side}); const {{ inUse, reserved }} = ours.usage(); \
         return {{ adapter: ours.adapter, loaded: {{ launches: 0, in_use: inUse, reserved, wasm: ours.memory() }}, stages: {{}} }}; }})()"
    ))?;
    let timed = options.timed;
    for stage in &options.stages {
        found["stages"][stage.as_str()] = page.evaluate(&format!(
            "(async () => {{ const {{ output, launches, inUse, reserved }} = await ours.watched('{stage}'); \
             const spans = []; for (let i = 0; i < {timed}; i++) spans.push(await launching(() => ours.run('{stage}'))); \
             return {{ launches, in_use: inUse, reserved, wasm: ours.memory(), launching: spans.sort((a, b) => a.each - b.each)[spans.length >> 1], \
             error: await distance(output, '/native/{stage}.f32') }}; }})()"
        ))?;
    }
    page.close()?;
    Ok(found)
}
