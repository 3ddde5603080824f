//! The checks on threads of the CPU: where a page has them, where it has none, and that it draws
//! the same either way.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image::RgbaImage;
use serde_json::json;
use tempfile::TempDir;

use super::fixture::{DRAWING, Fixture, short};
use super::offline;
use super::page::Page;
use crate::package;
use crate::serve::{Instead, Serving};
use crate::site::Site;
use crate::workspace::{copy, root};

/// Largest mean difference of two images of the same settings, of 255: threads change no sum, and
/// so nothing that is seen.
const SAME: f64 = 0.01;

/// On a host of plain files the first visit has one thread; the service worker isolates the second,
/// which has several.
pub fn second_visit(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "/a/project", true)?;
    let page = fixture.visit_of(&serving)?;
    let first = seen(&page, false, 1)?;
    fixture.as_native(&first, &short(), "the image of one thread")?;
    offline::kept(&page)?;
    page.close()?;
    serving.take_paths();

    let page = fixture.visit_of(&serving)?;
    let threads = threads(&page)?;
    let second = seen(&page, true, threads)?;
    let difference = difference(&first, &second);
    ensure!(
        difference <= SAME,
        "the second visit's image is {difference:.4} of 255 from the first one's"
    );
    offline::kept(&page)?;
    let paths = serving.take_paths();
    let asked = |engine: &str| paths.iter().any(|path| path.contains(engine));
    ensure!(
        asked("/pkg/cpu-threads/") && !asked("/pkg/cpu/"),
        "the second visit asked for {paths:?}"
    );
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok(format!(
        "{threads} threads, mean difference {difference:.4} of 255"
    ))
}

/// A host that sends the headers has threads on the first visit, which is loaded once.
pub fn isolated_host(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "/a/project", true)?;
    serving.isolate();
    let page = fixture.visit_of(&serving)?;
    let threads = threads(&page)?;
    let image = seen(&page, true, threads)?;
    let difference = fixture.as_native(&image, &short(), "the image")?;
    offline::kept(&page)?;
    let loads = page.evaluate("history.length")?;
    ensure!(
        page.evaluate("performance.getEntriesByType('navigation')[0].type")? == "navigate",
        "the page was loaded again; its history has {loads}"
    );
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok(format!(
        "{threads} threads, mean difference {difference:.4} of 255"
    ))
}

/// Why threads do not start: a file of the page, what is in it, and what takes its place.
const TROUBLE: [(&str, &str, &str); 4] = [
    // Heard by the page alone, as the engine waits for the thread.
    (
        "engine/thread.js",
        "pkg.serve();",
        "throw new Error('gone');",
    ),
    ("engine/thread.js", "await pkg.default", "await pkg.none"),
    ("engine/pool.js", "const LIMIT = 15000;", "const LIMIT = 0;"),
    (
        "engine/pool.js",
        "return new WebAssembly.Memory",
        "throw new RangeError('none'); return new WebAssembly.Memory",
    ),
];

/// Files that a host may lack.
const MISSING: [&str; 3] = [
    "cpu-threads/roentgen_web.js",
    "cpu-threads/roentgen_web_bg.wasm",
    "/thread.js",
];

/// Whatever keeps threads from starting, the engine without them draws.
pub fn fallback(fixture: &Fixture) -> Result<String> {
    for (file, text, instead) in TROUBLE {
        let web = changed(file, text, instead)?;
        let site = fixture.site.with_page(web.path())?;
        let serving = Serving::start(Arc::new(site), 0, "", true)?;
        one_thread(fixture, &serving, instead)?;
    }
    for file in MISSING {
        let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
        serving.answer_instead(file, Instead::StartPage);
        one_thread(fixture, &serving, file)?;
    }
    Ok(format!("{} reasons", TROUBLE.len() + MISSING.len()))
}

fn one_thread(fixture: &Fixture, serving: &Serving, what: &str) -> Result<()> {
    serving.isolate();
    let page = fixture.visit_of(serving)?;
    let image = seen(&page, true, 1).with_context(|| what.to_owned())?;
    fixture.as_native(&image, &short(), what)?;
    page.close()
}

/// Tells the page around when the element has drawn, and whether it is isolated.
const TELL: &str = "addEventListener('roentgen-image', async ({ target }) => { const { Roentgen } = await import('./roentgen-web.js'); \
    const roentgen = await Roentgen.load({ backend: 'cpu' }); parent.postMessage({ isolated: crossOriginIsolated, width: target.result.imageData.width, engine: roentgen.engine }, '*'); });";

