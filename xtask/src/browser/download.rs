//! The checks on downloads: cut, paused, left alone in a closed tab, damaged where they were kept.
//! No byte is asked for twice.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::fixture::{DRAWING, Fixture, LOADING, SETTINGS, short};
use super::page::Page;
use crate::native::Settings;
use crate::serve::Serving;

/// Bytes of a piece that the page keeps (`PIECE` in cache.js).
const PIECE: u64 = 1 << 20;

/// Bytes of weights that arrive before a server falls silent: two pieces, and a part of the third.
const SILENT_AFTER: usize = 3_000_000;

/// Cut twice in the middle of the weights: no byte of them that has arrived is asked for again.
pub fn cut_download(fixture: &Fixture) -> Result<String> {
    // An address of its own, so that nothing is in a cache.
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let weights = weights(fixture.site.bundle())?;
    ensure!(
        weights > 3_000_000,
        "{weights} bytes of weights are no test"
    );
    serving.cut(&[1_500_000, 1_000_000]);
    let page = fixture.visit_of(&serving)?;
    let starts = serving.take_starts();
    ensure!(
        starts.len() == 3 && starts[0] == 0 && 0 < starts[1] && starts[1] < starts[2],
        "the weights were asked for from {starts:?}"
    );
    // What was cut off on its way is sent again; more than was sent cannot have arrived.
    ensure!(
        starts[1] <= 1_500_000 && starts[2] - starts[1] <= 1_000_000,
        "the weights were asked for from {starts:?}, which had not all been sent"
    );
    let stats = page.stats()?;
    let all = all(fixture.site.bundle())?;
    ensure!(
        stats["downloadedBytes"] == all,
        "the page counts {stats}, the model has {all} bytes"
    );
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (image, _) = page.generate(&short, DRAWING)?;
    fixture.as_native(&image, &short, "the image")?;
    let elsewhere = serving.take_elsewhere();
    ensure!(
        elsewhere.is_empty(),
        "the page asked another host: {elsewhere:?}"
    );
    page.close()?;
    Ok(format!("{all} bytes counted; asked for from {starts:?}"))
}

/// Bytes of the first shard of a bundle, which holds the model's own weights; a reader's lie in
/// another one.
pub fn weights(bundle: &Path) -> Result<u64> {
    bytes_of(&manifest(bundle)?["shards"][0])
}

/// Bytes of all shards.
fn shards(bundle: &Path) -> Result<u64> {
    let manifest = manifest(bundle)?;
    let shards = manifest["shards"].as_array().context("no shards")?;
    shards.iter().map(bytes_of).sum()
}

/// Bytes of all files of a model that the page has to fetch, besides its manifest.
pub fn all(bundle: &Path) -> Result<u64> {
    Ok(shards(bundle)? + bytes_of(&manifest(bundle)?["tokenizer"])?)
}

/// The model's name.
pub fn name(bundle: &Path) -> Result<String> {
    let manifest = manifest(bundle)?;
    let name = manifest["name"].as_str();
    Ok(name.context("a model without a name")?.to_owned())
}

/// `bundle.json` as it is.
pub fn manifest(bundle: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(
        bundle.join("bundle.json"),
    )?)?)
}

fn bytes_of(file: &Value) -> Result<u64> {
    file["bytes"].as_u64().context("a file without a size")
}

/// A page whose download stands still in the middle of the weights.
fn halted(fixture: &Fixture, serving: &Serving) -> Result<Page> {
    serving.hold(SILENT_AFTER);
    let page = Page::open(
        &fixture.browser,
        &format!("{}?backend=cpu", serving.address()),
    )?;
    page.until("document.getElementById('count').textContent.startsWith('3.0 of')")?;
    Ok(page)
}

/// Bytes, speed and time left are shown; a pause lets the connection go, and what follows begins
/// where it ended.
pub fn pause(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let page = halted(fixture, &serving)?;
    page.until("document.getElementById('pause').checkVisibility()")?;
    let count = page.text("count")?;
    ensure!(
        count.contains("MB/s") && count.ends_with("left"),
        "the page does not say how fast, or how long: {count}"
    );
    page.until("document.getElementById('status').textContent.startsWith('Waiting')")?;
    page.click("pause")?;
    page.until("document.getElementById('status').textContent.startsWith('Paused')")?;
    std::thread::sleep(Duration::from_secs(1)); // longer than the pause before a second try
    let starts = serving.take_starts();
    ensure!(
        starts == [0],
        "while paused, the weights were asked for from {starts:?}"
    );
    page.click("pause")?;
    page.wait("ready", LOADING)?;
    let starts = serving.take_starts();
    ensure!(
        starts == [SILENT_AFTER],
        "after the pause the weights were asked for from {starts:?}"
    );
    let (stats, all) = (page.stats()?, all(fixture.site.bundle())?);
    ensure!(
        stats["downloadedBytes"] == all,
        "the page counts {stats}, the model has {all} bytes"
    );
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the image")?;
    page.close()?;
    Ok(format!("{count:?}; taken up at byte {SILENT_AFTER}"))
}

