//! The checks on looking: zoom, window, two images against each other, and the denoising film.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use image::RgbaImage;
use serde_json::json;

use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// How large the image is shown: 1 is whole.
const ZOOM: &str = "new DOMMatrix(getComputedStyle(document.getElementById('view')).transform).a";

/// By mouse, keyboard and touch; the model's own pixels never change.
pub fn lightbox(fixture: &Fixture) -> Result<String> {
    let page = drawn(fixture, 2)?;
    let own = page.pixels()?;
    ensure!(
        page.pixels_of("view")? == own,
        "the film shows other pixels"
    );

    page.drag("film", (0.3, 0.5), (0.5, 0.4))?;
    let windowed = page.pixels_of("view")?;
    ensure!(
        windowed != own && page.text("note-size")?.contains('W'),
        "a drag does not change the window; the film says {:?}",
        page.text("note-size")?
    );
    page.evaluate("document.getElementById('film').focus()")?;
    page.key("0")?;
    ensure!(page.pixels_of("view")? == own, "0 does not reset");

    page.key("i")?;
    let inverted = page.pixels_of("view")?;
    ensure!(
        pairs(&own, &inverted).all(|(a, b)| u16::from(a) + u16::from(b) == 255),
        "inverting is not 255 minus the value"
    );
    page.key("i")?;

    page.key("+")?;
    page.key("+")?;
    let by_key = zoom(&page)?;
    ensure!((by_key - 1.5625).abs() < 0.01, "two + zoom to {by_key}");
    page.click("tool-move")?;
    let place = "getComputedStyle(document.getElementById('view')).transform";
    let before = page.evaluate(place)?;
    page.drag("film", (0.5, 0.5), (0.6, 0.55))?;
    ensure!(page.evaluate(place)? != before, "the image does not move");
    ensure!(page.pixels_of("view")? == own, "moving changes the pixels");
    page.click("reset")?;
    ensure!((zoom(&page)? - 1.0).abs() < 1e-6, "reset leaves the zoom");

    page.wheel("film", -300.0)?;
    ensure!(
        (zoom(&page)? - 1.0).abs() < 1e-6,
        "the wheel zooms a film that is not in use, where the page should scroll"
    );
    page.evaluate("document.getElementById('film').focus()")?;
    page.wheel("film", -300.0)?;
    let by_wheel = zoom(&page)?;
    ensure!(
        (by_wheel - 2.0).abs() < 0.01,
        "the wheel zooms to {by_wheel}"
    );
    page.evaluate("document.getElementById('film').dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))")?;
    ensure!(
        (zoom(&page)? - 1.0).abs() < 1e-6,
        "a double click leaves the zoom"
    );

    page.pinch("film", 0.2, 0.5)?;
    let by_touch = zoom(&page)?;
    ensure!(
        (2.0..3.0).contains(&by_touch),
        "fingers that go from 0.2 to 0.5 apart zoom to {by_touch}"
    );
    page.evaluate("document.getElementById('film').focus()")?;
    page.key("f")?;
    let whole = "document.fullscreenElement?.id === 'viewer' || document.querySelector('#viewer.full') !== null";
    let deadline = Instant::now() + Duration::from_secs(10);
    while page.evaluate(whole)? != true {
        ensure!(Instant::now() < deadline, "f gives no full screen");
        std::thread::sleep(Duration::from_millis(50));
    }
    page.key("f")?;
    while page.evaluate(whole)? == true {
        ensure!(Instant::now() < deadline, "f does not end full screen");
        std::thread::sleep(Duration::from_millis(50));
    }
    page.click("keys")?;
    let help = page.evaluate("document.getElementById('help').open")?;
    ensure!(help == true, "there is no help");
    page.key("Escape")?;
    ensure!(page.pixels()? == own, "looking changed the image");
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("two fingers zoom to {by_touch:.2}"))
}

