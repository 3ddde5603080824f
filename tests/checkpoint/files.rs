//! Checkpoint folders in all the ways in which `save_pretrained` has written them give the same
//! weights.

use crate::support::*;
use roentgen_web::{bundle::Manifest, checkpoint::ModelFolder, tensor::HostTensor};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, path::Path};

#[test]
fn settings_and_names_of_a_checkpoint() {
    let model = ModelFolder::open(&golden()).unwrap();
    assert_eq!(model.name, "pipeline_sd1");
    assert_eq!(
        (
            model.defaults.num_inference_steps,
            model.defaults.guidance_scale
        ),
        (50, 7.5)
    );
    let factor = model.configs.vae.downscale();
    let size = model.configs.unet.sample_size.unwrap();
    assert_eq!(
        [model.defaults.height, model.defaults.width],
        [size.height * factor, size.width * factor]
    );
    assert_eq!(model.notes, [""; 0]);
    assert_eq!(model.tokenizer.model_max_length(), 77);
    let weights = weights(&golden());
    for name in [
        "unet.conv_in.weight",
        "vae.decoder.conv_in.weight",
        "text_encoder.final_layer_norm.weight",
    ] {
        assert!(weights.contains_key(name), "{name}");
    }
}

#[test]
fn half_precision_variants_and_shards_with_an_index() {
    let whole = weights(&golden());
    let unet = component(&whole, "unet.");
    for (dtype, error, name, index) in [
        (
            Dtype::F16,
            1e-3,
            "diffusion_pytorch_model.fp16",
            "diffusion_pytorch_model.safetensors.index.fp16.json",
        ),
        (
            Dtype::BF16,
            1e-2,
            "diffusion_pytorch_model",
            "diffusion_pytorch_model.safetensors.index.json",
        ),
    ] {
        for sharded in [false, true] {
            let folder = copy();
            let dir = folder.path().join("unet");
            fs::remove_file(dir.join("diffusion_pytorch_model.safetensors")).unwrap();
            if sharded {
                let (mut map, mut halves) = (Map::new(), [BTreeMap::new(), BTreeMap::new()]);
                for (i, (key, weight)) in unet.clone().into_iter().enumerate() {
                    map.insert(
                        key.clone(),
                        json!(format!("{name}-0000{}-of-00002.safetensors", i % 2 + 1)),
                    );
                    halves[i % 2].insert(key, weight);
                }
                for (i, half) in halves.iter().enumerate() {
                    save(
                        &dir.join(format!("{name}-0000{}-of-00002.safetensors", i + 1)),
                        half,
                        dtype,
                    );
                }
                fs::write(
                    dir.join(index),
                    json!({"metadata": {}, "weight_map": map}).to_string(),
                )
                .unwrap();
            } else {
                save(&dir.join(format!("{name}.safetensors")), &unet, dtype);
            }
            let read = weights(folder.path());
            assert!(read.keys().eq(whole.keys()));
            for (key, weight) in &whole {
                assert_eq!(weight.shape, read[key].shape);
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= a.abs() * error + 1e-6;
                assert!(weight.data.iter().zip(&read[key].data).all(close), "{key}");
            }
        }
    }
}

#[test]
fn names_of_older_releases() {
    let whole = weights(&golden());
    let folder = copy();
    let rename = |component: &BTreeMap<String, HostTensor>,
                  names: &[(&str, &str)]|
     -> BTreeMap<String, HostTensor> {
        let new = |key: &String| {
            names
                .iter()
                .fold(key.clone(), |key, (new, old)| key.replace(new, old))
        };
        component
            .iter()
            .map(|(key, weight)| (new(key), weight.clone()))
            .collect()
    };
    let attention = [
        (".to_q.", ".query."),
        (".to_k.", ".key."),
        (".to_v.", ".value."),
        (".to_out.0.", ".proj_attn."),
    ];
    let vae = rename(&component(&whole, "vae."), &attention);
    assert!(vae.contains_key("decoder.mid_block.attentions.0.proj_attn.weight"));
    save(
        &folder
            .path()
            .join("vae/diffusion_pytorch_model.safetensors"),
        &vae,
        Dtype::F32,
    );
    let text = component(&whole, "text_encoder.");
    let mut text: BTreeMap<_, _> = text
        .into_iter()
        .map(|(key, w)| (format!("text_model.{key}"), w))
        .collect();
    save(
        &folder.path().join("text_encoder/model.safetensors"),
        &text,
        Dtype::F32,
    );
    assert!(weights(folder.path()) == whole);

    // A buffer of positions in int64, which is no weight; any other tensor of integers is an error.
    let position = HostTensor {
        shape: vec![1, 1],
        data: vec![0.0, 0.0],
    };
    for (key, expected) in [
        ("embeddings.position_ids", "ok"),
        ("embeddings.others", "tensor-type"),
    ] {
        let key = format!("text_model.{key}");
        text.insert(key.clone(), position.clone());
        let stored: Vec<_> = text
            .iter()
            .map(|(k, w)| {
                (
                    k,
                    w.shape.clone(),
                    w.data
                        .iter()
                        .flat_map(|x| x.to_le_bytes())
                        .collect::<Vec<u8>>(),
                )
            })
            .collect();
        let dtype = |name: &str| if name == key { Dtype::I64 } else { Dtype::F32 };
        let views = stored
            .iter()
            .map(|(k, shape, data)| (k, TensorView::new(dtype(k), shape.clone(), data).unwrap()));
        fs::write(
            folder.path().join("text_encoder/model.safetensors"),
            safetensors::serialize(views, None).unwrap(),
        )
        .unwrap();
        assert_eq!(code(folder.path()), expected, "{key}");
        text.remove(&key);
    }
}

