//! `cargo xtask test`: everything that must hold, in the order in which mistakes are cheapest to
//! find.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::workspace::cargo;
use crate::{apt, browser, deny, fuzz, types, wasm, workspace};

/// What `test` can be told.
#[derive(Args)]
pub struct Options {
    /// Which steps; all when none is named
    steps: Vec<Step>,
    /// Only browser checks with this in their name
    #[arg(long, default_value = "")]
    filter: String,
    /// The model for the browser checks [default: models/default]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
}

/// The steps.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Step {
    /// `cargo fmt --check`
    Format,
    /// clippy without warnings
    Clippy,
    /// the types in the page's comments
    Types,
    /// licences, sources and known faults of what this depends on
    Deny,
    /// all native tests
    Native,
    /// 10,000 mutated inputs for each reader of what strangers bring
    Fuzz,
    /// training over MPI, where there is one
    Ranks,
    /// whether the trainer compiles for NVIDIA GPUs; needs none
    Cuda,
    /// the engines of the page
    Wasm,
    /// the page in a browser
    Browser,
}

impl Step {
    fn title(self) -> &'static str {
        match self {
            Step::Format => "formatting",
            Step::Clippy => "clippy",
            Step::Types => "types of the page",
            Step::Deny => "dependencies",
            Step::Native => "native tests",
            Step::Fuzz => "fuzzing",
            Step::Ranks => "training over MPI",
            Step::Wasm => "wasm engines",
            Step::Browser => "the page in a browser",
            Step::Cuda => "the trainer for CUDA",
        }
    }

    fn run(self, options: &Options) -> Result<()> {
        match self {
            Step::Format => workspace::run(&mut cargo(&["fmt", "--all", "--check"]))
                .context("run `cargo fmt --all`"),
            Step::Clippy => workspace::run(&mut cargo(&[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ])),
            Step::Types => types::check(),
            Step::Deny => deny::check(),
            Step::Native => {
                vulkan()?;
                strace()?;
                workspace::run(&mut cargo(&["test", "--quiet", "--workspace", "--locked"]))
            }
            Step::Fuzz => fuzz::run(&fuzz::Options::of_tests()),
            Step::Ranks => ranks(),
            Step::Wasm => wasm::Engine::ALL.into_iter().try_for_each(|engine| {
                let package = wasm::build(engine, wasm::Purpose::Testing)?;
                println!(
                    "{} engine: {:.2} MB of wasm",
                    engine.name(),
                    wasm::size(&package)? as f64 / 1e6
                );
                Ok(())
            }),
            Step::Browser => browser::run(options.bundle.as_deref(), &options.filter),
            Step::Cuda => workspace::run(
                // The CUDA version is otherwise read off a toolkit, which type-checking does not
                // need.
                cargo(&["check", "--locked", "-p", "train", "--features", "cuda"])
                    .env("CUDARC_CUDA_VERSION", "12080"),
            ),
        }
    }
}

/// Runs the steps; the first that fails ends it.
pub fn run(options: &Options) -> Result<()> {
    let steps = if options.steps.is_empty() {
        Step::value_variants()
    } else {
        &options.steps
    };
    let started = Instant::now();
    if steps.contains(&Step::Browser) {
        // whoever lacks a browser should hear it before the long builds
        browser::programs(&options.filter)?;
    }
    for step in steps {
        println!("== {}", step.title());
        let begun = Instant::now();
        step.run(options)
            .with_context(|| format!("{} failed after {}", step.title(), clock(begun.elapsed())))?;
        println!("== {}: ok, {}", step.title(), clock(begun.elapsed()));
    }
    println!(
        "== {} ok, {} in all",
        if options.steps.is_empty() {
            "everything"
        } else {
            "what was asked for"
        },
        clock(started.elapsed())
    );
    Ok(())
}

/// Trains over the ranks of an MPI. Only `train` and its binding to MPI are compiled beyond what
/// the native tests need.
fn ranks() -> Result<()> {
    for program in ["mpirun", "mpicc"] {
        if workspace::output(workspace::command(program).arg("--version")).is_none() {
            println!(
                "skipped: there is no {program}; for training on several machines install an MPI and libclang (Debian: openmpi-bin libopenmpi-dev libclang-dev)"
            );
            return Ok(());
        }
    }
    workspace::run(&mut cargo(&[
        "test",
        "--quiet",
        "--workspace",
        "--locked",
        "--features",
        "train/mpi",
        "--test",
        "ranks",
    ]))
    .context("where mpi-sys does not compile, install libclang (Debian: libclang-dev)")
}

/// A Vulkan driver, for the wgpu backend: Mesa's lavapipe where there is none and it can be
/// installed. What stops a program at each of its writes; tests that need it are skipped where it
/// is not.
fn strace() -> Result<()> {
    let is_there = workspace::output(workspace::command("strace").arg("--version")).is_some();
    if cfg!(target_os = "linux") && !is_there && !apt::install(&["strace"])? {
        println!("there is no strace: nothing is killed at its writes (Debian: strace)");
    }
    Ok(())
}

fn vulkan() -> Result<()> {
    let driver = |folder: &&str| {
        Path::new(folder)
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some())
    };
    let folders = [
        "/usr/share/vulkan/icd.d",
        "/etc/vulkan/icd.d",
        "/usr/local/share/vulkan/icd.d",
    ];
    let missing = cfg!(target_os = "linux") && !folders.iter().any(driver);
    if missing && !apt::install(&["mesa-vulkan-drivers", "libvulkan1"])? {
        bail!(
            "the tests of the wgpu backend need a Vulkan driver and there is none. Install your graphics card's, or Mesa's lavapipe (Debian: mesa-vulkan-drivers)"
        );
    }
    Ok(())
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}
