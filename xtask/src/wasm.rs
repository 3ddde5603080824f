//! The two engines of the page: the root crate for wasm, once for the CPU and once for WebGPU, with the JavaScript beside each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;

use crate::toolchain::{TARGET, Toolchain};
use crate::workspace::{run, target};

/// Name of the JavaScript file; the wasm beside it is `roentgen_web_bg.wasm`.
const NAME: &str = "roentgen_web";

/// Every browser with WebGPU has SIMD, so that both engines can share what does not depend on the backend.
const RUSTFLAGS: &str = "-C target-feature=+simd128";

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Engine {
    /// burn's flex backend on one CPU thread.
    Cpu,
    /// burn's wgpu backend on WebGPU.
    Gpu,
}

impl Engine {
    /// Both.
    pub const ALL: [Engine; 2] = [Engine::Cpu, Engine::Gpu];

    /// The cargo feature, and the folder under `pkg/`.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Cpu => "cpu",
            Engine::Gpu => "gpu",
        }
    }
}

/// Builds an engine where it is not fresh; the folder with its two files.
pub fn build(engine: Engine) -> Result<PathBuf> {
    // A folder of its own: the compiler may be another one than for everything else, and the two can be built side by side.
    let wasm_target = target().join("wasm");
    let toolchain = Toolchain::find()?;
    println!("building the {} engine", engine.name());
    run(toolchain
        .cargo("rustc")
        .args([
            "--package",
            "roentgen-web",
            "--lib",
            "--crate-type",
            "cdylib",
            "--profile",
            "wasm",
            "--locked",
        ])
        .args(["--no-default-features", "--features", engine.name()])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS)
        .env("CARGO_TARGET_DIR", &wasm_target))?;
    let wasm = wasm_target
        .join(TARGET)
        .join("wasm")
        .join(NAME)
        .with_extension("wasm");
    let package = wasm_target.join("pkg").join(engine.name());
    bind(&wasm, &package)?;
    Ok(package)
}

/// Writes the JavaScript and the wasm that belongs to it, unless `folder` holds what was made from this very `wasm`.
fn bind(wasm: &Path, folder: &Path) -> Result<()> {
    let made_from =
        fs::metadata(wasm).with_context(|| format!("cargo has not written {}", wasm.display()))?;
    let stamp = format!("{} bytes, {:?}", made_from.len(), made_from.modified()?);
    let stamp_file = folder.join(".made-from");
    if fs::read_to_string(&stamp_file).is_ok_and(|known| known == stamp) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen
        .input_path(wasm)
        .out_name(NAME)
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    let generated = bindgen
        .web(true)
        .and_then(|bindgen| bindgen.generate(folder));
    generated.map_err(|error| anyhow!("wasm-bindgen cannot read {}: {error:#}", wasm.display()))?;
    fs::write(stamp_file, stamp)?;
    Ok(())
}

/// Sizes of an engine's wasm in bytes.
pub fn size(package: &Path) -> Result<u64> {
    Ok(fs::metadata(package.join(format!("{NAME}_bg.wasm")))?.len())
}
