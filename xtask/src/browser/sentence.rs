//! The checks on words: a link that carries the settings, chips that write the sentence, and the
//! page's languages.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::fixture::{Fixture, SETTINGS};
use super::page::Page;
use super::settings::size;
use crate::native::Settings;

/// The form as it stands.
const FORM: &str = "Object.fromEntries(['prompt', 'negative', 'seed', 'steps', 'guidance', 'scheduler', 'size'].map((id) => [id, document.getElementById(id).value]))";

/// A link brings back every setting, and one that cannot be read changes nothing and says so.
pub fn link(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let untouched = page.evaluate(FORM)?;
    // Every setting another than the model's own, so that each has to be carried.
    let settings = Settings {
        scheduler: "euler",
        ..SETTINGS
    };
    page.fill(&settings)?;
    size(&page, 1)?;
    let filled = page.evaluate(FORM)?;
    for name in [
        "prompt",
        "negative",
        "seed",
        "steps",
        "guidance",
        "scheduler",
        "size",
    ] {
        ensure!(
            filled[name] != untouched[name],
            "{name} is the model's own in both, so that the link need not carry it: {filled}"
        );
    }
    page.evaluate("navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }")?;
    page.click("copy")?;
    let copied = page.evaluate("globalThis.copied ?? ''")?;
    let copied = copied.as_str().unwrap_or_default().to_owned();
    let (address, fragment) = copied
        .split_once('#')
        .with_context(|| format!("the link has no fragment: {copied:?}"))?;
    ensure!(
        address == format!("{}?backend=cpu", fixture.serving.address()).replace(' ', "%20"),
        "the link leads to {address}"
    );
    ensure!(
        fragment.len() < 400,
        "the link carries {} bytes",
        fragment.len()
    );
    page.close()?;

    let page = fixture.visit(&format!("?backend=cpu#{fragment}"))?;
    let restored = page.evaluate(FORM)?;
    ensure!(restored == filled, "the link gave {restored}, not {filled}");
    page.close()?;

    for (bad, named) in [
        ("seed=abc&prompt=x", "seed"),
        ("prompt=x&image=y", "image"),
        ("constructor=1", "constructor"),
        ("__proto__=1&seed=1", "__proto__"),
        ("seed=1&hasOwnProperty=1", "hasOwnProperty"),
    ] {
        let page = fixture.visit(&format!("?backend=cpu#{bad}"))?;
        let said = page.text("remark")?;
        ensure!(
            said.contains("ignored") && said.contains(named),
            "on #{bad} the page says {said:?}"
        );
        let mut form = page.evaluate(FORM)?;
        form["seed"] = untouched["seed"].clone(); // rolled at each visit
        ensure!(form == untouched, "#{bad} changed the form to {form}");
        page.close()?;
    }
    Ok(format!("{} bytes carry seven settings", fragment.len()))
}

/// Chips write the sentence; the visitor's own words stay, undo takes a chip back, and plain
/// phrases are understood.
pub fn chips(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.evaluate("document.getElementById('guide-part').open = true")?;
    page.type_into(
        "prompt",
        "PA chest radiograph of a 45-year-old man. Tall lungs.",
    )?;
    let chosen = page.evaluate(CHOSEN)?;
    let own = json!({"view": "PA", "sex": "male", "age": "60"});
    ensure!(chosen == own, "the chips read {chosen}");
    choose(&page, "view", "AP")?;
    said(
        &page,
        "AP chest radiograph of a 45-year-old man. Tall lungs.",
    )?;
    for (group, value) in [
        ("sex", "female"),
        ("age", "80"),
        ("finding", "effusion"),
        ("side", "left"),
        ("size", "large"),
    ] {
        choose(&page, group, value)?;
    }
    said(
        &page,
        "AP chest radiograph of an 80-year-old woman. Tall lungs. Large left pleural effusion.",
    )?;
    choose(&page, "finding", "cardiomegaly")?;
    let marked = "AP chest radiograph of an 80-year-old woman. Tall lungs. Marked cardiomegaly.";
    said(&page, marked)?;
    let disabled = page.evaluate(
        "[...document.querySelectorAll('#guide-side input')].every((input) => input.disabled)",
    )?;
    ensure!(disabled == true, "a heart has no side");
    // Undo, on the chip and in the sentence.
    choose(&page, "view", "PA")?;
    page.evaluate("document.querySelector('#guide-view input:checked').focus()")?;
    page.undo()?;
    said(&page, marked)?;
    page.undo()?;
    said(
        &page,
        "AP chest radiograph of an 80-year-old woman. Tall lungs. Large left pleural effusion.",
    )?;
    for (typed, group, value, expected) in PLAIN {
        page.type_into("prompt", typed)?;
        let before = page.evaluate(CHOSEN)?;
        choose(&page, group, value)?;
        said(&page, expected)
            .with_context(|| format!("{typed:?}, of which the chips read {before}"))?;
    }
    page.type_into("prompt", "Chest x-ray of a woman with pneumonia")?;
    let chosen = page.evaluate(CHOSEN)?;
    ensure!(
        chosen["finding"] == "pneumonia" && chosen["sex"] == "female",
        "the chips read {chosen}"
    );
    page.type_into("prompt", "No pneumothorax.")?;
    let chosen = page.evaluate(CHOSEN)?;
    ensure!(
        chosen["finding"].is_null(),
        "of a denial the chips read {chosen}"
    );
    let examples = page.evaluate(
        "(async () => { const {compose} = await import('./page/words.js'); const {understand} = await import('./page/sentence.js'); \
         const texts = [...document.querySelectorAll('#examples button')].map((chip) => chip.textContent); \
         return {all: texts.length, other: texts.filter((text) => compose(understand(text)) !== text)}; })()",
    )?;
    ensure!(
        examples["all"].as_u64() > Some(0) && examples["other"] == json!([]),
        "the chips write other sentences than the model's examples: {examples}"
    );
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{} examples read and written", examples["all"]))
}

