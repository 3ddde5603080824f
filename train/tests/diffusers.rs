//! A model trained from nothing in diffusers' layout: its latents are shifted, which diffusers'
//! pipeline does not know.

use burn::prelude::*;
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::weights::{self, Weights};
use train::exchange::{diffusers, export, tokenizer};
use train::stages::vae::Autoencoder;
use train::training::objective::TextToLatents;
use train::training::run::Run;
use train::training::tensors::floats;

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().unwrap()
}

#[test]
fn the_shift_of_the_latents_moves_into_the_convolutions() {
    let device = Device::flex();
    device.seed(5);
    let mut run: Run = toml::from_str(include_str!("tiny.toml")).unwrap();
    let AutoencoderConfig::KL(config) = &mut run.vae.model else {
        panic!("tiny.toml has an AutoencoderKL");
    };
    config.scaling_factor = 0.7;
    config.shift_factor = Some(0.3);
    let corpus = (0..40).map(|i| format!("PA chest radiograph of a {i}-year-old man."));
    let words = tokenizer::train(corpus, run.vocab_size).unwrap();
    let words = words.to_string(false).unwrap();
    let words = roentgen_web::tokens::ClipTokenizer::from_json(words.as_bytes()).unwrap();
    run.diffusion.text_encoder.vocab_size = words.vocab_size();

    let networks = TextToLatents {
        text_encoder: run.diffusion.text_encoder.init(&device).unwrap(),
        unet: run.diffusion.unet.init(&device).unwrap(),
    };
    let autoencoder = |config: &AutoencoderConfig| Autoencoder {
        vae: config.init(&device).unwrap(),
    };
    let ours = autoencoder(&run.vae.model);
    let mut all = weights::collect(&networks);
    all.extend(weights::collect(&ours));
    let components = roentgen_web::components::ComponentConfigs {
        text_encoder: run.diffusion.text_encoder.clone(),
        unet: run.diffusion.unet.clone(),
        vae: run.vae.model.clone(),
        scheduler: run.diffusion.scheduler.clone(),
        reader: None,
    };
    let dir = tempfile::tempdir().unwrap();
    let info = export::info(&run, components, &[]);
    diffusers::write(&info, &words, &all, dir.path()).unwrap();

    let model = ModelFolder::open(dir.path()).unwrap();
    let AutoencoderConfig::KL(config) = &model.configs.vae else {
        panic!("the class has changed");
    };
    assert_eq!(config.shift_factor, None);
    let mut theirs = Weights::new();
    for part in model.weights() {
        theirs.extend(part.unwrap());
    }
    theirs.retain(|name, _| name.starts_with("vae."));
    let theirs = weights::load(autoencoder(&model.configs.vae), theirs).unwrap();

    let image: Vec<f32> = (0..256).map(|i| (i as f32 * 0.37).sin()).collect();
    let image = floats(&image, [1, 1, 16, 16], &device);
    let latents = |a: &Autoencoder| a.vae.scale(a.vae.encode(image.clone()).mean);
    let both = [values(latents(&ours)), values(latents(&theirs))];
    let noise: Vec<f32> = (0..256).map(|i| (i as f32 * 0.91).cos()).collect();
    let decoded = |a: &Autoencoder| {
        let z = floats(&noise, [1, 4, 8, 8], &device);
        values(a.vae.decode(a.vae.unscale(z)))
    };
    for [a, b] in [both, [decoded(&ours), decoded(&theirs)]] {
        assert!(a.len() >= 256 && a.iter().any(|v| *v != a[0]));
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
    }
}