/// A connection that stays away is said; when the network is back, the download goes on without a
/// press, with what was kept.
pub fn network_back(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    serving.cut(&[1_500_000, 0, 0, 0]);
    let page = Page::open(
        &fixture.browser,
        &format!("{}?backend=cpu", serving.address()),
    )?;
    page.until("document.documentElement.dataset.state === 'error'")?;
    let words = page.text("status")?;
    ensure!(
        words.contains("connection was lost") && words.contains("kept"),
        "the page says {words:?}"
    );
    ensure!(
        page.evaluate("document.getElementById('retry').checkVisibility()")? == true,
        "there is nothing to press"
    );
    let starts = serving.take_starts();
    ensure!(starts[1..] == [1_500_000; 3], "asked for from {starts:?}");
    for offline in [true, false] {
        page.network(offline)?;
    }
    page.until("document.documentElement.dataset.state === 'ready'")?;
    let (stats, shards) = (page.stats()?, shards(fixture.site.bundle())?);
    let starts = serving.take_starts();
    ensure!(
        starts == [1 << 20] && stats["downloadedBytes"] == shards - PIECE,
        "with the network back it asks from {starts:?} and counts {stats}"
    );
    page.close()?;
    Ok(format!("taken up at byte {}", starts[0]))
}

/// A tab is closed in the middle of the weights; how many bytes of them are kept.
fn close_halfway(fixture: &Fixture, serving: &Serving) -> Result<u64> {
    let page = halted(fixture, serving)?;
    let whole = SILENT_AFTER as u64 / PIECE;
    // The tokenizer is one piece.
    page.until(&pieces(&format!("return keys.length === {};", whole + 1)))?;
    page.close()?;
    let starts = serving.take_starts();
    ensure!(starts == [0], "the first visit asked from {starts:?}");
    Ok(whole * PIECE)
}

/// A program over the first two pieces of each file that are kept: `keys`.
fn pieces(program: &str) -> String {
    format!(
        "(async () => {{ const cache = await caches.open('roentgen-web-v2'); \
         const keys = (await cache.keys()).filter(({{url}}) => /\\/[01]$/.test(url)); {program} }})()"
    )
}

/// A tab that is closed in the middle of the weights loses less than a piece of them, and a piece
/// that is damaged where it is kept is noticed. A server that knows no ranges sends all of it
/// again.
pub fn closed_tab(fixture: &Fixture) -> Result<String> {
    let bundle = fixture.site.bundle();
    let (all, shards, weights) = (all(bundle)?, shards(bundle)?, weights(bundle)?);
    let simple = Serving::start(fixture.site.clone(), 0, "", true)?;
    close_halfway(fixture, &simple)?;
    simple.ignore_ranges();
    let page = fixture.visit_of(&simple)?;
    let stats = page.stats()?;
    ensure!(
        stats["downloadedBytes"] == shards && stats["cachedBytes"] == all - shards,
        "with a server that knows no ranges the page counts {stats}"
    );
    page.close()?;

    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let kept = close_halfway(fixture, &serving)?;
    let visit = || -> Result<(Value, Vec<usize>)> {
        let page = fixture.visit_of(&serving)?;
        let stats = page.stats()?;
        page.close()?;
        Ok((stats, serving.take_starts()))
    };
    let (stats, starts) = visit()?;
    ensure!(
        starts.iter().map(|start| *start as u64).eq([kept]),
        "the second visit asked for the weights from {starts:?}"
    );
    ensure!(
        stats["downloadedBytes"] == shards - kept && stats["cachedBytes"] == all - (shards - kept),
        "the second visit counts {stats}; {kept} of {shards} bytes were here"
    );

    let page = Page::open(&fixture.browser, &format!("{}icon.svg", serving.address()))?;
    let damaged = page.evaluate(&pieces(
        "for (const key of keys) { if (!key.url.endsWith('/1')) continue; const bytes = new Uint8Array(await (await cache.match(key)).arrayBuffer()); \
         bytes[7] ^= 1; await cache.put(key, new Response(bytes)); return true; }",
    ))?;
    page.close()?;
    ensure!(damaged == true, "no second piece is kept");
    let (stats, starts) = visit()?;
    ensure!(
        starts == [0] && stats["downloadedBytes"] == weights,
        "with a damaged piece the page asks from {starts:?} and counts {stats}"
    );
    let (stats, starts) = visit()?;
    ensure!(
        starts.is_empty() && stats["downloadedBytes"] == 0,
        "after a damaged piece the page asks from {starts:?} and counts {stats}"
    );
    Ok(json!({"kept": kept, "then fetched": shards - kept}).to_string())
}
