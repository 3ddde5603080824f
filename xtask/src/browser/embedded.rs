//! The checks on the page in other people's pages: a frame, an element that waits, and the module
//! from another site.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::element::{drawn, embed};
use super::fixture::{Fixture, SETTINGS, SHOW, short};
use super::page::Page;
use crate::serve::Serving;
use crate::site::Site;
use crate::workspace::{copy, root};

/// The words of an element's parts.
const WORDS: &str = "globalThis.words = (element) => Object.fromEntries(['words', 'error', 'draw'].map((part) => [part, element.shadowRoot.querySelector(`[part=${part}]`)]).map(([name, part]) => [name, part.checkVisibility() ? part.innerText : '']))";

/// The code that the page gives shows, in a frame of another site, the image of the form when it is
/// pressed.
pub fn frame(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    page.fill(&short())?;
    page.evaluate("navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }")?;
    page.click("copy-embed")?;
    let code = page.evaluate("globalThis.copied ?? ''")?;
    let code = code.as_str().unwrap_or_default().to_owned();
    let frame = page.evaluate("(() => { const frame = new DOMParser().parseFromString(copied, 'text/html').querySelector('iframe'); return {src: frame.src, title: frame.title, loading: frame.getAttribute('loading')}; })()")?;
    ensure!(
        frame["title"] == *SETTINGS.prompt
            && frame["loading"] == "lazy"
            && page.text("remark")?.contains("copied"),
        "the code is {code}"
    );
    page.close()?;

    // The frame's own page: nothing is downloaded before the press, then it is the native image.
    let address = frame["src"].as_str().context("no address")?.to_owned();
    let page = Page::open(&fixture.browser, &address)?;
    until_shown(&page)?;
    fixture.serving.take_paths();
    std::thread::sleep(Duration::from_millis(500));
    let early = fixture.serving.take_paths();
    ensure!(
        !early
            .iter()
            .any(|path| path.contains("/pkg/") || path.contains("/models/")),
        "before the press the frame asked for {early:?}"
    );
    let seen = page.evaluate("[...document.querySelectorAll('h1, main > p')].filter((part) => part.getBoundingClientRect().height > 1).length")?;
    ensure!(seen == 0, "the frame shows {seen} texts around the image");
    page.evaluate(
        "document.querySelector('roentgen-image').shadowRoot.querySelector('button').click()",
    )?;
    drawn(&page)?;
    page.evaluate(SHOW)?;
    page.evaluate("show(document.querySelector('roentgen-image').result.imageData)")?;
    let difference = fixture.as_native(&page.pixels_of("shown")?, &short(), "the frame's image")?;
    fixture.all_quiet(&page)?;
    page.go(&address.replace("seed=1895", "seed=no"))?;
    page.until("document.getElementById('problem')?.checkVisibility() && document.getElementById('problem').textContent.includes('ignored')",
    )?;
    page.close()?;

    // In a page of another site.
    let folder = tempfile::tempdir()?;
    fs::write(
        folder.path().join("course.html"),
        format!("<!doctype html><title>Course</title><p>Lesson</p>{code}"),
    )?;
    let course = Serving::start(Arc::new(Site::of_folder(folder.path())), 0, "", false)?;
    fixture.serving.take_paths();
    let page = Page::open(
        &fixture.browser,
        &format!("{}course.html", course.address()),
    )?;
    page.evaluate("document.querySelector('iframe').id = 'frame'")?;
    wait_for(fixture, "roentgen-image.js")?;
    std::thread::sleep(Duration::from_millis(1500));
    page.drag("frame", (0.5, 0.5), (0.5, 0.5))?; // a press, in the middle of the frame
    wait_for(fixture, "worker.js").context("the frame's button does nothing")?;
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255 in {} bytes of code",
        code.len()
    ))
}

