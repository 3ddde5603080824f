//! Checkpoint folders in all the ways in which `save_pretrained` has written them give the same weights.

use burn::prelude::*;
use half::f16;
use roentgen_web::{
    bundle::{BundleInfo, BundleWriter, Manifest, Precision},
    checkpoint::{LoraFile, ModelFolder},
    latents::scheduler::{Scheduler, SchedulerKind},
    pipeline::PipelineBuilder,
    weights::{Weight, Weights},
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
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/goldens/pipeline_sd1")
}

fn weights(dir: &Path) -> Weights {
    let mut all = Weights::new();
    for part in ModelFolder::open(dir).expect("a model").weights() {
        all.extend(part.expect("weights"));
    }
    all
}

/// The code of the error that opening the folder or reading its weights ends with.
fn code(dir: &Path) -> &'static str {
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

fn copy() -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_folder(&golden(), to.path());
    to
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Saves tensors under these names in a format.
fn save(path: &Path, tensors: &BTreeMap<String, Weight>, dtype: Dtype) {
    let bytes = |w: &Weight| -> Vec<u8> {
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
fn component(all: &Weights, prefix: &str) -> BTreeMap<String, Weight> {
    let own = |(name, weight): (&String, &Weight)| {
        Some((name.strip_prefix(prefix)?.to_owned(), weight.clone()))
    };
    all.iter().filter_map(own).collect()
}

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
    let rename = |component: &BTreeMap<String, Weight>,
                  names: &[(&str, &str)]|
     -> BTreeMap<String, Weight> {
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
    let position = Weight {
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

/// A bundle of the same numbers, in several shards.
fn bundle_of(model: &ModelFolder) -> TempDir {
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

/// Changes keys of a JSON file; `null` is a value.
fn edit(file: &Path, keys: Value) {
    let mut config: Map<String, Value> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    config.extend(keys.as_object().unwrap().clone());
    fs::write(file, json!(config).to_string()).unwrap();
}

/// What diffusers and transformers accept for the same model, key by key of their config classes.
#[test]
fn configs_in_other_spellings() {
    let plain = ModelFolder::open(&golden()).unwrap();
    let whole = weights(&golden());
    for (file, keys) in [
        ("unet/config.json", json!({"sample_size": [8, 8]})),
        ("unet/config.json", json!({"act_fn": "swish"})),
        ("unet/config.json", json!({"act_fn": "SiLU"})),
        (
            "unet/config.json",
            json!({"only_cross_attention": [false, false]}),
        ),
        (
            "unet/config.json",
            json!({"mid_block_only_cross_attention": false}),
        ),
        (
            "unet/config.json",
            json!({"dropout": 0.1, "upcast_attention": true}),
        ),
        ("unet/config.json", json!({"time_embedding_dim": 64})),
        ("unet/config.json", json!({"layers_per_block": [1, 1]})),
        (
            "unet/config.json",
            json!({"cross_attention_dim": [24, 24], "transformer_layers_per_block": [1, 1]}),
        ),
        ("unet/config.json", json!({"attention_head_dim": [4, 4]})),
        (
            "unet/config.json",
            json!({"num_attention_heads": null, "class_embed_type": null}),
        ),
        (
            "unet/config.json",
            json!({"down_block_types": ["UNetResCrossAttnDownBlock2D", "UNetResDownBlock2D"]}),
        ),
        (
            "unet/config.json",
            json!({"projection_class_embeddings_input_dim": 99999999}),
        ),
        (
            "vae/config.json",
            json!({"sample_size": [32, 32], "act_fn": "swish", "force_upcast": true}),
        ),
        (
            "vae/config.json",
            json!({"down_block_types": ["UNetResDownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"]}),
        ),
        (
            "text_encoder/config.json",
            json!({"attention_dropout": 0.1, "projection_dim": 7, "eos_token_id": 2}),
        ),
    ] {
        let folder = copy();
        edit(&folder.path().join(file), keys.clone());
        let model = ModelFolder::open(folder.path()).unwrap_or_else(|e| panic!("{keys}: {e}"));
        let (configs, tokenizer) = (model.configs.clone(), model.tokenizer.clone());
        let mut builder = PipelineBuilder::new(configs, tokenizer, &Device::flex())
            .unwrap_or_else(|e| panic!("{keys}: {e}"));
        assert_eq!(model.defaults, plain.defaults, "{keys}");
        for part in model.weights() {
            builder = builder.apply(part.unwrap()).unwrap();
        }
        builder.finish().unwrap_or_else(|e| panic!("{keys}: {e}"));
        assert!(weights(folder.path()) == whole);
    }
    // A model of images that are not square, height first.
    let folder = copy();
    edit(
        &folder.path().join("unet/config.json"),
        json!({"sample_size": [8, 12]}),
    );
    let model = ModelFolder::open(folder.path()).unwrap();
    assert_eq!((model.defaults.height, model.defaults.width), (32, 48));
    let sizes = serde_json::to_value(&model.configs.unet).unwrap()["sample_size"].clone();
    assert_eq!(sizes, json!([8, 12]));
    // The config of a whole CLIP has that of its text encoder inside; what it leaves out is transformers' default.
    let folder = copy();
    let file = folder.path().join("text_encoder/config.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for default in ["max_position_embeddings", "hidden_act", "layer_norm_eps"] {
        text.as_object_mut().unwrap().remove(default);
    }
    fs::write(
        &file,
        json!({"model_type": "clip", "text_config": text}).to_string(),
    )
    .unwrap();
    let model = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(model.configs.text_encoder, plain.configs.text_encoder);
    edit(&file, json!({"model_type": "t5"}));
    assert_eq!(code(folder.path()), "config");
    // What would draw something else is refused and named.
    for (file, keys, word) in [
        ("unet/config.json", json!({"act_fn": "gelu"}), "act_fn"),
        (
            "unet/config.json",
            json!({"only_cross_attention": [false, true]}),
            "only_cross_attention",
        ),
        (
            "unet/config.json",
            json!({"time_embedding_dim": 65}),
            "time_embedding_dim",
        ),
        (
            "unet/config.json",
            json!({"sample_size": [1, 2, 3]}),
            "sample_size",
        ),
        (
            "unet/config.json",
            json!({"transformer_layers_per_block": [[1], [1]]}),
            "a number or a list",
        ),
        ("vae/config.json", json!({"act_fn": "mish"}), "act_fn"),
        (
            "text_encoder/config.json",
            json!({"hidden_act": "relu"}),
            "relu",
        ),
    ] {
        let folder = copy();
        edit(&folder.path().join(file), keys.clone());
        let built = ModelFolder::open(folder.path()).and_then(|model| {
            PipelineBuilder::new(model.configs, model.tokenizer, &Device::flex())
        });
        let error = built.err().unwrap_or_else(|| panic!("{keys}")).to_string();
        assert!(error.contains(word), "{keys}: {error}");
    }
}

/// A training script leaves the scheduler that it trained with.
#[test]
fn a_scheduler_that_is_not_here() {
    let folder = copy();
    let file = folder.path().join("scheduler/scheduler_config.json");
    for (class, kind) in [
        ("DDPMScheduler", "ddim"),
        ("UniPCMultistepScheduler", "dpm++2m"),
        ("KDPM2AncestralDiscreteScheduler", "euler-a"),
        ("HeunDiscreteScheduler", "euler"),
    ] {
        edit(
            &file,
            json!({"_class_name": class, "variance_type": "fixed_small", "clip_sample": false}),
        );
        let model = ModelFolder::open(folder.path()).unwrap();
        assert_eq!(model.defaults.scheduler.as_deref(), Some(kind));
        assert!(
            model.notes[0].contains(class) && model.notes[0].contains(kind),
            "{:?}",
            model.notes
        );
        PipelineBuilder::new(
            model.configs.clone(),
            model.tokenizer.clone(),
            &Device::flex(),
        )
        .unwrap();
        for kind in SchedulerKind::ALL {
            Scheduler::new(&model.configs.scheduler, Some(kind)).unwrap();
        }
    }
}

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
        let weight = Weight {
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

/// A few bytes that describe a network without end are refused before any of it is built.
#[test]
fn configs_of_networks_without_end() {
    let started = std::time::Instant::now();
    for (file, keys) in [
        (
            "unet/config.json",
            json!({"layers_per_block": 1_000_000_000u64}),
        ),
        (
            "unet/config.json",
            json!({"layers_per_block": [256, 256], "transformer_layers_per_block": 256}),
        ),
        (
            "unet/config.json",
            json!({"transformer_layers_per_block": u64::MAX}),
        ),
        ("unet/config.json", json!({"in_channels": u64::MAX})),
        (
            "unet/config.json",
            json!({"block_out_channels": vec![8; 2000], "down_block_types": vec!["DownBlock2D"; 2000], "up_block_types": vec!["UpBlock2D"; 2000]}),
        ),
        (
            "text_encoder/config.json",
            json!({"num_hidden_layers": 1_000_000_000u64}),
        ),
        (
            "text_encoder/config.json",
            json!({"intermediate_size": u32::MAX}),
        ),
        ("vae/config.json", json!({"layers_per_block": 100_000})),
        (
            "vae/config.json",
            json!({"block_out_channels": vec![8; 2000], "down_block_types": vec!["DownEncoderBlock2D"; 2000], "up_block_types": vec!["UpDecoderBlock2D"; 2000]}),
        ),
    ] {
        let folder = copy();
        edit(&folder.path().join(file), keys.clone());
        let built = ModelFolder::open(folder.path()).and_then(|model| {
            PipelineBuilder::new(model.configs, model.tokenizer, &Device::flex())
        });
        let error = built.err().unwrap_or_else(|| panic!("{keys}"));
        assert_eq!(error.code(), "config", "{error}");
        assert!(error.to_string().starts_with(file), "{error}");
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn loras_that_do_not_belong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lora.safetensors");
    let open = |tensors: &[(&str, &[usize])]| {
        let weight = |shape: &[usize]| Weight {
            shape: shape.to_vec(),
            data: vec![0.1; shape.iter().product()],
        };
        let tensors = tensors
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), weight(shape)));
        save(&file, &tensors.collect(), Dtype::F32);
        ModelFolder::open(&golden()).unwrap().with_lora(&LoraFile {
            path: file.clone(),
            weight: 1.0,
        })
    };
    let (down, up) = ("unet.conv_in.lora_A.weight", "unet.conv_in.lora_B.weight");
    open(&[(down, &[2, 4, 3, 3]), (up, &[16, 2, 1, 1])]).unwrap();
    for (tensors, word) in [
        (&[(down, &[2, 4, 3, 3][..])][..], "missing"),
        (
            &[(down, &[2, 8, 3, 3][..]), (up, &[16, 2, 1, 1])],
            "do not fit",
        ),
        (
            &[(down, &[2, 4, 3, 3][..]), (up, &[16, 3, 1, 1])],
            "do not fit",
        ),
        (&[(down, &[2, 4, 3, 3][..]), (up, &[16])], "do not fit"),
        (&[(down, &[0, 4][..]), (up, &[16, 0])], "no rank"),
        (
            &[
                ("unet.conv_none.lora_A.weight", &[2, 4][..]),
                ("unet.conv_none.lora_B.weight", &[16, 2]),
            ],
            "this model has not",
        ),
        (
            &[("lora_te2_text_model_x.lora_down.weight", &[2, 4][..])],
            "Stable Diffusion XL",
        ),
        (
            &[("unet.conv_in.weight", &[16, 4, 3, 3][..])],
            "not the name of a LoRA",
        ),
    ] {
        let text = open(tensors).unwrap_err().to_string();
        assert!(
            text.contains("lora.safetensors") && text.contains(word),
            "{text}"
        );
    }
    for (text, path, weight) in [
        ("a.safetensors", "a.safetensors", 1.0),
        ("C:/a:0.5", "C:/a", 0.5),
        ("a:b", "a:b", 1.0),
        ("a:-1", "a", -1.0),
    ] {
        let path = path.into();
        assert_eq!(text.parse::<LoraFile>().unwrap(), LoraFile { path, weight });
    }
    for text in ["", ":1", "a:nan", "a:inf"] {
        assert_eq!(text.parse::<LoraFile>().unwrap_err().code(), "request");
    }
}

/// On a bundle, a LoRA is added to what its rounded weights stand for.
#[test]
fn a_lora_on_a_bundle() {
    let lora = golden().with_file_name("lora").join("kohya.safetensors");
    let lora = LoraFile {
        path: lora,
        weight: 0.5,
    };
    let bundle = bundle_of(&ModelFolder::open(&golden()).unwrap());
    let of = |dir: &Path| {
        let model = ModelFolder::open(dir).unwrap().with_lora(&lora).unwrap();
        model
            .weights()
            .flat_map(|part| part.unwrap())
            .collect::<Weights>()
    };
    assert!(of(bundle.path()) == of(&golden()));
    assert!(of(bundle.path()) != weights(&golden()));
}

/// On a bundle, another autoencoder's tensors come instead of its own, whatever shards those lie in.
#[test]
fn another_decoder_on_a_bundle() {
    let decoder = golden().with_file_name("vae_tiny");
    let bundle = bundle_of(&ModelFolder::open(&golden()).unwrap());
    let of = |dir: &Path| {
        let model = ModelFolder::open(dir)
            .unwrap()
            .with_decoder(&decoder)
            .unwrap();
        let class = serde_json::to_value(&model.configs.vae).unwrap()["_class_name"].clone();
        assert_eq!(class, "AutoencoderTiny");
        model
            .weights()
            .flat_map(|part| part.unwrap())
            .collect::<Weights>()
    };
    let found = of(bundle.path());
    assert!(found == of(&golden()));
    let own = component(&weights(&golden()), "vae.");
    let new = component(&found, "vae.");
    assert!(!new.is_empty() && new.keys().all(|key| !own.contains_key(key)));
    assert!(component(&found, "unet.") == component(&weights(&golden()), "unet."));
}
