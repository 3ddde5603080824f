//! The check on two tabs of the same browser, which share a cache and know nothing of each other.

use anyhow::{Context, Result, ensure};

use super::page::Page;
use super::visits::{DRAWING, SETTINGS, number};
use super::{LOADING, Setting, offline};
use crate::native::Settings;
use crate::serve::Serving;

/// Both load for the first time at once, draw at once, and leave a cache that a third can use.
pub fn tabs(setting: &Setting) -> Result<String> {
    // An address of its own, so that nothing is in a cache.
    let serving = Serving::start(setting.site.clone(), 0, "", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    let pages = [
        Page::open(&setting.browser, "about:blank")?,
        Page::open(&setting.browser, "about:blank")?,
    ];
    for page in &pages {
        page.go(&address)?;
    }
    for page in &pages {
        page.wait("ready", LOADING)?;
    }
    let downloads = serving.take_starts().len();
    ensure!(
        downloads == 2,
        "the weights were fetched {downloads} times: the tabs did not load at once"
    );

    let settings: Vec<Settings> = [7, 8]
        .map(|seed| Settings {
            seed,
            steps: 8,
            ..SETTINGS
        })
        .into();
    for (page, settings) in pages.iter().zip(&settings) {
        page.fill(settings)?;
    }
    for page in &pages {
        page.evaluate("document.getElementById('generate').click()")?;
    }
    for page in &pages {
        ensure!(page.state()? == "busy", "the tabs do not draw at once");
    }
    for (page, settings) in pages.iter().zip(&settings) {
        page.wait("done", DRAWING)?;
        setting.as_native(&page.pixels()?, settings, "a tab's image")?;
        offline::kept(page)?;
        let problems = page.problems();
        ensure!(problems.is_empty(), "the console shows {problems:?}");
    }

    let kept = pages[0].evaluate(
        "(async () => { const cache = await caches.open('roentgen-web-v1'); const bad = []; const keys = await cache.keys(); \
         for (const key of keys) { const bytes = await (await cache.match(key)).arrayBuffer(); \
         const hash = [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join(''); \
         if (!key.url.endsWith(hash)) bad.push(key.url); } return {files: keys.length, bad}; })()",
    )?;
    ensure!(
        kept["files"] == 2 && kept["bad"].as_array().is_some_and(Vec::is_empty),
        "the cache has {kept}"
    );
    for page in pages {
        page.close()?;
    }
    let third = Page::open(&setting.browser, &address)?;
    third.wait("ready", LOADING)?;
    let stats = third.stats()?;
    ensure!(
        number(&stats, "downloadedBytes")? == 0.0 && serving.take_starts().is_empty(),
        "a third tab counts {stats}"
    );
    let elsewhere = serving.take_elsewhere();
    ensure!(
        elsewhere.is_empty(),
        "the page asked another host: {elsewhere:?}"
    );
    third.close()?;
    let files = kept["files"].as_u64().context("no files")?;
    Ok(format!("{files} files in the cache, all right"))
}
