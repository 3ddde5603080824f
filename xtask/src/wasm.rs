//! The engines of the page: the root crate for wasm, for the CPU with one thread and with several,
//! and for WebGPU, with the JavaScript beside each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;

use crate::toolchain::{TARGET, Toolchain};
use crate::workspace::{run, target};

/// Name of the JavaScript file; the wasm beside it is `roentgen_web_bg.wasm`.
const NAME: &str = "roentgen_web";

/// Names the wasm that a folder was made from.
const STAMP: &str = ".made-from";

/// Every browser with WebGPU has SIMD, so that the engines can share what does not depend on the
/// backend.
const SIMD: &str = "-C target-feature=+simd128";

/// What threads need beside it.
const ATOMICS: &str = "-C target-feature=+simd128,+atomics,+bulk-memory";

/// The memory of threads: it comes from outside and has a greatest size, 4 GiB, and each thread
/// makes its own variables in it.
const SHARED_MEMORY: [&str; 8] = [
    "--shared-memory",
    "--import-memory",
    "--max-memory=4294967296",
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__tls_base",
    "--export=__heap_base",
];

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Engine {
    /// burn's flex backend on one CPU thread.
    Cpu,
    /// burn's wgpu backend on WebGPU.
    Gpu,
    /// burn's flex backend on several CPU threads.
    CpuThreads,
}

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    /// Visitors.
    Release,
    /// Tests, benchmarks and the measuring page: with the feature `testing`.
    Testing,
}

impl Engine {
    /// All, in the order in which they are built: the last is for the second visit.
    pub const ALL: [Engine; 3] = [Engine::Cpu, Engine::Gpu, Engine::CpuThreads];

    /// Those that compute on the CPU: which of them a visit takes is for the browser to say.
    pub const ON_CPU: [Engine; 2] = [Engine::Cpu, Engine::CpuThreads];

    /// Where the page looks for it.
    pub fn address(self) -> String {
        format!("pkg/{}", self.name())
    }

    /// Where the measuring page looks for it, if it takes it.
    pub fn measuring(self) -> Option<String> {
        (self != Engine::CpuThreads).then(|| format!("pkg/measure/{}", self.name()))
    }

    /// As it is called in addresses, and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Cpu => "cpu",
            Engine::Gpu => "gpu",
            Engine::CpuThreads => "cpu-threads",
        }
    }

    /// Whether its folder holds one for tests, of this state of the code or an older one.
    pub fn is_built(self) -> bool {
        self.package(Purpose::Testing).join(STAMP).exists()
    }

    /// What the page has by it.
    pub fn gives(self) -> &'static str {
        match self {
            Engine::Cpu => "the CPU",
            Engine::Gpu => "graphics cards",
            Engine::CpuThreads => "several CPU threads",
        }
    }

    /// The backend in it, as the page and the crate call it.
    pub fn backend(self) -> &'static str {
        match self {
            Engine::Cpu | Engine::CpuThreads => "cpu",
            Engine::Gpu => "gpu",
        }
    }

    /// The features of the crate.
    fn features(self, purpose: Purpose) -> String {
        let features = match self {
            Engine::CpuThreads => "cpu,workers",
            _ => self.backend(),
        };
        match purpose {
            Purpose::Release => features.to_owned(),
            Purpose::Testing => format!("{features},testing"),
        }
    }

    /// Where cargo puts what it builds. These are no folders of everything else's: the compiler may
    /// be another one, they can be built side by side, and nothing of one without atomics is of use
    /// to one with them.
    fn target(self) -> PathBuf {
        target().join(match self {
            Engine::CpuThreads => "wasm-threads",
            _ => "wasm",
        })
    }

    /// The folder with the two files that the page fetches.
    pub fn package(self, purpose: Purpose) -> PathBuf {
        let packages = match purpose {
            Purpose::Release => "release",
            Purpose::Testing => "pkg",
        };
        self.target().join(packages).join(self.name())
    }
}

/// Builds an engine where it is not fresh; the folder with its two files.
pub fn build(engine: Engine, purpose: Purpose) -> Result<PathBuf> {
    let threads = engine == Engine::CpuThreads;
    let toolchain = if threads {
        Toolchain::with_source()?
    } else {
        Toolchain::find()?
    };
    let whose = match purpose {
        Purpose::Release => "",
        Purpose::Testing => " for tests",
    };
    println!("building the {} engine{whose}", engine.name());
    let mut rustc = toolchain.cargo("rustc");
    rustc
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
        .args(["--no-default-features", "--features"])
        .arg(engine.features(purpose))
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            if threads { ATOMICS } else { SIMD },
        )
        .env("CARGO_TARGET_DIR", engine.target());
    if threads {
        rustc.arg("--"); // of the engine alone: another one compiles nothing else anew
        for flag in SHARED_MEMORY {
            rustc.args(["-C", &format!("link-arg={flag}")]);
        }
    }
    run(&mut rustc)?;
    let wasm = engine
        .target()
        .join(TARGET)
        .join("wasm")
        .join(NAME)
        .with_extension("wasm");
    let package = engine.package(purpose);
    bind(&wasm, &package)?;
    Ok(package)
}

/// Writes the JavaScript and the wasm that belongs to it, unless `folder` holds what was made from
/// this very `wasm`.
fn bind(wasm: &Path, folder: &Path) -> Result<()> {
    let made_from =
        fs::metadata(wasm).with_context(|| format!("cargo has not written {}", wasm.display()))?;
    let stamp = format!("{} bytes, {:?}", made_from.len(), made_from.modified()?);
    let stamp_file = folder.join(STAMP);
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
