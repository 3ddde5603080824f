//! A whole run on a handful of made-up images: it resumes to the same losses, and its bundle makes
//! an image.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::prelude::*;
use roentgen_web::bundle::Precision;
use roentgen_web::checkpoint::Components;
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::tokens::ClipTokenizer;
use roentgen_web::weights::Weights;
use train::data::readers::credits;
use train::data::{dataset::Dataset, record::Split};
use train::exchange::{export, tokenizer};
use train::stages::latents::Latents;
use train::stages::{SOURCES, diffusion, scratch, text, vae};
use train::training::run::{Run, RunFolder, TextRun};
use train::training::samples::{self, Sampling};
use train::training::{ema, start, trainer};

mod tiny;

use tiny::RUN;

fn data(dir: &Path) -> Dataset {
    tiny::write(dir);
    Dataset::load(dir, 16, Split::Train).unwrap()
}

fn losses(folder: &RunFolder, training: &str) -> Vec<String> {
    let log = fs::read_to_string(folder.path(training).join("log.csv")).unwrap();
    let columns = |line: &str| line.split(',').take(4).collect::<Vec<_>>().join(",");
    log.lines().skip(1).map(columns).collect()
}

fn train_vae(run: &Run, data: &Dataset, folder: &RunFolder) {
    folder.create().unwrap();
    vae::train(run, data, folder, &Device::flex()).unwrap();
}

fn train_diffusion(run: &Run, data: &Dataset, folder: &RunFolder) {
    let device = Device::flex();
    let words = tokenizer::train(tokenizer::corpus(&data.records, 4), run.vocab_size).unwrap();
    tokenizer::save(&words, &folder.path("tokenizer")).unwrap();
    let json = fs::read(folder.path("tokenizer/tokenizer.json")).unwrap();
    let words = ClipTokenizer::from_json(&json).unwrap();
    let weights = export::autoencoder(run, folder).unwrap();
    let vae = vae::Autoencoder {
        vae: run.vae.model.init(&device).unwrap(),
    };
    let vae = roentgen_web::weights::load(vae, weights).unwrap();
    let cache = folder.path("latents.safetensors");
    Latents::encode(&vae.vae, &run.vae.model, data, 0, &device)
        .save(&cache)
        .unwrap();
    let latents = Latents::open(&cache, Some([data.len(), 1])).unwrap();
    diffusion::train(
        run,
        &data.records,
        &latents,
        &words,
        folder,
        &device,
        |_| Ok(()),
    )
    .unwrap();
}

/// The seed of random weights is one for the whole process, so these tests run one after another.
fn alone() -> MutexGuard<'static, ()> {
    static SEED: Mutex<()> = Mutex::new(());
    SEED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_resumed_run_goes_on_to_the_same_losses_and_exports() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run: Run = toml::from_str(RUN).unwrap();
    let mut half = run.clone();
    half.vae.optimization.pause_at = Some(3);
    half.diffusion.optimization.pause_at = Some(3);

    let whole = RunFolder(dir.path().join("whole"));
    let broken = RunFolder(dir.path().join("broken"));
    train_vae(&run, &data, &whole);
    train_vae(&half, &data, &broken);
    train_vae(&run, &data, &broken);
    assert_eq!(losses(&whole, "vae").len(), 6);
    assert_eq!(losses(&whole, "vae"), losses(&broken, "vae"));

    train_diffusion(&run, &data, &whole);
    train_diffusion(&half, &data, &broken);
    train_diffusion(&run, &data, &broken);
    assert_eq!(losses(&whole, "diffusion").len(), 6);
    assert_eq!(losses(&whole, "diffusion"), losses(&broken, "diffusion"));

    let json = fs::read(whole.path("tokenizer/tokenizer.json")).unwrap();
    let words = ClipTokenizer::from_json(&json).unwrap();
    let latents = Latents::open(&whole.path("latents.safetensors"), None).unwrap();
    let configs = export::configs(&run, &words, &latents);
    let weights = export::weights(&run, &whole).unwrap();
    let bundle = dir.path().join("bundle");
    export::write(
        export::info(&run, configs.clone(), &[]),
        &words,
        &weights,
        Precision::Q8,
        &bundle,
    )
    .unwrap();
    assert!(bundle.join("bundle.json").exists());

    let pipeline = samples::pipeline(configs, &words, weights, &Device::flex()).unwrap();
    let sheet = dir.path().join("sheet.png");
    let sampling = Sampling {
        steps: 2,
        guidance: 2.0,
        scheduler: None,
        size: 16,
        seed: 0,
    };
    samples::contact_sheet(&pipeline, sampling, &sheet).unwrap();
    assert!(image::open(&sheet).unwrap().width() > 4 * 16);
}

