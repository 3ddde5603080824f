//! `cargo xtask bench stages`: how long the U-Net, the text encoder and the decoder take, in every
//! engine, and beside them onnxruntime-web in the same browser, in turn with ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::record::{Record, Row, machine};
use crate::browser::chrome;
use crate::browser::page::Page;
use crate::browser::worker::Worker;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::{self, Engine, Purpose};
use crate::workspace::{cargo, command, root, run, target};

const STAGES: [&str; 3] = ["text_encoder", "unet", "decoder"];

/// Largest relative error between two runtimes: they compute the same network, or there is nothing
/// to compare.
const SAME: f64 = 1e-2;

/// What `bench stages` can be told.
#[derive(Args)]
pub struct Options {
    /// Which models
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "shipped,sd-like"
    )]
    models: Vec<Model>,
    /// Which engines
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "cpu-wasm,webgpu,native-cpu,native-wgpu"
    )]
    on: Vec<On>,
    /// Which stages
    #[arg(long, value_delimiter = ',', default_values_t = STAGES.map(String::from))]
    stages: Vec<String>,
    /// Runs of each stage, after a first one that compiles
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Build the native program as the tests do, and not with `--release`
    #[arg(long)]
    dev: bool,
    /// Measure onnxruntime-web beside ours: the folder that tests/peers/run.sh has filled
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    /// CPU threads of the engines in a browser, ours and the other's: one row for each number
    #[arg(long, value_delimiter = ',', default_value = "1")]
    threads: Vec<usize>,
    /// Where the record goes [default: target/bench/stages.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The networks that are measured.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Model {
    /// models/default
    Shipped,
    /// tests/peers/sd-like.json with random weights
    SdLike,
}

impl Model {
    fn name(self) -> &'static str {
        match self {
            Model::Shipped => "shipped",
            Model::SdLike => "sd-like",
        }
    }

    /// Its bundle, written where it is not there.
    fn bundle(self, roentgen: &Path) -> Result<PathBuf> {
        let shipped = root().join("models/default");
        if self == Model::Shipped {
            return Ok(shipped);
        }
        let folder = target().join("bench/sd-like");
        let configs = root().join("tests/peers/sd-like.json");
        if !folder.join("bundle.json").is_file() {
            let mut random = command(roentgen);
            random.arg("random").args(["--side", "256"]);
            random.arg("--configs").arg(configs);
            random.arg("--tokenizer").arg(shipped);
            run(random.arg("--out").arg(&folder))?;
        }
        Ok(folder)
    }
}

/// Where they run.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum On {
    /// The cpu engine in a browser
    CpuWasm,
    /// The gpu engine in a browser
    Webgpu,
    /// The native program on the CPU, on every core
    NativeCpu,
    /// The native program through wgpu
    NativeWgpu,
}

impl On {
    /// The engine of a browser that computes here with so many threads.
    fn engine(self, threads: usize) -> Option<Engine> {
        match self {
            On::CpuWasm if threads > 1 => Some(Engine::CpuThreads),
            On::CpuWasm => Some(Engine::Cpu),
            On::Webgpu => Some(Engine::Gpu),
            On::NativeCpu | On::NativeWgpu => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            On::CpuWasm => "cpu wasm",
            On::Webgpu => "WebGPU",
            On::NativeCpu => "native cpu",
            On::NativeWgpu => "native wgpu",
        }
    }
}

/// Measures, prints the tables and writes the record.
pub fn measure(options: &Options) -> Result<()> {
    for stage in &options.stages {
        ensure!(
            STAGES.contains(&stage.as_str()),
            "no stage is called {stage}"
        );
    }
    let roentgen = native(options.dev)?;
    let mut record = Record::new(&machine())?;
    for &model in &options.models {
        let bundle = model.bundle(&roentgen)?;
        for &on in &options.on {
            println!("{} on {}", model.name(), on.name());
            let counts = match on {
                On::CpuWasm => &options.threads[..],
                _ => &[1],
            };
            for &threads in counts {
                match on.engine(threads) {
                    Some(engine) => {
                        let run = Run {
                            model,
                            on,
                            engine,
                            threads,
                        };
                        in_browser(options, run, &bundle, &mut record)?;
                    }
                    None => natively(options, model, on, &roentgen, &bundle, &mut record)?,
                }
            }
        }
    }
    println!("\n{}", record.markdown());
    let file = options
        .out
        .clone()
        .unwrap_or_else(|| target().join("bench/stages.json"));
    record.write(&file)?;
    println!("{}", file.display());
    Ok(())
}

/// The native program.
pub(super) fn native(dev: bool) -> Result<PathBuf> {
    if dev {
        return crate::native::build();
    }
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "roentgen-web",
        "--bins",
    ]))?;
    let name = format!("roentgen{}", std::env::consts::EXE_SUFFIX);
    Ok(target().join("release").join(name))
}

fn natively(
    options: &Options,
    model: Model,
    on: On,
    roentgen: &Path,
    bundle: &Path,
    record: &mut Record,
) -> Result<()> {
    let mut program = command(roentgen);
    program.arg("stages").arg("--model").arg(bundle);
    program.args(["--backend", if on == On::NativeCpu { "cpu" } else { "gpu" }]);
    program.args(["--runs", &options.runs.to_string()]);
    let output = program
        .output()
        .context("the native program does not start")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let profile = if options.dev { ", dev profile" } else { "" };
    let adapter = found["adapter"].as_str().unwrap_or("every core").to_owned();
    for stage in &options.stages {
        let measured = &found["stages"][stage.as_str()];
        record.rows.push(Row {
            model: model.name(),
            stage: stage.clone(),
            engine: format!("roentgen-web, {}{profile}", on.name()),
            adapter: adapter.clone(),
            first: measured["first"].as_f64().unwrap_or(f64::NAN),
            runs: numbers(&measured["runs"]),
        });
    }
    Ok(())
}

