//! How many of a text encoder's layers are used.

use std::fs;
use std::path::{Path, PathBuf};

use roentgen_web::bundle::Precision;
use roentgen_web::checkpoint::Prediction;
use roentgen_web::parity::Files;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use train::exchange::import;

use crate::support::*;

/// The same file in float32 with as many layers of OpenCLIP, made of the two that are used and
/// their values in turn changed a little, the 24th by a lot.
fn with_layers(dir: &Path, layers: usize) -> PathBuf {
    const PREFIX: &str = "cond_stage_model.model.transformer.resblocks.";
    let bytes = fs::read(original(2)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut stored: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (key, view) in tensors.iter() {
        let own = |key: String, data| (key, view.dtype(), view.shape().to_vec(), data);
        let Some((layer, rest)) = key.strip_prefix(PREFIX).and_then(|key| key.split_once('.'))
        else {
            stored.push(own(key.into(), view.data().to_vec()));
            continue;
        };
        assert_eq!(view.dtype(), Dtype::F32);
        let layer: usize = layer.parse().unwrap();
        for copy in (layer..layers).step_by(2).filter(|_| layer < 2) {
            let by = if copy == 23 {
                7.0
            } else {
                1.0 + 0.01 * copy as f32
            };
            let values = view.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes(b.try_into().unwrap()) * by);
            stored.push(own(
                format!("{PREFIX}{copy}.{rest}"),
                values.flat_map(f32::to_le_bytes).collect(),
            ));
        }
    }
    let views = stored.iter().map(|(key, dtype, shape, data)| {
        (key, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let path = dir.join(format!("layers{layers}.safetensors"));
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// SD 2.x uses 23 of OpenCLIP's 24 layers, and some files hold those alone: both are the same
/// model, and any other number is refused unless a config says how many are used.
#[test]
fn layers_of_open_clip() {
    let dir = tempfile::tempdir().unwrap();
    let files = [22, 23, 24, 25].map(|layers| with_layers(dir.path(), layers));
    let beside = golden_configs(2);
    let config = beside.path().join("text_encoder/config.json");
    let text: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let set = |layers: Option<usize>| match layers {
        None => fs::remove_file(&config).unwrap(),
        Some(layers) => {
            let mut text = text.clone();
            text["num_hidden_layers"] = layers.into();
            fs::write(&config, text.to_string()).unwrap();
        }
    };
    let import = |file: &PathBuf| {
        let out = tempfile::tempdir().unwrap();
        let mut args = args(
            file.clone(),
            Some(beside.path().into()),
            Precision::F32,
            out.path(),
        );
        args.prediction = Some(Prediction::V);
        import::bundle(&args).map(|manifest| (manifest.tensors.len(), contents(out.path())))
    };
    let [_, _, whole, _] = &files;
    set(Some(23));
    let (tensors, expected) = import(whole).unwrap();
    for (file, configured, same) in [
        (&files[1], Some(23), true),
        (&files[1], None, true),
        (&files[2], None, true),
        (&files[1], Some(22), false),
        (&files[2], Some(24), false),
        (&files[0], Some(22), false),
    ] {
        set(configured);
        let (found, contents) =
            import(file).unwrap_or_else(|e| panic!("{file:?} {configured:?}: {e}"));
        let layers = configured.unwrap_or(23);
        assert_eq!(
            found,
            tensors + layers * 16 - 23 * 16,
            "{file:?} {configured:?}"
        );
        let weights = |files: &Files| -> Vec<String> {
            files
                .keys()
                .filter(|name| name.starts_with("weights"))
                .cloned()
                .collect()
        };
        assert_eq!(
            weights(&contents) == weights(&expected),
            same,
            "{file:?} {configured:?}"
        );
        if configured.is_none() {
            fs::write(&config, "").unwrap(); // for the next to remove or replace
        }
    }
    for (file, configured, words) in [
        (&files[0], None, "22 layers"),
        (&files[3], None, "25 layers"),
        (
            &files[0],
            Some(23),
            "22 layers where text_encoder/config.json says 23",
        ),
        (
            &files[2],
            Some(12),
            "24 layers where text_encoder/config.json says 12",
        ),
    ] {
        set(configured);
        let error = import(file).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        if configured.is_none() {
            fs::write(&config, "").unwrap();
        }
    }
}
