//! The golden checkpoint, changed and read.

use crate::common::copy_folder;
use half::f16;
use roentgen_web::{
    bundle::{BundleInfo, BundleWriter, Precision},
    checkpoint::ModelFolder,
    tensor::HostTensor,
    weights::Weights,
};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A checkpoint with random weights as diffusers 0.42 and transformers 5 save it.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/goldens/pipeline_sd1")
}

pub fn weights(dir: &Path) -> Weights {
    let mut all = Weights::new();
    for part in ModelFolder::open(dir).expect("a model").weights() {
        all.extend(part.expect("weights"));
    }
    all
}

/// The code of the error that opening the folder or reading its weights ends with.
pub fn code(dir: &Path) -> &'static str {
    match ModelFolder::open(dir) {
        Err(error) => error.code(),
        Ok(model) => {
            let parts: Vec<_> = model.weights().collect();
            let (last, before) = parts.split_last().expect("parts");
            assert!(
                before.iter().all(Result::is_ok),
                "something came after an error"
            );
            last.as_ref().err().map_or("ok", |error| error.code())
        }
    }
}

pub fn copy() -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_folder(&golden(), to.path());
    to
}

/// Saves tensors under these names in a format.
pub fn save(path: &Path, tensors: &BTreeMap<String, HostTensor>, dtype: Dtype) {
    let bytes = |w: &HostTensor| -> Vec<u8> {
        match dtype {
            Dtype::F16 => w
                .data
                .iter()
                .flat_map(|x| f16::from_f32(*x).to_le_bytes())
                .collect(),
            // The upper half of an f32.
            Dtype::BF16 => w
                .data
                .iter()
                .flat_map(|x| [x.to_le_bytes()[2], x.to_le_bytes()[3]])
                .collect(),
            _ => w.data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    };
    let stored: Vec<_> = tensors
        .iter()
        .map(|(name, w)| (name, w.shape.clone(), bytes(w)))
        .collect();
    let views = stored
        .iter()
        .map(|(name, shape, data)| (name, TensorView::new(dtype, shape.clone(), data).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// One component's tensors under the checkpoint's own names.
pub fn component(all: &Weights, prefix: &str) -> BTreeMap<String, HostTensor> {
    let own = |(name, weight): (&String, &HostTensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), weight.clone()))
    };
    all.iter().filter_map(own).collect()
}

/// Changes keys of a JSON file; `null` is a value.
pub fn edit(file: &Path, keys: Value) {
    let mut config: Map<String, Value> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    config.extend(keys.as_object().unwrap().clone());
    fs::write(file, json!(config).to_string()).unwrap();
}

/// A bundle of the same numbers, in several shards.
pub fn bundle_of(model: &ModelFolder) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        BundleWriter::with_shard_bytes(folder.path(), Precision::F32, 100_000).unwrap();
    for part in model.weights() {
        for (name, weight) in part.unwrap() {
            writer.add(&name, &weight).unwrap();
        }
    }
    let info = BundleInfo {
        name: "Random".into(),
        model_card: None,
        license: "MIT".into(),
        attribution: String::new(),
        intended_use: "Tests".into(),
        components: model.configs.clone(),
        defaults: model.defaults.clone(),
        examples: vec![],
    };
    writer.finish(info, &model.tokenizer).unwrap();
    folder
}