/// Waits until a file of this name was asked for.
fn wait_for(fixture: &Fixture, name: &str) -> Result<()> {
    for _ in 0..200 {
        if fixture
            .serving
            .take_paths()
            .iter()
            .any(|path| path.ends_with(name))
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("{name} is not asked for")
}

/// Waits until the element is defined and has drawn its first words.
fn until_shown(page: &Page) -> Result<()> {
    page.evaluate("(async () => { await customElements.whenDefined('roentgen-image'); for (let i = 0; i < 5; i++) await null; })()")?;
    page.evaluate(WORDS)?;
    until_words(
        page,
        "words(document.querySelector('roentgen-image')).draw === 'Draw the radiograph'",
    )
}

fn until_words(page: &Page, expression: &str) -> Result<()> {
    let found = page.evaluate(&format!(
        "(async () => {{ for (let i = 0; i < 400; i++) {{ if ({expression}) return true; await new Promise((next) => setTimeout(next, 50)); }} return false; }})()"
    ))?;
    ensure!(found == true, "not so: {expression}");
    Ok(())
}

/// An element far below, or that is to be pressed, waits; one in a small box stays in it; two say
/// who draws.
pub fn waits(fixture: &Fixture) -> Result<String> {
    let page = Page::open(&fixture.browser, &embed(fixture))?;
    drawn(&page)?;
    page.evaluate(WORDS)?;
    let make = "globalThis.make = (attributes, style = '') => { const element = document.createElement('roentgen-image'); \
        for (const [name, value] of Object.entries({prompt: 'Chest radiograph.', steps: 2, ...attributes})) element.setAttribute(name, value); \
        for (const [name, value] of Object.entries(style)) element.style[name] = value; document.body.append(element); return element; }";
    page.evaluate(make)?;
    page.evaluate("(() => { const far = document.createElement('div'); far.style.height = '4000px'; document.body.append(far); globalThis.lazy = make({loading: 'lazy'}); })()")?;
    std::thread::sleep(Duration::from_millis(1500));
    ensure!(
        page.evaluate("lazy.result === null")? == true,
        "an element far below has drawn"
    );
    page.evaluate("lazy.scrollIntoView({behavior: 'instant'})")?;
    until_words(&page, "lazy.result !== null").context("an element that has come into sight")?;

    // Two of one model: one draws, the other says that it waits.
    page.evaluate("globalThis.pair = [make({steps: 60, seed: 1}), make({steps: 2, seed: 2})]")?;
    until_words(
        &page,
        "words(pair[0]).words.startsWith('Drawing') && words(pair[1]).words.startsWith('Waiting until another image is drawn')",
    )?;
    until_words(&page, "pair.every(({result}) => result !== null)")?;

    // A folder's name without a slash is a folder.
    page.evaluate("pair[1].setAttribute('model', './models/default')")?;
    until_words(
        &page,
        "words(pair[1]).words === '' && pair[1].result?.seed === 2 && words(pair[1]).error === ''",
    )?;

    // Small boxes: nothing is painted outside, and a long error can be read to its end.
    let boxes = page.evaluate(
        "(async () => { const found = []; for (const [width, height] of [[300, 60], [64, 64], [90, 200]]) { \
         const element = make({model: `./models/${'none-'.repeat(30)}/`}, {width: `${width}px`, height: `${height}px`, display: 'block'}); \
         while (!words(element).error) await new Promise((next) => setTimeout(next, 50)); \
         const error = element.shadowRoot.querySelector('[part=error]'); const [own, inner] = [element, element.shadowRoot.querySelector('figure')].map((part) => part.getBoundingClientRect()); \
         error.scrollTop = 1e6; const last = document.createRange(); last.selectNodeContents(error); const end = [...last.getClientRects()].at(-1); \
         found.push([own.width, own.height, inner.bottom <= own.bottom + 0.5 && inner.right <= own.right + 0.5, end.bottom <= own.bottom + 0.5]); element.remove(); } return found; })()",
    )?;
    ensure!(
        boxes
            == json!([
                [300, 60, true, true],
                [64, 64, true, true],
                [90, 200, true, true]
            ]),
        "in small boxes: {boxes}"
    );
    page.close()?;

    // What the module says is of no button of the page; its events have types wherever they bubble
    // to.
    let page = fixture.visit("?backend=cpu")?;
    let of_page = page.evaluate(
        "(async () => { const {STRINGS} = await import('./engine/strings.js'); const module = /^(error|option|cache|why|form\\.bad|element)\\./; \
         const button = /\\bpress(es|ed)? |generate\\b|\\bdice\\b|the list\\b|erzeugen“|würfel|der liste\\b/i; \
         return Object.entries(STRINGS).filter(([key, texts]) => module.test(key) && texts.some((text) => button.test(text))).map(([key]) => key); })()",
    )?;
    ensure!(
        of_page == json!([]),
        "sentences of the module on the page's buttons: {of_page}"
    );
    page.close()?;
    let types = fs::read_to_string(root().join("web/roentgen-image.d.ts"))?;
    for map in ["HTMLElementEventMap", "DocumentEventMap", "WindowEventMap"] {
        ensure!(
            types.contains(&format!("interface {map} extends RoentgenEventMap")),
            "{map} has no types"
        );
    }
    let warned = without_gpu(fixture)?;
    Ok(format!("lazy, in turn, in three small boxes; {warned}"))
}

/// A graphics card that is asked for and not there is said, by the module and by the page.
fn without_gpu(fixture: &Fixture) -> Result<String> {
    let web = tempfile::tempdir()?;
    copy(&root().join("web"), web.path())?;
    let worker = web.path().join("engine/worker.js");
    let none = "Object.defineProperty(WorkerNavigator.prototype, 'gpu', { get: () => undefined });";
    fs::write(&worker, fs::read_to_string(&worker)? + none)?;
    let serving = Serving::start(Arc::new(fixture.site.with_page(web.path())?), 0, "", true)?;
    let page = fixture.visit_at(&format!("{}?backend=gpu", serving.address()))?;
    let said = page.text("remark")?;
    ensure!(
        said.contains("backend=gpu was asked for") && said.contains("no WebGPU"),
        "the page says {said:?}"
    );
    let warned = page.evaluate("(async () => { const {Roentgen} = await import('./roentgen-web.js'); const roentgen = await Roentgen.load({backend: 'gpu'}); const {warnings, backend} = roentgen; roentgen.dispose(); return [backend, ...warnings]; })()")?;
    ensure!(
        warned[0] == "cpu"
            && warned[1]
                .as_str()
                .is_some_and(|words| words.contains("backend=gpu was asked for")),
        "the module says {warned}"
    );
    page.close()?;
    Ok("a card that is not there is said".to_owned())
}

/// The element from another site draws where both sites allow it, and says what is missing where
/// one does not.
pub fn elsewhere(fixture: &Fixture) -> Result<String> {
    let engine = Serving::start(fixture.site.clone(), 0, "/a", false)?;
    let origin = engine.address().replace("/a/", "");
    let folder = tempfile::tempdir()?;
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"worker-src 'self'\">";
    for (name, policy) in [("open.html", ""), ("closed.html", policy)] {
        write(folder.path(), name, policy, &engine.address())?;
    }
    let course = Serving::start(Arc::new(Site::of_folder(folder.path())), 0, "", false)?;
    let visit = |name: &str| Page::open(&fixture.browser, &format!("{}{name}", course.address()));

    // Without consent no script runs: the words in the element stay, in a place of their own.
    let page = visit("open.html")?;
    std::thread::sleep(Duration::from_millis(500));
    let place = page.evaluate("(() => { const element = document.querySelector('roentgen-image'); return [element.matches(':defined'), element.innerText, element.getBoundingClientRect().height > 50]; })()")?;
    ensure!(
        place == json!([false, "No script runs here.", true]),
        "without consent the element is {place}"
    );
    page.close()?;

    engine.open_to_others(true);
    let page = visit("open.html")?;
    drawn(&page)?;
    page.evaluate(SHOW)?;
    page.evaluate("show(document.querySelector('roentgen-image').result.imageData)")?;
    let difference = fixture.as_native(
        &page.pixels_of("shown")?,
        &short(),
        "the element's image from another site",
    )?;
    page.close()?;

    let page = visit("closed.html")?;
    page.evaluate("(async () => { await customElements.whenDefined('roentgen-image'); })()")?;
    page.evaluate(WORDS)?;
    until_words(
        &page,
        "words(document.querySelector('roentgen-image')).error !== ''",
    )?;
    let said = page.evaluate("words(document.querySelector('roentgen-image')).error")?;
    ensure!(
        [&*origin, "Access-Control-Allow-Origin", "worker-src blob:"]
            .iter()
            .all(|word| said.as_str().is_some_and(|said| said.contains(word))),
        "against the page's policy the element says {said}"
    );
    page.close()?;
    Ok(format!(
        "mean difference {difference:.4} of 255 from {origin}"
    ))
}

/// A page with the recipe of DEVELOPERS.md, for an element from another site.
fn write(folder: &Path, name: &str, policy: &str, engine: &str) -> Result<()> {
    let attributes: Vec<String> = attributes()
        .into_iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    let text = format!(
        "<!doctype html><title>Course</title>{policy}<style>roentgen-image:not(:defined) {{ display: inline-block; width: 16rem; min-height: 6rem; }}</style>\
         <script type=\"module\" src=\"{engine}roentgen-image.js\"></script><roentgen-image backend=\"cpu\" {}>No script runs here.</roentgen-image>",
        attributes.join(" ")
    );
    Ok(fs::write(folder.join(name), text)?)
}

/// The short settings as attributes.
fn attributes() -> Vec<(&'static str, String)> {
    let settings = short();
    vec![
        ("prompt", settings.prompt.to_string()),
        ("negative-prompt", settings.negative_prompt.to_string()),
        ("seed", settings.seed.to_string()),
        ("steps", settings.steps.to_string()),
        ("guidance", settings.guidance.to_string()),
        ("scheduler", settings.scheduler.to_owned()),
    ]
}
