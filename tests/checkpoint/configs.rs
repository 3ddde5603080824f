//! Configs as diffusers and transformers write and accept them, and those of networks that cannot
//! be.

use crate::support::*;
use burn::prelude::*;
use roentgen_web::{
    checkpoint::ModelFolder,
    latents::scheduler::{Scheduler, SchedulerKind},
    pipeline::PipelineBuilder,
};
use serde_json::{Value, json};
use std::fs;

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
    // The config of a whole CLIP has that of its text encoder inside; what it leaves out is
    // transformers' default.
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
