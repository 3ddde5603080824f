//! The check on a graphics card that fails on the way: the CPU takes over its work, and nobody has
//! to reload anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::fixture::{DRAWING_GPU, Fixture, LOADING, SETTINGS};
use super::page::Page;
use super::race::{changed_to, copy_with_card};
use crate::native::Settings;
use crate::serve::Serving;

/// Put at the end of the worker: devices are destroyed on demand.
const DESTROYED: &str = "
const requestDevice = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await requestDevice.call(this, descriptor);
  new BroadcastChannel('card').onmessage = () => device.destroy();
  return device;
};
";

/// Lost while it draws, and lost while nothing is under way.
pub fn lost_device(fixture: &Fixture) -> Result<String> {
    let web = tempfile::tempdir()?;
    copy_with_card(web.path(), DESTROYED)?;
    let site = Arc::new(fixture.site.with_page(web.path())?);
    let serving = Serving::start(site, 0, "", true)?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let mut took = Vec::new();
    for drawing in [true, false] {
        let page = fixture.visit_at(&serving.address())?;
        changed_to(&page, "gpu")?;
        page.evaluate("globalThis.same = new BroadcastChannel('card')")?;
        let steps = if drawing { 50 } else { short.steps };
        page.fill(&Settings {
            steps,
            ..short.clone()
        })?;
        if !drawing {
            page.evaluate("same.postMessage('')")?;
            std::thread::sleep(Duration::from_millis(500)); // the worker hears of it
        }
        page.click("generate")?;
        if drawing {
            step(&page)?;
            page.evaluate("same.postMessage('')")?;
        }
        let lost = Instant::now();
        changed_to(&page, "cpu")?;
        took.push(format!("{:.1} s", lost.elapsed().as_secs_f64()));
        page.wait("done", DRAWING_GPU)?;
        let words = page.text("backend")?;
        ensure!(
            words.contains("CPU") && words.contains("graphics card failed"),
            "the page says {words:?}"
        );
        let settings = Settings {
            steps,
            ..short.clone()
        };
        fixture.as_native(&page.pixels()?, &settings, "the image")?;
        ensure!(
            page.evaluate("same instanceof BroadcastChannel")? == true,
            "the page was reloaded"
        );
        page.close()?;
    }
    Ok(format!("on the CPU after {}", took.join(" and ")))
}

/// The same: the adapter gives no device.
const NO_DEVICE: &str = "
GPUAdapter.prototype.requestDevice = async () => { throw new DOMException('none today', 'OperationError'); };
";

/// A card that is there and cannot be used: the CPU draws from the first image on, and the page
/// says why.
pub fn no_device(fixture: &Fixture) -> Result<String> {
    let web = tempfile::tempdir()?;
    copy_with_card(web.path(), NO_DEVICE)?;
    let site = Arc::new(fixture.site.with_page(web.path())?);
    let serving = Serving::start(site, 0, "", true)?;
    let page = fixture.visit_at(&serving.address())?;
    let begun = Instant::now();
    while !page.text("backend")?.contains("failed") && begun.elapsed() < LOADING {
        std::thread::sleep(Duration::from_millis(50)); // the CPU draws already
    }
    let words = page.text("backend")?;
    ensure!(
        page.stats()?["backend"] == "cpu"
            && words.contains("the graphics card failed")
            && words.contains("none today")
            && words.ends_with("driver.")
            && !words.contains('\n'),
        "the page says {words:?}"
    );
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (image, _) = page.generate(&short, DRAWING_GPU)?;
    fixture.as_native(&image, &short, "the image")?;
    page.close()?;
    Ok(words)
}

/// Waits until a denoising step is done.
fn step(page: &Page) -> Result<()> {
    let started = Instant::now();
    while !page.text("count")?.contains("step") {
        ensure!(
            page.state()? == "busy" && started.elapsed() < DRAWING_GPU,
            "no step was shown; the page says: {}",
            page.text("status")?
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
