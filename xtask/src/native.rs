//! The native program, as the reference for what the page draws.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::RgbaImage;

use crate::workspace::{cargo, command, run, target};

/// What gives an image.
#[derive(Clone, Debug)]
pub struct Settings {
    pub prompt: Cow<'static, str>,
    pub negative_prompt: Cow<'static, str>,
    pub seed: u64,
    pub steps: u32,
    pub guidance: f64,
    /// As in the page's list and in `--scheduler`; empty for the model's own.
    pub scheduler: &'static str,
    /// Width and height; `None` for the model's own.
    pub size: Option<(u32, u32)>,
}

/// Builds `roentgen` with the features it has in the tests, so that nothing is built a second time.
pub fn build() -> Result<PathBuf> {
    run(&mut cargo(&["build", "--quiet", "--workspace", "--bins"]))?;
    Ok(target()
        .join("debug")
        .join(format!("roentgen{}", std::env::consts::EXE_SUFFIX)))
}

/// Draws on the CPU.
pub fn generate(roentgen: &Path, model: &Path, settings: &Settings) -> Result<RgbaImage> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("native.png");
    save(roentgen, model, settings, &out)?;
    Ok(image::open(&out)
        .with_context(|| format!("cannot read what {} wrote", roentgen.display()))?
        .into_rgba8())
}

/// Draws on the CPU, into a file.
pub fn save(roentgen: &Path, model: &Path, settings: &Settings, out: &Path) -> Result<()> {
    let mut generate = command(roentgen);
    generate
        .arg("generate")
        .arg("--model")
        .arg(model)
        .args(["--backend", "cpu", "--prompt", &settings.prompt])
        .arg("--out")
        .arg(out);
    generate.args([
        "--seed",
        &settings.seed.to_string(),
        "--steps",
        &settings.steps.to_string(),
    ]);
    generate.args(["--guidance", &settings.guidance.to_string()]);
    if let Some((width, height)) = settings.size {
        generate.args(["--width", &width.to_string()]);
        generate.args(["--height", &height.to_string()]);
    }
    for (name, value) in [
        ("--negative", &*settings.negative_prompt),
        ("--scheduler", settings.scheduler),
    ] {
        if !value.is_empty() {
            generate.args([name, value]);
        }
    }
    run(generate
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null()))
}