/// In a frame of another origin the page is not isolated, though its service worker would have it
/// so, and the element draws; beside the files of the package on another origin it draws, with
/// threads where that origin isolates its pages.
pub fn embeds(fixture: &Fixture) -> Result<String> {
    let script = "<script type=\"module\" src=\"./roentgen-image.js\"></script>";
    let telling = format!("<script type=\"module\" src=\"./tell.js\"></script>{script}");
    let web = changed("embed.html", script, &telling)?;
    fs::write(web.path().join("tell.js"), TELL)?;
    let site = fixture.site.with_page(web.path())?;
    let inner = Serving::start(Arc::new(site), 0, "", true)?;
    let page = fixture.visit_of(&inner)?;
    offline::kept(&page)?;
    page.close()?;

    let outer = tempfile::tempdir()?;
    let frame = format!(
        "<!doctype html><script>globalThis.told = new Promise((tell) => addEventListener('message', ({{ data }}) => tell(data)))</script><iframe src=\"{}embed.html\"></iframe>",
        inner.address()
    );
    fs::write(outer.path().join("index.html"), frame)?;
    let other = Serving::start(Arc::new(Site::of_folder(outer.path())), 0, "", false)?;
    let page = Page::open(&fixture.browser, &other.address())?;
    let told = page.evaluate("told")?;
    ensure!(
        told["isolated"] == false
            && told["width"].as_u64() > Some(0)
            && told["engine"]
                .as_str()
                .is_some_and(|words| words.contains("one CPU thread")),
        "in a frame of another origin: {told}"
    );
    page.close()?;

    let folder = tempfile::tempdir()?;
    package::write(&fixture.site, folder.path(), true)?;
    for isolated in [false, true] {
        let other = Serving::start(Arc::new(Site::of_folder(folder.path())), 0, "", false)?;
        if isolated {
            other.isolate();
        }
        let page = Page::open(
            &fixture.browser,
            &format!("{}package.json", other.address()),
        )?;
        let found = page.evaluate(
            "(async () => { await import('./roentgen-image.js'); const element = document.createElement('roentgen-image'); \
             for (const [name, value] of Object.entries({prompt: 'Chest radiograph.', steps: 1, backend: 'cpu'})) element.setAttribute(name, value); \
             document.body.append(element); await new Promise((drawn) => element.addEventListener('roentgen-image', drawn)); \
             const { Roentgen } = await import('./roentgen-web.js'); const { engine } = await Roentgen.load({ backend: 'cpu' }); \
             return { isolated: crossOriginIsolated, width: element.result.imageData.width, engine, cores: navigator.hardwareConcurrency }; })()",
        )?;
        let engine = found["engine"].as_str().unwrap_or_default();
        let threaded = isolated && found["cores"].as_u64() > Some(1);
        ensure!(
            found["isolated"] == isolated
                && found["width"].as_u64() > Some(0)
                && engine.contains("one CPU thread") != threaded,
            "an element of another origin, isolated: {isolated}: {found}"
        );
        page.close()?;
    }
    Ok("in a frame, and with files of its own".to_owned())
}

/// Threads that an isolated page has here.
fn threads(page: &Page) -> Result<u64> {
    let cores = page.evaluate("navigator.hardwareConcurrency")?;
    Ok(cores.as_u64().unwrap_or(1).min(8))
}

/// An image, of a page that is isolated or not and computes with so many threads.
fn seen(page: &Page, isolated: bool, threads: u64) -> Result<RgbaImage> {
    let found =
        page.evaluate("({ isolated: crossOriginIsolated, threads: roentgen.stats.threads })")?;
    ensure!(
        found == json!({"isolated": isolated, "threads": threads}),
        "the page has {found}"
    );
    let words = page.text("backend")?;
    let said = match threads {
        1 => "one CPU thread".to_owned(),
        many => format!("{many} threads"),
    };
    ensure!(words.contains(&said), "the page says {words:?}");
    Ok(page.generate(&short(), DRAWING)?.0)
}

/// The mean difference of two images.
fn difference(a: &RgbaImage, b: &RgbaImage) -> f64 {
    let pairs = a.as_raw().iter().zip(b.as_raw());
    let total: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    total as f64 / a.as_raw().len() as f64
}

/// The page with one text in a file replaced.
fn changed(file: &str, text: &str, instead: &str) -> Result<TempDir> {
    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    let path = web.path().join(file);
    let old = fs::read_to_string(&path)?;
    let new = old.replacen(text, instead, 1);
    ensure!(new != old, "{file} has no {text:?}");
    fs::write(&path, new)?;
    Ok(web)
}
