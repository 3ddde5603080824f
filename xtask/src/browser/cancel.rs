//! The checks on cancelling: the page goes on as before, and it takes no longer than a denoising
//! step.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::fixture::{DRAWING, Fixture, SETTINGS, SHOW, number, short};
use super::module::options;
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// On the page, an image is cancelled, and the one of before stays.
pub fn cancel(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (before, _) = page.generate(&short, DRAWING)?;
    page.fill(&Settings {
        seed: 7,
        steps: 100,
        ..SETTINGS
    })?;
    page.click("generate")?;
    let deadline = Instant::now() + DRAWING;
    while !page.text("count")?.contains("step") {
        ensure!(
            Instant::now() < deadline && page.state()? == "busy",
            "no step was shown; the page says: {}",
            page.text("status")?
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    page.click("cancel")?;
    let took = page.wait("done", Duration::from_secs(30))?;
    ensure!(
        page.text("status")?.contains("ancel"),
        "the page says: {}",
        page.text("status")?
    );
    ensure!(page.pixels()? == before, "the image of before is gone");
    page.type_into("seed", "8")?; // the same settings twice in a row would get a new seed
    page.generate(
        &Settings {
            seed: 8,
            ..short.clone()
        },
        DRAWING,
    )?;
    let (again, _) = page.generate(&short, DRAWING)?;
    ensure!(
        again == before,
        "the same settings gave another image after a cancelled one"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("in {:.2} s", took.as_secs_f64()))
}

/// Put at the end of the worker: it stops on demand.
const STOP: &str =
    "new BroadcastChannel('stop').onmessage = () => { throw new Error('stopped by the check'); };";

/// Cancels an image `delay` milliseconds after the step `after` (0: after it was asked for): how it
/// ends, how long that takes, and the longest of its steps.
const CANCEL: &str = include_str!("scripts/cancel.js");

/// How long it takes from the abort to the rejected promise, at several places in a step and while
/// a stopped engine is loaded anew.
pub fn measured(fixture: &Fixture) -> Result<String> {
    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    let worker = web.path().join("engine/worker.js");
    fs::write(&worker, fs::read_to_string(&worker)? + STOP)?;
    let serving = Serving::start(Arc::new(fixture.site.with_page(web.path())?), 0, "", true)?;
    // A bare file, so that no element draws beside the check.
    let page = Page::open(
        &fixture.browser,
        &format!("{}models/default/bundle.json", serving.address()),
    )?;
    page.evaluate(SHOW)?;
    page.evaluate(CANCEL)?;
    page.evaluate("(async () => { const {Roentgen} = await import('../../roentgen-web.js'); globalThis.roentgen = await Roentgen.load({backend: 'cpu'}); })()")?;
    let long = options(&Settings {
        steps: 1000,
        ..SETTINGS
    });
    let cancel = |after: u32, delay: f64| -> Result<(f64, f64)> {
        let found: Value = page.evaluate(&format!("cancel({long}, {after}, {delay})"))?;
        ensure!(found["end"] == "cancelled", "cancelling gave {found}");
        Ok((number(&found, "took")?, number(&found, "step")?))
    };
    let (_, step) = cancel(8, 0.0)?;
    let (mut slowest, mut longest) = (0.0_f64, step);
    for part in [0.0, 0.25, 0.5, 0.75] {
        let (took, step) = cancel(4, part * step)?;
        (slowest, longest) = (slowest.max(took), longest.max(step));
    }
    // The step under way may be slower than those before it; it is never a second one.
    ensure!(
        slowest < 2.0 * longest,
        "cancelled after {slowest:.0} ms, where a step takes {longest:.0} ms"
    );
    let (at_once, _) = cancel(0, 0.0)?;
    ensure!(
        at_once < 3.0 * longest, // the sentence is read before the first step
        "cancelled before the first step after {at_once:.0} ms, where a step takes {longest:.0} ms"
    );

    serving.take_paths();
    page.evaluate("(async () => { new BroadcastChannel('stop').postMessage(''); await new Promise((heard) => setTimeout(heard, 500)); })()")?;
    let (reloading, _) = cancel(0, 20.0)?;
    ensure!(
        reloading < 50.0,
        "cancelled while the engine is loaded after {reloading:.0} ms"
    );
    page.evaluate(&format!(
        "(async () => show((await roentgen.generate({})).imageData))()",
        options(&short())
    ))?;
    fixture.as_native(&page.pixels_of("shown")?, &short(), "the image after that")?;
    let loads = serving
        .take_paths()
        .iter()
        .filter(|path| path.ends_with("worker.js"))
        .count();
    ensure!(loads == 1, "the engine was loaded anew {loads} times");
    page.close()?;
    on_page(fixture, &serving)?;
    Ok(format!(
        "{slowest:.0} ms where a step takes {longest:.0} ms, {at_once:.0} ms before the first step, {reloading:.0} ms while loading"
    ))
}

/// The same with the page's own button.
fn on_page(fixture: &Fixture, serving: &Serving) -> Result<()> {
    let page = fixture.visit_of(serving)?;
    page.fill(&short())?;
    page.evaluate("new BroadcastChannel('stop').postMessage('')")?;
    std::thread::sleep(Duration::from_millis(500)); // the page hears of it
    page.evaluate(
        "document.getElementById('generate').click(), document.getElementById('cancel').click()",
    )?;
    let took = page.wait("ready", Duration::from_secs(5))?; // there is no image to go back to
    ensure!(
        page.text("status")?.contains("ancel"),
        "after {took:?} the page says: {}",
        page.text("status")?
    );
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the page's image after that")?;
    page.close()
}
