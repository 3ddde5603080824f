//! `cargo xtask fuzz`: what strangers bring, mutated by libFuzzer towards code that no input has
//! reached yet.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::apt;
use crate::browser::{chrome, mutations, page::Page};
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;
use crate::workspace::{cargo, command, output, root, target};

/// Crates that count what they run: those whose code reads what strangers bring.
const COUNTED: [&str; 3] = ["roentgen_web", "train", "fuzz"];

/// What makes rustc count as libFuzzer reads it; cargo-fuzz gives the same.
const COUNTING: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Set for the processes in which this program stands before rustc.
const AS_RUSTC: &str = "ROENTGEN_FUZZ_RUSTC";

/// The target that runs in a browser.
const PAGE: &str = "page";

const SECONDS: u32 = 5;
const MEGABYTES: u32 = 2048;

/// What `fuzz` can be told.
#[derive(Args)]
pub struct Options {
    /// Which targets, such as dicom; all when none is named
    targets: Vec<String>,
    /// Inputs for each
    #[arg(long, default_value_t = 100_000)]
    runs: usize,
    /// The mutations' seed; inputs found by former runs are kept, so a run differs from the last
    /// anyway
    #[arg(long, default_value_t = 1895)]
    seed: u32,
    /// Forget what former runs found
    #[arg(long)]
    anew: bool,
}

impl Options {
    /// As `cargo xtask test` calls it: the same inputs each time.
    pub fn of_tests() -> Self {
        Self {
            targets: vec![],
            runs: 10_000,
            seed: 1895,
            anew: true,
        }
    }
}

