//! The check on the reader: what it sees beside what was asked for, where it looks, and what it
//! refuses to read.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use image::RgbaImage;
use serde_json::{Value, json};

use super::batch::{catch_saved, saved};
use super::fixture::{DRAWING, Fixture, SETTINGS, SHOW};
use super::module::options;
use super::page::Page;
use crate::native::Settings;

/// A sentence and a seed of which the reader does not agree with the first image, and the image
/// that it agrees with.
const HARD: Settings = Settings {
    prompt: Cow::Borrowed("PA chest radiograph of a 60-year-old woman. Marked cardiomegaly."),
    seed: 7,
    ..SETTINGS
};
const TRIES: u64 = 3;
/// A sentence that asks for nothing that a reader tells.
const OTHER: &str = "PA chest radiograph of a 60-year-old man.";

/// Rows of what the reader sees: the finding, and the words on it.
const ROWS: &str =
    "[...document.querySelectorAll('#reading-list li')].map((row) => row.textContent)";
/// The reader has answered.
const READ: &str = "!document.getElementById('reading').hidden && document.querySelectorAll('#reading-list li').length > 0";

fn rows(page: &Page) -> Result<Vec<String>> {
    page.until(READ)?;
    let rows = page.evaluate(ROWS)?;
    Ok(serde_json::from_value(rows)?)
}

/// What was asked for comes first, with how good the reader is at it; a map lies over the film and
/// gives way to another one.
pub fn reading(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.generate(&SETTINGS, DRAWING)?;
    let said = rows(&page)?;
    ensure!(
        said[0].starts_with("Pleural effusion asked for, and") && said[0].contains("AUROC 0."),
        "the page says {said:?}"
    );
    ensure!(
        map(&page)? == false,
        "a map is shown before a finding was pressed"
    );
    let before = page.pixels()?;
    page.press("#reading-list button")?;
    ensure!(map(&page)? == true, "no map is shown");
    let says = page.text("reading-says")?;
    ensure!(
        says.contains("Pleural effusion: the reader looks"),
        "it says {says:?}"
    );
    ensure!(page.pixels()? == before, "the map changed the image");

    // A word's map takes the place of the finding's, and the other way round.
    page.click("attention")?;
    page.wait("done", DRAWING)?;
    page.press("#attention-words button:nth-child(2)")?;
    let pressed = "document.querySelectorAll('#reading-list [aria-pressed=true]').length";
    ensure!(page.evaluate(pressed)? == 0, "two maps are shown at once");
    page.press("#reading-list button")?;
    let words = "document.querySelectorAll('#attention-words [aria-pressed=true]').length";
    ensure!(page.evaluate(words)? == 0, "two maps are shown at once");
    page.click("attention")?;
    page.speak("de")?;
    let german = rows(&page)?;
    ensure!(
        german[0].starts_with("Pleuraerguss verlangt und"),
        "in German: {german:?}"
    );
    page.speak("en")?;

    let normal = Settings {
        prompt: Cow::Borrowed("PA chest radiograph of a 40-year-old woman. Normal chest."),
        ..SETTINGS
    };
    page.generate(&normal, DRAWING)?;
    ensure!(
        map(&page)? == false,
        "the map of another image is left on the film"
    );
    let plain = rows(&page)?;
    ensure!(
        plain.iter().all(|row| {
            row.starts_with("A normal chest was asked for")
                || row.contains("not asked for, and seen")
        }),
        "of a normal chest the page says {plain:?}"
    );
    page.close()?;
    Ok(said[0].clone())
}

