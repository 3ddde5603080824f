//! The checks on models that somebody made to break the page, or made badly: one sentence each, and
//! nothing of them stays.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::about::card;
use super::download::manifest;
use super::fixture::{Fixture, LOADING};
use super::models::{at_work, open_list, renamed};
use super::page::Page;
use crate::serve::{Instead, Serving};

/// How soon the page must answer whoever asks it something, whatever it was given.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Addresses of the manifests that this browser keeps.
const KEPT: &str = "(async () => (await (await caches.open('roentgen-web-v2')).keys()).map(({url}) => new URL(url).searchParams.get('address')).filter(Boolean))()";

/// More shards than any model has, as large as JavaScript counts files.
fn shards(count: usize) -> Value {
    (0..count)
        .map(|i| json!({"file": format!("s{i}"), "bytes": i32::MAX, "sha256": format!("{i:064x}")}))
        .collect()
}

/// What is put into a manifest in place of what it has, and what the page says of it.
fn changes() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "/schema_version",
            json!(3),
            "has schema version 3, and this page reads version 2",
        ),
        ("/name", json!(7), "“name” cannot be 7"),
        ("/name", json!(null), "“name” cannot be null"),
        ("/license", json!(["MIT"]), "“license” cannot be [\"MIT\"]"),
        (
            "/intended_use",
            json!("x".repeat(10_001)),
            "“intended_use” cannot be \"xxx",
        ),
        (
            "/model_card",
            json!("../README.md"),
            "“model_card” cannot be \"../README.md\"",
        ),
        (
            "/tokenizer",
            json!("tokenizer.json"),
            "“tokenizer” cannot be \"tokenizer.json\"",
        ),
        (
            "/tokenizer/bytes",
            json!(i32::MAX),
            "“tokenizer.bytes” cannot be 2147483647",
        ),
        (
            "/tokenizer/sha256",
            json!("0"),
            "“tokenizer.sha256” cannot be \"0\"",
        ),
        (
            "/shards",
            json!({"length": 1}),
            "which files belong to the model",
        ),
        ("/shards", shards(3000), "“shards” cannot be [… 3000 …]"),
        ("/shards/0", json!(null), "“shards[0]” cannot be null"),
        (
            "/shards/0/bytes",
            json!(i32::MAX),
            "“shards[0].bytes” cannot be 2147483647",
        ),
        (
            "/shards/0/bytes",
            json!("9"),
            "“shards[0].bytes” cannot be \"9\"",
        ),
        (
            "/shards/0/file",
            json!("a/b"),
            "“shards[0].file” cannot be \"a/b\"",
        ),
        ("/defaults", json!(null), "“defaults” cannot be null"),
        (
            "/defaults/width",
            json!(40_000),
            "“defaults.width” cannot be 40000",
        ),
        (
            "/defaults/num_inference_steps",
            json!("20"),
            "“defaults.num_inference_steps” cannot be \"20\"",
        ),
        (
            "/defaults/guidance_scale",
            json!([4]),
            "“defaults.guidance_scale” cannot be [4]",
        ),
        ("/examples", json!("abc"), "“examples” cannot be \"abc\""),
        ("/examples", json!([1]), "“examples” cannot be [1]"),
        ("/sizes", json!([[128]]), "“sizes” cannot be [[128]]"),
        (
            "/sizes",
            json!([[128, 1e9]]),
            "“sizes” cannot be [[128,1000000000]]",
        ),
    ]
}

/// Whole files in place of a manifest.
const FILES: [(&str, &str); 5] = [
    ("[]", "“bundle.json” cannot be []"),
    ("\"words\"", "“bundle.json” cannot be \"words\""),
    ("{\"name\": ", "is not valid JSON"),
    (
        "<!doctype html><title>Site</title>",
        "a web page where bundle.json should be",
    ),
    (
        "{\"constructor\": {\"shards\": [1]}, \"__proto__\": {\"shards\": [1]}}",
        "which files belong to the model",
    ),
];