#[test]
fn replicas_share_a_batch_without_changing_the_loss() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run: Run = toml::from_str(RUN).unwrap();
    let mut shared = run.clone();
    shared.vae.optimization.replicas = 2;
    shared.diffusion.optimization.replicas = 2;
    shared.diffusion.min_snr_gamma = Some(5.0);
    let mut alone = shared.clone();
    alone.vae.optimization.replicas = 1;
    alone.diffusion.optimization.replicas = 1;

    let (one, two) = (
        RunFolder(dir.path().join("one")),
        RunFolder(dir.path().join("two")),
    );
    train_vae(&alone, &data, &one);
    train_vae(&shared, &data, &two);
    train_diffusion(&alone, &data, &one);
    train_diffusion(&shared, &data, &two);
    for training in ["vae", "diffusion"] {
        for (a, b) in losses(&one, training).iter().zip(losses(&two, training)) {
            let numbers =
                |line: &str| -> Vec<f64> { line.split(',').map(|n| n.parse().unwrap()).collect() };
            // Loss and gradient norm; Adam turns rounding into steps of its own size, hence the
            // tolerance.
            for (a, b) in numbers(a).into_iter().zip(numbers(&b)) {
                assert!(
                    (a - b).abs() <= 2e-3 * a.abs(),
                    "{training}: {a} is not {b}"
                );
            }
        }
    }
}

#[test]
fn a_run_starts_from_a_bundle() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let mut run: Run = toml::from_str(RUN).unwrap();
    let first = RunFolder(dir.path().join("first"));
    train_vae(&run, &data, &first);
    train_diffusion(&run, &data, &first);
    let json = fs::read(first.path("tokenizer/tokenizer.json")).unwrap();
    let words = ClipTokenizer::from_json(&json).unwrap();
    let latents = Latents::open(&first.path("latents.safetensors"), None).unwrap();
    let weights = export::weights(&run, &first).unwrap();
    let bundle = dir.path().join("bundle");
    let configs = export::configs(&run, &words, &latents);
    let info = export::info(&run, configs.clone(), &[]);
    export::write(info, &words, &weights, Precision::F32, &bundle).unwrap();

    let device = Device::flex();
    let network = |seed| {
        device.seed(seed);
        let vae = run.vae.model.init(&device).unwrap();
        vae::Autoencoder { vae }
    };
    let started = start::from(network(7), &bundle).unwrap();
    for (name, weight) in roentgen_web::weights::collect(&started) {
        assert_eq!(weight, weights[&name], "{name}");
    }

    // A run that trains another decoder only has the rest of that model to give.
    let later = Run {
        init: Some(bundle.clone()),
        ..run.clone()
    };
    let other = RunFolder(dir.path().join("other"));
    train_vae(&later, &data, &other);
    credits::note(&[], &other.path(SOURCES)).unwrap();
    let (info, same, given) = scratch::finished(&later, &other).unwrap();
    assert_eq!(info.components.vae, configs.vae, "with its latents' scale");
    assert_eq!(same.vocab_size(), words.vocab_size());
    assert_eq!(given.len(), weights.len());
    let own = export::autoencoder(&later, &other).unwrap();
    for (name, weight) in given {
        assert_eq!(weight, *own.get(&name).unwrap_or(&weights[&name]), "{name}");
    }

    // Twice the latent channels: what touches them keeps its random start, the rest is taken.
    let AutoencoderConfig::KL(config) = &mut run.vae.model else {
        panic!("tiny.toml has an AutoencoderKL");
    };
    config.latent_channels *= 2;
    let random = run.vae.model.init(&device).unwrap();
    let wider = start::from(vae::Autoencoder { vae: random }, &bundle).unwrap();
    let wider = roentgen_web::weights::collect(&wider);
    let kept: Vec<&String> = wider.keys().filter(|n| wider[*n] != weights[*n]).collect();
    assert!(!kept.is_empty());
    assert!(
        kept.iter().all(|n| wider[*n].shape != weights[*n].shape),
        "{kept:?}"
    );

    let copied = Components::open(&bundle).unwrap().tokenizer.unwrap();
    let prompt = "PA chest radiograph. Effusion.";
    assert_eq!(
        copied.encode(prompt).unwrap().ids,
        words.encode(prompt).unwrap().ids
    );
}

