//! Whole runs from checkpoint folders against diffusers' `StableDiffusionPipeline`, with given
//! latents.

mod common;

use burn::prelude::*;
use common::{block_on, files, golden};
use roentgen_web::checkpoint::{LoraFile, ModelFolder};
use roentgen_web::latents::scheduler::SchedulerKind;
use roentgen_web::parity::{relative_l2, run_request, tensors};
use roentgen_web::pipeline::{Generated, Pipeline, PipelineBuilder, Request, Step};
use roentgen_web::tokens::PartTokens;
use roentgen_web::{Error, Result};

/// The bound of the relative L2 error.
const TOLERANCE: f64 = 1e-3;

fn pipeline(name: &str) -> Result<Pipeline> {
    built(&ModelFolder::open(&golden(name))?)
}

fn built(folder: &ModelFolder) -> Result<Pipeline> {
    let (configs, tokenizer) = (folder.configs.clone(), folder.tokenizer.clone());
    let mut builder = PipelineBuilder::new(configs, tokenizer, &Device::flex())?;
    for weights in folder.weights() {
        builder = builder.apply(weights?)?;
    }
    builder.finish()
}

fn generate(pipeline: &Pipeline, request: &Request) -> Result<Generated> {
    block_on(pipeline.generate(request, async |_| Ok(())))
}

#[test]
fn folders_give_diffusers_images() {
    for name in ["pipeline_sd1", "pipeline_sd2", "pipeline_dc"] {
        let files = files(&golden(name));
        let generated = generate(&pipeline(name).unwrap(), &run_request(&files).unwrap()).unwrap();
        let golden = tensors(&files["case.safetensors"]).unwrap();
        for (output, found) in [
            ("prompt_embeds", &generated.prompt_embeds),
            ("latents", &generated.latents),
            ("image", &generated.image),
        ] {
            let expected = &golden[&format!("output.{output}")];
            assert_eq!(found.shape, expected.shape, "{name} {output}");
            let error = relative_l2(&found.data, &expected.data);
            println!("{name} {output}: {error:.1e}");
            assert!(error <= TOLERANCE, "{name} {output}: {error:.1e}");
        }
    }
}

/// diffusers' `load_lora_weights` and `fuse_lora`, PEFT's `merge_and_unload`.
#[test]
fn loras_give_diffusers_images() {
    let request = run_request(&files(&golden("pipeline_sd1"))).unwrap();
    let expected = tensors(&files(&golden("lora"))["case.safetensors"]).unwrap();
    for (lora, name) in [
        ("diffusers.safetensors:0.7", "diffusers"),
        ("kohya.safetensors:0.7", "kohya"),
        ("training_script.safetensors:0.7", "training_script"),
        (
            "attention_processors.safetensors:0.7",
            "attention_processors",
        ),
        ("peft", "peft"),
    ] {
        let lora = format!("{}/{lora}", golden("lora").display());
        let folder = ModelFolder::open(&golden("pipeline_sd1")).unwrap();
        let folder = folder
            .with_lora(&lora.parse::<LoraFile>().unwrap())
            .unwrap();
        assert!(folder.name.contains(name), "{}", folder.name);
        let generated = generate(&built(&folder).unwrap(), &request).unwrap();
        for (output, found) in [
            ("prompt_embeds", &generated.prompt_embeds),
            ("latents", &generated.latents),
            ("image", &generated.image),
        ] {
            let error = relative_l2(
                &found.data,
                &expected[&format!("output.{name}.{output}")].data,
            );
            println!("{name} {output}: {error:.1e}");
            assert!(error <= TOLERANCE, "{name} {output}: {error:.1e}");
        }
    }
}

/// TAESD in the autoencoder's place, on a checkpoint and on a bundle of it.
#[test]
fn another_decoder_gives_diffusers_image() {
    let request = run_request(&files(&golden("pipeline_sd1"))).unwrap();
    let expected =
        &tensors(&files(&golden("decoder"))["case.safetensors"]).unwrap()["output.image"];
    let folder = ModelFolder::open(&golden("pipeline_sd1")).unwrap();
    let folder = folder.with_decoder(&golden("vae_tiny")).unwrap();
    let found = generate(&built(&folder).unwrap(), &request).unwrap().image;
    let error = relative_l2(&found.data, &expected.data);
    println!("another decoder: {error:.1e}");
    assert!(error <= TOLERANCE, "{error:.1e}");

    let other = ModelFolder::open(&golden("pipeline_sd1")).unwrap();
    let error = other.with_decoder(&golden("vae_grey")).unwrap_err();
    assert!(
        error.code() == "config" && error.to_string().contains("3 channels"),
        "{error}"
    );
}