/// Each of them, given to the page by its address, ends in its own sentence at once; the model at
/// work stays, and no manifest is kept.
pub fn manifests(fixture: &Fixture) -> Result<String> {
    let good = manifest(fixture.site.bundle())?;
    let mut texts: Vec<(String, &str)> =
        FILES.map(|(text, words)| (text.to_owned(), words)).to_vec();
    for (place, value, words) in changes() {
        let mut bad = good.clone();
        if let Some(part) = bad.pointer_mut(place) {
            *part = value;
        } else if let Some(fields) = bad.as_object_mut() {
            fields.insert(place[1..].to_owned(), value);
        }
        texts.push((bad.to_string(), words));
    }
    let folder = tempfile::tempdir()?;
    for (i, (text, _)) in texts.iter().enumerate() {
        let model = folder.path().join(i.to_string());
        fs::create_dir(&model)?;
        fs::write(model.join("bundle.json"), text)?;
    }
    let serving = Serving::start(
        Arc::new(fixture.site.and("bad", folder.path())),
        0,
        "",
        true,
    )?;
    let page = fixture.visit_of(&serving)?;
    let shipped = page.text("model-name")?;
    let before = page.evaluate(KEPT)?;
    open_list(&page)?;
    for (i, (_, words)) in texts.iter().enumerate() {
        page.type_into("model-address", &format!("./bad/{i}"))?;
        page.click("model-load")?;
        said(&page, words)?;
        ensure!(
            page.text("model-name")? == shipped,
            "{words}: another model is at work"
        );
    }
    // A percent sign that is only that, and addresses beside which nothing can be.
    for (address, words) in [
        ("./bad/100%", "bundle.json is not on the server"),
        ("./bad/%zz.json", "%zz.json is not on the server"),
        ("data:application/json,{}/", "is not an address of a model"),
    ] {
        page.type_into("model-address", address)?;
        page.click("model-load")?;
        said(&page, words)?;
    }
    let after = page.evaluate(KEPT)?;
    ensure!(
        after == before,
        "of the models that were refused {after} is kept"
    );
    page.close()?;
    for (query, words) in [
        ("&bundle=./bad/%25zz.json", "%zz.json is not on the server"),
        (
            "&bundle=javascript:alert(1)",
            "is not an address of a model",
        ),
    ] {
        let address = format!("{}?backend=cpu{query}", serving.address());
        let page = Page::open(&fixture.browser, &address)?;
        said(&page, words)?;
        page.close()?;
    }
    Ok(format!("{} manifests and 5 addresses", texts.len()))
}

/// Waits until the page says these words; they are the page's own, and no program's.
fn said(page: &Page, words: &str) -> Result<()> {
    let all = "(document.getElementById('status').textContent + ' ' + document.getElementById('remark').textContent)";
    page.until(&format!("{all}.includes({})", json!(words)))?;
    let text = page.evaluate(all)?.to_string();
    for foreign in [
        "TypeError",
        "undefined",
        "[object",
        "is not a function",
        "URIError",
        "Unexpected",
    ] {
        ensure!(!text.contains(foreign), "{text}");
    }
    Ok(())
}

/// A server that never stops sending is left when a file has more bytes than it may have.
pub fn endless(fixture: &Fixture) -> Result<String> {
    let other = renamed(fixture.site.bundle(), "other")?;
    let site = Arc::new(fixture.site.and("models/other", other.path()));
    let mut found = Vec::new();
    for (file, words) in [
        ("other/bundle.json", "bundle.json has more than 16 MB"),
        (
            "other/tokenizer.json",
            "tokenizer.json has more bytes than the manifest says",
        ),
        ("other/README.md", "README.md has more than 1 MB"),
        ("models/index.json", "Ready."),
    ] {
        let serving = Serving::start(site.clone(), 0, "", true)?;
        serving.answer_instead(file, Instead::Endless);
        let query = "?backend=cpu&bundle=./models/other/";
        let started = Instant::now();
        let page = Page::open(&fixture.browser, &format!("{}{query}", serving.address()))?;
        if file.ends_with(".md") {
            page.wait("ready", LOADING)?;
            page.press("#credits .link")?;
        }
        said(&page, words)?;
        let took = started.elapsed();
        ensure!(took < LOADING / 3, "{file} took {took:?}");
        page.close()?;
        found.push(format!("{file} {:.1} s", took.as_secs_f64()));
    }
    Ok(found.join(", "))
}