#[test]
fn a_text_encoder_learns_what_prompts_say_and_the_diffusion_starts_from_it() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let folder = RunFolder(dir.path().join("run"));
    let mut run: Run = toml::from_str(RUN).unwrap();
    let mut text = TextRun {
        optimization: run.diffusion.optimization.clone(),
    };
    text.optimization.steps = 60;
    text.optimization.learning_rate = 1e-2;
    run.text = Some(text.clone());
    run.diffusion.optimization.learning_rate = 1e-12; // what it starts from is what it ends with
    run.diffusion.optimization.weight_decay = 0.0;

    let words = tokenizer::train(tokenizer::corpus(&data.records, 4), run.vocab_size).unwrap();
    tokenizer::save(&words, &folder.path("tokenizer")).unwrap();
    let json = fs::read(folder.path("tokenizer/tokenizer.json")).unwrap();
    let words = ClipTokenizer::from_json(&json).unwrap();
    let device = Device::flex();
    train_vae(&run, &data, &folder);
    let early = std::panic::catch_unwind(|| train_diffusion(&run, &data, &folder)).unwrap_err();
    let early = early.downcast_ref::<String>().expect("a message");
    assert!(early.contains("train text"), "{early}");
    text::train(&run, &text, &data.records, &words, &folder, &device).unwrap();
    let log = losses(&folder, "text");
    let mean = |lines: &[String]| -> f64 {
        let loss = |l: &String| l.split(',').nth(1).unwrap().parse::<f64>().unwrap();
        lines.iter().map(loss).sum::<f64>() / lines.len() as f64
    };
    assert!(mean(&log[50..]) < 0.5 * mean(&log[..10]), "{log:?}");

    train_diffusion(&run, &data, &folder);
    let learnt = ema::open(&trainer::ema_path(&folder.path("text"))).unwrap();
    let started = ema::open(&trainer::ema_path(&folder.path("diffusion"))).unwrap();
    let name = "text_encoder.final_layer_norm.weight";
    let near = |started: &Weights, most: f32| {
        for (a, b) in learnt[name].data.iter().zip(&started[name].data) {
            assert!((a - b).abs() < most, "{a} is not {b}");
        }
    };
    near(&started, 1e-6);

    // Another run goes on from the components, rounded to f16, without a training of its own before
    // the U-Net's, and from the U-Net.
    let components = dir.path().join("components");
    scratch::export_components(&run, &folder, &components).unwrap();
    run.init = Some(components);
    let second = RunFolder(dir.path().join("second"));
    second.create().unwrap();
    train_diffusion(&run, &data, &second);
    let started = ema::open(&trainer::ema_path(&second.path("diffusion"))).unwrap();
    near(&started, 2e-3);
    let init = Components::open(run.init.as_ref().unwrap()).unwrap();
    let trained = ema::open(&trainer::ema_path(&folder.path("diffusion"))).unwrap();
    let unet = trained.iter().filter(|(name, _)| name.starts_with("unet."));
    assert!(unet.clone().count() > 0);
    for (name, weight) in unet {
        let rounded = |x: &f32| half::f16::from_f32(*x).to_f32();
        let expected: Vec<f32> = weight.data.iter().map(rounded).collect();
        assert_eq!(init.weights[name].data, expected, "{name}");
    }
    let tokenizer = init.tokenizer.unwrap();
    let ids = |words: &ClipTokenizer| words.encode("Large right pleural effusion.").unwrap().ids;
    assert_eq!(ids(&tokenizer), ids(&words));
}
