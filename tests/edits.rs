//! Image to image and inpainting against diffusers' pipelines, with given noise.

mod common;

use burn::prelude::*;
use common::{block_on, files, golden};
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::image::Image;
use roentgen_web::latents::img2img::Img2Img;
use roentgen_web::latents::scheduler::SchedulerKind;
use roentgen_web::parity::{relative_l2, run_request, tensors};
use roentgen_web::pipeline::{Pipeline, PipelineBuilder, Request};
use roentgen_web::tensor::HostTensor;
use serde::Deserialize;

/// The bound of the relative L2 error.
const TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Case {
    model: String,
    scheduler: String,
    strength: f64,
    mask: bool,
}

fn pipeline(name: &str) -> Pipeline {
    let folder = ModelFolder::open(&golden(name)).unwrap();
    let (configs, tokenizer) = (folder.configs.clone(), folder.tokenizer.clone());
    let mut builder = PipelineBuilder::new(configs, tokenizer, &Device::flex()).unwrap();
    for weights in folder.weights() {
        builder = builder.apply(weights.unwrap()).unwrap();
    }
    builder.finish().unwrap()
}

/// Pixels `[1, C, H, W]`, each times `scale` a byte.
fn image(pixels: &HostTensor, scale: f32) -> Image {
    let mut unit = pixels.clone();
    unit.data
        .iter_mut()
        .for_each(|v| *v = *v * scale / 127.5 - 1.0);
    Image::from_weight(&unit)
}

#[test]
fn edits_are_diffusers_edits() {
    let edits = files(&golden("edits"));
    let cases: Vec<Case> = serde_json::from_slice(&edits["cases.json"]).unwrap();
    let tensors = tensors(&edits["case.safetensors"]).unwrap();
    assert_eq!(cases.len(), 8);
    for (number, case) in cases.iter().enumerate() {
        let request = Request {
            scheduler: Some(case.scheduler.parse().unwrap()),
            latents: Some(tensors["input.noise"].clone()),
            source: Some(Img2Img {
                image: image(&tensors["input.pixels"], 1.0),
                mask: case.mask.then(|| image(&tensors["input.mask"], 255.0)),
                strength: case.strength,
            }),
            ..run_request(&files(&golden(&case.model))).unwrap()
        };
        let mut steps = 0;
        let generated = block_on(pipeline(&case.model).generate(&request, async |step| {
            steps += 1;
            assert_eq!(step.index, steps);
            assert_eq!(step.total, (5.0 * case.strength) as usize);
            Ok(())
        }));
        let generated = generated.unwrap();
        for (output, found) in [("latents", &generated.latents), ("image", &generated.image)] {
            let expected = &tensors[&format!("output.{number}.{output}")];
            assert_eq!(found.shape, expected.shape);
            let error = relative_l2(&found.data, &expected.data);
            println!("{number} {output}: {error:.1e}");
            assert!(error <= TOLERANCE, "{number} {output}: {error:.1e}");
        }
    }
}

#[test]
fn what_is_not_painted_is_left_alone() {
    let tensors = tensors(&files(&golden("edits"))["case.safetensors"]).unwrap();
    let source = Img2Img {
        image: image(&tensors["input.pixels"], 1.0),
        mask: Some(image(&tensors["input.mask"], 255.0)),
        strength: 0.8,
    };
    let request = Request {
        scheduler: Some(SchedulerKind::Ddim),
        source: Some(source.clone()),
        ..run_request(&files(&golden("pipeline_sd1"))).unwrap()
    };
    let generated = block_on(pipeline("pipeline_sd1").generate(&request, async |_| Ok(())));
    let painted = generated.unwrap().to_image();
    let mask = source.mask.unwrap().data;
    let pixels = |image: &Image| image.data.chunks(3).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut changed = 0;
    for ((before, after), mask) in pixels(&source.image).iter().zip(pixels(&painted)).zip(mask) {
        if mask == 0 {
            assert_eq!(*before, after);
        } else {
            changed += usize::from(*before != after);
        }
    }
    assert!(changed > 100, "{changed}");
}

#[test]
fn pndm_and_too_little_strength_are_refused() {
    let tensors = tensors(&files(&golden("edits"))["case.safetensors"]).unwrap();
    for (scheduler, strength, field) in [
        (SchedulerKind::Pndm, 0.5, "scheduler"),
        (SchedulerKind::Ddim, 0.1, "strength"),
    ] {
        let request = Request {
            scheduler: Some(scheduler),
            source: Some(Img2Img {
                image: image(&tensors["input.pixels"], 1.0),
                mask: None,
                strength,
            }),
            ..run_request(&files(&golden("pipeline_sd1"))).unwrap()
        };
        let refused = block_on(pipeline("pipeline_sd1").generate(&request, async |_| Ok(())));
        match refused {
            Err(roentgen_web::Error::Request { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{field}: {:?}", other.map(|g| g.latents.shape)),
        }
    }
}
