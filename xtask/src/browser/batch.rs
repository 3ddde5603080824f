//! The checks on several images and on files: a batch, the seed between two presses, the queue, the
//! history, saving.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::json;

use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// Seeds of the cells of the grid that can be pressed.
const CELLS: &str =
    "[...document.querySelectorAll('#grid button:not(:disabled)')].map((cell) => cell.textContent)";

/// Consecutive seeds, each image the native one; a press in the history brings back image and
/// settings; cancel drops the rest.
pub fn batch(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    page.type_into("batch", "4")?;
    page.generate(&short, DRAWING)?;
    let cells = page.evaluate(CELLS)?;
    ensure!(
        cells == json!(["1895", "1896", "1897", "1898"]),
        "the grid has {cells}"
    );
    page.press("#grid button:nth-child(2)")?;
    let second = Settings {
        seed: 1896,
        ..short.clone()
    };
    fixture.as_native(&page.pixels()?, &second, "the second cell")?;
    ensure!(value(&page, "seed")? == "1896", "the seed is not restored");

    // A seed that is kept stays; one that is not is rolled anew.
    page.type_into("batch", "1")?;
    press_and_wait(&page)?;
    ensure!(value(&page, "seed")? == "1896", "a kept seed was changed");
    page.click("lock")?;
    press_and_wait(&page)?;
    ensure!(value(&page, "seed")? != "1896", "the seed was not rolled");
    page.type_into("seed", "7")?; // whoever types a seed keeps it
    page.click("dice")?;
    let free = page.evaluate("document.getElementById('lock').ariaPressed")?;
    ensure!(
        value(&page, "seed")? != "7" && free == "false",
        "the dice leave the seed {}, kept: {free}",
        value(&page, "seed")?
    );
    for (images, fine) in [("0", false), ("1", true), ("9", true), ("10", false)] {
        page.type_into("batch", images)?;
        let valid = page.evaluate("document.getElementById('batch').validity.valid")?;
        ensure!(valid == fine, "{images} images are taken: {valid}");
    }

    // A second press while the first works waits its turn, with the settings of its moment; both
    // are drawn.
    page.type_into("batch", "1")?;
    page.type_into("steps", "10")?;
    page.evaluate(
        "(() => { const [seed, button] = ['seed', 'generate'].map((id) => document.getElementById(id)); \
         for (const value of [20, 21]) { seed.value = value; seed.dispatchEvent(new Event('input')); button.click(); } })()",
    )?;
    page.wait("done", DRAWING)?;
    let newest = page.evaluate("[...document.querySelectorAll('#visit-list button')].slice(0, 2).map((thumb) => thumb.textContent)")?;
    ensure!(
        newest == json!(["21", "20"]) && page.text("status")?.starts_with("2 images done"),
        "of two presses came {newest}; the page says: {}",
        page.text("status")?
    );

    // What waits is told from a batch, and one press can be cancelled without the others.
    let before = page.pixels()?;
    let long = Settings {
        steps: 100,
        ..SETTINGS
    };
    page.fill(&long)?;
    page.evaluate(
        "(() => { const [seed, button] = ['seed', 'generate'].map((id) => document.getElementById(id)); \
         for (const value of [30, 31, 32]) { seed.value = value; seed.dispatchEvent(new Event('input')); button.click(); } })()",
    )?;
    says(&page, "2 waiting")?;
    ensure!(
        !page.text("status")?.contains("of 3") && page.text("cancel")? == "Cancel all",
        "of three presses the page says: {}",
        page.text("status")?
    );
    page.click("skip")?;
    says(&page, "1 waiting")?;
    page.click("skip")?;
    page.until("document.getElementById('skip').hidden")?;
    ensure!(
        page.state()? == "busy" && page.text("cancel")? == "Cancel",
        "the last of three presses is not drawn: {}",
        page.text("status")?
    );
    page.click("cancel")?;
    page.wait("done", Duration::from_secs(30))?;

    // Cancel ends all of it.
    page.type_into("batch", "9")?;
    page.fill(&long)?;
    page.click("generate")?;
    page.click("generate")?;
    says(&page, "of 9. 9 waiting")?;
    page.click("cancel")?;
    let took = page.wait("done", Duration::from_secs(30))?;
    std::thread::sleep(Duration::from_millis(500)); // whatever still waited would begin now
    ensure!(
        page.state()? == "done" && page.pixels()? == before,
        "cancel did not end the queue"
    );

    let thumbs = page.evaluate("document.querySelectorAll('#visit-list button').length")?;
    ensure!(thumbs == 8, "the history has {thumbs} images, 8 were drawn");
    page.press("#visit-list li:last-child button")?; // the oldest
    fixture.as_native(&page.pixels()?, &short, "the oldest image, brought back,")?;
    ensure!(
        value(&page, "seed")? == "1895" && value(&page, "steps")? == "2",
        "the settings did not come back"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "cancelled 18 images in {:.2} s",
        took.as_secs_f64()
    ))
}

