//! What people bring in a weight file's place.

use crate::support::*;
use roentgen_web::{checkpoint::ModelFolder, tensor::HostTensor};
use safetensors::Dtype;
use std::{fs, path::Path};

/// transformers leaves out what is not of the text encoder, and so does this, and says so.
#[test]
fn a_whole_clip_as_text_encoder() {
    let whole = weights(&golden());
    let folder = copy();
    let mut text = component(&whole, "text_encoder.");
    for key in [
        "text_projection.weight",
        "visual_projection.weight",
        "vision_model.post_layernorm.weight",
        "logit_scale",
    ] {
        let weight = HostTensor {
            shape: vec![1],
            data: vec![0.5],
        };
        text.insert(key.into(), weight);
    }
    let file = folder.path().join("text_encoder/model.safetensors");
    save(&file, &text, Dtype::F32);
    let model = ModelFolder::open(folder.path()).unwrap();
    let [note] = &model.notes[..] else {
        panic!("{:?}", model.notes)
    };
    let parts = "logit_scale, text_projection, vision_model, visual_projection";
    assert!(
        note.starts_with("4 tensors of text_encoder") && note.ends_with(parts),
        "{note}"
    );
    assert!(weights(folder.path()) == whole);
}

/// What lies in a weight file's place by accident is named.
#[test]
fn files_that_are_something_else() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let message = |dir: &Path| match ModelFolder::open(dir) {
        Err(error) => error.to_string(),
        Ok(model) => model
            .weights()
            .find_map(Result::err)
            .expect("an error")
            .to_string(),
    };
    for (content, word) in [
        (pointer, "Git LFS"),
        ("GGUF\x03\0\0\0", "GGUF"),
        ("<!DOCTYPE html><html><title>Sign in</title>", "web page"),
    ] {
        for file in [
            "unet/diffusion_pytorch_model.safetensors",
            "text_encoder/model.safetensors",
        ] {
            let folder = copy();
            fs::write(folder.path().join(file), content).unwrap();
            let text = message(folder.path());
            assert!(text.contains(file) && text.contains(word), "{text}");
        }
    }
    for file in [
        "tokenizer/vocab.json",
        "unet/config.json",
        "scheduler/scheduler_config.json",
    ] {
        let folder = copy();
        fs::write(folder.path().join(file), pointer).unwrap();
        let text = message(folder.path());
        assert!(
            text.contains(file) && text.contains("git lfs pull"),
            "{text}"
        );
    }
    // A file given in a folder's place.
    let folder = copy();
    let file = folder.path().join("model.gguf");
    fs::write(&file, "GGUF\x03\0\0\0").unwrap();
    assert!(message(&file).contains("GGUF"));
    // A shard of a bundle.
    let bundle = bundle_of(&ModelFolder::open(&golden()).unwrap());
    let shard = fs::read_dir(bundle.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let shard = shard
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .max()
        .unwrap();
    fs::write(shard, pointer).unwrap();
    assert!(message(bundle.path()).contains("Git LFS"));

    let folder = copy();
    let unet = folder.path().join("unet");
    let name = "diffusion_pytorch_model.safetensors";
    fs::rename(unet.join(name), unet.join("model_fp16.safetensors")).unwrap();
    let text = message(folder.path());
    assert!(
        text.contains("model_fp16.safetensors") && text.contains(name),
        "{text}"
    );
    fs::write(unet.join("other.ckpt"), "").unwrap();
    let text = message(folder.path());
    assert!(
        text.contains("model_fp16.safetensors, other.ckpt"),
        "{text}"
    );
}
