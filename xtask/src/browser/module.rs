//! The checks on the module `roentgen-web` for other pages, and on the package that holds it.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use image::RgbaImage;
use serde_json::{Value, json};

use super::element::{drawn, embed};
use super::fixture::{DRAWING, Fixture, SETTINGS, SHOW, short};
use super::page::Page;
use crate::declarations::Declarations;
use crate::native::Settings;
use crate::package;
use crate::serve::Serving;
use crate::site::Site;
use crate::workspace::root;

/// How a promise ends: `none`, or the code and the name of its error.
const ENDS: &str = "globalThis.ends = (promise) => promise.then(() => 'none', (error) => `${error.code} ${error.name}`)";

/// The upper half of the image is painted anew: by how much both halves change, whether the
/// settings give it again, and whether the file says so.
const EDIT: &str = include_str!("scripts/module-edits.js");

/// An image of another size with the attention to its words; and one that begins from a DICOM file,
/// under a mask that keeps all.
const MORE: &str = "async (asked) => { \
    const small = await roentgen.generate({...asked, width: 64, height: 96, words: true}); globalThis.word = small.words[1]; \
    const dicom = await image.toBlob({type: 'application/dicom', marked: false}); const {width, height} = image.imageData; \
    const again = await roentgen.generate({...asked, image: dicom, mask: new ImageData(width, height)}); \
    return {size: [small.imageData.width, small.imageData.height], type: dicom.type, words: small.words.slice(0, 3).map(({text}) => text), \
      shares: small.words.reduce((sum, {share}) => sum + share, 0), \
      kept: again.imageData.data.every((value, i) => value === image.imageData.data[i])}; }";

/// The settings as the module takes them.
pub fn options(settings: &Settings) -> Value {
    json!({
        "prompt": settings.prompt,
        "negativePrompt": settings.negative_prompt,
        "seed": settings.seed,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "scheduler": settings.scheduler,
    })
}

/// A page of another folder draws what the page draws, twice, and has what `roentgen-web.d.ts`
/// declares.
pub fn module(fixture: &Fixture) -> Result<String> {
    let page = fixture.visit("?backend=cpu")?;
    let (own, _) = page.generate(&short(), DRAWING)?;
    page.close()?;

    // The module finds its engine, its worker and its model beside itself.
    let elsewhere = format!("{}models/default/bundle.json", fixture.serving.address());
    let page = Page::open(&fixture.browser, &elsewhere)?;
    page.evaluate(SHOW)?;
    page.evaluate(
        "(async () => { globalThis.api = await import('../../roentgen-web.js'); globalThis.progress = []; \
         globalThis.roentgen = await api.Roentgen.load({backend: 'cpu', onProgress: (event) => progress.push(event)}); })()",
    )?;
    let last = page.evaluate("progress.at(-1)")?;
    ensure!(
        last["done"] == last["total"] && last["total"].as_u64() > Some(0),
        "the last of the progress is {last}"
    );
    let asked = options(&short());
    page.evaluate(&format!(
        "(async () => {{ globalThis.steps = []; globalThis.image = await roentgen.generate({{...{asked}, onStep: (event) => steps.push(event)}}); show(image.imageData); }})()"
    ))?;
    let steps = page.evaluate("steps.map(({step, total}) => [step, total])")?;
    ensure!(steps == json!([[1, 2], [2, 2]]), "the steps are {steps}");
    let told = page.evaluate("(({width, height, ...rest}) => rest)(image.settings)")?;
    ensure!(told == asked, "{asked} became {told}");
    ensure!(
        page.pixels_of("shown")? == own,
        "the module draws another image than the page"
    );
    page.evaluate("(async () => show((await roentgen.generate(image.settings)).imageData))()")?;
    ensure!(
        page.pixels_of("shown")? == own,
        "the same settings gave another image"
    );
    file(&page, &own)?;
    let more = page.evaluate(&format!("({MORE})({asked})"))?;
    ensure!(
        more["size"] == json!([64, 96])
            && more["type"] == "application/dicom"
            && more["kept"] == true,
        "size, file and words gave {more}"
    );
    let shares = more["shares"].as_f64().unwrap_or_default();
    ensure!(
        more["words"] == json!(["", "PA", "chest"]) && (0.5..=1.001).contains(&shares),
        "the words are {more}"
    );
    let changed = page.evaluate(EDIT)?;
    ensure!(
        changed["below"] == 0
            && changed["above"].as_u64() > Some(0)
            && changed["again"] == true
            && changed["says"] == true,
        "painting over the upper half of the image gave {changed}"
    );
    declarations(&page)?;
    page.evaluate("roentgen.dispose()")?;
    // A bare file names no icon, and the browser asks the server's root for one.
    let mut problems = page.problems();
    problems.retain(|problem| !problem.contains("/favicon.ico"));
    ensure!(problems.is_empty(), "the console shows {problems:?}");
    fixture.all_quiet(&page)?;
    page.close()?;
    Ok("the page's image, twice".to_owned())
}

