//! The check on attention: each word of the sentence has a map, which lies over the image and
//! changes nothing below it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// Words of the row with their shares in percent.
const WORDS: &str = "[...document.querySelectorAll('#attention-words button')].map((button) => [button.firstChild.textContent, parseFloat(button.querySelector('span').textContent)])";

/// An image is drawn again for its record, and the next ones have theirs; a word is chosen by mouse
/// and by keys.
pub fn attention(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let short = Settings {
        steps: 3,
        ..SETTINGS
    };
    let (own, _) = page.generate(&short, DRAWING)?;
    page.click("attention")?;
    page.wait("done", DRAWING)?;
    ensure!(
        page.pixels()? == own && thumbs(&page)? == 1,
        "the record changed the image, or what was drawn so far: {} images",
        thumbs(&page)?
    );
    let words = page.evaluate(WORDS)?;
    let words = words.as_array().context("no words")?;
    let name = |word: &Value| word[0].as_str().unwrap_or_default().trim().to_owned();
    let names: Vec<String> = words.iter().map(name).collect();
    let expected = [
        "start of the sentence",
        "PA",
        "chest",
        "radiograph",
        "of",
        "a",
        "60-year-old",
        "man",
        "Large",
        "left",
        "pleural",
        "effusion",
        "end of the sentence",
    ];
    ensure!(names == expected, "the words are {names:?}");
    let share: f64 = words.iter().filter_map(|word| word[1].as_f64()).sum();
    ensure!(
        (50.0..=101.0).contains(&share),
        "all words together get {share} % of the attention"
    );

    ensure!(!shown(&page)?, "a map is shown before a word was chosen");
    page.press("#attention-words button:nth-child(12)")?;
    ensure!(shown(&page)?, "no map is shown");
    let says = page.text("attention-says")?;
    ensure!(says.contains("“effusion” gets"), "the page says {says:?}");
    let effusion = page.pixels_of("attention-map")?;
    let strengths = |map: &image::RgbaImage| {
        let alphas = map.pixels().map(|pixel| pixel[3]);
        (alphas.clone().min(), alphas.max())
    };
    ensure!(
        strengths(&effusion) == (Some(0), Some(178)),
        "the map is from {:?} strong",
        strengths(&effusion)
    );
    ensure!(
        page.pixels_of("view")? == own,
        "the map changed the image below it"
    );
    let placed = page.evaluate("(() => { const [a, b] = ['view', 'attention-map'].map((id) => document.getElementById(id).getBoundingClientRect()); return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height; })()")?;
    ensure!(placed == true, "the map does not lie over the image");

    // By keys, and weaker.
    page.evaluate("document.querySelector('#attention-words button:last-child').focus()")?;
    page.key("Enter")?;
    let end = page.pixels_of("attention-map")?;
    ensure!(end != effusion, "two words have one map");
    page.evaluate("document.getElementById('attention-opacity').focus()")?;
    page.key("Home")?;
    let weak = strengths(&page.pixels_of("attention-map")?);
    ensure!(weak.1 < Some(40), "at its weakest the map is {weak:?}");

    // The next image has its own; comparing needs the film for itself.
    page.type_into("seed", "7")?;
    page.click("generate")?;
    page.wait("done", DRAWING)?;
    ensure!(
        shown(&page)? && thumbs(&page)? == 2,
        "the next image has no map"
    );
    page.click("compare")?;
    ensure!(!shown(&page)?, "the map lies over two images");
    page.click("attention")?;
    ensure!(
        shown(&page)? && page.is_hidden("compare-bar")?,
        "the words do not come back"
    );
    page.click("attention")?;
    ensure!(!shown(&page)?, "the map cannot be put away");

    // Of a batch one image is drawn again, and the batch stays.
    page.type_into("batch", "2")?;
    page.click("generate")?;
    page.wait("done", DRAWING)?;
    page.press("#grid button:nth-child(2)")?;
    page.click("attention")?;
    page.wait("done", DRAWING)?;
    ensure!(
        shown(&page)? && !page.is_hidden("to-grid")?,
        "drawing one image of a batch again took the batch away"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "of the attention {} % go to words, {} % to what is before and after them",
        words[1..12]
            .iter()
            .filter_map(|word| word[1].as_f64())
            .sum::<f64>()
            .round(),
        (words[0][1].as_f64().unwrap_or_default() + words[12][1].as_f64().unwrap_or_default())
            .round()
    ))
}

fn shown(page: &Page) -> Result<bool> {
    let shown = !page.is_hidden("attention-map")?;
    Ok(shown)
}

fn thumbs(page: &Page) -> Result<u64> {
    let thumbs = page.evaluate("document.querySelectorAll('#visit-list button').length")?;
    Ok(thumbs.as_u64().unwrap_or_default())
}
