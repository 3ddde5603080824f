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
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headless_chrome::Browser;
use image::RgbaImage;

use crate::native::{self, Settings};
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;

use checks::{CHECKS, Check};
use chrome::CHROME;
use firefox::FIREFOX;
use page::Page;
use visits::CPU_DIFFERENCE;

/// How long the engine and the model may take to be ready.
const LOADING: Duration = Duration::from_secs(180);

/// A path like a project page's: nothing may be asked from the server's root.
const SUB_PATH: &str = "/a/project page";

/// What the checks share.
pub struct Fixture {
    site: Arc<Site>,
    serving: Serving,
    browser: Browser,
    /// The native program, built when the first image is compared.
    roentgen: OnceCell<PathBuf>,
}

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

impl Fixture {
    /// The page, loaded and ready.
    fn visit(&self, query: &str) -> Result<Page> {
        self.visit_at(&format!("{}{query}", self.serving.address()))
    }

    /// That of another server, drawn by the CPU.
    fn visit_of(&self, serving: &Serving) -> Result<Page> {
        self.visit_at(&format!("{}?backend=cpu", serving.address()))
    }

    /// That at an address.
    fn visit_at(&self, address: &str) -> Result<Page> {
        let page = Page::open(&self.browser, address)?;
        page.wait("ready", LOADING)?;
        Ok(page)
    }

    /// The native program.
    fn roentgen(&self) -> Result<&Path> {
        if self.roentgen.get().is_none() {
            let _ = self.roentgen.set(native::build()?);
        }
        let roentgen = self.roentgen.get();
        Ok(roentgen.context("the native program is not there")?)
    }

    /// How far `image` is from the one that the native program draws with this model and these
    /// settings.
    fn difference(&self, image: &RgbaImage, model: &Path, settings: &Settings) -> Result<f64> {
        let expected = native::generate(self.roentgen()?, model, settings)?;
        ensure!(
            image.dimensions() == expected.dimensions(),
            "the page drew {:?} pixels, the native program {:?}",
            image.dimensions(),
            expected.dimensions()
        );
        let (low, high) = expected.pixels().fold((255, 0), |(low, high), pixel| {
            (pixel[0].min(low), pixel[0].max(high))
        });
        ensure!(
            high > low,
            "the native image is flat, so that comparing with it says nothing"
        );
        let total: u64 = image
            .as_raw()
            .iter()
            .zip(expected.as_raw())
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        let colours = image.as_raw().len() / 4 * 3; // alpha is opaque in both and adds nothing to the sum
        Ok(total as f64 / colours as f64)
    }

    /// The mean difference of an image of the cpu engine to the native one; an error where it is
    /// too large, which calls the image `what`.
    fn as_native(&self, image: &RgbaImage, settings: &Settings, what: &str) -> Result<f64> {
        self.near_native(image, self.site.bundle(), settings, what, CPU_DIFFERENCE)
    }

    /// The same for another model or engine, with what is too large there.
    fn near_native(
        &self,
        image: &RgbaImage,
        model: &Path,
        settings: &Settings,
        what: &str,
        allowed: f64,
    ) -> Result<f64> {
        let difference = self.difference(image, model, settings)?;
        ensure!(
            difference <= allowed,
            "{what} is {difference:.3} of 255 from the native one, allowed are {allowed}"
        );
        Ok(difference)
    }

    /// Nothing went wrong on a page, and nothing was asked of another host by it.
    fn all_quiet(&self, page: &Page) -> Result<()> {
        self.all_quiet_of(page, &self.serving)?;
        let outside: Vec<String> = self
            .serving
            .take_paths()
            .into_iter()
            .filter(|path| !path.starts_with(SUB_PATH) && path != "/favicon.ico")
            .collect();
        ensure!(
            outside.is_empty(),
            "the page asked for {outside:?}, which is not below its own path"
        );
        Ok(())
    }

    /// The same for a page of another server.
    fn all_quiet_of(&self, page: &Page, serving: &Serving) -> Result<()> {
        page.at_peace()?;
        let elsewhere = serving.take_elsewhere();
        ensure!(
            elsewhere.is_empty(),
            "the page asked another host: {elsewhere:?}"
        );
        Ok(())
    }
}
