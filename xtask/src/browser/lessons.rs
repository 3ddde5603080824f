//! The checks on lessons: those that ship, from a link; what a lecturer's file can have wrong;
//! handing one on.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::download::manifest;
use super::fixture::Fixture;
use super::page::Page;
use super::teach::{told, wait};
use crate::workspace::root;

/// Files of `web/lessons`.
const SHIPPED: [&str; 2] = ["effusion", "heart"];

/// A lesson that is as short as can be.
const SMALL: &str = r#"{"lesson": 1, "title": "T", "items": [{"prompt": "Chest", "seed": 1}]}"#;

/// What is changed in a small lesson, by a JavaScript statement on it, and words of the sentence
/// that says what is wrong.
const MISTAKES: &[(&str, &str)] = &[
    ("l.lesson = 2", "“lesson” is 2. It has to be 1"),
    ("delete l.lesson", "“lesson” is missing"),
    ("delete l.title", "“title” is missing. It has to be a text"),
    ("l.title = ''", "“title” is \"\""),
    ("l.title = 'x'.repeat(201)", "1 to 200 characters"),
    ("l.title = {fr: 'x'}", "one for each language (en, de)"),
    ("l.titel = 'x'", "“titel” is \"x\". There is no such part"),
    (
        "l.items = []",
        "“items” is []. It has to be a list of 1 to 50",
    ),
    ("l.items = Array(51).fill(l.items[0])", "list of 1 to 50"),
    (
        "l.items[0] = 'x'",
        "“items[0]” is \"x\". It has to be an object",
    ),
    ("delete l.items[0].prompt", "“items[0].prompt” is missing"),
    (
        "l.items[0].prompt = 'x'.repeat(1001)",
        "1 to 1000 characters",
    ),
    (
        "l.items[0].seed = 1.5",
        "“items[0].seed” is 1.5. It has to be a whole number from 0 to 9007199254740991",
    ),
    ("l.items[0].seed = '1'", "“items[0].seed” is \"1\""),
    (
        "l.items[0].choices = ['a']",
        "“items[0].choices” is [\"a\"]. It has to be a list of 2 to 8",
    ),
    (
        "Object.assign(l.items[0], {question: 'q', choices: ['a', 'b'], answer: 2})",
        "“items[0].answer” is 2. It has to be a whole number from 0 to 1",
    ),
    (
        "Object.assign(l.items[0], {choices: ['a', 'b'], answer: 1})",
        "“items[0].question” is missing",
    ),
    (
        "l.items[0].answer = 1",
        "Without “choices” there is nothing to answer",
    ),
    ("l.items[0].question = 'q'", "nothing is asked"),
    (
        "Object.assign(l.items[0], {question: 'q', region: {x: 2, y: 0, width: 0.1, height: 0.1}})",
        "“items[0].region[0].x” is 2. It has to be a number from 0 to 1",
    ),
    (
        "Object.assign(l.items[0], {question: 'q', region: {x: 0.5, y: 0, width: 0.6, height: 0.1}})",
        "“items[0].region[0].width” is 0.6. It has to be a number from 0.01 to 0.5",
    ),
    ("l.settings = {steps: 0}", "“settings.steps” is 0"),
    ("l.settings = {guidance: 51}", "“settings.guidance” is 51"),
    ("l.settings = {scheduler: 'x'}", "one of ddim"),
    ("l.settings = {seed: 1}", "there are: steps, guidance"),
    (
        "l.__proto__ = {title: 'x'}; delete l.title",
        "“title” is missing",
    ),
];

