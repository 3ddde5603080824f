//! The check on models of another site: what the page's policy forbids is not even asked for, and
//! what the other site does not allow is said.

use std::fs;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use super::download::all;
use super::fixture::{DRAWING, Fixture, LOADING, short};
use super::models::{at_work, renamed};
use super::page::Page;
use crate::serve::Serving;
use crate::site::Site;
use crate::workspace::{copy, root};

/// The code of the error that the module gives for a model, or the name of the model.
const LOAD: &str = "globalThis.load = async (model) => { const {Roentgen} = await import('../../roentgen-web.js'); \
    try { globalThis.last = await Roentgen.load({model, backend: 'cpu'}); return last.model.name; } catch (error) { return `${error.code}: ${error.message}`; } }";

/// The page as shipped refuses; with one word in its policy it takes the model, as soon as the
/// other site allows it.
pub fn cors(fixture: &Fixture) -> Result<String> {
    let folder = renamed(fixture.site.bundle(), "elsewhere")?;
    let other = Serving::start(Arc::new(Site::of_folder(folder.path())), 0, "/m", false)?;
    let origin = other.address().replace("/m/", "");
    let query = format!("?backend=cpu&bundle={}", other.address());

    let own = Serving::start(fixture.site.clone(), 0, "", true)?;
    let words = refused(fixture, &format!("{}{query}", own.address()))?;
    ensure!(
        words.contains("Content-Security-Policy") && words.contains(&origin),
        "{words}"
    );
    let asked = other.take_paths();
    ensure!(asked.is_empty(), "the other site was asked for {asked:?}");

    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    let index = web.path().join("index.html");
    let text = fs::read_to_string(&index)?;
    let wider = text.replace(
        "connect-src 'self'",
        &format!("connect-src 'self' {origin}"),
    );
    ensure!(wider != text, "index.html has no connect-src");
    fs::write(&index, wider)?;
    let wide = Serving::start(Arc::new(fixture.site.with_page(web.path())?), 0, "", false)?;
    let address = format!("{}{query}", wide.address());
    let words = refused(fixture, &address)?;
    ensure!(
        words.contains("Access-Control-Allow-Origin") && words.contains(&origin),
        "{words}"
    );
    other.open_to_others(true);
    let page = Page::open(&fixture.browser, &address)?;
    at_work(&page, "elsewhere")?;
    let stats = page.stats()?;
    ensure!(
        stats["downloadedBytes"] == all(folder.path())?,
        "the page counts {stats}"
    );
    let (image, _) = page.generate(&short(), DRAWING)?;
    fixture.as_native(&image, &short(), "the image of another site's model")?;
    page.close()?;

    // The module in a page without a policy of its own: the worker has that of its file.
    let load = format!("load('{}')", other.address());
    let page = bare(fixture, &own)?;
    let end = page.evaluate(&load)?;
    ensure!(
        end.as_str().is_some_and(|end| end.starts_with("policy: ")),
        "the worker of a page without a policy gives {end}"
    );
    page.close()?;
    let page = bare(fixture, &wide)?;
    other.open_to_others(false);
    let end = page.evaluate(&load)?;
    ensure!(
        end.as_str().is_some_and(|end| end.starts_with("cors: ")),
        "without consent the module gives {end}"
    );
    other.open_to_others(true);
    let end = page.evaluate(&load)?;
    ensure!(end == "elsewhere", "the module gives {end}");
    drop(other);
    let end = page.evaluate(&load)?;
    ensure!(
        end == "elsewhere",
        "with the other site away the module gives {end}"
    );
    page.close()?;
    Ok(origin)
}

/// A page without a policy, beside the module.
fn bare(fixture: &Fixture, serving: &Serving) -> Result<Page> {
    let address = format!("{}models/default/bundle.json", serving.address());
    let page = Page::open(&fixture.browser, &address)?;
    page.evaluate(LOAD)?;
    Ok(page)
}

/// The words of a page that does not get its model.
fn refused(fixture: &Fixture, address: &str) -> Result<String> {
    let page = Page::open(&fixture.browser, address)?;
    page.until("document.documentElement.dataset.state !== 'loading'")?;
    if page.wait("ready", LOADING).is_ok() {
        bail!("{address} gets its model");
    }
    let words = page.text("status")?;
    page.close()?;
    Ok(words)
}
