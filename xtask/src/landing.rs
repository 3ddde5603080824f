//! `cargo xtask landing`: the picture of an image forming that a visitor sees before the first
//! press, from the shipped model.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::bench::LIMIT;
use crate::browser::chrome;
use crate::browser::page::Page;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::Engine;
use crate::workspace::root;

/// Most bytes of the picture: a visitor's phone has it at once.
const MOST_BYTES: usize = 150_000;

/// Draws the image of `LANDING` (web/page/landing.js) in the page and puts its steps on one canvas;
/// the browser encodes it.
const DRAW: &str = r"(async () => {
  const {LANDING} = await import('./page/landing.js');
  const {Client} = await import('./engine/client.js');
  const {prompt, seed, side, steps, columns, model} = LANDING;
  const client = new Client();
  const address = new URL('./models/default/bundle.json', document.baseURI).href;
  let own;
  await client.load({bundle: address, backend: 'cpu'}, {onEvent: (event) => event.type === 'manifest' && (own = event.bundle.manifest)});
  const {guidance_scale, scheduler, num_inference_steps, width, height} = own.defaults;
  const pen = Object.assign(document.createElement('canvas'), {width: columns * side, height: Math.ceil(steps / columns) * side}).getContext('2d');
  const put = ({width, height, rgba}, i) => pen.putImageData(new ImageData(rgba, width, height), (i % columns) * side, Math.floor(i / columns) * side);
  const settings = {prompt, negative_prompt: '', seed, num_inference_steps, guidance_scale, scheduler, width, height, previews: true};
  const image = await client.generate(settings, {onEvent: ({type, step, preview}) => type === 'step' && preview && put(preview, step - 1)});
  put(image, num_inference_steps - 1);
  client.dispose();
  return {url: pen.canvas.toDataURL('image/webp', 0.8), fits: own.name === model && width === side && height === side && num_inference_steps === steps};
})()";

/// Writes `web/landing.webp`.
pub fn run() -> Result<()> {
    let site = Site::build(&Engine::ON_CPU, None)?;
    let serving = Serving::start(Arc::new(site), 0, "", false)?;
    let browser = chrome::launch(1280, 900)?;
    let page = Page::open(&browser, &format!("{}?backend=cpu", serving.address()))?;
    page.wait("ready", LIMIT)?;
    let drawn = page.evaluate(DRAW)?;
    ensure!(
        drawn["fits"] == true,
        "the shipped model has another name, size or number of steps than LANDING in web/page/landing.js says"
    );
    let url = drawn["url"].as_str().unwrap_or_default();
    let encoded = url.strip_prefix("data:image/webp;base64,");
    let bytes = BASE64_STANDARD.decode(encoded.context("the browser gives no WebP")?)?;
    ensure!(
        bytes.len() <= MOST_BYTES,
        "the picture has {} bytes, more than {MOST_BYTES}",
        bytes.len()
    );
    let file = root().join("web/landing.webp");
    fs::write(&file, &bytes).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}: {} bytes", file.display(), bytes.len());
    Ok(())
}
