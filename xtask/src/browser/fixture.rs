//! What the checks share: a server, a browser, settings that are quick to draw, and the comparison
//! with the native program.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headless_chrome::Browser;
use image::RgbaImage;
use serde_json::Value;

use super::page::Page;
use crate::native::{self, Settings};
use crate::serve::Serving;
use crate::site::Site;

/// Limits of the waiting for an image: on the CPU, and on the software GPU adapter.
pub const DRAWING: Duration = Duration::from_secs(300);
pub const DRAWING_GPU: Duration = Duration::from_secs(900);

/// Largest mean difference to the native image, of 255. The arithmetic is the same up to the order
/// of sums.
pub const CPU_DIFFERENCE: f64 = 2.0;
pub const GPU_DIFFERENCE: f64 = 4.0;

/// Few steps: enough to use every part of the page.
pub const SETTINGS: Settings = Settings {
    prompt: Cow::Borrowed("PA chest radiograph of a 60-year-old man. Large left pleural effusion."),
    negative_prompt: Cow::Borrowed("pneumothorax"),
    seed: 1895,
    steps: 6,
    guidance: 3.5,
    scheduler: "dpm++2m",
    size: None,
};

/// Puts an image where [`Page::pixels_of`] finds it.
pub const SHOW: &str = "globalThis.show = ({width, height, data}) => { document.getElementById('shown')?.remove(); \
    const canvas = Object.assign(document.createElement('canvas'), {id: 'shown', width, height}); \
    canvas.getContext('2d').putImageData(new ImageData(data, width, height), 0, 0); document.body.append(canvas); }";

/// Two steps are enough to use every part.
pub fn short() -> Settings {
    Settings {
        steps: 2,
        ..SETTINGS
    }
}

/// How long the engine and the model may take to be ready.
pub const LOADING: Duration = Duration::from_secs(180);

/// A path like a project page's: nothing may be asked from the server's root.
pub const SUB_PATH: &str = "/a/project page";

/// What the checks share.
pub struct Fixture {
    pub site: Arc<Site>,
    pub serving: Serving,
    pub browser: Browser,
    /// The native program, built when the first image is compared.
    pub roentgen: OnceCell<PathBuf>,
}

impl Fixture {
    /// The page, loaded and ready.
    pub fn visit(&self, query: &str) -> Result<Page> {
        self.visit_at(&format!("{}{query}", self.serving.address()))
    }

    /// That of another server, drawn by the CPU.
    pub fn visit_of(&self, serving: &Serving) -> Result<Page> {
        self.visit_at(&format!("{}?backend=cpu", serving.address()))
    }

    /// That at an address.
    pub fn visit_at(&self, address: &str) -> Result<Page> {
        let page = Page::open(&self.browser, address)?;
        page.wait("ready", LOADING)?;
        Ok(page)
    }

    /// The native program.
    pub fn roentgen(&self) -> Result<&Path> {
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
        // alpha is opaque in both and adds nothing to the sum
        let colours = image.as_raw().len() / 4 * 3;
        Ok(total as f64 / colours as f64)
    }

    /// The mean difference of an image of the cpu engine to the native one; an error where it is
    /// too large, which calls the image `what`.
    pub fn as_native(&self, image: &RgbaImage, settings: &Settings, what: &str) -> Result<f64> {
        self.near_native(image, self.site.bundle(), settings, what, CPU_DIFFERENCE)
    }

    /// The same for another model or engine, with what is too large there.
    pub fn near_native(
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
    pub fn all_quiet(&self, page: &Page) -> Result<()> {
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
    pub fn all_quiet_of(&self, page: &Page, serving: &Serving) -> Result<()> {
        page.at_peace()?;
        let elsewhere = serving.take_elsewhere();
        ensure!(
            elsewhere.is_empty(),
            "the page asked another host: {elsewhere:?}"
        );
        Ok(())
    }
}

/// A number among the page's measurements.
pub fn number(stats: &Value, name: &str) -> Result<f64> {
    stats[name]
        .as_f64()
        .with_context(|| format!("the page does not measure {name}: {stats}"))
}