/// What is measured at once, in a browser of its own.
struct Run {
    model: Model,
    on: On,
    engine: Engine,
    threads: usize,
}

fn in_browser(options: &Options, run: Run, bundle: &Path, record: &mut Record) -> Result<()> {
    let Run {
        model,
        on,
        engine,
        threads,
    } = run;
    let mut site = Site::of_engines(&[engine])?
        .and("peers", &root().join("tests/peers"))
        .and("measured", bundle);
    if let Some(peers) = &options.peers {
        let runtime = peers.join("node_modules/onnxruntime-web/dist");
        ensure!(
            runtime.is_dir(),
            "{} is not there; fill the folder with tests/peers/run.sh",
            runtime.display()
        );
        site = site.and("ort", &runtime);
        site = site.and("onnx", &peers.join("onnx").join(model.name()));
    }
    let serving = Serving::start(Arc::new(site), 0, "", false)?;
    serving.isolate(); // threads share memory only so
    let browser = chrome::launch(800, 600)?;
    let page = Page::open(&browser, &format!("{}peers/ours.js", serving.address()))?;
    // where the page has its engine, and where it may wait for threads
    let worker = Worker::start(&page)?;
    let opened = worker.evaluate(&format!(
        "(async () => {{ const {{ open, time }} = await import(location.origin + '/peers/ours.js'); globalThis.time = time; \
         globalThis.ours = await open('{}', location.origin + '/measured/', 'adapter', undefined, [], {threads}); \
         return {{ adapter: ours.adapter, started: ours.started, memory: ours.memory(), browser: navigator.userAgent }}; }})()",
        engine.backend()
    ))?;
    println!(
        "  {threads} threads: engine of {:.2} MB, started in {:.0} ms, {:.0} MB of memory with the model",
        wasm::size(&engine.package(Purpose::Testing))? as f64 / 1e6,
        opened["started"].as_f64().unwrap_or(f64::NAN),
        opened["memory"].as_f64().unwrap_or(f64::NAN) / 1e6,
    );
    let adapter = opened["adapter"].as_str().unwrap_or_default().to_owned();
    record.browser = opened["browser"].as_str().map(str::to_owned);
    let version = match options.peers {
        None => None,
        Some(_) => {
            let version = worker.evaluate(&format!(
                "(async () => {{ const {{ open }} = await import(location.origin + '/peers/theirs.js'); \
                 globalThis.theirs = await open('{}', location.origin + '/onnx/', ours.inputs, {threads}); return {{ version: theirs.version }}; }})()",
                engine.backend()
            ))?;
            Some(version["version"].as_str().unwrap_or("?").to_owned())
        }
    };
    for stage in &options.stages {
        let one = |whose: &str| -> Result<f64> {
            let took = worker.evaluate(&format!(
                "(async () => {{ const {{ milliseconds, output }} = await time(() => {whose}.run('{stage}')); \
                 globalThis.{whose}Output = output; return {{ milliseconds }}; }})()"
            ))?;
            took["milliseconds"]
                .as_f64()
                .context("nothing was measured")
        };
        let whose: &[&str] = if version.is_some() {
            &["ours", "theirs"]
        } else {
            &["ours"]
        };
        let first = whose.iter().map(|w| one(w)).collect::<Result<Vec<_>>>()?;
        if version.is_some() {
            same(&worker, stage)?;
        }
        let mut runs = vec![Vec::new(); whose.len()];
        for _ in 0..options.runs {
            for (whose, runs) in whose.iter().zip(&mut runs) {
                runs.push(one(whose)?);
            }
        }
        let version = version.as_deref().unwrap_or_default();
        let engines = match on {
            On::CpuWasm => [
                format!("roentgen-web, cpu wasm, threads: {threads}"),
                format!("onnxruntime-web {version}, wasm, threads: {threads}"),
            ],
            _ => [
                format!("roentgen-web, {}", on.name()),
                format!("onnxruntime-web {version}, WebGPU"),
            ],
        };
        for (engine, (first, runs)) in engines.into_iter().zip(first.into_iter().zip(runs)) {
            record.rows.push(Row {
                model: model.name(),
                stage: stage.clone(),
                engine,
                adapter: adapter.clone(),
                first,
                runs,
            });
        }
    }
    page.close()
}

/// Both runtimes gave the same.
fn same(worker: &Worker, stage: &str) -> Result<()> {
    let found = worker.evaluate(
        "(() => { let [error, norm] = [0, 0]; theirsOutput.forEach((b, i) => { error += (oursOutput[i] - b) ** 2; norm += b * b; }); \
         return { lengths: [oursOutput.length, theirsOutput.length], error: Math.sqrt(error / norm) }; })()",
    )?;
    let error = found["error"].as_f64().unwrap_or(f64::INFINITY);
    ensure!(
        error <= SAME && found["lengths"][0] == found["lengths"][1],
        "{stage}: the two runtimes differ by {error:.1e}, lengths {}",
        found["lengths"]
    );
    println!("  {stage}: outputs differ by {error:.1e}");
    Ok(())
}

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_f64).collect()
}