/// Each mistake has its sentence, which names the place; the lessons that ship have none, are in
/// both languages and belong to the shipped model; and whatever is taken out of one of them gives a
/// sentence or a lesson, and no exception.
pub fn mistakes(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.evaluate(
        "Promise.all([import('./teach/lesson.js'), import('./engine/language.js')]).then(([{parseLesson}, {say}]) => { \
         globalThis.sentence = (text) => { const {lesson, problem} = parseLesson(text); return lesson ? '' : say(problem); }; })",
    )?;
    let sentence = |text: &str| -> Result<String> {
        let said = page.evaluate(&format!("sentence({})", json!(text)))?;
        Ok(said.as_str().context("no sentence")?.to_owned())
    };
    ensure!(sentence(SMALL)?.is_empty(), "{}", sentence(SMALL)?);
    for (change, words) in MISTAKES {
        let said = page.evaluate(&format!(
            "(() => {{ const l = {SMALL}; {change}; return sentence(JSON.stringify(l)); }})()"
        ))?;
        let said = said.as_str().unwrap_or_default();
        ensure!(
            said.contains(words),
            "{change}: {said:?}, and not {words:?}"
        );
    }
    for (text, words) in [
        ("{", "not valid JSON"),
        ("<!doctype html>", "this is a web page"),
        ("[]", "“lesson” is []"),
        (&" ".repeat(200_001), "more than 200 kB"),
    ] {
        let said = sentence(text)?;
        ensure!(said.contains(words), "{said:?}, and not {words:?}");
    }
    let manifest = manifest(&root().join("models/default"))?;
    let mut tried = 0;
    for name in SHIPPED {
        let text = fs::read_to_string(root().join(format!("web/lessons/{name}.json")))?;
        ensure!(sentence(&text)?.is_empty(), "{name}: {}", sentence(&text)?);
        let lesson: Value = serde_json::from_str(&text)?;
        ensure!(
            lesson["model"] == manifest["name"],
            "{name} was made with {}, and {} ships: look at its films again, and choose other seeds where they do not show what it says",
            lesson["model"],
            manifest["name"]
        );
        let (texts, german) = (
            text.matches("\"en\":").count(),
            text.matches("\"de\":").count(),
        );
        ensure!(
            texts == german && texts > 10,
            "{name} has {texts} English texts and {german} German ones"
        );
        let thrown = page.evaluate(&format!(
            "(() => {{ const text = {}; const thrown = []; let tried = 0; \
             const paths = (value, path = []) => [path, ...(typeof value === 'object' ? Object.keys(value).flatMap((key) => paths(value[key], [...path, key])) : [])]; \
             for (const path of paths(JSON.parse(text))) for (const other of [undefined, null, -1, 1e99, '', 'x'.repeat(3000), [], {{}}, [[]], {{constructor: 1}}]) {{ \
               const lesson = JSON.parse(text); let at = lesson; for (const key of path.slice(0, -1)) at = at[key]; \
               const changed = path.length === 0 ? other : lesson; if (path.length > 0) at[path.at(-1)] = other; tried++; \
               try {{ sentence(JSON.stringify(changed) ?? ''); }} catch (error) {{ thrown.push(`${{path}}: ${{error}}`); }} }} \
             return {{tried, thrown: thrown.slice(0, 3)}}; }})()",
            json!(text)
        ))?;
        ensure!(thrown["thrown"] == json!([]), "{name}: {thrown}");
        tried += thrown["tried"].as_u64().unwrap_or_default();
    }
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok(format!(
        "{} mistakes, {tried} changes of the shipped lessons",
        MISTAKES.len()
    ))
}

