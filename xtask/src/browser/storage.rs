//! The checks on what the browser keeps: models are deleted, a full disk does no harm, and neither
//! does a browser that keeps nothing.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::chrome::INSECURE;
use super::download::all;
use super::fixture::{DRAWING, Fixture, short};
use super::models::{at_work, open_list, renamed};
use super::page::Page;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// Bytes of all that the page keeps of models.
pub const KEPT: &str = "(async () => { let bytes = 0; const cache = await caches.open('roentgen-web-v2'); \
    for (const key of await cache.keys()) if (!key.url.includes('?')) bytes += (await (await cache.match(key)).blob()).size; return bytes; })()";

/// The same, asked of a page.
pub fn kept(page: &Page) -> Result<u64> {
    page.evaluate(KEPT)?.as_u64().context("no size")
}

/// Two models are kept; one is deleted, the other needs no network afterwards, and what they share
/// is still there.
pub fn delete(fixture: &Fixture) -> Result<String> {
    let other = renamed(fixture.site.bundle(), "other")?;
    let site = fixture.site.and("models/other", other.path());
    let serving = Serving::start(Arc::new(site), 0, "", true)?;
    let visit = |query: &str| -> Result<Page> {
        let page = fixture.visit_at(&format!("{}{query}", serving.address()))?;
        Ok(page)
    };
    visit("?backend=cpu")?.close()?;
    let page = visit("?backend=cpu&bundle=./models/other/")?;
    open_list(&page)?;
    page.until("document.querySelectorAll('#models button[aria-label^=Delete]').length === 2")?;
    let both = kept(&page)?;
    let one = all(fixture.site.bundle())?;
    ensure!(
        one < both && both < 2 * one + 1000,
        "{both} bytes are kept of two models, one has {one}"
    );
    let words = page.text("model-storage")?;
    ensure!(
        words.contains(&format!("{:.1}", both as f64 / 1e6)) && words.contains("GB"),
        "{both} bytes are told as {words:?}"
    );
    page.click("model-persist")?;
    page.until("/^The browser (keeps them|did not agree)/.test(document.getElementById('remark').textContent)",
    )?;
    page.press("#models [aria-current] button[aria-label^=Delete]")?;
    page.until("document.getElementById('remark').textContent.startsWith('other is deleted')")?;
    page.until("document.activeElement.matches('#model-part summary')")?;
    ensure!(
        kept(&page)? == one,
        "{} bytes are left of {both}",
        kept(&page)?
    );
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the image of a deleted model")?;
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    let page = visit("?backend=cpu")?;
    let stats = page.stats()?;
    ensure!(
        stats["downloadedBytes"] == 0 && stats["cachedBytes"] == one,
        "the model that is left counts {stats}"
    );
    page.close()?;
    Ok(format!("{} of {both} bytes", both - one))
}

/// A browser that has room for a part keeps that part and says so; the model is whole in memory.
/// With room again, only the rest is downloaded.
pub fn quota(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let address = serving.address();
    let origin = address.trim_end_matches('/');
    // Stays open: the measure is that of a debugger, and goes with it.
    let holder = Page::open(&fixture.browser, &format!("{address}icon.svg"))?;
    holder.quota(origin, Some(3e6))?;
    let page = fixture.visit_at(&format!("{address}?backend=cpu"))?;
    let all = all(fixture.site.bundle())?;
    let stats = page.stats()?;
    ensure!(stats["downloadedBytes"] == all, "the page counts {stats}");
    page.until("document.getElementById('remark').textContent.includes('no room left')")?;
    open_list(&page)?;
    page.until("document.getElementById('model-storage').textContent.includes('no room left')")?;
    let part = kept(&page)?;
    ensure!(0 < part && part < 3_000_000, "{part} bytes are kept");
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the image with a full disk")?;
    page.close()?;
    holder.quota(origin, None)?;
    let page = fixture.visit_at(&format!("{address}?backend=cpu"))?;
    let stats = page.stats()?;
    ensure!(
        stats["cachedBytes"] == part && stats["downloadedBytes"] == all - part,
        "with room again the page counts {stats}; {part} bytes were kept"
    );
    ensure!(kept(&page)? == all, "the model is not kept with room again");
    page.close()?;
    holder.close()?;
    Ok(format!("{part} of {all} bytes kept"))
}

/// Without https a browser offers no cache, and no hashes: everything works in memory, and the page
/// says so.
pub fn nothing_kept(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let address = serving.address().replace("127.0.0.1", INSECURE);
    let page = fixture.visit_at(&format!("{address}?backend=cpu"))?;
    ensure!(
        page.evaluate("isSecureContext || 'caches' in globalThis")? == false,
        "this is a secure context, and says nothing"
    );
    let words = page.text("remark")?;
    ensure!(words.contains("in memory only"), "the page says {words:?}");
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the image in memory")?;
    let folder = renamed(fixture.site.bundle(), "local")?;
    open_list(&page)?;
    page.choose("#model-files", &[folder.path()])?;
    at_work(&page, "local")?;
    page.close()?;
    Ok(words)
}

/// Put at the end of the worker and of the page: windows that may keep nothing refuse their caches.
const REFUSING: &str = "
CacheStorage.prototype.open = async () => { throw new DOMException('The operation is insecure.', 'SecurityError'); };
";

/// Where the browser refuses to keep anything, as private windows may, the model is in memory, and
/// the page says so.
pub fn private(fixture: &Fixture) -> Result<String> {
    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    for name in ["engine/worker.js", "page/main.js"] {
        let file = web.path().join(name);
        fs::write(&file, fs::read_to_string(&file)? + REFUSING)?;
    }
    let serving = Serving::start(Arc::new(fixture.site.with_page(web.path())?), 0, "", true)?;
    let page = fixture.visit_of(&serving)?;
    page.until("document.getElementById('remark').textContent.includes('in memory only')")?;
    let stats = page.stats()?;
    ensure!(
        stats["downloadedBytes"] == all(fixture.site.bundle())? && stats["cachedBytes"] == 0,
        "the page counts {stats}"
    );
    open_list(&page)?;
    page.until("document.querySelector('#models [aria-current]').textContent.includes('not kept in this browser')",
    )?;
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the image in memory")?;
    fixture.all_quiet_of(&page, &serving)?;
    page.close()?;
    Ok("the model is downloaded at every visit".to_owned())
}