/// The same seed without the finding is drawn, and the difference on the page is the difference of
/// the pixels.
pub fn compare(fixture: &Fixture) -> Result<String> {
    let page = drawn(fixture, 4)?;
    let with = page.pixels()?;
    page.click("compare")?;
    page.click("compare-without")?;
    page.wait("done", DRAWING)?;
    ensure!(page.pixels()? == with, "the first image is no longer first");
    let without = page.pixels_of("other")?;
    let values = pairs(&with, &without).count() as f64;
    let mean = pairs(&with, &without)
        .map(|(a, b)| f64::from(a.abs_diff(b)))
        .sum::<f64>()
        / values;
    ensure!(
        mean > 1.5,
        "the images hardly differ, by {mean:.1}, so that the difference says little"
    );
    let words = page.text("compare-words")?;
    ensure!(
        words.contains("Normal chest."),
        "the second image is not without the finding: {words}"
    );
    // Which is which, on the film and in words; R is the patient's right.
    let captions = json!(["with: Large left pleural effusion", "without: Normal chest"]);
    ensure!(
        page.evaluate(CAPTIONS)? == captions,
        "the captions are {}",
        page.evaluate(CAPTIONS)?
    );
    let side = page.evaluate("(() => { const [film, side] = ['film', 'side-mark'].map((id) => document.getElementById(id).getBoundingClientRect()); \
        return [document.getElementById('side-mark').innerText, side.right < film.left + film.width / 2]; })()")?;
    ensure!(
        side == json!(["R", true]),
        "the marker of the right side is {side}"
    );
    let entries = page.evaluate("[...document.querySelectorAll('#compare-with option')].map((option) => option.textContent)")?;
    ensure!(
        entries == json!(["Normal chest. (2, seed 1895)"]),
        "the other images are called {entries}"
    );
    // The line under the hand moves, and the window does not.
    let shown = page.pixels_of("view")?;
    page.drag("film", (0.5, 0.3), (0.2, 0.3))?;
    let placed = page.evaluate("Number(document.getElementById('compare-slider').value)")?;
    let line = page.evaluate("(() => { const [film, line] = ['film', 'divider'].map((id) => document.getElementById(id).getBoundingClientRect()); return (line.left + line.width / 2 - film.left) / film.width; })()")?;
    ensure!(
        placed == 20
            && line.as_f64().is_some_and(|at| (at - 0.2).abs() < 0.02)
            && page.pixels_of("view")? == shown,
        "dragged to 0.2 the line is at {line}, the slider at {placed}"
    );
    page.drag("film", (0.6, 0.5), (0.8, 0.4))?;
    ensure!(
        page.pixels_of("view")? != shown,
        "beside the line a drag does not change the window"
    );
    page.click("reset")?;
    let cut = "getComputedStyle(document.querySelector('.pane.second')).clipPath";
    let half = page.evaluate(cut)?;
    page.evaluate("document.getElementById('compare-slider').focus()")?;
    page.key("Home")?;
    ensure!(page.evaluate(cut)? != half, "the slider moves nothing");

    page.press("#compare-bar input[value=side]")?;
    let widths = page.evaluate("[...document.querySelectorAll('.pane')].map((pane) => pane.getBoundingClientRect().width / document.getElementById('film').clientWidth)")?;
    for width in widths.as_array().context("no panes")? {
        let width = width.as_f64().unwrap_or_default();
        ensure!((width - 0.5).abs() < 0.02, "a pane has {width} of the film");
    }
    page.press("#compare-bar input[value=difference]")?;
    let words = page.text("compare-words")?;
    ensure!(
        words.contains(&format!("{mean:.1} of 255")),
        "the images differ by {mean:.1}; the page says: {words}"
    );
    // One meaning: orange is brighter with the finding, whichever of the two is on the film.
    let map = page.pixels_of("view")?;
    one_meaning(&map, &with, &without)?;
    let scale = page.evaluate("[document.getElementById('compare-scale').checkVisibility(), document.querySelector('#compare-scale .scale').innerText]")?;
    ensure!(
        scale[0] == true
            && scale[1]
                .as_str()
                .is_some_and(|text| ["\u{2212}51", "+51"].iter().all(|mark| text.contains(mark))),
        "the scale is {scale}"
    );
    page.click("compare")?;
    page.press("#visit-list li:first-child button")?;
    page.click("compare")?;
    ensure!(
        page.pixels()? == without,
        "the other image is not on the film"
    );
    one_meaning(&page.pixels_of("view")?, &with, &without)?;
    page.click("compare")?;
    page.press("#visit-list li:last-child button")?;
    ensure!(
        page.pixels_of("view")? == with,
        "after comparing, the film shows something else"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("they differ by {mean:.1} of 255"))
}

/// Words on the film for each of two images.
const CAPTIONS: &str =
    "['caption-first', 'caption-second'].map((id) => document.getElementById(id).innerText)";

/// Each place of a difference is orange where the image with the finding is brighter, and blue
/// where it is darker.
fn one_meaning(map: &RgbaImage, with: &RgbaImage, without: &RgbaImage) -> Result<()> {
    let places = map.pixels().zip(pairs(with, without));
    let wrong = places.filter(|(colour, (a, b))| {
        let orange = colour[0] > colour[2];
        a.abs_diff(*b) > 2 && orange != (a > b)
    });
    let wrong = wrong.count();
    ensure!(
        wrong == 0,
        "{wrong} places have the colour of the other direction"
    );
    Ok(())
}

/// The first preview is another picture, the last one is the image.
pub fn steps(fixture: &Fixture) -> Result<String> {
    let page = drawn(fixture, 20)?;
    let own = page.pixels()?;
    let frames = page.evaluate("Number(document.getElementById('steps-range').max) + 1")?;
    ensure!(frames.as_u64() > Some(2), "of 20 steps {frames} were kept");
    page.evaluate("document.getElementById('steps-range').focus()")?;
    page.key("Home")?;
    ensure!(
        page.pixels_of("view")? != own && !page.text("steps-label")?.contains("step 20"),
        "the first step is the last: {}",
        page.text("steps-label")?
    );
    page.key("End")?;
    ensure!(
        page.pixels_of("view")? == own && page.text("steps-label")? == "step 20 of 20",
        "the last step is not the image: {}",
        page.text("steps-label")?
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{frames} frames of 20 steps"))
}

/// The page with one image of the usual settings.
fn drawn(fixture: &Fixture, steps: u32) -> Result<Page> {
    let page = fixture.visit("?backend=cpu")?;
    let settings = Settings { steps, ..SETTINGS };
    page.generate(&settings, DRAWING)?;
    page.evaluate(
        "document.querySelectorAll('details').forEach((part) => part.removeAttribute('open'))",
    )?;
    Ok(page)
}

fn zoom(page: &Page) -> Result<f64> {
    page.evaluate(ZOOM)?.as_f64().context("no zoom")
}

/// Grey values of two images, place by place.
fn pairs<'a>(a: &'a RgbaImage, b: &'a RgbaImage) -> impl Iterator<Item = (u8, u8)> + 'a {
    a.pixels().zip(b.pixels()).map(|(a, b)| (a[0], b[0]))
}
