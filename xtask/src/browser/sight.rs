//! The checks on what a lecturer sees at a glance: the film beside long texts, on a projector, with
//! large letters, under a finger.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// How much of the film's area is in the window, and whether what has the focus is covered by it.
const SEEN: &str = include_str!("scripts/seen.js");

/// What is smaller than 44 pixels and can be pressed; text in a line is exempt (WCAG 2.2, 2.5.8),
/// and a box has its label.
const SMALL: &str = include_str!("scripts/small-targets.js");

/// What reaches beyond the window at the right.
const WIDE: &str = "[document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll('main *')].filter((part) => part.checkVisibility() && part.getBoundingClientRect().right > innerWidth + 1).map((part) => part.id || part.className)].slice(0, 9)";

/// The film stays in the window beside the longest text and form, on a laptop and on a phone; it
/// fills a black screen, with status, cancel and all that saves; text at 200 % reflows; fingers
/// find 44 pixels; Tab skips to the film.
pub fn sight(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    skip(&page)?;
    let short = Settings {
        steps: 4,
        ..SETTINGS
    };
    crossfade(&page, &short)?;
    page.click("attention")?;
    page.wait("done", DRAWING)?;
    page.evaluate(
        "document.querySelectorAll('.tune details').forEach((part) => part.setAttribute('open', ''))",
    )?;
    for (width, height) in [(1280, 900), (390, 844)] {
        page.resize(width, height, 1.0)?;
        // The seed comes before the film of a phone; where the form ends, so does the film's place
        // beside it.
        for (focus, least) in [
            ("#attention-words button:last-child", 0.7),
            ("#attention-opacity", 0.7),
            ("#seed", -9.0),
            ("#scheduler", 0.7),
            ("#model-address", 0.7),
            ("#settings-load", 0.35),
        ] {
            page.evaluate(&format!(
                "(() => {{ scrollTo({{top: 0, behavior: 'instant'}}); document.querySelector('{focus}').focus(); }})()"
            ))?;
            std::thread::sleep(Duration::from_millis(50));
            let seen = page.evaluate(SEEN)?;
            ensure!(
                seen["part"].as_f64().is_some_and(|part| part > least)
                    && seen["covered"] == false
                    && seen["y"].as_f64() < seen["height"].as_f64(),
                "at {width}x{height} with {focus} in focus: {seen}"
            );
        }
    }

    // On the phone: what a finger needs, and the seed beside the button.
    page.evaluate("document.getElementById('guide-part').open = true")?;
    let small = page.evaluate(SMALL)?;
    ensure!(small == json!([]), "too small for a finger: {small}");
    let below = page.evaluate("document.getElementById('seed').getBoundingClientRect().top - document.getElementById('generate').getBoundingClientRect().bottom")?;
    ensure!(
        below.as_f64().is_some_and(|below| below < 20.0),
        "the seed is {below} pixels below the button"
    );
    large(&page)?;
    full(&page)?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok("laptop, phone, projector, large text".to_owned())
}

/// The first press of Tab offers the film.
fn skip(page: &Page) -> Result<()> {
    page.evaluate("(document.activeElement?.blur(), scrollTo(0, 0))")?;
    page.key("Tab")?;
    let offered = page.evaluate("[document.activeElement.textContent, document.activeElement.getBoundingClientRect().top >= 0]")?;
    ensure!(
        offered == json!(["Skip to the image", true]),
        "the first stop is {offered}"
    );
    page.key("Enter")?;
    page.until("document.activeElement.id === 'film'")?;
    let hash = page.evaluate("location.hash")?;
    ensure!(hash == "", "the address carries {hash}");
    Ok(())
}