/// Each token's share of the cross-attention, against diffusers with a processor that keeps the
/// probabilities.
#[test]
fn attention_is_diffusers_attention() {
    let golden_maps = tensors(&files(&golden("attention"))["case.safetensors"]).unwrap();
    for name in ["pipeline_sd1", "pipeline_sd2"] {
        let pipeline = pipeline(name).unwrap();
        let plain = run_request(&files(&golden(name))).unwrap();
        let request = Request {
            words: true,
            ..plain.clone()
        };
        let generated = generate(&pipeline, &request).unwrap();
        let found = generated.attention.expect("it was asked for");
        let expected = &golden_maps[&format!("output.{name}")];
        assert_eq!(found.shape, expected.shape);
        let error = relative_l2(&found.data, &expected.data);
        println!("{name} attention: {error:.1e}");
        assert!(error <= TOLERANCE, "{name}: {error:.1e}");

        // All parts together get all of the attention but what full stops and the like get.
        let parts = pipeline.parts(&request.prompt).unwrap();
        let plane = found.shape[1] * found.shape[2];
        let share = |part: &PartTokens| part.map(&found).iter().sum::<f32>() / plane as f32;
        let all: f32 = parts.iter().map(share).sum();
        assert!((0.5..1.0).contains(&all), "{all}");
        assert!(parts.iter().all(|part| share(part) > 0.0));

        // Asking changes nothing.
        let without = generate(&pipeline, &plain).unwrap();
        assert!(without.attention.is_none());
        assert_eq!(without.latents, generated.latents);
    }
}

#[test]
fn a_step_reports_and_may_cancel() {
    let pipeline = pipeline("pipeline_sd2").unwrap();
    let request = run_request(&files(&golden("pipeline_sd2"))).unwrap();
    let mut steps = Vec::new();
    let result = block_on(pipeline.generate(&request, async |step: Step<'_>| {
        assert_eq!(
            step.pred_original_sample.data.len(),
            step.pred_original_sample.shape.iter().product::<usize>()
        );
        steps.push((step.index, step.total));
        if step.index == 3 {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }));
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(steps, [(1, 5), (2, 5), (3, 5)]);
}

#[test]
fn the_seed_and_every_setting_count() {
    let pipeline = pipeline("pipeline_sd1").unwrap();
    let base = Request {
        latents: None,
        num_inference_steps: 2,
        ..run_request(&files(&golden("pipeline_sd1"))).unwrap()
    };
    let image = |request: &Request| generate(&pipeline, request).unwrap().latents.data;
    let first = image(&base);
    assert_eq!(first, image(&base));
    for other in [
        Request {
            seed: 1,
            ..base.clone()
        },
        Request {
            prompt: "heart".into(),
            ..base.clone()
        },
        Request {
            negative_prompt: "lungs".into(),
            ..base.clone()
        },
        Request {
            guidance_scale: 1.0,
            ..base.clone()
        },
        Request {
            num_inference_steps: 3,
            ..base.clone()
        },
        Request {
            scheduler: Some(SchedulerKind::Euler),
            ..base.clone()
        },
    ] {
        assert_ne!(first, image(&other), "{other:?}");
    }
}

#[test]
fn bad_requests_name_the_setting() {
    let pipeline = pipeline("pipeline_sd1").unwrap();
    let base = run_request(&files(&golden("pipeline_sd1"))).unwrap();
    let mut nan = base.latents.clone().unwrap();
    nan.data[0] = f32::NAN;
    for (request, field) in [
        (
            Request {
                width: 30,
                ..base.clone()
            },
            "width",
        ),
        (
            Request {
                width: 4096,
                ..base.clone()
            },
            "width",
        ),
        (
            Request {
                height: 0,
                ..base.clone()
            },
            "height",
        ),
        (
            Request {
                num_inference_steps: 0,
                ..base.clone()
            },
            "num_inference_steps",
        ),
        (
            Request {
                guidance_scale: f64::NAN,
                ..base.clone()
            },
            "guidance_scale",
        ),
        (
            Request {
                width: 64,
                ..base.clone()
            },
            "latents",
        ),
        (
            Request {
                latents: Some(nan),
                ..base.clone()
            },
            "latents",
        ),
    ] {
        match generate(&pipeline, &request) {
            Err(Error::Request { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{field}: {:?}", other.map(|g| g.latents.shape)),
        }
    }
}
