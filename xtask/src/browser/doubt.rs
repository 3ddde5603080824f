//! The check that the page says what the model makes nothing of: while it is written, and beside
//! the image.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::fixture::{DRAWING, Fixture, SETTINGS};
use super::page::Page;
use crate::native::Settings;

/// The words that are struck out beside the sentence.
const STRUCK: &str = "document.querySelector('#doubt s')?.textContent ?? ''";

/// A sentence, and the words of it that the model has not learned.
const UNKNOWN: [(&str, &[&str]); 5] = [
    ("Radiograph of a hand.", &["hand"]),
    (
        "Abdominal CT of Angela Merkel",
        &["Abdominal", "CT", "Angela", "Merkel"],
    ),
    ("Lateral chest radiograph of an ear", &["Lateral", "ear"]),
    (
        "R\u{f6}ntgenbild der Lunge",
        &["R\u{f6}ntgenbild", "der", "Lunge"],
    ),
    ("\u{80f8}\u{90e8}", &["\u{80f8}\u{90e8}"]),
];

/// Sentences of the training, in which nothing is unknown.
const KNOWN: [&str; 3] = [
    "PA chest X-ray of an 81-year-old woman. Bilateral pleural effusions, hyperinflated lungs.",
    "Small child. No focal consolidation. Opacities at both bases.",
    "The cardiac shadow is enlarged; rib fracture.",
];

/// Unknown words, no words, and more than is read are said at once; and of the image on the film.
pub fn doubt(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    for (sentence, unknown) in UNKNOWN {
        let said = doubted(&page, sentence)?;
        let words = said
            .split('\u{201c}')
            .skip(1)
            .map(|part| part.split('\u{201d}').next().unwrap_or_default())
            .collect::<Vec<_>>();
        ensure!(
            words == unknown && said.contains("frontal chest") && said.contains("English"),
            "of {sentence:?} the page says {said:?}"
        );
    }
    for sentence in KNOWN {
        let said = doubted(&page, sentence)?;
        ensure!(said.is_empty(), "of {sentence:?} the page says {said:?}");
    }
    for nothing in ["", "\u{1fac1} !"] {
        let said = doubted(&page, nothing)?;
        ensure!(
            said.contains("No words"),
            "of {nothing:?} the page says {said:?}"
        );
    }

    // More than is read, and more than is taken: nothing is cut from the field, and what is left
    // out is shown.
    let long = format!("{}nodule.", "effusion ".repeat(80));
    doubted(&page, &long)?;
    let struck = page.evaluate(STRUCK)?;
    ensure!(
        struck == format!("{}nodule.", "effusion ".repeat(5)),
        "struck out are {struck}"
    );
    let longer = format!("{}nodule", "effusion ".repeat(112));
    let said = doubted(&page, &longer)?;
    let struck = page.evaluate(STRUCK)?;
    ensure!(
        said.contains("1014 characters") && struck == json!(longer[1000..]),
        "of 1014 characters the page says {said:?}"
    );
    page.click("generate")?;
    page.until("document.documentElement.dataset.state === 'error'")?;
    ensure!(page.text("status")?.contains("1000 characters"));
    page.until("document.getElementById('prompt').value.length === 1014")?;

    let hand = Settings {
        prompt: "Chest radiograph of a hand.".into(),
        steps: 1,
        ..SETTINGS
    };
    page.generate(&hand, DRAWING)?;
    page.type_into("prompt", &SETTINGS.prompt)?;
    page.until("document.getElementById('doubt').hidden")?;
    let beside = "document.getElementById('film-doubt').checkVisibility() && document.getElementById('film-doubt').textContent.includes('\u{201c}hand\u{201d}')";
    page.until(beside).context("beside the image")?;
    page.speak("de")?;
    let german = page.text("film-doubt")?;
    ensure!(
        german.contains("nicht gelernt"),
        "in German the page says {german}"
    );
    page.speak("en")?;
    page.generate(
        &Settings {
            steps: 1,
            ..SETTINGS
        },
        DRAWING,
    )?;
    page.until("document.getElementById('film-doubt').hidden")?;
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{} sentences", UNKNOWN.len() + KNOWN.len()))
}

/// What is said beside a sentence when it is written.
fn doubted(page: &Page, sentence: &str) -> Result<String> {
    page.type_into("prompt", sentence)?;
    std::thread::sleep(std::time::Duration::from_millis(900)); // after a pause in the writing
    let said = page.evaluate(
        "(() => { const line = document.getElementById('doubt'); return line.checkVisibility() ? line.textContent : ''; })()",
    )?;
    Ok(said.as_str().unwrap_or_default().to_owned())
}
