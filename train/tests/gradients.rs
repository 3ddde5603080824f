//! One step against diffusers and PyTorch: the loss and the norm of every gradient, on the same
//! batch and weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::kernels::autocast;
use roentgen_web::parity;
use roentgen_web::weights::{self, Weights};
use safetensors::SafeTensors;
use serde::Deserialize;
use train::stages::vae::Autoencoder;
use train::training::objective::{Batch, Objective, TextToLatents};
use train::training::replicas::Replicas;
use train::training::run::MixedPrecision;

/// Largest relative error of a loss or a norm.
const TOLERANCE: f64 = 1e-3;

/// Below this share of the norm of all gradients together, a gradient is one that vanishes: softmax
/// does not hear what is added to all keys alike, so the biases of the text encoder's keys have
/// none, and what float32 gives is rounding.
const VANISHING: f64 = 1e-6;

/// What `tests/reference/gradients.py` wrote.
#[derive(Deserialize)]
struct Step {
    loss: f64,
    loss_snr_gamma_5: f64,
    norms: BTreeMap<String, f64>,
}

/// Puts the gradient in the place of every parameter, so that they can be collected under their
/// names.
struct IntoGradients(GradientsParams);

impl ModuleMapper for IntoGradients {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let grad = self.0.remove::<D>(param.id);
        Param::from_tensor(grad.expect("every parameter has a gradient"))
    }
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens"
    ))
    .join(name)
}

fn networks(model: &ModelFolder, device: &Device) -> TextToLatents {
    let networks = TextToLatents {
        text_encoder: model.configs.text_encoder.init(device).unwrap(),
        unet: model.configs.unet.init(device).unwrap(),
    };
    let mut all = Weights::new();
    for part in model.weights() {
        all.extend(part.unwrap());
    }
    all.retain(|name, _| !name.starts_with("vae."));
    weights::load(networks, all).unwrap()
}

/// The golden's batch.
fn batch(family: &str, objective: &Objective) -> Batch {
    let bytes = fs::read(golden(&format!("gradients_{family}")).join("case.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> (Vec<usize>, Vec<f32>) {
        let view = file.tensor(name).unwrap();
        let values = view.data().chunks_exact(4);
        let values = values.map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    };
    let whole = |name: &str| -> Vec<usize> {
        let values = file.tensor(name).unwrap().data().chunks_exact(8);
        values
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize)
            .collect()
    };
    let (shape, latents) = floats("input.latents");
    let (_, noise) = floats("input.noise");
    let (timesteps, ids) = (whole("input.timesteps"), whole("input.ids"));
    let [n, size, t] = [shape[0], latents.len() / shape[0], ids.len() / shape[0]];
    let mut batch = Batch::new([shape[1], shape[2], shape[3]]);
    for i in 0..n {
        let part = i * size..(i + 1) * size;
        let ids: Vec<u32> = ids[i * t..(i + 1) * t]
            .iter()
            .map(|&id| id as u32)
            .collect();
        batch
            .push(
                objective,
                &latents[part.clone()],
                &noise[part],
                timesteps[i],
                &ids,
            )
            .unwrap();
    }
    batch
}

fn close(what: &str, found: f64, expected: f64) {
    let error = (found - expected).abs() / expected.abs();
    assert!(
        error <= TOLERANCE,
        "{what}: {found} is not {expected} (relative error {error:.1e})"
    );
}

fn one_step(family: &str) {
    let device = Device::flex().autodiff();
    let model = ModelFolder::open(&golden(&format!("pipeline_{family}"))).unwrap();
    let expected = fs::read(golden(&format!("gradients_{family}")).join("step.json")).unwrap();
    let expected: Step = serde_json::from_slice(&expected).unwrap();
    let networks = networks(&model, &device);

    let objective = Objective::new(&model.configs.scheduler, Some(5.0)).unwrap();
    let weighted = batch(family, &objective).loss(&networks, 0, 2, &device);
    let weighted = f64::from(weighted.into_scalar::<f32>());
    close("weighted loss", weighted, expected.loss_snr_gamma_5);

    let objective = Objective::new(&model.configs.scheduler, None).unwrap();
    let batch = batch(family, &objective);
    let total: f64 = expected.norms.values().map(|n| n * n).sum::<f64>().sqrt();
    // The whole batch at once, one example after the other, and one on each of two threads.
    for (replicas, rounds) in [(1, 1), (1, 2), (2, 1)] {
        let n = 2 / (replicas * rounds);
        let (loss, grads) = Replicas::new(replicas, &device).gradients(
            &networks,
            rounds,
            |module, part, device| batch.loss(module, part, n, device),
        );
        close("loss", loss, expected.loss);
        let grads = weights::collect(&networks.clone().map(&mut IntoGradients(grads)));
        assert!(grads.keys().eq(expected.norms.keys()));
        let mut worst = 0f64;
        for (name, grad) in &grads {
            let squares = grad.data.iter().map(|g| f64::from(*g).powi(2));
            let (norm, expected) = (squares.sum::<f64>().sqrt(), expected.norms[name]);
            if expected < VANISHING * total {
                assert!(name.ends_with("k_proj.bias"), "{name}: {expected}");
                assert!(norm < VANISHING * total, "{name}: {norm} should vanish");
                continue;
            }
            close(name, norm, expected);
            worst = worst.max((norm / expected - 1.0).abs());
        }
        println!(
            "{family}, {replicas} replicas, {rounds} rounds: loss {loss:.6}, {} gradients, largest relative error {worst:.1e}",
            grads.len()
        );
    }
}

