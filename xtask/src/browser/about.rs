//! The check on what a visitor is told of the model, its limits and the page.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::download::manifest;
use super::fixture::Fixture;
use super::page::Page;

/// Texts that stand on the first screen, before anything is scrolled.
const FIRST: &str = "(scrollTo({top: 0, behavior: 'instant'}), [...document.querySelectorAll('header p, #prompt, #generate')].filter((part) => part.checkVisibility() && part.getBoundingClientRect().bottom <= innerHeight).map((part) => part.id || part.textContent))";

/// Headings with their words in the five parts on how it works.
const PARTS: &str = "[...document.querySelectorAll('#how-list > li')].filter((part) => part.checkVisibility() && part.querySelector('h3').textContent && part.querySelector('p').textContent.length > 80).length";

/// What a button shows as the model's card.
pub fn card(page: &Page, button: &str) -> Result<String> {
    page.press(button)?;
    page.until("document.getElementById('card').open")?;
    let text = page.text("card-text")?;
    page.click("card-close")?;
    page.until("!document.getElementById('card').open")?;
    Ok(text)
}

/// Name, licence, attribution and use as the manifest has them, the card, and what the page
/// promises.
pub fn about(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let manifest = manifest(fixture.site.bundle())?;
    let credits = page.text("credits")?;
    for name in ["name", "license", "attribution", "intended_use"] {
        let words = manifest[name]
            .as_str()
            .with_context(|| format!("the manifest has no {name}"))?;
        ensure!(
            credits.contains(words),
            "the page does not say the model's {name}, {words:?}: {credits}"
        );
    }
    let text = card(&page, "#credits .link")?;
    ensure!(
        ["Not for diagnosis", "trained on"]
            .iter()
            .all(|word| text.contains(word)),
        "the model card is {text:.200}"
    );
    for (width, height) in [(1280, 900), (390, 844)] {
        page.resize(width, height, 1.0)?;
        let first = page.evaluate(FIRST)?;
        let first = first.to_string();
        ensure!(
            [
                "Not for diagnosis",
                "Nothing leaves this page",
                "prompt",
                "generate"
            ]
            .iter()
            .all(|word| first.contains(word)),
            "the first screen of {width}x{height} has {first} only"
        );
    }
    let promise = page.evaluate("(() => { const part = document.querySelector('[data-t=\"foot.nothing\"]'); return part.checkVisibility() && part.parentElement.textContent; })()")?;
    ensure!(
        promise
            .as_str()
            .is_some_and(|words| words.contains("Nothing leaves this page. ")),
        "the page promises {promise}"
    );
    ensure!(
        page.evaluate(PARTS)? == json!(5),
        "how it works is not told"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("a card of {} bytes", text.len()))
}
