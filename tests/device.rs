//! Devices: a network equals diffusers on one that has WebGPU's default limits and no optional
//! feature.

#![cfg(all(feature = "cpu", feature = "gpu"))]

mod common;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::Device;
use common::{block_on, files, golden};
use roentgen_web::Error;
use roentgen_web::bundle::{self, BundleInfo, BundleWriter};
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::device::{self, Backend, Limits, Options, Precision};
use roentgen_web::parity::{compare, relative_l2};
use roentgen_web::pipeline::{Pipeline, PipelineBuilder};
use roentgen_web::pipeline::{STAGES, stages::input};

/// Adapters are looked for by one test at a time: wgpu's EGL adapters, which come along, cannot be
/// dropped on two threads at once.
fn alone() -> MutexGuard<'static, ()> {
    static LOOKING: Mutex<()> = Mutex::new(());
    LOOKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device with the default limits; `None` where there is no adapter.
fn clamped() -> Option<Device> {
    let _alone = alone();
    let options = Options {
        limits: Limits::Default,
        ..Options::default()
    };
    match block_on(device::open_with(Backend::Gpu, options)) {
        Ok(device) => Some(device),
        Err(Error::Device(why)) => {
            println!("skipped: {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_default_limits_are_enough() {
    let Some(device) = clamped() else { return };
    assert_eq!(Precision::on(&device, None).unwrap(), Precision::F32);
    assert!(Precision::on(&device, Some(Precision::F16)).is_err());
    for case in [
        "unet_sd1",
        "unet_text",
        "vae_sd",
        "vae_dc",
        "text_encoder_sd2",
    ] {
        for (output, error) in block_on(compare(&files(&golden(case)), &device)).unwrap() {
            assert!(error <= 1e-3, "{case} {output}: {error:.1e}");
        }
    }
}

/// The shipped model is in q8: its weights stay integers on the GPU, and mean what they mean on the
/// CPU.
#[test]
fn a_quantized_model_stays_so_on_a_gpu() {
    let Some(device) = clamped() else { return };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/default");
    let model = ModelFolder::open(&shipped).unwrap();
    let gpu = same_on(&model, &device);
    let weights: usize = model
        .weights()
        .flat_map(|part| part.unwrap().into_values())
        .map(|weight| weight.data.len())
        .sum();
    let bytes = gpu.usage().in_use as usize;
    assert!(bytes < 2 * weights, "{bytes} bytes for {weights} weights");
}

/// The kinds that the shipped model has none of.
#[test]
fn other_quantized_networks_are_the_same_on_a_gpu() {
    let Some(device) = clamped() else { return };
    let checkpoint = ModelFolder::open(&golden("pipeline_dc")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::new(folder.path(), bundle::Precision::Q8).unwrap();
    for tensor in checkpoint.tensors().unwrap() {
        let (name, weight) = tensor.unwrap();
        writer.add(&name, &weight).unwrap();
    }
    let info = BundleInfo {
        name: "Random".into(),
        model_card: None,
        license: "MIT".into(),
        attribution: String::new(),
        intended_use: "Tests".into(),
        components: checkpoint.configs.clone(),
        defaults: checkpoint.defaults.clone(),
        examples: vec![],
    };
    let manifest = writer.finish(info, &checkpoint.tokenizer).unwrap();
    for (name, dtype) in [
        (
            "vae.decoder.up_blocks.2.1.conv2.weight",
            bundle::Precision::Q8,
        ),
        (
            "vae.decoder.up_blocks.2.1.norm.weight",
            bundle::Precision::F16,
        ),
        (
            "unet.add_embedding.pool.positional_embedding",
            bundle::Precision::F16,
        ),
    ] {
        assert_eq!(manifest.tensors[name].dtype, dtype, "{name}");
    }
    same_on(&ModelFolder::open(folder.path()).unwrap(), &device);
}

/// Each stage of a bundle gives the same on the CPU and on `device`.
fn same_on(model: &ModelFolder, device: &Device) -> Pipeline {
    let load = |device: &Device| -> Pipeline {
        let (configs, tokenizer) = (model.configs.clone(), model.tokenizer.clone());
        let builder = PipelineBuilder::new(configs, tokenizer, device).unwrap();
        let load = |builder: PipelineBuilder, part| builder.apply(part?);
        model
            .stored()
            .try_fold(builder, load)
            .unwrap()
            .finish()
            .unwrap()
    };
    let (cpu, gpu) = (load(&Device::flex()), load(device));
    for stage in STAGES {
        let input = input(gpu.configs(), stage, model.defaults.width, 2).unwrap();
        let [found, expected] = [&gpu, &cpu].map(|p| block_on(p.stage(stage, &input)).unwrap());
        let error = relative_l2(&found.data, &expected.data);
        assert!(error < 1e-4, "{stage}: {error:.1e}");
    }
    gpu
}
