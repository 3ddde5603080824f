//! The golden checkpoints, and importing them.

use std::fs;
use std::path::{Path, PathBuf};

use roentgen_web::Error;
use roentgen_web::bundle::Policy;
use roentgen_web::parity::Files;
use tempfile::TempDir;
use train::exchange::import::{self, Import, Target};

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/reference/goldens")
        .join(name)
}

pub fn original(family: u8) -> PathBuf {
    golden(&format!("original_sd{family}")).join("model.safetensors")
}

/// Into a folder of its own.
pub fn import(
    checkpoint: PathBuf,
    configs: Option<PathBuf>,
    quantize: impl Into<Policy>,
) -> Result<TempDir, Error> {
    let out = tempfile::tempdir().unwrap();
    import::run(&args(checkpoint, configs, quantize, out.path()))?;
    Ok(out)
}

pub fn args(
    checkpoint: PathBuf,
    configs: Option<PathBuf>,
    quantize: impl Into<Policy>,
    out: &Path,
) -> Import {
    Import {
        checkpoint,
        configs,
        prediction: None,
        decoder: None,
        lora: vec![],
        to: Target::Bundle,
        quantize: quantize.into(),
        out: out.into(),
        name: Some("Random".into()),
        license: "MIT".into(),
        attribution: String::new(),
    }
}

/// All of a folder's files with their contents.
pub fn contents(dir: &Path) -> Files {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// A folder with the tokenizer of a golden and nothing else.
pub fn tokenizer_only(family: u8) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = golden(&format!("pipeline_sd{family}")).join("tokenizer");
    fs::create_dir(dir.path().join("tokenizer")).unwrap();
    for (name, bytes) in contents(&from) {
        fs::write(dir.path().join("tokenizer").join(name), bytes).unwrap();
    }
    dir
}

/// A folder with the tokenizer and the configs of a golden and no weights.
pub fn golden_configs(family: u8) -> TempDir {
    let dir = tokenizer_only(family);
    for component in ["text_encoder", "unet", "vae", "scheduler"] {
        let from = golden(&format!("pipeline_sd{family}")).join(component);
        fs::create_dir(dir.path().join(component)).unwrap();
        for (name, bytes) in contents(&from)
            .into_iter()
            .filter(|(name, _)| name.ends_with("config.json"))
        {
            fs::write(dir.path().join(component).join(name), bytes).unwrap();
        }
    }
    dir
}
