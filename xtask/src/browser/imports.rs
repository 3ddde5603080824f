//! The checks on what is brought in and fails on its way: a full storage, a lost connection, a
//! closed tab, a new version that does not arrive. What was there before still draws, and nothing
//! of the failed import stays but what the list of models names.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image::RgbaImage;
use serde_json::{Value, json};

use super::download::{all, weights};
use super::fixture::{DRAWING, Fixture, LOADING, short};
use super::models::{at_work, open_list, renamed};
use super::page::Page;
use super::storage::{KEPT, kept};
use crate::serve::Serving;
use crate::workspace::copy;

/// Bytes of a piece that the page keeps (`PIECE` in cache.js).
const PIECE: u64 = 1 << 20;

/// Chrome remembers the room of a data base until some seconds after it was closed.
const FORGETTING: Duration = Duration::from_secs(8);

/// How many manifests are kept.
const MANIFESTS: &str = "(async () => (await (await caches.open('roentgen-web-v2')).keys()).filter(({url}) => url.includes('address=')).length)()";

/// Waits until the status or the remark has these words.
pub fn said(page: &Page, words: &str) -> Result<()> {
    page.until(&format!(
            "(document.getElementById('status').textContent + ' ' + document.getElementById('remark').textContent).includes({})",
            json!(words)
        ),
    )
}

/// The site's own model, from the cache alone.
pub fn visit(fixture: &Fixture, serving: &Serving, one: u64) -> Result<Page> {
    let page = fixture.visit_of(serving)?;
    let stats = page.stats()?;
    ensure!(
        stats["downloadedBytes"] == 0 && stats["cachedBytes"] == one,
        "the model that was there counts {stats}"
    );
    Ok(page)
}

/// The first visit, which keeps the site's own model: its image, and its bytes.
pub fn first(fixture: &Fixture, serving: &Serving) -> Result<(RgbaImage, u64)> {
    let page = fixture.visit_of(serving)?;
    let (image, _) = page.generate(&short(), DRAWING)?;
    super::offline::kept(&page)?;
    page.close()?;
    Ok((image, all(fixture.site.bundle())?))
}

/// Asks for a model by its address.
fn take(page: &Page, address: &str) -> Result<()> {
    open_list(page)?;
    page.type_into("model-address", address)?;
    page.click("model-load")
}

/// The site's own model takes the place of one that failed, without a byte from the network, and
/// draws as before.
pub fn back(page: &Page, serving: &Serving, own: &RgbaImage) -> Result<()> {
    serving.take_starts();
    page.click("own-model")?;
    page.wait("ready", LOADING)?;
    let starts = serving.take_starts();
    ensure!(starts.is_empty(), "weights are asked for from {starts:?}");
    let (image, _) = page.generate(&short(), DRAWING)?;
    ensure!(
        image == *own,
        "after a failed import the model draws another image"
    );
    Ok(())
}