/// Manifests that an earlier visit kept, and that cannot be, are in no one's way; they are named
/// until they are deleted.
pub fn kept(fixture: &Fixture) -> Result<String> {
    let serving = Serving::start(fixture.site.clone(), 0, "", true)?;
    let address = format!("{}?backend=cpu", serving.address());
    let page = fixture.visit_at(&address)?;
    let mut bad = manifest(fixture.site.bundle())?;
    bad["shards"] = shards(3000);
    for (name, text) in [("many", bad.to_string()), ("junk", "junk".to_owned())] {
        page.evaluate(&format!(
            "(async () => {{ const address = new URL('./models/{name}/bundle.json', document.baseURI).href; \
             await (await caches.open('roentgen-web-v2')).put(new URL('./kept/manifest?' + new URLSearchParams({{address}}), document.baseURI), new Response({})); }})()",
            json!(text)
        ))?;
    }
    page.close()?;
    for left in [2, 1, 0] {
        let page = fixture.visit_at(&address)?;
        let asked = Instant::now();
        open_list(&page)?;
        let names = "[...document.querySelectorAll('#models li')].filter((line) => line.textContent.includes('Left out: ')).map((line) => line.querySelector('strong').textContent.split('/').at(-2))";
        page.until(&format!("{names}.length === {left}"))?;
        ensure!(
            asked.elapsed() < AT_ONCE,
            "the page was away for {:?}",
            asked.elapsed()
        );
        let named = page.evaluate(names)?;
        ensure!(
            named == json!(&["junk", "many"][..left][..]),
            "left out are {named}"
        );
        if let Some(last) = ["junk", "many"].get(left.wrapping_sub(1)) {
            page.press(&format!(
                "#models button[aria-label^=Delete][aria-label*='/{last}/']"
            ))?;
            page.until(&format!("{names}.length === {}", left - 1))?;
        }
        page.close()?;
    }
    Ok("2 of them, at three visits".to_owned())
}

/// The model with a card of this name and text.
fn with_card(bundle: &Path, name: &str, text: &str) -> Result<TempDir> {
    let folder = renamed(bundle, "carded")?;
    fs::write(folder.path().join(name), text)?;
    let file = folder.path().join("bundle.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file)?)?;
    manifest["model_card"] = name.into();
    fs::write(file, manifest.to_string())?;
    Ok(folder)
}

/// A card's scripts never run: one in HTML is not offered, and markup in Markdown is shown as it
/// is, from a site or a folder.
pub fn cards(fixture: &Fixture) -> Result<String> {
    let markup = "# A model\n<script>document.title = 'run';</script><img src=x onerror=\"document.title = 'run'\">\n";
    for (name, offered) in [
        ("card.md", true),
        ("CARD.TXT", true),
        ("card.html", false),
        ("card.svg", false),
    ] {
        let folder = with_card(fixture.site.bundle(), name, markup)?;
        let site = fixture.site.and("models/carded", folder.path());
        let serving = Serving::start(Arc::new(site), 0, "", true)?;
        let query = "?backend=cpu&bundle=./models/carded/";
        let page = Page::open(&fixture.browser, &format!("{}{query}", serving.address()))?;
        for local in [false, true] {
            if local {
                page.choose("#model-files", &[folder.path()])?;
            }
            at_work(&page, "carded")?;
            let buttons = page.evaluate("document.querySelectorAll('.link').length")?;
            ensure!(
                buttons == if offered { 2 } else { 0 },
                "{name}: {buttons} buttons"
            );
            let links = page.evaluate(
                "[...document.links].filter(({href}) => /carded|blob:/.test(href)).length",
            )?;
            ensure!(links == 0, "{name}: {links} links");
            if offered {
                let text = card(&page, "#credits .link")?;
                ensure!(text == markup, "{name}: {text}");
            }
        }
        let title = page.evaluate("document.title")?;
        ensure!(title != "run", "the script of {name} has run");
        fixture.all_quiet_of(&page, &serving)?;
        page.close()?;
    }
    Ok("4 kinds".to_owned())
}
