//! `cargo xtask screenshot`: pictures of the page for its README, on a desktop and on a phone,
//! light and dark.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::bench::{LIMIT, guidance};
use crate::browser::chrome;
use crate::browser::page::Page;
use crate::native::Settings;
use crate::serve::Serving;
use crate::site::{PICTURES, Site};
use crate::wasm::Engine;
use crate::workspace::root;

/// What `screenshot` can be told.
#[derive(Args)]
pub struct Options {
    /// Where to write the four pictures (WebP) [default: web/screenshots]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What the radiograph shows
    #[arg(
        long,
        default_value = "PA chest radiograph of a 60-year-old woman. Marked cardiomegaly."
    )]
    prompt: String,
    /// Seed of the noise
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// Denoising steps
    #[arg(long, default_value_t = 20)]
    steps: u32,
    /// Guidance [default: the model's]
    #[arg(long)]
    guidance: Option<f64>,
    /// The model [default: models/default]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
}

/// Windows: a name, width and height in CSS pixels. The phone's is that of an iPhone 14.
const WINDOWS: [(&str, u32, u32); 2] = [("desktop", 1280, 900), ("phone", 390, 844)];

/// Pixels of the picture for each CSS pixel.
const SCALE: f64 = 2.0;

/// Draws an image in each window and takes pictures of the page with it.
pub fn run(options: &Options) -> Result<()> {
    let folder = options
        .out
        .clone()
        .unwrap_or_else(|| root().join("web").join(PICTURES));
    fs::create_dir_all(&folder)?;
    let site = Site::build(&Engine::ON_CPU, options.bundle.as_deref())?;
    let serving = Serving::start(Arc::new(site), 0, "", false)?;
    let browser = chrome::launch(1280, 900)?;
    for (window, width, height) in WINDOWS {
        let page = Page::open(&browser, "about:blank")?;
        page.resize(width, height, SCALE)?; // the page looks at its width while it loads
        page.go(&format!("{}?backend=cpu", serving.address()))?;
        page.wait("ready", LIMIT)?;
        let settings = Settings {
            prompt: options.prompt.clone().into(),
            negative_prompt: "".into(),
            seed: options.seed,
            steps: options.steps,
            guidance: options.guidance.map_or_else(|| guidance(&page), Ok)?,
            scheduler: "",
            size: None,
        };
        page.generate(&settings, LIMIT)?;
        // Filling the form opened what is closed at first.
        page.evaluate("document.activeElement?.blur(), document.querySelectorAll('.tune details').forEach((part) => part.removeAttribute('open')), scrollTo({top: 0, behavior: 'instant'})")?;
        for scheme in ["light", "dark"] {
            page.prefer("prefers-color-scheme", scheme)?;
            std::thread::sleep(Duration::from_millis(1000)); // transitions end
            let file = folder.join(format!("{window}-{scheme}.webp"));
            let picture = page.screenshot()?;
            fs::write(&file, &picture)
                .with_context(|| format!("cannot write {}", file.display()))?;
            println!("{}: {} bytes", file.display(), picture.len());
        }
        page.close()?;
    }
    Ok(())
}