/// The PNG says what it is, and has the mark or the model's own pixels.
fn file(page: &Page, own: &RgbaImage) -> Result<()> {
    for marked in [true, false] {
        let bytes = page.evaluate(&format!(
            "(async () => {{ const blob = await image.toBlob({{marked: {marked}}}); \
             return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer()))); }})()"
        ))?;
        let bytes = BASE64_STANDARD.decode(bytes.as_str().unwrap_or_default())?;
        let image = image::load_from_memory(&bytes)?.into_rgba8();
        ensure!(
            (image == *own) != marked,
            "marked: {marked}; the file has the model's pixels: {}",
            image == *own
        );
        let version = page.evaluate("api.version")?;
        let release = format!("roentgen-web {}", version.as_str().unwrap_or_default());
        let text = String::from_utf8_lossy(&bytes);
        for word in [&*SETTINGS.prompt, "ynthetic", &release] {
            ensure!(text.contains(word), "the file does not say {word:?}");
        }
    }
    Ok(())
}

/// What is declared is there, and nothing else is.
fn declarations(page: &Page) -> Result<()> {
    let declared = Declarations::read(&root().join("web/roentgen-web.d.ts"))?;
    let own = "(what) => Object.getOwnPropertyNames(what.prototype).filter((name) => name !== 'constructor')";
    let roentgen = format!("[...({own})(api.Roentgen), 'load']");
    let found = [
        ("Roentgen", &*roentgen),
        ("LoadProgress", "Object.keys(progress.at(-1))"),
        ("Settings", "Object.keys(image.settings)"),
        ("Step", "Object.keys(steps[0])"),
        ("GeneratedImage", "Object.keys(image)"),
        ("Model", "Object.keys(roentgen.model)"),
        ("WordAttention", "Object.keys(word)"),
    ];
    for (name, expression) in found {
        let found = page.evaluate(&format!("({expression}).toSorted()"))?;
        let members = declared.members(name)?;
        ensure!(
            found == json!(members),
            "{name} has {found}, declared are {members:?}"
        );
    }
    let found = page.evaluate("Object.keys(api).toSorted()")?;
    ensure!(
        found == json!(declared.values()),
        "the module exports {found}, declared are {:?}",
        declared.values()
    );
    Ok(())
}

