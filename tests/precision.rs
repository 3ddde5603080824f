//! f16 between the layers, where the adapter has shader-f16.

#![cfg(all(feature = "cpu", feature = "gpu"))]

mod common;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::prelude::*;
use burn::tensor::{DType, DeviceType, FloatDType};
use common::{block_on, files, golden};
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::device::{AdapterClass, Precision};
use roentgen_web::kernels::cases::{Case, distance};
use roentgen_web::kernels::table::cases;
use roentgen_web::kernels::{take_plain, take_tiles_of};
use roentgen_web::parity::{relative_l2, run_request};
use roentgen_web::pipeline::stages::input;
use roentgen_web::pipeline::{Pipeline, PipelineBuilder, Request, Step};

/// A device that computes in f16, for one test at a time: which kernels are taken is the same for a
/// whole program.
fn able() -> Option<(Device, MutexGuard<'static, ()>)> {
    static WORKING: Mutex<()> = Mutex::new(());
    let working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    let found = Device::enumerate(DeviceType::Wgpu).into_iter().next();
    let able = found.filter(|device| device.supports_dtype(FloatDType::F16));
    if able.is_none() {
        println!("skipped: no adapter with shader-f16 (Debian: mesa-vulkan-drivers)");
    }
    // quickly compiled by such a one, and right on every other
    take_tiles_of(AdapterClass::Software);
    able.map(|device| (device, working))
}