/// Where the visitor wants it, other seeds are drawn until the reader agrees, and the file says so;
/// a sentence of which it can tell nothing is drawn once.
pub fn verify(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.evaluate("document.getElementById('verify').checked = true")?;
    let (image, _) = page.generate(&HARD, DRAWING)?;
    let thumbs = "document.querySelectorAll('#visit-list .thumb').length";
    let drawn = page.evaluate(thumbs)?.as_u64().unwrap_or_default();
    let remark = page.text("remark")?;
    ensure!(
        drawn == TRIES && remark.contains(&format!("agrees with image {TRIES}")),
        "{drawn} images were drawn, and the page says {remark:?}"
    );
    let seed = HARD.seed + TRIES - 1;
    let last = Settings { seed, ..HARD };
    fixture.as_native(&image, &last, "the image that the reader agrees with")?;
    catch_saved(&page)?;
    let file = saved(&page)?;
    let words = format!("from {TRIES} images, by the model's reader");
    ensure!(
        file.windows(words.len())
            .any(|part| part == words.as_bytes()),
        "the file does not say that its image was selected"
    );
    let other = Settings {
        prompt: Cow::Borrowed(OTHER),
        ..HARD
    };
    page.generate(&other, DRAWING)?;
    ensure!(
        page.evaluate(thumbs)? == drawn + 1,
        "it was drawn again for nothing"
    );
    ensure!(
        page.text("remark")?.contains("so one was drawn"),
        "the page says {:?}",
        page.text("remark")?
    );
    by_module(&page, &image)?;
    page.close()?;
    Ok(format!("the reader agrees with image {drawn}"))
}

/// The module keeps the same image, and says of the sentence that its reader cannot judge that it
/// was drawn once.
fn by_module(page: &Page, own: &RgbaImage) -> Result<()> {
    page.evaluate(SHOW)?;
    let (hard, other) = (options(&HARD), OTHER);
    let told = page.evaluate(&format!(
        "(async () => {{ const {{Roentgen}} = await import('./roentgen-web.js'); const roentgen = await Roentgen.load({{backend: 'cpu'}}); \
         const image = await roentgen.generate({{...{hard}, verify: 5}}); show(image.imageData); \
         const says = (await (await image.toBlob()).text()).includes('from {TRIES} images, by the model'); \
         const other = await roentgen.generate({{prompt: '{other}', steps: 2, verify: 5}}); roentgen.dispose(); \
         return [image.verify, image.seed, image.settings.seed, says, other.verify]; }})()"
    ))?;
    let seed = HARD.seed + TRIES - 1;
    let expected =
        json!([{"tries": TRIES, "agreed": true}, seed, seed, true, {"tries": 1, "agreed": null}]);
    ensure!(told == expected, "the module says {told}");
    ensure!(
        page.pixels_of("shown")? == *own,
        "the module keeps another image than the page"
    );
    Ok(())
}

/// An upright chest is taken at once, and the same film on its side is not; what was made here is
/// never asked about.
pub fn begin(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.generate(&SETTINGS, DRAWING)?;
    let drop = |turned: bool| {
        page.evaluate(&format!(
            "(async () => {{ const film = document.getElementById('result'); const canvas = new OffscreenCanvas(film.width, film.height); \
             const pen = canvas.getContext('2d'); if ({turned}) pen.transform(0, 1, -1, 0, film.width, 0); pen.drawImage(film, 0, 0); \
             const data = new DataTransfer(); data.items.add(new File([await canvas.convertToBlob()], 'film.png')); \
             document.dispatchEvent(new DragEvent('drop', {{dataTransfer: data, bubbles: true, cancelable: true}})); }})()"
        ))
    };
    let seen = |id: &str| {
        page.evaluate(&format!(
            "document.getElementById('{id}').checkVisibility()"
        ))
    };
    drop(false)?;
    page.until("document.getElementById('source-editor').checkVisibility()")?;
    ensure!(seen("source-refused")? == false, "a chest is refused");
    let upright = page.pixels_of("source-canvas")?;
    drop(true)?;
    page.until("document.getElementById('source-refused').checkVisibility()")?;
    ensure!(
        page.pixels_of("source-canvas")? == upright
            && page.text("remark")?.contains("was not taken"),
        "a chest on its side took the other one's place; the page says {:?}",
        page.text("remark")?
    );
    page.click("source-anyway")?;
    page.until("!document.getElementById('source-refused').checkVisibility()")?;
    ensure!(
        page.pixels_of("source-canvas")? != upright && page.text("remark")?.is_empty(),
        "what is to be used anyway is not"
    );
    drop(true)?;
    page.until("document.getElementById('source-refused').checkVisibility()")?;
    page.click("source-shown")?;
    page.until("!document.getElementById('source-refused').checkVisibility()")?;
    ensure!(
        page.pixels_of("source-canvas")? == upright,
        "the image shown is not taken"
    );
    page.close()?;
    Ok("upright taken, on its side refused, and taken when asked for".to_owned())
}

fn map(page: &Page) -> Result<Value> {
    page.evaluate("!document.getElementById('attention-map').hidden")
}
