//! Images a second of whole optimizer steps: forward, backward, clipping, AdamW, moving average.
//!
//! ```sh
//! cargo bench -p train --bench step -- tests/peers/training.json [NAME,..] [SECONDS] [REPLICAS] [plain] [bf16] [cpu|cuda]
//! ```
//!
//! On the CPU, or on the device that is named. `plain` takes burn's own operations instead of our
//! kernels, `bf16` products in 16 bits. `tests/peers/training.py` does the same steps in PyTorch and
//! diffusers.

use std::time::Instant;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::Distribution;
use clap::ValueEnum;
use mimalloc::MiMalloc;
use roentgen_web::image::{self, AutoencoderConfig};
use roentgen_web::latents::{UNet2DConditionConfig, UNet2DConditionModel};
use serde::Deserialize;
use train::training::device::{self, Kind};
use train::training::loss::edges;
use train::training::run::{MixedPrecision, Optimization};
use train::training::trainer::Trainer;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Tokens of a prompt.
const TOKENS: usize = 77;

#[derive(Deserialize)]
struct Case {
    batch_size: usize,
    crop: Option<usize>,
    unet: Option<serde_json::Value>,
    vae: Option<serde_json::Value>,
}

#[derive(Module, Debug)]
struct Denoiser {
    unet: UNet2DConditionModel,
}

#[derive(Module, Debug)]
struct Autoencoder {
    vae: image::Autoencoder,
}

/// `mi_option_purge_delay` of mimalloc.h, as the trainer sets it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() {
    // SAFETY: mimalloc knows the option.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [file, rest @ ..] = &arguments[..] else {
        panic!("the file of cases is missing; see the head of train/benches/step.rs");
    };
    let names: Vec<&str> = rest
        .first()
        .map(|n| n.split(',').collect())
        .unwrap_or_default();
    let number = |i: usize, default: usize| {
        rest.get(i)
            .map_or(default, |n| n.parse().expect("a number"))
    };
    let (seconds, replicas) = (number(1, 20), number(2, 1));
    let words = rest.get(3..).unwrap_or_default();
    let said = |word: &str| words.iter().any(|said| said == word);
    roentgen_web::kernels::take_plain(said("plain"));
    let precision = if said("bf16") {
        MixedPrecision::Bf16
    } else {
        MixedPrecision::F32
    };
    let kind = words
        .iter()
        .find(|word| *word != "plain" && *word != "bf16");
    let kind = kind.map_or(Kind::Cpu, |kind| {
        Kind::from_str(kind, false).expect("cpu or cuda")
    });
    let device = device::open(kind)
        .unwrap_or_else(|error| {
            eprintln!("step: {error}");
            std::process::exit(1)
        })
        .autodiff();
    let way = Way {
        replicas,
        precision,
        seconds,
        device: &device,
    };
    let cases = std::fs::read(file).expect("the file of cases");
    let cases: std::collections::BTreeMap<String, Case> =
        serde_json::from_slice(&cases).expect("cases");
    for (name, case) in cases
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()))
    {
        let speed = match (&case.unet, &case.vae) {
            (Some(config), _) => denoiser(config, case.batch_size, way),
            (_, Some(config)) => autoencoder(config, case, way),
            _ => panic!("{name} has no network"),
        };
        println!("{name}: {speed:.2} images/s");
    }
}

/// How a case is trained.
#[derive(Clone, Copy)]
struct Way<'a> {
    replicas: usize,
    precision: MixedPrecision,
    seconds: usize,
    device: &'a Device,
}

fn optimization(batch_size: usize, way: Way) -> Optimization {
    Optimization {
        steps: usize::MAX,
        pause_at: None,
        batch_size,
        gradient_accumulation_steps: 1,
        replicas: way.replicas,
        precision: way.precision,
        learning_rate: 1e-4,
        warmup_steps: 1,
        lr_scheduler: Default::default(),
        decay_share: 0.2,
        adam_betas: [0.9, 0.999],
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        ema_decay: 0.999,
        ema_decays: vec![],
        checkpoint_every: usize::MAX,
        sheet_every: usize::MAX,
    }
}

/// Median images a second of the steps that `seconds` are enough for, two for warming up left out.
fn measured<M: Module + Send>(
    module: M,
    batch_size: usize,
    way: Way,
    loss: impl Fn(&M, usize, &Device) -> Tensor<1> + Sync,
) -> f64 {
    let folder = std::env::temp_dir().join(format!("step-{}", std::process::id()));
    let mut trainer =
        Trainer::new(module, optimization(batch_size, way), folder.clone()).expect("a folder");
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || begun.elapsed().as_secs() < way.seconds as u64 {
        let start = Instant::now();
        trainer.step(&loss).expect("finite losses");
        times.push(start.elapsed().as_secs_f64());
    }
    let _ = std::fs::remove_dir_all(folder);
    let mut times = times.split_off(2);
    times.sort_by(f64::total_cmp);
    batch_size as f64 / times[times.len() / 2]
}

fn denoiser(config: &serde_json::Value, batch: usize, way: Way) -> f64 {
    let number = |key: &str| config[key].as_u64().expect("a number") as usize;
    let [c, side, width] = ["in_channels", "sample_size", "cross_attention_dim"].map(number);
    let config: UNet2DConditionConfig =
        serde_json::from_value(config.clone()).expect("a U-Net's config");
    let unet = config.init(way.device).expect("a U-Net");
    let n = batch / way.replicas;
    measured(Denoiser { unet }, batch, way, |module, _, device| {
        let noise = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Default, device);
        let sample = noise([n, c, side, side]);
        let target = noise([n, c, side, side]);
        let text = Tensor::<3>::random([n, TOKENS, width], Distribution::Default, device);
        let timesteps = Tensor::<1>::random([n], Distribution::Uniform(0.0, 999.0), device);
        let prediction = module.unet.forward(sample, timesteps, &text.into());
        (prediction - target).powi_scalar(2).mean()
    })
}

fn autoencoder(config: &serde_json::Value, case: &Case, way: Way) -> f64 {
    let config: AutoencoderConfig =
        serde_json::from_value(config.clone()).expect("an autoencoder's config");
    let vae = config.init(way.device).expect("an autoencoder");
    let (batch, crop) = (case.batch_size, case.crop.expect("the size of a crop"));
    let n = batch / way.replicas;
    measured(Autoencoder { vae }, batch, way, |module, _, device| {
        let x = Tensor::<4>::random([n, 1, crop, crop], Distribution::Uniform(-1.0, 1.0), device);
        let latents = module.vae.encode(x.clone());
        let noise = Tensor::random(latents.mean.dims(), Distribution::Default, device);
        if let AutoencoderConfig::DC(_) = &config {
            let difference = module.vae.decode(latents.mean + noise * 0.1) - x;
            return difference.clone().abs().mean() + edges(difference) * 0.5;
        }
        let z = latents.mean.clone() + (latents.logvar.clone() * 0.5).exp() * noise;
        let difference = module.vae.decode(z) - x;
        let kl = latents.mean.powi_scalar(2) + latents.logvar.clone().exp() - 1.0 - latents.logvar;
        difference.clone().abs().mean() + edges(difference) * 0.5 + kl.mean() * 0.5e-4
    })
}