/// Every tenth case in f16, against the plain reference in f32 with the same inputs. All sums are
/// f32, so that only the outcome is rounded, each number by half of the last of its 11 digits at
/// the most; and 1e-5 for sums in another order, as in f32.
#[test]
fn a_kernel_rounds_its_outcome_and_nothing_else() {
    let Some((device, _working)) = able() else {
        return;
    };
    let plain = Device::flex();
    let (mut failed, mut worst, mut count, mut left) = (Vec::new(), 0.0f64, 0, 0);
    // The one head of 512 channels is left to burn, in f32.
    let wide =
        |case: &Case| matches!(case, Case::Attention { heads: 1, shape, .. } if shape[2] > 160);
    for (i, case) in cases(true).iter().enumerate() {
        if i % 10 != 0 && !wide(case) {
            continue;
        }
        let class = [AdapterClass::Software, AdapterClass::Gpu][i / 10 % 2];
        take_tiles_of(class);
        take_plain(true);
        let expected = case.run(None, Precision::F32, &plain)();
        take_plain(false);
        let found = case.run(None, Precision::F16, &device)();
        assert_eq!(found.dtype(), DType::F16, "{case:?}");
        let error = block_on(distance(found, expected)).unwrap();
        if error.is_nan() || error > 2f64.powi(-11) + 1e-5 {
            failed.push(format!("{class:?} {case:?}: {error:.1e}"));
        }
        worst = worst.max(error);
        count += 1;
        left += usize::from(wide(case));
    }
    println!("{count} cases, {left} left to burn: the worst {worst:.1e}");
    assert!(count >= 30 && left > 0);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The shipped model, on a device in a precision.
fn shipped(device: &Device, precision: Precision) -> Pipeline {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/default");
    let model = ModelFolder::open(&folder).unwrap();
    let builder = PipelineBuilder::new(model.configs.clone(), model.tokenizer.clone(), device);
    let mut builder = builder.unwrap().in_precision(precision);
    for part in model.stored() {
        builder = builder.apply(part.unwrap()).unwrap();
    }
    builder.finish().unwrap()
}

/// Some hundred layers one after another, each rounding to some 2e-4 of its outcome, much of which
/// later layers do not hear of.
#[test]
fn the_shipped_model_is_the_same_to_three_digits() {
    let Some((device, _working)) = able() else {
        return;
    };
    let [f16, f32] = [Precision::F16, Precision::F32].map(|p| shipped(&device, p));
    for (stage, bound) in [("text_encoder", 0.0), ("unet", 2e-3), ("decoder", 2e-3)] {
        let input = input(f32.configs(), stage, 128, 1).unwrap();
        let [found, expected] =
            [&f16, &f32].map(|pipeline| block_on(pipeline.stage(stage, &input)).unwrap());
        let error = relative_l2(&found.data, &expected.data);
        println!("{stage}: {error:.1e}");
        assert!(error <= bound, "{stage}: {error:.1e}");
        assert!(error > 0.0 || stage == "text_encoder", "{stage} is in f32");
    }
}

/// A norm over channels squares what it is given, which leaves f16's range at 256.
#[test]
fn an_autoencoder_of_pixel_shuffles_is_the_same_to_three_digits() {
    let Some((device, _working)) = able() else {
        return;
    };
    let [f16, f32] = [Precision::F16, Precision::F32].map(|precision| {
        let model = ModelFolder::open(&golden("pipeline_dc")).unwrap();
        let builder = PipelineBuilder::new(model.configs.clone(), model.tokenizer.clone(), &device);
        let mut builder = builder.unwrap().in_precision(precision);
        for part in model.weights() {
            let mut part = part.unwrap();
            for (name, weight) in &mut part {
                if name.starts_with("vae.") && name.ends_with(".conv2.weight") {
                    weight.data.iter_mut().for_each(|x| *x *= 1000.0);
                }
            }
            builder = builder.apply(part).unwrap();
        }
        builder.finish().unwrap()
    });
    for stage in ["unet", "decoder"] {
        let input = input(f32.configs(), stage, 32, 1).unwrap();
        let [found, expected] =
            [&f16, &f32].map(|pipeline| block_on(pipeline.stage(stage, &input)).unwrap());
        let error = relative_l2(&found.data, &expected.data);
        println!("{stage}: {error:.1e}");
        assert!(error > 0.0 && error <= 5e-3, "{stage}: {error:.1e}");
    }
}

/// A checkpoint with random weights, one of them a million times as large: what that layer gives is
/// no number of f16, whose largest is
/// 65504. The normalisation after it makes f32's image an ordinary one.
fn enlarged(device: &Device, precision: Precision, name: &str) -> Pipeline {
    let model = ModelFolder::open(&golden("pipeline_sd1")).unwrap();
    let builder = PipelineBuilder::new(model.configs.clone(), model.tokenizer.clone(), device);
    let mut builder = builder.unwrap().in_precision(precision);
    let mut enlarged = 0;
    for part in model.weights() {
        let mut part = part.unwrap();
        if let Some(weight) = part.get_mut(name) {
            weight.data.iter_mut().for_each(|x| *x *= 1e6);
            enlarged += 1;
        }
        builder = builder.apply(part).unwrap();
    }
    assert_eq!(enlarged, 1, "{name}");
    builder.finish().unwrap()
}

#[test]
fn what_f16_does_not_give_is_drawn_once_more_in_f32() {
    let Some((device, _working)) = able() else {
        return;
    };
    let request = Request {
        num_inference_steps: 2,
        words: true,
        ..run_request(&files(&golden("pipeline_sd1"))).unwrap()
    };
    let draw = |pipeline: &Pipeline| {
        let mut seen = Vec::new();
        let generated = block_on(pipeline.generate(&request, async |step: Step<'_>| {
            seen.push(step.index);
            Ok(())
        }));
        (generated.unwrap(), seen)
    };
    for (name, why, before) in [
        ("unet.conv_in.weight", "the latents became", 0),
        ("vae.decoder.conv_in.weight", "a pixel is", usize::MAX),
    ] {
        let (expected, once) = draw(&enlarged(&device, Precision::F32, name));
        assert_eq!(expected.repeated, None);
        assert!(once.len() > 1);
        let (found, seen) = draw(&enlarged(&device, Precision::F16, name));
        let reason = found.repeated.clone().unwrap_or_default();
        println!("{name}: {reason}");
        assert!(reason.starts_with(why), "{name}: {reason:?}");
        assert_eq!(seen, [&once[..before.min(once.len())], &once].concat());
        assert_eq!(found.image, expected.image, "{name}");
        assert_eq!(found.attention, expected.attention);
        assert!(found.check().is_ok());
    }
    // An ordinary model's is not, and is f16's.
    let [f16, f32] = [Precision::F16, Precision::F32]
        .map(|p| draw(&enlarged(&device, p, "vae.encoder.conv_in.weight")).0);
    assert_eq!(f16.repeated, None);
    let error = |a: &[f32], b: &[f32]| relative_l2(a, b);
    let image = error(&f16.image.data, &f32.image.data);
    let attention = error(&f16.attention.unwrap().data, &f32.attention.unwrap().data);
    println!("image {image:.1e}, attention {attention:.1e}");
    assert!(image > 0.0 && image < 1e-2 && attention < 1e-2);
}
