//! The checks for those who hear the page, and for those whom motion makes unwell.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;

/// What the live regions say from now on.
const LISTEN: &str = "globalThis.heard = []; for (const region of document.querySelectorAll('#status, #remark')) \
    new MutationObserver(() => region.textContent && heard.push(region.textContent)).observe(region, {childList: true, characterData: true, subtree: true})";

/// Regions that speak without being focused, and whether they are in sight.
const REGIONS: &str =
    "[...document.querySelectorAll('[role=status]')].map((region) => [region.id, region.ariaLive])";

/// What goes on is said, once for each thing and not at every step; so is what went wrong.
pub fn heard(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let regions = page.evaluate(REGIONS)?;
    for id in [
        "status",
        "remark",
        "compare-words",
        "attention-says",
        "how-status",
    ] {
        ensure!(
            regions
                .as_array()
                .is_some_and(|all| all.contains(&json!([id, "polite"]))),
            "#{id} is no live region: {regions}"
        );
    }
    page.evaluate(LISTEN)?;
    page.generate(&SETTINGS, DRAWING)?;
    let heard = page.evaluate("heard.splice(0)")?;
    let heard = heard.as_array().context("nothing was said")?;
    for words in ["Reading the sentence", "Drawing the radiograph", "Done in"] {
        let times = heard
            .iter()
            .filter(|said| said.as_str().is_some_and(|said| said.starts_with(words)))
            .count();
        ensure!(times == 1, "{words:?} is said {times} times: {heard:?}");
    }
    page.type_into("steps", "0")?;
    // the browser's own words are heard anyway
    page.evaluate("document.getElementById('form').noValidate = true")?;
    page.click("generate")?;
    let wrong = page.evaluate("heard.splice(0)")?;
    ensure!(
        wrong.to_string().contains("whole number from 1 to 1000"),
        "of steps that cannot be is said {wrong}"
    );
    let image = page.evaluate("document.getElementById('view').ariaLabel")?;
    ensure!(
        image == format!("Synthetic radiograph: {}", SETTINGS.prompt),
        "the image is called {image}"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{} sentences for an image", heard.len()))
}

/// What moves or fades by itself: its id or tag.
const MOVING: &str = include_str!("scripts/moving.js");

/// Nothing fades, and the bar that sweeps does so slowly.
pub fn calm(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.evaluate("document.querySelectorAll('details').forEach((part) => part.setAttribute('open', '')), document.getElementById('progress').removeAttribute('hidden'), document.getElementById('progress').removeAttribute('value')")?;
    let usual = moving(&page)?;
    page.prefer("prefers-reduced-motion", "reduce")?;
    let calm = moving(&page)?;
    ensure!(
        usual > 20 && calm == 0,
        "{usual} parts move, and {calm} where less motion is asked for: {}",
        page.evaluate(MOVING)?
    );
    page.resize(390, 844, 1.0)?; // a phone scrolls to the film by itself
    page.evaluate("globalThis.scrolled = []; Element.prototype.scrollIntoView = function ({behavior}) { scrolled.push(behavior); }")?;
    page.evaluate(
        "document.getElementById('steps').value = 1, document.getElementById('generate').click()",
    )?;
    page.wait("done", DRAWING)?;
    let scrolled = page.evaluate("scrolled")?;
    ensure!(
        scrolled == json!(["instant"]),
        "the page scrolls {scrolled}"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{usual} parts stand still"))
}

fn moving(page: &Page) -> Result<usize> {
    let found = page.evaluate(MOVING)?;
    Ok(found.as_array().context("no parts")?.len())
}
