//! What the page must do in a real browser, checked against the native program.

mod about;
mod access;
mod attention;
mod axe;
mod batch;
mod cancel;
mod checks;
pub mod chrome;
mod cors;
mod dicom;
mod doubt;
mod download;
mod element;
mod embedded;
mod fast;
mod film;
mod firefox;
mod fixture;
mod folder;
mod growth;
mod hands;
mod hostile;
mod hosts;
mod imports;
mod install;
mod kernels;
mod kills;
mod lessons;
mod lightbox;
mod measuring;
mod models;
mod module;
pub mod mutations;
mod offline;
pub mod page;
mod parity;
mod pictures;
mod program;
mod quiet;
mod race;
mod reading;
mod reasons;
mod recovery;
mod senses;
mod sentence;
mod settings;
mod sight;
mod slides;
mod socket;
mod source;
mod storage;
mod tabs;
mod teach;
mod threads;
mod vanished;
mod visits;
pub mod worker;

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;

use checks::{CHECKS, Check};
use chrome::CHROME;
use firefox::FIREFOX;
use fixture::{Fixture, SUB_PATH};

/// Finds, or installs, the browsers that these checks need.
pub fn programs(filter: &str) -> Result<()> {
    CHROME.find()?;
    if chosen(filter)?
        .iter()
        .any(|(name, _)| name.contains(FIREFOX.name))
    {
        FIREFOX.find()?;
    }
    Ok(())
}

/// The checks whose name contains `filter`.
fn chosen(filter: &str) -> Result<Vec<&'static Check>> {
    let chosen: Vec<&Check> = CHECKS
        .iter()
        .filter(|(name, _)| name.contains(filter))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no browser check has {filter:?} in its name"
    );
    Ok(chosen)
}

/// Builds what is needed and runs the checks whose name contains `filter`.
pub fn run(bundle: Option<&Path>, filter: &str) -> Result<()> {
    let chosen = chosen(filter)?;
    let engines = Engine::ALL.into_iter().filter(|engine| {
        Engine::ON_CPU.contains(engine)
            || chosen.iter().any(|(name, _)| name.contains(engine.name()))
    });
    let site = Arc::new(Site::build(&engines.collect::<Vec<_>>(), bundle)?);
    let fixture = Fixture {
        serving: Serving::start(site.clone(), 0, SUB_PATH, true)?,
        site,
        browser: chrome::launch(1280, 900)?,
        roentgen: OnceCell::new(),
    };
    let mut failed = 0;
    for (name, check) in &chosen {
        let started = Instant::now();
        match check(&fixture) {
            Ok(found) => println!(
                "  {name} ... ok ({found}; {:.1} s)",
                started.elapsed().as_secs_f64()
            ),
            Err(error) => {
                failed += 1;
                println!("  {name} ... FAILED\n    {error:#}");
            }
        }
    }
    println!(
        "  {} browser checks passed, {failed} failed",
        chosen.len() - failed
    );
    ensure!(failed == 0, "the page does not do what it must");
    Ok(())
}