/// At the end of a drawing the preview lies over the image and fades: at no moment is the film
/// empty.
fn crossfade(page: &Page, settings: &Settings) -> Result<()> {
    page.evaluate(
        "(() => { globalThis.dark = 0; globalThis.faded = 0; const [film, preview] = ['film', 'preview'].map((id) => document.getElementById(id)); let begun = false; \
         const look = () => { const over = Number(getComputedStyle(preview).opacity); const pane = getComputedStyle(film.querySelector('.pane')).visibility === 'visible' && document.getElementById('view').width > 1; \
         begun ||= film.classList.contains('sampling') && over === 1; if (begun && over < 0.99 && !pane) dark++; if (begun && pane && over > 0.01 && over < 0.99) faded++; requestAnimationFrame(look); }; look(); })()",
    )?;
    page.generate(settings, DRAWING)?;
    std::thread::sleep(Duration::from_millis(600));
    let found = page
        .evaluate("[dark, faded, getComputedStyle(document.getElementById('preview')).opacity]")?;
    ensure!(
        found[0] == 0 && found[1].as_u64() > Some(0) && found[2] == "0",
        "empty frames, frames between, and the preview's opacity at the end: {found}"
    );
    Ok(())
}

/// Letters twice as large, as a browser's own setting makes them.
fn large(page: &Page) -> Result<()> {
    page.evaluate("document.documentElement.style.fontSize = '200%'")?;
    for (width, height) in [(1280, 900), (390, 844), (320, 640)] {
        page.resize(width, height, 1.0)?;
        for state in ["", "compare", "compare"] {
            if !state.is_empty() {
                page.evaluate(&format!("document.getElementById('{state}').click()"))?;
            }
            let wide = page.evaluate(WIDE)?;
            ensure!(
                wide == json!([0]),
                "at {width} with text at 200 %, {state:?}: {wide}"
            );
        }
    }
    page.evaluate("document.documentElement.style.fontSize = ''")?;
    Ok(())
}

/// Black around the film, which is in the middle; what is going on, and what saves, within the
/// screen.
fn full(page: &Page) -> Result<()> {
    page.prefer("prefers-color-scheme", "light")?;
    page.resize(1280, 720, 1.0)?;
    page.evaluate("document.getElementById('film').focus()")?;
    page.key("f")?;
    page.until("document.fullscreenElement?.id === 'viewer' || document.querySelector('#viewer.full') !== null",
    )?;
    let inside = "(() => { const inside = (id) => { const {top, bottom, left, right} = document.getElementById(id).getBoundingClientRect(); return bottom > top && top >= 0 && left >= 0 && bottom <= innerHeight + 1 && right <= innerWidth; }; \
        const film = document.getElementById('film').getBoundingClientRect(); const ids = ['film', 'full', 'save', 'save-dicom', 'full-status']; \
        return {ground: getComputedStyle(document.getElementById('viewer')).backgroundColor, off: Math.abs(film.left + film.right - innerWidth) / 2, outside: ids.filter((id) => !inside(id)), \
        side: Math.min(film.width, film.height), words: document.getElementById('full-status').innerText}; })()";
    let found = page.evaluate(inside)?;
    ensure!(
        found["ground"] == "rgb(0, 0, 0)"
            && found["outside"] == json!([])
            && found["off"].as_f64().is_some_and(|off| off < 2.0)
            && found["side"].as_f64().is_some_and(|side| side > 300.0)
            && found["words"]
                .as_str()
                .is_some_and(|words| words.contains("Done")),
        "full screen is {found}"
    );
    page.evaluate("document.getElementById('steps').value = 300")?;
    page.evaluate("document.getElementById('generate').click()")?;
    page.until("/step \\d+ of 300/.test(document.getElementById('full-status').innerText)")?;
    page.press("#full-cancel")?;
    page.wait("done", Duration::from_secs(30))
        .context("cancelled in full screen")?;
    page.evaluate("document.getElementById('film').focus()")?;
    page.key("f")?;
    page.until(
        "document.fullscreenElement === null && document.querySelector('#viewer.full') === null",
    )?;
    page.prefer("prefers-color-scheme", "dark")
}