/// All gradients of the golden's step one after another, with products in `precision`.
fn gradients(precision: MixedPrecision) -> Vec<f64> {
    let device = Device::flex().autodiff();
    let model = ModelFolder::open(&golden("pipeline_sd1")).unwrap();
    let networks = networks(&model, &device);
    let objective = Objective::new(&model.configs.scheduler, None).unwrap();
    let batch = batch("sd1", &objective);
    let scale = precision.loss_scale();
    let loss = |module: &TextToLatents, part, device: &Device| {
        autocast(precision.cast(), || batch.loss(module, part, 2, device)) * scale
    };
    let (_, grads) = Replicas::new(1, &device).gradients(&networks, 1, loss);
    let grads = weights::collect(&networks.clone().map(&mut IntoGradients(grads)));
    let values = grads.values().flat_map(|grad| &grad.data);
    values.map(|g| f64::from(*g) / scale).collect()
}

/// Half a unit in the last place is 4e-3 of a bfloat16 and 5e-4 of a float16, and a network is some
/// fifty products deep.
#[test]
fn products_in_16_bits_point_the_same_way() {
    let norm = |g: &[f64]| g.iter().map(|g| g * g).sum::<f64>().sqrt();
    let exact = gradients(MixedPrecision::F32);
    for (precision, bound) in [(MixedPrecision::Bf16, 3e-2), (MixedPrecision::F16, 4e-3)] {
        let found = gradients(precision);
        let apart: Vec<f64> = exact.iter().zip(&found).map(|(a, b)| a - b).collect();
        let error = norm(&apart) / norm(&exact);
        println!("{precision:?}: gradients {error:.1e} from those of f32");
        // A CPU that is no faster with bf16 takes f32 in its place.
        let least = match precision {
            MixedPrecision::Bf16 => 0.0,
            _ => 1e-5,
        };
        assert!(
            (least..bound).contains(&error),
            "{precision:?}: {error:.1e}"
        );
    }
}

#[test]
fn epsilon_prediction() {
    one_step("sd1");
}

#[test]
fn velocity_prediction() {
    one_step("sd2");
}

#[test]
fn velocity_prediction_with_the_text_beside_the_time() {
    one_step("dc");
}

/// `AutoencoderDC`, which trains through the forward pass that the page decodes with.
#[test]
fn an_autoencoder_of_pixel_shuffles() {
    #[derive(Deserialize)]
    struct Step {
        loss: f64,
        norms: BTreeMap<String, f64>,
    }
    let device = Device::flex().autodiff();
    let model = ModelFolder::open(&golden("pipeline_dc")).unwrap();
    let vae = Autoencoder {
        vae: model.configs.vae.init(&device).unwrap(),
    };
    let mut all = Weights::new();
    for part in model.weights() {
        all.extend(part.unwrap());
    }
    all.retain(|name, _| name.starts_with("vae."));
    let vae = weights::load(vae, all).unwrap();

    let folder = golden("gradients_vae_dc");
    let expected = fs::read(folder.join("step.json")).unwrap();
    let expected: Step = serde_json::from_slice(&expected).unwrap();
    let tensors = parity::tensors(&fs::read(folder.join("case.safetensors")).unwrap()).unwrap();
    let image = &tensors["input.image"];
    let image = Tensor::<4>::from_data(
        TensorData::new(image.data.clone(), image.shape.clone()),
        &device,
    );
    let latents = vae.vae.encode(image.clone()).mean;
    let loss = (vae.vae.decode(latents) - image).powi_scalar(2).mean();
    let found = f64::from(loss.clone().into_scalar::<f32>());
    close("loss", found, expected.loss);
    let grads = GradientsParams::from_grads(loss.backward(), &vae);
    let grads = weights::collect(&vae.clone().map(&mut IntoGradients(grads)));
    assert!(grads.keys().eq(expected.norms.keys()));
    for (name, grad) in &grads {
        let squares = grad.data.iter().map(|g| f64::from(*g).powi(2));
        close(name, squares.sum::<f64>().sqrt(), expected.norms[name]);
    }
}
