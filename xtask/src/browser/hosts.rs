//! The checks on places where the page cannot run: hosts that lack a file and send their start page
//! for it, sandboxed frames, a disk.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::fixture::Fixture;
use super::page::Page;
use crate::serve::{Instead, Serving};
use crate::workspace::{copy, root};

/// What is missing, and the words that name it.
const MISSING: [(&str, &str, &str); 6] = [
    (
        ".wasm",
        "",
        "pkg/cpu/roentgen_web_bg.wasm, a file of the engine, is not on this site",
    ),
    (
        "roentgen_web.js",
        "",
        "pkg/cpu/roentgen_web.js, a file of the engine, is not on this site",
    ),
    (
        "/worker.js",
        "",
        "worker.js, or a script that it imports, is not on this site",
    ),
    (
        "/engine.js",
        "",
        "worker.js, or a script that it imports, is not on this site",
    ),
    (".safetensors", "", ".safetensors should be"),
    (
        "other/bundle.json",
        "&bundle=./models/other/",
        "a web page where bundle.json should be",
    ),
];

/// The page names the file of the site that is missing, and blames no browser for it.
pub fn start_page(fixture: &Fixture) -> Result<String> {
    for (end, query, words) in MISSING {
        let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
        serving.answer_instead(end, Instead::StartPage);
        refused(fixture, &serving, query, words)?;
    }
    // The same where the type is right and the file is not.
    let package = tempfile::tempdir()?;
    for name in ["roentgen_web.js", "roentgen_web_bg.wasm"] {
        let file = fixture.site.file(&format!("/pkg/cpu/{name}"));
        fs::copy(file.context("no engine")?, package.path().join(name))?;
    }
    let wasm = package.path().join("roentgen_web_bg.wasm");
    let whole = fs::read(&wasm)?;
    for (bytes, words) in [
        (
            &b"<!doctype html>"[..],
            "pkg/cpu/roentgen_web_bg.wasm, a file of the engine, is not on this site",
        ),
        (
            &whole[..whole.len() / 2],
            "or the file is damaged on this site",
        ),
    ] {
        fs::write(&wasm, bytes)?;
        let site = fixture.site.and("pkg/cpu", package.path());
        let serving = Serving::start(Arc::new(site), 0, "", true)?;
        refused(fixture, &serving, "", words)?;
    }
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    serving.answer_instead("/index.json", Instead::StartPage);
    let page = fixture.visit_of(&serving)?;
    page.close()?;
    Ok(format!("{} files", MISSING.len() + 2))
}

/// The page ends in these words.
fn refused(fixture: &Fixture, serving: &Serving, query: &str, words: &str) -> Result<()> {
    let address = format!("{}?backend=cpu{query}", serving.address());
    let page = Page::open(&fixture.browser, &address)?;
    page.until("document.documentElement.dataset.state === 'error' && !document.getElementById('unstarted')",
    )?;
    let text = page.text("status")?;
    ensure!(text.contains(words), "{query}: {text}");
    let blames = text.contains("current Chrome") && !text.contains("damaged");
    ensure!(!blames && !text.contains("<!"), "{text}");
    page.close()
}

/// What a visitor sees where the page cannot run, a moment after it has come.
const SEEN: &str = "[document.documentElement.dataset.state, document.getElementById('unstarted')?.getBoundingClientRect().height > 20 ? document.getElementById('unstarted').innerText : '', document.body.innerText]";

/// From a disk, in a sandboxed frame and without one of its scripts, the markup itself says why not
/// and what to do.
pub fn cannot_run(fixture: &Fixture) -> Result<String> {
    let disk = tempfile::tempdir()?;
    copy(&root().join("web"), disk.path())?;
    let sandboxed = Serving::start(fixture.site.clone(), 0, "", false)?;
    sandboxed.sandbox();
    let lacking = Serving::start(fixture.site.clone(), 0, "", false)?;
    lacking.answer_instead("/strings.js", Instead::StartPage);
    for (address, words) in [
        (
            format!("file://{}/index.html", disk.path().display()),
            "needs a web server",
        ),
        (
            format!("{}?backend=cpu", sandboxed.address()),
            "In a sandboxed frame",
        ),
        (lacking.address(), "a file of this site is missing"),
    ] {
        let page = Page::open(&fixture.browser, &address)?;
        std::thread::sleep(Duration::from_secs(2));
        let seen = page.evaluate(SEEN)?;
        let [state, reason, text] = [0, 1, 2].map(|i| seen[i].as_str().unwrap_or_default());
        ensure!(
            state == "error" && reason.contains(words),
            "{address}: {seen}"
        );
        ensure!(text.contains("Not for diagnosis"), "{address}: {seen}");
        page.close()?;
    }
    // A host that lets everybody read its files, as many do, gets as far as the worker.
    sandboxed.open_to_others(true);
    for query in ["?backend=cpu", "?backend=cpu&bundle=./models/fast/"] {
        let page = Page::open(&fixture.browser, &format!("{}{query}", sandboxed.address()))?;
        page.until("document.documentElement.dataset.state === 'error'")?;
        let text = page.text("status")?;
        ensure!(
            text.contains("(sandbox)") && !text.contains("SecurityError"),
            "{text}"
        );
        ensure!(
            page.evaluate("document.getElementById('unstarted')")?
                .is_null()
        );
        page.close()?;
    }
    // Where it can run, nobody sees those words.
    let page = fixture.visit("?backend=cpu")?;
    ensure!(
        page.evaluate("document.getElementById('unstarted')")?
            .is_null()
    );
    page.close()?;
    Ok("from a disk, sandboxed, and without a script".to_owned())
}
