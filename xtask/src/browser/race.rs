//! The checks on a graphics card that takes seconds to prepare: the CPU draws meanwhile, and makes
//! room for it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::fixture::{DRAWING, DRAWING_GPU, Fixture, GPU_DIFFERENCE, SETTINGS};
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// Put before a module of the page: a visitor who saves data.
const SAVES_DATA: &str =
    "Object.defineProperty(navigator, 'connection', { value: { saveData: true } });\n";

/// Copies the page to `web`, where the software adapter passes for a card, with more at the end of
/// the worker.
pub fn copy_with_card(web: &Path, more: &str) -> Result<()> {
    copy(&root().join("web"), web)?;
    change(&web.join("engine/backend.js"), |text| {
        text.replace("return software ? cpu(", "return false ? cpu(")
    })?;
    change(&web.join("engine/worker.js"), |text| text.to_owned() + more)
}

fn change(file: &Path, how: impl Fn(&str) -> String) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let changed = how(&text);
    ensure!(changed != text, "{} stays", file.display());
    Ok(fs::write(file, changed)?)
}

/// Such a page with other first lines of `spare.js`.
fn serve(fixture: &Fixture, before: &str) -> Result<(TempDir, Serving)> {
    let web = tempfile::tempdir()?;
    copy_with_card(web.path(), "\n")?;
    change(&web.path().join("engine/spare.js"), |text| {
        format!("{before}\n{text}")
    })?;
    let site = Arc::new(fixture.site.with_page(web.path())?);
    Ok((web, Serving::start(site, 0, "", true)?))
}

/// A first visit: images on the CPU, then on the card, without a word; the model comes once.
pub fn race(fixture: &Fixture) -> Result<String> {
    let (_web, serving) = serve(fixture, "")?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let started = Instant::now();
    let page = fixture.visit_at(&serving.address())?;
    let words = page.text("backend")?;
    ensure!(
        page.stats()?["backend"] == "cpu" && words.contains("still being prepared"),
        "the page does not draw on the CPU first: {words}"
    );
    let (image, _) = page.generate(&short, DRAWING)?;
    let first = started.elapsed();
    fixture.as_native(&image, &short, "the image of the CPU")?;
    let said = page.text("status")?;
    let ready = changed_to(&page, "gpu")?.duration_since(started);
    ensure!(
        page.text("status")? == said && page.state()? == "done",
        "the page has words on it: {}",
        page.text("status")?
    );
    let words = page.text("backend")?;
    ensure!(words.contains("a graphics card is there"), "{words}");
    let paths = serving.take_paths();
    let shards = paths.iter().filter(|path| path.ends_with(".safetensors"));
    let mut once: Vec<_> = shards.clone().collect();
    once.sort_unstable();
    once.dedup();
    ensure!(
        shards.count() == once.len(),
        "the model came twice: {paths:?}"
    );
    let (image, _) = page.generate(&short, DRAWING_GPU)?;
    let bundle = fixture.site.bundle();
    fixture.near_native(
        &image,
        bundle,
        &short,
        "the image of the card",
        GPU_DIFFERENCE,
    )?;
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok(format!(
        "the first image after {:.1} s, the card after {:.1} s",
        first.as_secs_f64(),
        ready.as_secs_f64()
    ))
}

/// Who saves data fetches one engine.
pub fn saves_data(fixture: &Fixture) -> Result<String> {
    let (_web, serving) = serve(fixture, SAVES_DATA)?;
    let page = fixture.visit_at(&serving.address())?;
    ensure!(
        page.stats()?["backend"] == "gpu",
        "{}",
        page.text("backend")?
    );
    let paths = serving.take_paths();
    let engines = |name: &str| paths.iter().filter(|path| path.contains(name)).count();
    ensure!(
        engines("/pkg/gpu/") > 0 && engines("/pkg/cpu") == 0,
        "it asked for {paths:?}"
    );
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok("one engine".into())
}

/// Waits until a backend draws; when that was.
pub fn changed_to(page: &Page, backend: &str) -> Result<Instant> {
    let begun = Instant::now();
    while page.stats()?["backend"] != backend {
        ensure!(
            page.state()? != "error" && begun.elapsed() < DRAWING_GPU,
            "the {backend} does not draw: {} {:?} {:?}",
            page.text("backend")?,
            page.text("status")?,
            page.problems()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Instant::now())
}