/// Waits for words of the status while the page works.
fn says(page: &Page, words: &str) -> Result<()> {
    let deadline = Instant::now() + DRAWING;
    while !page.text("status")?.contains(words) {
        ensure!(
            Instant::now() < deadline && page.state()? == "busy",
            "nothing of {words:?}; the page says: {}",
            page.text("status")?
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn press_and_wait(page: &Page) -> Result<()> {
    page.click("generate")?;
    page.wait("done", DRAWING)?;
    Ok(())
}

fn value(page: &Page, id: &str) -> Result<String> {
    let value = page.evaluate(&format!("document.getElementById('{id}').value"))?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

/// From now on, files that the page saves are taken by [`saved`] and written nowhere.
pub fn catch_saved(page: &Page) -> Result<()> {
    page.evaluate(
        "(() => { const make = URL.createObjectURL; URL.createObjectURL = (blob) => make.call(URL, globalThis.saved = blob); \
         HTMLAnchorElement.prototype.click = () => {}; })()",
    )?;
    Ok(())
}

/// Presses "Save as PNG" and gives the file's bytes.
pub fn saved(page: &Page) -> Result<Vec<u8>> {
    saved_by(page, "save")
}

/// Presses a button that saves and gives the file's bytes.
pub fn saved_by(page: &Page, id: &str) -> Result<Vec<u8>> {
    page.evaluate("globalThis.saved = undefined")?;
    page.click(id)?;
    let bytes = page.evaluate(
        "(async () => { for (let i = 0; i < 200 && !globalThis.saved; i++) await new Promise((next) => setTimeout(next, 50)); \
         const bytes = new Uint8Array(await globalThis.saved.arrayBuffer()); let text = ''; \
         for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096)); return btoa(text); })()",
    )?;
    Ok(BASE64_STANDARD.decode(bytes.as_str().unwrap_or_default())?)
}

/// A saved file has the model's own pixels where no mark is wanted, and says in both cases what it
/// is and what gave it.
pub fn save(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let short = Settings {
        steps: 2,
        ..SETTINGS
    };
    let (own, _) = page.generate(&short, DRAWING)?;
    page.click("invert")?; // what is done to look at an image must not reach the file
    catch_saved(&page)?;
    let mut sizes = Vec::new();
    for marked in [true, false] {
        let bytes = saved(&page)?;
        let image = image::load_from_memory(&bytes)?.into_rgba8();
        ensure!(
            (image == own) != marked,
            "marked: {marked}; the file has the model's pixels: {}",
            image == own
        );
        let text = String::from_utf8_lossy(&bytes);
        for word in [&*SETTINGS.prompt, "ynthetic", "1895"] {
            ensure!(text.contains(word), "the file does not say {word:?}");
        }
        sizes.push(bytes.len());
        page.click("marked")?;
    }
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{sizes:?} bytes with and without the mark"))
}