/// The storage is full at each write of an import, one after another: what fits is kept and named,
/// the model draws, and the one that was there needs no network.
pub fn full(fixture: &Fixture) -> Result<String> {
    let other = renamed(fixture.site.bundle(), "other")?;
    let site = fixture.site.and("models/other", other.path());
    let serving = Serving::start(Arc::new(site), 0, "", true)?;
    let address = serving.address();
    let origin = address.trim_end_matches('/');
    let (own, one) = first(fixture, &serving)?;
    let holder = Page::open(&fixture.browser, &format!("{address}icon.svg"))?;
    let whole = weights(other.path())? / PIECE; // the reader is here already: it is the same file
    // No room at all; none for the manifest, of 97 kB; none for the first piece, the second one,
    // and so on to the last.
    let rooms = [(0, None), (50_000, None)]
        .into_iter()
        .chain((0..=whole).map(|piece| (piece * PIECE + PIECE / 2, Some(piece))));
    let mut found = Vec::new();
    for (room, pieces) in rooms {
        let page = visit(fixture, &serving, one)?;
        super::offline::kept(&page)?;
        let usage = page.evaluate("navigator.storage.estimate().then(({usage}) => usage)")?;
        let usage = usage.as_f64().context("no usage")?;
        holder.quota(origin, Some(usage + room as f64))?;
        take(&page, "./models/other/")?;
        at_work(&page, "other")?;
        said(&page, "no room left to keep the model")?;
        let (image, _) = page.generate(&short(), DRAWING)?;
        ensure!(
            image == own,
            "with {room} bytes of room the image is another"
        );
        let bytes = kept(&page)? - one;
        ensure!(
            bytes == pieces.unwrap_or(0) * PIECE,
            "with {room} bytes of room {bytes} bytes are kept"
        );
        let manifests = page.evaluate(MANIFESTS)?;
        ensure!(
            manifests == if pieces.is_some() { 2 } else { 1 },
            "with {room} bytes of room {manifests} manifests are kept"
        );
        page.close()?;
        let page = visit(fixture, &serving, one)?;
        holder.quota(origin, None)?;
        open_list(&page)?;
        if pieces.is_some() {
            page.press("#models button[aria-label='Delete: other']")?;
            said(&page, "other is deleted")?;
        }
        ensure!(kept(&page)? == one, "{} bytes are left", kept(&page)?);
        page.close()?;
        found.push(bytes);
    }
    holder.close()?;
    Ok(format!("kept of the import: {found:?} bytes"))
}

/// Images that a full storage cannot keep leave those that it keeps.
pub fn full_visit(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let address = serving.address();
    let origin = address.trim_end_matches('/');
    first(fixture, &serving)?;
    let holder = Page::open(&fixture.browser, &format!("{address}icon.svg"))?;
    let page = fixture.visit_at(&format!("{address}?backend=cpu"))?;
    page.generate(&short(), DRAWING)?;
    let press = "document.getElementById('visit-keep').click()";
    let checked = "document.getElementById('visit-keep').checked";
    holder.quota(origin, Some(1.0))?;
    page.evaluate(press)?;
    said(&page, "keeps nothing for this page")?;
    ensure!(
        page.evaluate(checked)? == false,
        "nothing is kept, and the box is checked"
    );
    holder.quota(origin, None)?;
    std::thread::sleep(FORGETTING);
    page.evaluate(press)?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(page.evaluate(checked)? == true, "with room nothing is kept");
    page.close()?;
    std::thread::sleep(FORGETTING);
    holder.quota(origin, Some(1.0))?;
    let page = fixture.visit_at(&format!("{address}?backend=cpu"))?;
    page.generate(&short(), DRAWING)?;
    said(&page, "no room left for the newest images")?;
    ensure!(
        page.evaluate(checked)? == true,
        "images are kept, and the box says not"
    );
    page.close()?;
    holder.quota(origin, None)?;
    let page = fixture.visit_at(&format!("{address}?backend=cpu"))?;
    let thumbs = page.evaluate("document.querySelectorAll('#visit-list button').length")?;
    ensure!(thumbs == 1, "{thumbs} images are back");
    page.evaluate(press)?;
    page.close()?;
    holder.close()?;
    Ok("one of two images".to_owned())
}