/// A lesson opens from its link, in the visitor's language; the place is marked with keys; its link
/// brings it back, also where it came from a file; and what is no lesson of this site is said.
pub fn lesson(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu#lesson=lessons/effusion.json")?;
    told(&page, "run-title", "Signs of a pleural effusion")?;
    // the first film is shown, and nothing is asked
    told(&page, "run-status", "what the sentence asks for")?;
    page.click("run-next")?;
    wait(&page, ASKED)?;
    page.press("#run-choices label:nth-of-type(1)")?;
    page.click("run-next")?;
    told(&page, "run-status", "Right: An effusion.")?;
    page.click("run-next")?;
    wait(&page, ASKED)?;
    page.press("#run-choices label:nth-of-type(1)")?;
    page.click("run-next")?;
    told(
        &page,
        "run-status",
        "You said: An effusion. The answer is: No effusion.",
    )?;
    page.click("run-next")?;
    told(&page, "run-progress", "Film 4 of 6")?;
    wait(
        &page,
        "document.getElementById('run-film').getAttribute('role') === 'application'",
    )?;
    ensure!(
        page.evaluate("document.getElementById('run-next').disabled")? == true,
        "an answer is taken without a mark"
    );
    page.evaluate("document.getElementById('run-film').focus()")?;
    for key in ["ArrowLeft"; 10].iter().chain(&["ArrowDown"; 8]) {
        page.key(key)?;
    }
    wait(
        &page,
        "document.getElementById('run')?.textContent.includes('Your mark is')",
    )?;
    page.click("run-next")?;
    told(&page, "run-status", "Your mark is in the right place.")?;
    page.speak("de")?;
    told(&page, "run-title", "Zeichen des Pleuraergusses")?;
    told(&page, "run-status", "an der richtigen Stelle")?;
    page.speak("en")?;

    // On the lightbox, with its settings.
    page.click("run-keep")?;
    wait(
        &page,
        "document.getElementById('seed').value === '8' && document.activeElement.id === 'film'",
    )?;

    // Handing on: the address of what is on the site; the lesson itself where it is not.
    let link = copied(&page)?;
    ensure!(link.ends_with("#lesson=lessons/effusion.json"), "{link}");
    give(&page, SMALL)?;
    told(&page, "run-title", "T")?;
    // A film that comes moves what is to be pressed.
    told(&page, "run-status", "Nobody has checked")?;
    let link = copied(&page)?;
    ensure!(link.contains("#lesson=~") && link.len() < 300, "{link}");
    page.click("run-leave")?;
    page.evaluate(&format!(
        "location.hash = {}",
        json!(link.split_once('#').map(|(_, rest)| rest))
    ))?;
    wait(
        &page,
        "document.getElementById('run-title')?.textContent === 'T'",
    )?;
    page.click("run-leave")?;

    give(&page, "{\"lesson\": 1, \"titel\": \"T\"}")?;
    told(
        &page,
        "teach-status",
        "“titel” is \"T\". There is no such part here",
    )?;
    for (hash, words) in [
        ("lesson=https://example.org/a.json", "is not on this site"),
        ("lesson=~xx", "damaged"),
        (
            "lesson=lessons/none.json",
            "There is no lesson at lessons/none.json",
        ),
    ] {
        page.evaluate(&format!("location.hash = '{hash}'"))?;
        told(&page, "teach-status", words)?;
    }
    // A few characters that would be megabytes.
    let bomb = page.evaluate(
        "(async () => { const {toLink, fromLink} = await import('./teach/link.js'); const link = await toLink({text: ' '.repeat(3e7), address: null}); \
         return [link.length < 50000, (await fromLink(link)).text]; })()",
    )?;
    ensure!(
        bomb == json!([true, null]),
        "of thirty megabytes the page reads {bomb}"
    );
    // A missing file is an error in the console of every browser.
    let problems = page.problems();
    ensure!(
        problems
            .iter()
            .all(|problem| problem.contains("lessons/none.json")),
        "{problems:?}"
    );
    page.close()?;
    Ok(format!(
        "a link of {} characters has a lesson in it",
        link.len()
    ))
}

/// A film with choices is there.
const ASKED: &str = "document.getElementById('run-choices')?.disabled === false && document.querySelectorAll('#run-choices input').length > 1";

/// Chooses a file.
fn give(page: &Page, text: &str) -> Result<()> {
    page.evaluate(&format!(
        "(() => {{ const data = new DataTransfer(); data.items.add(new File([{}], 'lesson.json')); const field = document.getElementById('lesson-file'); \
         field.files = data.files; field.dispatchEvent(new Event('change')); }})()",
        json!(text)
    ))?;
    Ok(())
}

/// The link that the page copies, or shows where it may not.
fn copied(page: &Page) -> Result<String> {
    page.evaluate("(() => { globalThis.copied = ''; Object.defineProperty(navigator, 'clipboard', {configurable: true, value: {writeText: async (text) => void (globalThis.copied = text)}}); })()")?;
    page.click("lesson-copy")?;
    wait(page, "globalThis.copied !== ''")?;
    let link = page.evaluate("globalThis.copied")?;
    Ok(link.as_str().unwrap_or_default().to_owned())
}
