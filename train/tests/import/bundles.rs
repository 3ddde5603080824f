//! A checkpoint gives the same bundle in either of its layouts, and the bundle diffusers' images.

use std::fs;

use burn::prelude::*;
use roentgen_web::bundle::{Policy, Precision};
use roentgen_web::checkpoint::{LoraFile, ModelFolder, Prediction};
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::parity::{relative_l2, run_request, tensors};
use roentgen_web::pipeline::PipelineBuilder;
use train::exchange::import;

use crate::support::*;

#[test]
fn both_layouts_give_the_same_bundle() {
    for family in [1, 2] {
        let folder = golden(&format!("pipeline_sd{family}"));
        for policy in [
            Policy::Mixed,
            Precision::F16.into(),
            Precision::Q8.into(),
            Precision::Q4.into(),
        ] {
            let diffusers = import(folder.clone(), None, policy).unwrap();
            let single = import(original(family), Some(folder.clone()), policy).unwrap();
            let (diffusers, single) = (contents(diffusers.path()), contents(single.path()));
            assert!(diffusers.len() >= 3, "{:?}", diffusers.keys());
            assert!(
                diffusers.keys().eq(single.keys()),
                "{family} {policy:?}: {:?} {:?}",
                diffusers.keys(),
                single.keys()
            );
            for (name, bytes) in &diffusers {
                assert!(
                    bytes == &single[name],
                    "{family} {policy:?}: {name} differs"
                );
            }
        }
    }
}

#[test]
fn an_imported_file_gives_diffusers_images() {
    for family in [1, 2] {
        let folder = golden(&format!("pipeline_sd{family}"));
        let bundle = import(original(family), Some(folder.clone()), Precision::F32).unwrap();
        let model = ModelFolder::open(bundle.path()).unwrap();
        let (configs, tokenizer) = (model.configs.clone(), model.tokenizer.clone());
        let mut builder = PipelineBuilder::new(configs, tokenizer, &Device::flex()).unwrap();
        for part in model.weights() {
            builder = builder.apply(part.unwrap()).unwrap();
        }
        let pipeline = builder.finish().unwrap();
        let case = contents(&folder);
        let request = run_request(&case).unwrap();
        let generated = pollster::block_on(pipeline.generate(&request, async |_| Ok(()))).unwrap();
        let expected = &tensors(&case["case.safetensors"]).unwrap()["output.image"];
        let error = relative_l2(&generated.image.data, &expected.data);
        println!("original_sd{family}: {error:.1e}");
        assert!(error <= 1e-3, "{family}: {error:.1e}");
    }
}

/// But for heads, groups and sizes, which are Stable Diffusion's and not those of these tiny
/// networks.
#[test]
fn shapes_say_the_configuration() {
    for family in [1, 2] {
        let beside = tokenizer_only(family);
        let config = golden(&format!("pipeline_sd{family}")).join("text_encoder/config.json");
        if family == 2 {
            // Says how many of its layers are used, which only OpenCLIP-H's 24 say by themselves.
            fs::create_dir(beside.path().join("text_encoder")).unwrap();
            fs::copy(config, beside.path().join("text_encoder/config.json")).unwrap();
        }
        let known = ModelFolder::open(&golden(&format!("pipeline_sd{family}")))
            .unwrap()
            .configs;
        let model =
            ModelFolder::open_original(&original(family), beside.path(), Prediction::V).unwrap();
        assert_eq!(model.name, "model");
        let mut found = model.configs;
        assert_eq!(found.unet.sample_size, Some(96.into()));
        assert_eq!(found.scheduler.0["prediction_type"], "v_prediction");
        found.text_encoder.num_attention_heads = known.text_encoder.num_attention_heads;
        assert_eq!(found.text_encoder, known.text_encoder);
        found.unet.attention_head_dim = known.unet.attention_head_dim.clone();
        found.unet.norm_num_groups = known.unet.norm_num_groups;
        found.unet.sample_size = known.unet.sample_size;
        found.unet.other = known.unet.other.clone(); // keys with diffusers' own defaults
        assert_eq!(found.unet, known.unet);
        let (AutoencoderConfig::KL(mut found), AutoencoderConfig::KL(known)) =
            (found.vae, known.vae)
        else {
            panic!("another class");
        };
        found.norm_num_groups = known.norm_num_groups;
        found.sample_size = known.sample_size;
        found.other = known.other.clone();
        assert_eq!(found, known);
    }
}

#[test]
fn a_lora_is_merged_before_quantization() {
    let folder = golden("pipeline_sd1");
    let lora = LoraFile {
        path: golden("lora").join("kohya.safetensors"),
        weight: 0.5,
    };
    let out = tempfile::tempdir().unwrap();
    let mut args = args(folder.clone(), None, Precision::F32, out.path());
    args.lora = vec![lora.clone()];
    args.name = None;
    let manifest = import::bundle(&args).unwrap();
    assert_eq!(manifest.name, "pipeline_sd1 + kohya x 0.5");
    let weights = |model: ModelFolder| {
        let parts: Vec<_> = model.weights().flat_map(|part| part.unwrap()).collect();
        parts
    };
    let expected = ModelFolder::open(&folder)
        .unwrap()
        .with_lora(&lora)
        .unwrap();
    let mut expected = weights(expected);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let mut found = weights(ModelFolder::open(out.path()).unwrap());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found == expected);
}