/// A sentence, a chip that is pressed, and what the sentence is then: all else stays.
const PLAIN: [(&str, &str, &str, &str); 5] = [
    (
        "PA chest radiograph of a 60-year-old man with a pacemaker. Left pneumonia.",
        "side",
        "right",
        "PA chest radiograph of a 60-year-old man with a pacemaker. Right pneumonia.",
    ),
    (
        "Film of Mr Smith with a small left effusion and wires.",
        "size",
        "large",
        "Film of Mr Smith with a large left pleural effusion and wires.",
    ),
    (
        "Chest x-ray, elderly man, AP view. Nodule in the left lung.",
        "sex",
        "female",
        "Chest x-ray, elderly woman, AP view. Nodule in the left lung.",
    ),
    (
        "AP chest radiograph of a 70-year-old man. Cardiomegaly and pulmonary edema.",
        "finding",
        "normal",
        "AP chest radiograph of a 70-year-old man. Normal chest.",
    ),
    (
        "A hand",
        "view",
        "AP",
        "AP chest radiograph of a patient. A hand",
    ),
];

/// Every word in German, the choice kept; and back.
pub fn german(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let uneven = page.evaluate(
        "(async () => { const {STRINGS} = await import('./engine/strings.js'); const slots = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort().join(); \
         return Object.entries(STRINGS).filter(([, [en, de, ...more]]) => !en || !de || more.length > 0 || slots(en) !== slots(de)).map(([key]) => key); })()",
    )?;
    ensure!(uneven == json!([]), "uneven in the two languages: {uneven}");
    names(&page, "en")?;
    page.speak("de")?;
    page.close()?;
    let page = fixture.visit("?backend=cpu")?;
    ensure!(
        page.text("generate")? == "Erzeugen" && page.text("status")? == "Bereit.",
        "at the next visit the page says {:?}, {:?}",
        page.text("generate")?,
        page.text("status")?
    );
    let named = names(&page, "de")?;
    page.resize(320, 640, 2.0)?;
    let width = page.evaluate("document.documentElement.scrollWidth")?;
    ensure!(
        width.as_u64().is_some_and(|width| width <= 320),
        "the page is {width} wide on a screen of 320"
    );
    page.speak("en")?;
    ensure!(page.text("generate")? == "Generate");
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!("{named} controls have names in both"))
}

/// Which chip is chosen in each group that has one.
const CHOSEN: &str = "Object.fromEntries([...document.querySelectorAll('#guide input:checked')].map((input) => [input.name.slice(6), input.value]))";

fn choose(page: &Page, group: &str, value: &str) -> Result<()> {
    page.press(&format!(
        "#guide input[name=guide-{group}][value='{value}']"
    ))
}

fn said(page: &Page, expected: &str) -> Result<()> {
    let prompt = page.evaluate("document.getElementById('prompt').value")?;
    ensure!(
        prompt == expected,
        "the sentence is {prompt}, not {expected:?}"
    );
    Ok(())
}

/// Whatever can be used has a name, and no text is missing; how many there are.
fn names(page: &Page, language: &str) -> Result<u64> {
    let found: Value = page.evaluate(
        "(() => { const named = (part) => part.getAttribute('aria-label') || [...part.labels ?? []].map((label) => label.textContent).join('').trim() || part.textContent.trim(); \
         const parts = [...document.querySelectorAll('button, input, select, textarea, summary, [role=img], [role=group], [tabindex]')]; \
         const hidden = (part) => part.matches('#thumb, #retry'); \
         return {all: parts.length, without: parts.filter((part) => !hidden(part) && !named(part)).map((part) => part.outerHTML.slice(0, 90)), \
         empty: [...document.querySelectorAll('[data-t]')].filter((part) => !part.textContent).length}; })()",
    )?;
    ensure!(
        found["without"] == json!([]) && found["empty"] == 0,
        "without a name in {language}: {found}"
    );
    found["all"].as_u64().context("nothing was counted")
}
