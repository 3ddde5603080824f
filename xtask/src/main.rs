//! `cargo xtask`: builds, serves, checks and measures the page. `cargo xtask help` lists the tasks.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod answer;
mod apt;
mod bench;
mod browser;
mod checks;
mod compress;
mod declarations;
mod demo;
mod deny;
mod fuzz;
mod host;
mod landing;
mod native;
mod npm;
mod package;
mod release;
mod screenshot;
mod serve;
mod site;
mod toolchain;
mod types;
mod wasm;
mod workspace;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, serves, checks and measures the page"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the page and serve it on this machine, or write it to a folder
    Demo(demo::Options),
    /// Build the module `roentgen-web` for other pages: a folder for npm or any static host
    Web(package::Options),
    /// Check everything: formatting, clippy, tests, the wasm builds, the page in a browser
    Test(checks::Options),
    /// Feed what strangers bring, mutated, to everything that reads it
    Fuzz(fuzz::Options),
    /// Measure the page in a browser: time to the first image, memory, download
    Bench(bench::Options),
    /// Take pictures of the page with an image made in it: desktop and phone, light and dark
    Screenshot(screenshot::Options),
    /// Draw the image that forms on the page before the first press: web/landing.webp, from the
    /// shipped model
    Landing,
    /// Build the wasm engines only, as releases of the page have them
    Wasm {
        /// Which engines; all when none is named
        engines: Vec<wasm::Engine>,
    },
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo(options) => demo::run(&options),
        Task::Web(options) => package::run(&options),
        Task::Test(options) => checks::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Screenshot(options) => screenshot::run(&options),
        Task::Landing => landing::run(),
        Task::Wasm { engines } => {
            let engines = if engines.is_empty() {
                wasm::Engine::ALL.to_vec()
            } else {
                engines
            };
            let built: Vec<PathBuf> = engines
                .into_iter()
                .map(|engine| wasm::build(engine, wasm::Purpose::Release))
                .collect::<Result<_>>()?;
            built
                .iter()
                .for_each(|folder| println!("{}", folder.display()));
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    if let Some(code) = fuzz::as_rustc() {
        return code;
    }
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