#[test]
fn a_checkpoint_becomes_a_bundle_and_stays_the_same() {
    becomes_a_bundle(&golden());
    becomes_a_bundle(&golden().with_file_name("pipeline_dc"));
}

fn becomes_a_bundle(checkpoint: &Path) {
    let model = ModelFolder::open(checkpoint).unwrap();
    let folder = bundle_of(&model);
    let manifest = Manifest::parse(&fs::read(folder.path().join("bundle.json")).unwrap()).unwrap();
    assert!(manifest.shards.len() > 3);
    let bundle = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(
        (&bundle.name[..], &bundle.configs),
        ("Random", &model.configs)
    );
    let prompt = "PA chest radiograph! Größe <|endoftext|>";
    assert_eq!(
        bundle.tokenizer.encode(prompt).unwrap(),
        model.tokenizer.encode(prompt).unwrap()
    );
    assert!(weights(folder.path()) == weights(checkpoint));

    let last = folder.path().join(&manifest.shards.last().unwrap().file);
    let mut bytes = fs::read(&last).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&last, &bytes).unwrap();
    assert_eq!(code(folder.path()), "hash");
    bytes.pop();
    fs::write(&last, &bytes).unwrap();
    assert_eq!(code(folder.path()), "file-size");
    fs::remove_file(&last).unwrap();
    assert_eq!(code(folder.path()), "io");
}

#[test]
fn folders_that_are_no_models() {
    let folder = copy();
    let index = folder
        .path()
        .join("unet/diffusion_pytorch_model.safetensors.index.json");
    let weights = folder
        .path()
        .join("unet/diffusion_pytorch_model.safetensors");
    fs::rename(&weights, folder.path().join("unet/a.safetensors")).unwrap();
    assert_eq!(code(folder.path()), "model-folder");
    let set = |value: Value| fs::write(&index, value.to_string()).unwrap();
    set(json!({"weight_map": {"conv_in.weight": "../unet/a.safetensors"}}));
    assert_eq!(code(folder.path()), "file-name");
    set(json!({"weight_map": 3}));
    assert_eq!(code(folder.path()), "json");
    set(json!({"weight_map": {"conv_in.weight": "b.safetensors"}}));
    assert_eq!(code(folder.path()), "io");
    fs::copy(
        folder.path().join("unet/a.safetensors"),
        folder.path().join("unet/b.safetensors"),
    )
    .unwrap();
    set(json!({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}));
    assert_eq!(code(folder.path()), "duplicate-tensor");
    set(json!({"weight_map": {"x": "a.safetensors"}}));
    assert_eq!(code(folder.path()), "ok");

    fs::write(folder.path().join("model_index.json"), "{").unwrap();
    assert_eq!(code(folder.path()), "json");
    fs::remove_file(folder.path().join("model_index.json")).unwrap();
    assert_eq!(code(folder.path()), "ok");
    fs::write(folder.path().join("scheduler/scheduler_config.json"), "7").unwrap();
    assert_eq!(code(folder.path()), "config");
    fs::remove_dir_all(folder.path().join("scheduler")).unwrap();
    assert_eq!(code(folder.path()), "model-folder");
    assert_eq!(code(&folder.path().join("nowhere")), "model-folder");
}
