//! What is wrong with a single file is named.

use std::fs;
use std::path::{Path, PathBuf};

use roentgen_web::bundle::Precision;
use safetensors::SafeTensors;

use crate::support::*;

/// A copy of an original file with its tensors renamed, or left out.
fn altered(dir: &Path, rename: impl Fn(&str) -> Option<String>) -> PathBuf {
    let bytes = fs::read(original(1)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let views: Vec<_> = tensors
        .iter()
        .filter_map(|(key, view)| Some((rename(key)?, view)))
        .collect();
    let path = dir.join("altered.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let sd1 = golden("pipeline_sd1");
    let code = |checkpoint: PathBuf, configs: Option<&Path>| {
        let error = import(checkpoint, configs.map(Path::to_path_buf), Precision::Q8).unwrap_err();
        (error.code(), error.to_string())
    };
    let beside = golden_configs(2);
    fs::remove_file(beside.path().join("scheduler/scheduler_config.json")).unwrap();
    let (kind, words) = code(original(2), Some(beside.path()));
    assert!(
        kind == "request" && words.starts_with("prediction"),
        "{words}"
    );
    let (kind, words) = code(original(1), None);
    assert!(kind == "request" && words.starts_with("configs"), "{words}");
    let pickle = dir.path().join("model.ckpt");
    fs::write(&pickle, b"PK\x03\x04 cut off").unwrap();
    let (kind, words) = code(pickle, Some(&sd1));
    assert!(
        kind == "config" && words.contains("weights_only=True"),
        "{words}"
    );
    // Inferred for the real Stable Diffusion, whose 32 groups these widths have not.
    let (kind, words) = code(original(1), Some(tokenizer_only(1).path()));
    assert!(
        kind == "config" && words.contains("norm_num_groups"),
        "{words}"
    );

    let out_weight = "model.diffusion_model.out.2.weight";
    for (rename, kind, word) in [
        (None, "missing-tensor", "unet.conv_out.weight"),
        (
            Some("model.diffusion_model.out.3.weight"),
            "unknown-tensor",
            "out.3",
        ),
    ] {
        let file = altered(dir.path(), |key| {
            if key == out_weight {
                rename.map(str::to_owned)
            } else {
                Some(key.into())
            }
        });
        let (found, words) = code(file, Some(&sd1));
        assert!(found == kind && words.contains(word), "{words}");
    }
    // A whole CLIP as text encoder.
    let projection = "cond_stage_model.transformer.text_projection.weight";
    let whole_clip = altered(dir.path(), |key| {
        Some(
            if key == "alphas_cumprod" {
                projection
            } else {
                key
            }
            .into(),
        )
    });
    import(whole_clip, Some(sd1.clone()), Precision::Q8).unwrap();
    let no_unet = altered(dir.path(), |key| {
        (!key.starts_with("model.diffusion_model.")).then(|| key.into())
    });
    let (kind, words) = code(no_unet, Some(&sd1));
    assert!(kind == "config" && words.contains("U-Net"), "{words}");
    let bundle = import(sd1, None, Precision::Q8).unwrap();
    let (kind, words) = code(bundle.path().into(), None);
    assert!(kind == "config" && words.contains("bundle"), "{words}");
}