/// In the place of rustc, where cargo was told so: adds [`COUNTING`] for [`COUNTED`].
pub fn as_rustc() -> Option<ExitCode> {
    std::env::var_os(AS_RUSTC)?;
    let mut words = std::env::args_os().skip(1);
    let mut rustc = Command::new(words.next()?);
    let words: Vec<OsString> = words.collect();
    let name = words.iter().position(|word| word == "--crate-name");
    let name = name.and_then(|at| words.get(at + 1));
    if name.is_some_and(|name| COUNTED.iter().any(|counted| name == counted)) {
        rustc.args(COUNTING);
    }
    let status = rustc.args(words).status().ok()?;
    Some(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Fuzzes the targets, as many at once as there are cores.
///
/// # Errors
/// If one found a fault: the file that shows it and how to run it again.
pub fn run(options: &Options) -> Result<()> {
    if !cfg!(unix) {
        bail!("libFuzzer runs on Linux and macOS only");
    }
    if output(command("c++").arg("--version")).is_none() && !apt::install(&["g++"])? {
        bail!("libFuzzer is C++, and there is no c++; install a C++ compiler (Debian: g++)");
    }
    let program = build()?;
    let folder = target().join("fuzz");
    let mut known = known(&program)?;
    if !options.anew {
        known.push(PAGE.into()); // which the tests have as a check of their own
    }
    if let Some(name) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {name}; there are {}", known.join(", "));
    }
    let targets = if options.targets.is_empty() {
        known
    } else {
        options.targets.clone()
    };
    println!("target        inputs  paths  inputs/s  slowest (s)  peak (MB)");
    let next = AtomicUsize::new(0);
    let faults = Mutex::new(vec![]);
    let work = || {
        while let Some(name) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let line = match &**name {
                PAGE => page(options),
                _ => fuzz(&program, &folder.join(name), name, options),
            };
            match line {
                Ok(line) => println!("{line}"),
                Err(fault) => faults.lock().expect("no panic").push(format!("{fault:#}")),
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let faults = faults.into_inner().expect("no panic");
    if faults.is_empty() {
        Ok(())
    } else {
        bail!("{}", faults.join("\n"))
    }
}

/// Mutates what the page reads as text, in a browser.
fn page(options: &Options) -> Result<String> {
    let site = Site::build(&[Engine::Cpu], None)?;
    let bundle = site.bundle().to_path_buf();
    let serving = Serving::start(Arc::new(site), 0, "", false)?;
    let browser = chrome::launch(800, 600)?;
    let page = Page::open(&browser, &format!("{}?backend=cpu", serving.address()))?;
    let found = mutations::run(&page, &bundle, options.runs, options.seed)?;
    Ok(format!("{PAGE:<12} {:>7} {found}", options.runs))
}

/// Builds the targets; the program.
fn build() -> Result<PathBuf> {
    let mut build = cargo(&["test", "--no-run", "--workspace", "--locked", "--quiet"]);
    build.args(["--test", "libfuzzer", "--features", "fuzz/libfuzzer"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?);
    build
        .env(AS_RUSTC, "1")
        .stderr(std::process::Stdio::inherit());
    let output = build.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the fuzz targets do not build");
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter(|message| message["target"]["name"] == "libfuzzer");
    let program = programs.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo names no program")
}

/// The targets that the program has; it writes their seeds.
fn known(program: &Path) -> Result<Vec<String>> {
    let folder = target().join("fuzz/seeds");
    let mut list = command(program);
    list.args(["-runs=0"]).env("FUZZ_SEEDS", &folder);
    let output = list.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(String::from).collect())
}

/// Fuzzes one target; a line of the table.
fn fuzz(program: &Path, folder: &Path, name: &str, options: &Options) -> Result<String> {
    let [corpus, work, faults] = ["corpus", "work", "faults"].map(|part| folder.join(part));
    if options.anew && corpus.exists() {
        fs::remove_dir_all(&corpus)?;
    }
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    for part in [&corpus, &work, &faults] {
        fs::create_dir_all(part)?;
    }
    let seeds = target().join("fuzz/seeds");
    let log = folder.join("log");
    // What is asked for and not used counts too, which libFuzzer's own limit leaves out. One arena,
    // as each reserves 64 MB.
    let limited = format!("ulimit -v {}; exec \"$0\" \"$@\"", MEGABYTES * 1024);
    let mut fuzzer = command("sh");
    fuzzer.args(["-c", &limited]).arg(program);
    fuzzer.arg(format!("-runs={}", options.runs));
    fuzzer.arg(format!("-seed={}", options.seed));
    fuzzer.arg(format!("-timeout={SECONDS}"));
    fuzzer.arg(format!("-rss_limit_mb={MEGABYTES}"));
    fuzzer.arg(format!("-artifact_prefix={}/", faults.display()));
    fuzzer.arg(format!("-dict={}", seeds.join("words").display()));
    fuzzer.args(["-print_final_stats=1", "-verbosity=1", "-detect_leaks=0"]);
    fuzzer.arg(&corpus).arg(seeds.join(name));
    let former = root().join("tests/fuzz/regressions").join(name);
    fuzzer.args(former.exists().then_some(former));
    fuzzer.env("FUZZ_TARGET", name).env("FUZZ_FOLDER", &work);
    fuzzer
        .env("MALLOC_ARENA_MAX", "1")
        .env("RAYON_NUM_THREADS", "1");
    fuzzer.stdout(fs::File::create(&log)?);
    fuzzer.stderr(fs::OpenOptions::new().append(true).open(&log)?);
    let status = fuzzer.status().context("cannot start sh")?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if !status.success() {
        let written = said
            .lines()
            .rev()
            .find_map(|line| line.split_once("written to "));
        let input = written.map_or("no input was written", |(_, path)| path);
        bail!("{name} has a fault: {input} (see {})", log.display());
    }
    let stat = |key: &str| {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(&format!("stat::{key}:")));
        line.map_or("?", str::trim).to_owned()
    };
    let paths = said.lines().rev().find_map(|line| line.split_once(" ft: "));
    let paths = paths
        .and_then(|(_, rest)| rest.split(' ').next())
        .unwrap_or("?");
    Ok(format!(
        "{name:<12} {:>7} {paths:>6} {:>9} {:>12} {:>10}",
        stat("number_of_executed_units"),
        stat("average_exec_per_sec"),
        stat("slowest_unit_time_sec"),
        stat("peak_rss_mb")
    ))
}