/// What cannot be is refused with a code, what is aborted ends, and the model can be used
/// afterwards.
pub fn refusals(fixture: &Fixture) -> Result<String> {
    let page = Page::open(&fixture.browser, &embed(fixture))?;
    drawn(&page)?;
    page.evaluate(SHOW)?;
    page.evaluate(ENDS)?;
    page.evaluate("(async () => { globalThis.api = await import('./roentgen-web.js'); globalThis.roentgen = await api.Roentgen.load({backend: 'cpu'}); })()")?;
    let long = "x".repeat(1001);
    for bad in [
        json!({"steps": 0}),
        json!({"steps": 2.5}),
        json!({"steps": "8"}),
        json!({"seed": -1}),
        json!({"guidance": -1}),
        json!({"guidance": null}),
        json!({"scheduler": "ancestral"}),
        json!({"scheduler": {}}),
        json!({"prompt": long}),
        json!({"prompt": 7}),
        json!({"negative_prompt": "pneumothorax"}),
        json!({"image": {"width": 128, "height": 128}}),
        json!({"strength": 0.5}),
        json!({"verify": 0}),
        json!({"verify": 21}),
        json!({"verify": "3"}),
        json!({"constructor": 1}),
        json!({"toString": "x"}),
    ] {
        let end = page.evaluate(&format!("ends(roentgen.generate({bad}))"))?;
        ensure!(end == "request RoentgenError", "{bad} ends as {end}");
    }
    for (load, expected) in [
        ("{backend: 'tpu'}", "request RoentgenError"),
        ("{model: 'http://'}", "request RoentgenError"),
        ("{signal: AbortSignal.abort()}", "cancelled AbortError"),
    ] {
        let end = page.evaluate(&format!("ends(api.Roentgen.load({load}))"))?;
        ensure!(end == expected, "load({load}) ends as {end}");
    }
    let end = page.evaluate(
        "(() => { const abort = new AbortController(); return ends(api.Roentgen.load({backend: 'cpu', signal: abort.signal, onProgress: () => abort.abort()})); })()",
    )?;
    ensure!(
        end == "cancelled AbortError",
        "an aborted loading ends as {end}"
    );

    // The first is aborted after a step, the second while it waits, and the third is drawn.
    let (settings, after) = (options(&short()), options(&short()));
    let found = page.evaluate(&format!(
        "(async () => {{ const [first, second] = [new AbortController(), new AbortController()]; let aborted; \
         const long = ends(roentgen.generate({{...{settings}, steps: 1000, signal: first.signal, onStep: () => {{ aborted ??= performance.now(); first.abort(); }}}})); \
         const waiting = ends(roentgen.generate({{...{settings}, signal: second.signal}})); \
         const third = roentgen.generate({after}); second.abort(); \
         const order = []; await Promise.all([waiting.then(() => order.push('waiting')), long.then(() => order.push('long'))]); \
         const took = performance.now() - aborted; show((await third).imageData); \
         return {{long: await long, waiting: await waiting, order, took}}; }})()"
    ))?;
    let ends = [&found["long"], &found["waiting"]];
    ensure!(
        ends == ["cancelled AbortError"; 2] && found["order"] == json!(["waiting", "long"]),
        "aborting gave {found}"
    );
    let took = found["took"].as_f64().context("no time")? / 1000.0;
    ensure!(
        took < 30.0,
        "the aborted image ended after {took:.1} s, which is no step"
    );
    fixture.as_native(
        &page.pixels_of("shown")?,
        &short(),
        "the image after an aborted one",
    )?;
    example(&page)?;
    fixture.all_quiet(&page)?;

    for kind in ["image/webp", "constructor", "__proto__"] {
        let end = page.evaluate(&format!(
            "(async () => ends((await roentgen.generate({settings})).toBlob({{type: '{kind}'}})))()"
        ))?;
        ensure!(
            end == "request RoentgenError",
            "a file of {kind} ends as {end}"
        );
    }
    let end = page.evaluate("ends(api.Roentgen.load({model: './models/none/'}))")?;
    ensure!(
        end == "not-found RoentgenError",
        "a model that is not there ends as {end}"
    );
    let found = page.evaluate(&format!(
        "(async () => {{ const image = await roentgen.generate({settings}); \
         const going = ends(roentgen.generate({{...{settings}, steps: 1000, onStep: () => roentgen.dispose()}})); \
         return [await going, await ends(roentgen.generate({settings})), await ends(image.toBlob())]; }})()"
    ))?;
    ensure!(
        found
            == json!([
                "cancelled AbortError",
                "not-loaded RoentgenError",
                "not-loaded RoentgenError"
            ]),
        "disposing gave {found}"
    );
    page.close()?;
    Ok(format!("aborted in {took:.2} s"))
}

/// The program in the README for developers runs as it stands there.
fn example(page: &Page) -> Result<()> {
    let text = fs::read_to_string(root().join("web/DEVELOPERS.md"))?;
    let program = text
        .split_once("```js\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .context("the README for developers has no program")?
        .0
        .replace("import {", "const {")
        .replace(
            "} from \"roentgen-web\"",
            "} = await import('./roentgen-web.js')",
        );
    page.evaluate(&format!("(async () => {{ {program} }})()"))
        .context("the program in the README for developers")?;
    Ok(())
}

/// What `cargo xtask web` writes draws on its own, and names both of its modules.
pub fn packaged(fixture: &Fixture) -> Result<String> {
    let folder = tempfile::tempdir()?;
    package::write(&fixture.site, folder.path(), true)?;
    let models = fs::read_dir(folder.path().join("models"))?.count();
    ensure!(models == 1, "the package has {models} models");
    let serving = Serving::start(Arc::new(Site::of_folder(folder.path())), 0, "/npm", true)?;
    let manifest = format!("{}package.json", serving.address());
    let page = Page::open(&fixture.browser, &manifest)?;
    let found = page.evaluate(
        "(async () => { const {exports, version, types} = await (await fetch('./package.json')).json(); \
         const api = await import(exports['.'].default); const {RoentgenImage} = await import(exports['./roentgen-image.js'].default); \
         for (const file of [types, exports['./roentgen-image.js'].types, 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'models/default/README.md']) \
         if (!(await fetch(file)).ok) throw new Error(file); \
         const roentgen = await api.Roentgen.load({backend: 'cpu'}); const image = await roentgen.generate({steps: 1}); roentgen.dispose(); \
         return {version: version === api.version, width: image.imageData.width, element: customElements.get('roentgen-image') === RoentgenImage}; })()",
    )?;
    ensure!(
        found["version"] == true && found["element"] == true && found["width"].as_u64() > Some(0),
        "the package gives {found}"
    );
    let elsewhere = serving.take_elsewhere();
    ensure!(
        elsewhere.is_empty(),
        "the page asked another host: {elsewhere:?}"
    );
    page.close()?;
    Ok(format!("{} files", fs::read_dir(folder.path())?.count()))
}
