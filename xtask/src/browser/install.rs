//! The check that the page can be installed, as a browser sees it.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use headless_chrome::protocol::cdp::Page as Cdp;
use serde_json::Value;

use super::fixture::Fixture;
use super::offline;
use super::page::Page;
use crate::serve::Serving;
use crate::workspace::{copy, root};

/// Icons of the manifest: type and size as it says, and as they are.
const ICONS: &str = include_str!("scripts/icons.js");

/// Chromium finds nothing that keeps the page from being installed; it finds something where the
/// manifest says nothing.
pub fn install(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    offline::kept(&page)?;
    let errors = errors(&page)?;
    ensure!(errors.is_empty(), "it cannot be installed: {errors:?}");
    let icons = page.evaluate(ICONS)?;
    let icons = icons.as_array().context("no icons")?;
    for icon in icons {
        ensure!(
            icon[0] == icon[2] && icon[1] == icon[3],
            "an icon is not what the manifest says: {icon}"
        );
    }
    let large = |icon: &&Value| icon[1] == "512x512" && icon[0] == "image/png";
    ensure!(icons.iter().any(|icon| large(&icon)), "{icons:?}");
    fixture.all_quiet(&page)?;
    page.close()?;

    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    fs::write(web.path().join("manifest.webmanifest"), "{}")?;
    let serving = Serving::start(Arc::new(fixture.site.with_page(web.path())?), 0, "", true)?;
    let page = fixture.visit_of(&serving)?;
    let found = self::errors(&page)?;
    ensure!(
        !found.is_empty(),
        "an empty manifest is no error, so that none says nothing"
    );
    page.close()?;
    Ok(format!(
        "{} icons; an empty manifest: {}",
        icons.len(),
        found.join(", ")
    ))
}

fn errors(page: &Page) -> Result<Vec<String>> {
    let found = page.tab.call_method(Cdp::GetInstallabilityErrors(None))?;
    let errors = found.installability_errors.into_iter();
    Ok(errors.map(|error| error.error_id).collect())
}
