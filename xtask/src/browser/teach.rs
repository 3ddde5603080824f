//! The checks on teaching: the same patient otherwise, the quiz, the figure of two axes, and the
//! film before the first press.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::batch::{catch_saved, saved_by};
use super::fixture::{DRAWING, Fixture, LOADING, SETTINGS};
use super::offline;
use super::page::Page;
use crate::native::Settings;
use crate::workspace::root;

/// Waits until an element says a word.
pub fn told(page: &Page, id: &str, word: &str) -> Result<()> {
    let begun = Instant::now();
    while !page.text(id)?.contains(word) {
        ensure!(
            begun.elapsed() < DRAWING,
            "#{id} says {:?}, and not {word:?}; the page: {:?}",
            page.text(id)?,
            page.problems()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The canvas that a selector finds has from now on the id that [`Page::pixels_of`] can be given.
fn pick(page: &Page, selector: &str) -> Result<()> {
    let found = page.evaluate(&format!(
        "(() => {{ document.getElementById('picked-canvas')?.removeAttribute('id'); const canvas = document.querySelector('{selector}'); \
         if (canvas) canvas.id = 'picked-canvas'; return canvas !== null; }})()"
    ))?;
    ensure!(found == true, "there is no {selector}");
    Ok(())
}

/// The names of the films of the strip.
const STRIP: &str = "[...document.querySelectorAll('#strip-films figure')].map((figure) => figure.querySelector('strong').textContent)";

/// From an image, one press gives the films that its sentence allows, while other images wait; each
/// is the native one; the strip can be cancelled and saved, and a film of it is compared on the
/// lightbox.
pub fn strip(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let disabled = "document.getElementById('variants').disabled";
    ensure!(page.evaluate(disabled)? == true, "before an image");
    let mut settings = Settings {
        prompt: "PA chest radiograph of a 60-year-old man. Moderate left pleural effusion.".into(),
        steps: 2,
        ..SETTINGS
    };
    let (chosen, _) = page.generate(&settings, DRAWING)?;
    page.type_into("batch", "3")?;
    page.click("variants")?;
    page.click("generate")?; // the queue takes turns with the strip
    told(&page, "strip-status", "Drawn")?;
    page.wait("done", DRAWING)?;
    let found = page.evaluate(STRIP)?;
    let names = [
        "As chosen",
        "Without the finding",
        "On the other side",
        "Smaller",
        "Larger",
    ];
    ensure!(found == json!(names), "the strip shows {found}");
    let mut worst = 0.0_f64;
    for (at, words) in [
        "Moderate left pleural effusion.",
        "Normal chest.",
        "Moderate right pleural effusion.",
        "Small left pleural effusion.",
        "Large left pleural effusion.",
    ]
    .iter()
    .enumerate()
    {
        pick(
            &page,
            &format!(
                "#strip-films figure:nth-child({}) .film-button canvas",
                at + 1
            ),
        )?;
        settings.prompt = format!("PA chest radiograph of a 60-year-old man. {words}").into();
        let image = page.pixels_of("picked-canvas")?;
        worst = worst.max(fixture.as_native(&image, &settings, words)?);
        if at == 1 {
            colours(&page, &chosen, &image)?;
        }
    }
    ensure!(
        page.text("strip")?.contains("page’s reader")
            && page.text("strip")?.contains("not for diagnosis"),
        "the strip says {:?}",
        page.text("strip")?
    );

    catch_saved(&page)?;
    let bytes = saved_by(&page, "strip-save")?;
    let sheet = image::load_from_memory(&bytes)?;
    ensure!(
        sheet.width() > 5 * 320
            && sheet.height() > 2 * 320
            && String::from_utf8_lossy(&bytes).contains("Moderate left"),
        "the sheet is {}x{}",
        sheet.width(),
        sheet.height()
    );

    page.press("#strip-films figure:nth-child(2) button")?;
    page.until("document.getElementById('film').dataset.mode === 'slider' && document.activeElement.id === 'film'",
    )?;
    let captions = page.evaluate("['first', 'second'].map((id) => document.getElementById(`caption-${id}`).textContent.slice(0, 7))")?;
    ensure!(captions == json!(["with: M", "without"]), "{captions}");
    page.click("compare")?;

    page.evaluate("document.getElementById('steps').value = 300")?;
    page.type_into("batch", "1")?;
    page.evaluate("document.getElementById('generate').click()")?;
    page.until("/step \\d/.test(document.getElementById('count').textContent)")?;
    page.click("strip-draw")?;
    page.click("strip-draw")?; // it says "Cancel" now, and its film waits
    told(&page, "strip-status", "ancelled")?;
    page.click("cancel")?;
    page.wait("done", DRAWING)?;
    let normal = Settings {
        prompt: "PA chest radiograph. Normal chest.".into(),
        steps: 1,
        ..SETTINGS
    };
    page.generate(&normal, DRAWING)?;
    ensure!(page.evaluate(disabled)? == true, "of a normal chest");
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("5 films, the worst {worst:.4} of 255 from native"))
}

/// The difference map beside a film is orange where the chosen film is brighter, and blue where it
/// is darker.
fn colours(page: &Page, chosen: &image::RgbaImage, other: &image::RgbaImage) -> Result<()> {
    pick(page, "#strip-films figure:nth-child(2) > canvas")?;
    let map = page.pixels_of("picked-canvas")?;
    let wrong = map
        .pixels()
        .zip(chosen.pixels().zip(other.pixels()))
        .filter(|(colour, (a, b))| {
            let change = i16::from(a[0]) - i16::from(b[0]);
            change.abs() > 8 && (change > 0) != (colour[0] > colour[2])
        })
        .count();
    ensure!(
        wrong == 0,
        "{wrong} places of the map have the wrong colour"
    );
    Ok(())
}

/// Ten films that nobody chose: their order says nothing, nor does what is heard of a film before
/// the answer; the score is what was answered, and nothing is asked of any server meanwhile.
pub fn quiz(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let drawn = page.evaluate(
        "(async () => { const {draw} = await import('./teach/quiz.js'); const all = Array.from({length: 2000}, draw); const normal = all.map(({answer}) => answer === 0); \
         return {normal: normal.filter(Boolean).length, repeats: normal.filter((one, i) => one === normal[i - 1]).length, seeds: new Set(all.map(({seed}) => seed)).size, \
         pairs: all.every(({prompt, pair, answer}) => (/Normal chest/.test(prompt)) === (answer === 0) && /Normal chest/.test(pair) !== /Normal chest/.test(prompt))}; })()",
    )?;
    // Half of 2,000 tosses, within five standard deviations.
    let half = |name: &str| {
        drawn[name]
            .as_f64()
            .is_some_and(|n| (n - 1000.0).abs() < 112.0)
    };
    ensure!(
        half("normal") && half("repeats") && drawn["seeds"].as_u64() > Some(1980),
        "{drawn}"
    );
    ensure!(drawn["pairs"] == true, "a pair has two findings, or none");

    offline::kept(&page)?;
    fixture.serving.take_paths();
    page.click("quiz")?;
    let (mut right, mut marked, mut places) = (0, 0, 0);
    for film in 1..=10 {
        let ready = "document.getElementById('run-choices')?.disabled === false && document.querySelectorAll('#run-choices input').length === 4";
        wait(&page, ready)?;
        told(&page, "run-progress", &format!("Film {film} of 10"))?;
        let heard = page.evaluate("document.getElementById('run').outerHTML")?;
        ensure!(
            !heard
                .as_str()
                .unwrap_or_default()
                .contains("chest radiograph"),
            "the page tells the sentence before the answer"
        );
        page.press("#run-choices label:nth-of-type(2)")?; // an effusion
        page.evaluate("document.getElementById('run-film').focus()")?;
        for key in ["ArrowLeft", "ArrowDown"] {
            page.key(key)?;
        }
        page.click("run-next")?;
        told(&page, "run-status", "The model was asked for")?;
        let said = page.text("run-status")?;
        ensure!(said.contains("page’s reader"), "{said}");
        right += u32::from(said.starts_with("Right"));
        places += u32::from(!said.contains("Normal chest."));
        marked += u32::from(said.contains("Your mark is where"));
        let answer = page.evaluate("[document.querySelectorAll('#run-answer canvas').length, document.querySelectorAll('#run-answer .scale').length]")?;
        ensure!(answer == json!([4, 1]), "the answer shows {answer}");
        page.click("run-next")?;
    }
    let score = page.text("run-status")?;
    for words in [
        format!("You named {right} of 10 films"),
        format!("You marked {marked} of {places} places"),
    ] {
        ensure!(score.contains(&words), "{score:?}, and not {words:?}");
    }
    let asked = fixture.serving.take_paths();
    ensure!(asked.is_empty(), "the quiz asked for {asked:?}");
    page.click("run-leave")?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(score)
}

/// Waits for a film, which takes longer than [`until`] waits.
pub fn wait(page: &Page, expression: &str) -> Result<()> {
    let begun = Instant::now();
    while page.evaluate(expression)? != true {
        ensure!(
            begun.elapsed() < DRAWING,
            "not so: {expression}; the page says {:?} {:?}",
            page.text("run-status")?,
            page.problems()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Two axes give a table with heads, each film the native one; what cannot be is said; the figure
/// is saved as a sheet.
pub fn figure(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let base = Settings {
        steps: 2,
        scheduler: "",
        negative_prompt: "".into(),
        ..SETTINGS
    };
    page.fill(&base)?;
    page.type_into("figure-down-values", "1, x")?;
    page.click("figure-draw")?;
    told(
        &page,
        "figure-status",
        "Guidance: give 1 to 6 numbers up to 50",
    )?;
    page.type_into("figure-down-values", "1, 7.5")?;
    page.evaluate("for (const input of document.querySelectorAll('#figure-across-words input')) input.checked = ['normal', 'cardiomegaly'].includes(input.value)")?;
    page.evaluate("document.getElementById('steps').value = 300")?;
    page.click("figure-draw")?;
    page.click("figure-draw")?; // it says "Cancel" now
    told(&page, "figure-status", "ancelled")?;
    page.evaluate("document.getElementById('steps').value = 2")?;
    page.click("figure-draw")?;
    told(&page, "figure-status", "Drawn: 4 films")?;
    let heads =
        page.evaluate("[...document.querySelectorAll('#figure th')].map((th) => th.textContent)")?;
    ensure!(
        heads == json!(["Normal", "Cardiomegaly", "Guidance 1", "Guidance 7.5"]),
        "{heads}"
    );
    let mut worst = 0.0_f64;
    for (row, guidance) in [1.0, 7.5].into_iter().enumerate() {
        for (column, words) in ["Normal chest.", "Marked cardiomegaly."]
            .into_iter()
            .enumerate()
        {
            pick(
                &page,
                &format!(
                    "#figure tbody tr:nth-child({}) td:nth-of-type({}) canvas",
                    row + 1,
                    column + 1
                ),
            )?;
            let cell = Settings {
                prompt: format!("PA chest radiograph of a 60-year-old man. {words}").into(),
                guidance,
                ..base.clone()
            };
            let image = page.pixels_of("picked-canvas")?;
            worst = worst.max(fixture.as_native(&image, &cell, words)?);
        }
    }
    catch_saved(&page)?;
    let bytes = saved_by(&page, "figure-save")?;
    let sheet = image::load_from_memory(&bytes)?;
    ensure!(
        sheet.width() > 2 * 320 && sheet.height() > 2 * 320,
        "the sheet is {}x{}",
        sheet.width(),
        sheet.height()
    );
    page.press("#figure td button")?;
    page.until("document.getElementById('large').open")?;
    page.click("large-close")?;
    page.evaluate("(() => { const list = document.getElementById('figure-across'); list.value = 'guidance'; list.dispatchEvent(new Event('change')); })()")?;
    page.click("figure-draw")?;
    told(&page, "figure-status", "have to differ")?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("4 films, the worst {worst:.4} of 255 from native"))
}

/// Before the first press the film shows what the shipped model drew, named as such; who wants less
/// motion sees the end of it.
pub fn landing(fixture: &Fixture) -> Result<String> {
    let bytes = fs::metadata(root().join("web/landing.webp"))
        .context("`cargo xtask landing` writes web/landing.webp")?
        .len();
    ensure!(bytes < 150_000, "the picture has {bytes} bytes");
    let page = Page::open(&fixture.browser, "about:blank")?;
    page.prefer("prefers-reduced-motion", "reduce")?;
    page.go(&format!("{}?backend=cpu", fixture.serving.address()))?;
    page.wait("ready", LOADING)?;
    page.until("document.getElementById('empty').classList.contains('landed')")?;
    std::thread::sleep(Duration::from_millis(200));
    let words = page.text("landing-words")?;
    let own = page.evaluate("import('./page/landing.js').then(({LANDING}) => LANDING)")?;
    ensure!(
        words.contains("An example") && words.contains(own["model"].as_str().context("no name")?),
        "it says {words:?}"
    );
    let settings = Settings {
        prompt: own["prompt"]
            .as_str()
            .context("no prompt")?
            .to_owned()
            .into(),
        negative_prompt: "".into(),
        seed: own["seed"].as_u64().context("no seed")?,
        steps: 20,
        guidance: page
            .evaluate("document.getElementById('guidance').valueAsNumber")?
            .as_f64()
            .context("no guidance")?,
        scheduler: "",
        size: None,
    };
    // WebP at 80 % has lost some, and nothing else differs.
    let image = page.pixels_of("landing")?;
    let difference = fixture.near_native(
        &image,
        fixture.site.bundle(),
        &settings,
        "the landing image: run `cargo xtask landing`; it",
        6.0,
    )?;
    page.prefer("prefers-reduced-motion", "no-preference")?;
    page.evaluate("location.reload()")?;
    std::thread::sleep(Duration::from_millis(500));
    page.wait("ready", LOADING)?;
    std::thread::sleep(Duration::from_millis(4500));
    ensure!(
        page.pixels_of("landing")? == image,
        "what formed is another image"
    );
    page.generate(
        &Settings {
            steps: 1,
            ..SETTINGS
        },
        DRAWING,
    )?;
    page.until("document.getElementById('empty').hidden")?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{bytes} bytes, {difference:.2} of 255 from native"))
}