/// An import that is cut off, whose tab is closed, or that the engine refuses: the model that was
/// there draws, and nothing stays that is not named.
pub fn cut(fixture: &Fixture) -> Result<String> {
    let other = renamed(fixture.site.bundle(), "other")?;
    let refused = renamed(fixture.site.bundle(), "refused")?;
    let file = refused.path().join("bundle.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file)?)?;
    manifest["components"]["text_encoder"]["hidden_size"] = json!(130);
    fs::write(&file, manifest.to_string())?;
    let site = fixture.site.and("models/other", other.path());
    let site = site.and("models/refused", refused.path());
    let serving = Serving::start(Arc::new(site), 0, "", true)?;
    let (own, one) = first(fixture, &serving)?;

    // The connection is lost for good.
    let page = visit(fixture, &serving, one)?;
    serving.cut(&[1_500_000, 0, 0, 0]);
    take(&page, "./models/other/")?;
    said(&page, "connection was lost")?;
    back(&page, &serving, &own)?;
    page.close()?;

    // The tab is closed; the next visit names what there is, and deletes it.
    let page = visit(fixture, &serving, one)?;
    serving.take_starts();
    // after the piece that is kept of the connection that was lost
    serving.hold(2 * PIECE as usize);
    take(&page, "./models/other/")?;
    let pieces = format!("return bytes >= {}", one + 2 * PIECE);
    page.until(&KEPT.replace("return bytes", &pieces))?;
    let starts = serving.take_starts();
    ensure!(starts == [1 << 20], "weights are asked for from {starts:?}");
    page.close()?;
    let page = visit(fixture, &serving, one)?;
    let part = kept(&page)? - one;
    ensure!(
        part > 0 && part < one,
        "{part} bytes are kept of the import"
    );
    open_list(&page)?;
    page.until("/ of .*MB in this browser/.test(document.querySelector(\"#models button[aria-label='Delete: other']\")?.parentElement.textContent)",
    )?;
    page.press("#models button[aria-label='Delete: other']")?;
    said(&page, "other is deleted")?;
    ensure!(kept(&page)? == one, "{} bytes are left", kept(&page)?);

    // The tab is closed while a folder is read.
    page.choose("#model-files", &[other.path()])?;
    page.close()?;
    let page = visit(fixture, &serving, one)?;
    ensure!(
        kept(&page)? == one,
        "a folder has left {} bytes",
        kept(&page)?
    );

    // Its files are here before the engine has looked at them.
    take(&page, "./models/refused/")?;
    page.until("document.documentElement.dataset.state === 'error'")?;
    let words = page.text("status")?;
    let pieces = kept(&page)? - one;
    back(&page, &serving, &own)?;
    page.until(&KEPT.replace("return bytes", &format!("return bytes === {one}")))?;
    let manifests = page.evaluate(MANIFESTS)?;
    ensure!(manifests == 1, "{manifests} manifests are kept");
    page.close()?;
    Ok(format!(
        "{part} bytes named; {pieces} swept of a model that is refused: {words}"
    ))
}

/// A new version that does not arrive leaves the old one at work, now and without a network; when
/// it is whole it takes its place.
pub fn replaced(fixture: &Fixture) -> Result<String> {
    let other = renamed(fixture.site.bundle(), "other")?;
    // as long a name would give the same weights
    let newer = renamed(fixture.site.bundle(), "newest")?;
    let site = fixture.site.and("models/other", other.path());
    let serving = Serving::start(Arc::new(site), 0, "", true)?;
    let (own, one) = first(fixture, &serving)?;
    let page = visit(fixture, &serving, one)?;
    take(&page, "./models/other/")?;
    at_work(&page, "other")?;
    page.close()?;
    copy(newer.path(), other.path())?;
    let visit = |cuts: &[usize], name: &str| -> Result<Page> {
        serving.take_starts();
        serving.cut(cuts);
        let page = Page::open(
            &fixture.browser,
            &format!("{}?backend=cpu&bundle=./models/other/", serving.address()),
        )?;
        at_work(&page, name)?;
        Ok(page)
    };
    let page = visit(&[1_500_000, 0, 0, 0], "other")?;
    said(&page, "newest version of this model did not arrive")?;
    let (image, _) = page.generate(&short(), DRAWING)?;
    ensure!(image == own, "the version before draws another image");
    page.close()?;
    visit(&[0, 0, 0, 0], "other")?.close()?;
    let page = visit(&[], "newest")?;
    let starts = serving.take_starts();
    ensure!(
        starts == [1 << 20],
        "the new version is asked for from {starts:?}"
    );
    let both = one + weights(newer.path())?; // they share a tokenizer and a reader
    page.until(&KEPT.replace("return bytes", &format!("return bytes === {both}")))?;
    let manifests = page.evaluate(MANIFESTS)?;
    ensure!(manifests == 2, "{manifests} manifests are kept");
    page.close()?;
    Ok(format!("taken up at byte {}", starts[0]))
}
