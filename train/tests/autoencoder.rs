//! An `AutoencoderDC` for images of two sizes, trained on a handful of made-up ones.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::prelude::*;
use image::{GrayImage, Luma};
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::weights;
use train::data::dataset::Dataset;
use train::data::images::Fit;
use train::data::readers::credits;
use train::data::record::Split;
use train::exchange::export;
use train::stages::latents::Latents;
use train::stages::vae::{self, Autoencoder, adversarial};
use train::stages::{SOURCES, scratch};
use train::training::run::{AdversarialRun, Run, RunFolder};
use train::training::trainer::BEFORE_DECAY;
use train::training::{ema, trainer};

/// The tiny run with images of 32 pixels, whose encoder sees 16.
fn run() -> Run {
    let mut run: toml::Table = toml::from_str(include_str!("tiny.toml")).unwrap();
    run["size"] = 32.into();
    let vae: toml::Table = toml::from_str(
        r#"
        crop = 16
        edge_weight = 0.5
        latent_noise = 0.1

        [optimization]
        steps = 40
        batch_size = 4
        learning_rate = 3e-3
        warmup_steps = 2
        lr_scheduler = "warmup_constant_decay"
        decay_share = 0.25
        adam_betas = [0.9, 0.99]
        weight_decay = 0.0
        max_grad_norm = 0.5
        ema_decay = 0.8
        ema_decays = [0.9]
        checkpoint_every = 10
        sheet_every = 20

        [model]
        _class_name = "AutoencoderDC"
        in_channels = 1
        latent_channels = 4
        encoder_block_out_channels = [4, 8, 16]
        decoder_block_out_channels = [4, 8, 16]
        encoder_layers_per_block = [0, 1, 1]
        decoder_layers_per_block = [0, 1, 1]
        encoder_sample_size = 16
        sample_size = 32
        "#,
    )
    .unwrap();
    run["vae"] = vae.into();
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), run.to_string()).unwrap();
    Run::read(path.path()).unwrap()
}

/// Six images with a bright disc each, half of them stored with half the pixels.
fn data(dir: &Path) -> Dataset {
    let mut table =
        "file,dataset,patient,view,sex,age,age_group,findings,other,split\n".to_string();
    for i in 0..6u32 {
        let side = if i % 2 == 0 { 32 } else { 16 };
        let image = GrayImage::from_fn(side, side, |x, y| {
            let distance = x.abs_diff(side / 4 + i).pow(2) + y.abs_diff(side / 2).pow(2);
            Luma([if distance < side * side / 12 {
                220
            } else {
                20 + 4 * i as u8
            }])
        });
        image.save(dir.join(format!("{i}.png"))).unwrap();
        table += &format!("{i}.png,nih_chestxray14,p{i},PA,M,60,adult,No Finding,,train\n");
    }
    fs::write(dir.join("metadata.csv"), table).unwrap();
    fs::write(dir.join("bboxes.csv"), "file,label,x,y,w,h\n").unwrap();
    Dataset::read(dir, &Split::Train.into(), Fit::AtMost(32)).unwrap()
}

/// Step, loss, gradient norm and rate of each step.
fn log(folder: &RunFolder, training: &str) -> Vec<Vec<f64>> {
    let log = fs::read_to_string(folder.path(training).join("log.csv")).unwrap();
    let numbers = |line: &str| {
        line.split(',')
            .take(4)
            .map(|n| n.parse().unwrap())
            .collect()
    };
    log.lines().skip(1).map(numbers).collect()
}

fn train(run: &Run, data: &Dataset, folder: &RunFolder) {
    folder.create().unwrap();
    vae::train(run, data, folder, &Device::flex()).unwrap();
}

fn mean_loss(rows: &[Vec<f64>]) -> f64 {
    rows.iter().map(|row| row[1]).sum::<f64>() / rows.len() as f64
}

/// The seed of random weights is one for the whole process, so these tests run one after another.
fn alone() -> MutexGuard<'static, ()> {
    static SEED: Mutex<()> = Mutex::new(());
    SEED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn it_learns_resumes_exactly_and_its_latents_are_whitened() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = run();
    let [whole, broken] = ["whole", "broken"].map(|name| RunFolder(dir.path().join(name)));
    train(&run, &data, &whole);
    let mut paused = run.clone();
    paused.vae.optimization.pause_at = Some(15); // where no checkpoint is due
    train(&paused, &data, &broken);
    train(&run, &data, &broken);
    let found = log(&whole, "vae");
    assert_eq!(found.len(), 40);
    assert_eq!(found, log(&broken, "vae"));
    assert!(
        mean_loss(&found[30..]) < 0.6 * mean_loss(&found[..5]),
        "{found:?}"
    );
    assert!(whole.path("sheets/vae-000040.png").exists());
    assert!(whole.path("vae/checkpoint/ema-0.9.safetensors").exists());

    // A copy of the checkpoint before the decay goes on at the full rate.
    assert_eq!(found[29][3], 3e-3);
    assert!(found[39][3] < 4e-4);
    let longer = RunFolder(dir.path().join("longer"));
    longer.create().unwrap();
    fs::create_dir(longer.path("vae")).unwrap();
    fs::rename(
        whole.path("vae").join(BEFORE_DECAY),
        longer.path("vae/checkpoint"),
    )
    .unwrap();
    let mut more = run.clone();
    more.vae.optimization.steps = 60;
    more.vae.optimization.pause_at = Some(32);
    train(&more, &data, &longer);
    let more = log(&longer, "vae");
    assert_eq!(
        more.iter().map(|row| row[0]).collect::<Vec<_>>(),
        [31.0, 32.0]
    );
    assert_eq!(more[1][3], 3e-3);

    // Each channel has the mean 0 and the variance 1, as diffusion sees it, though the encoder's
    // own differ.
    let device = Device::flex();
    let module = Autoencoder {
        vae: run.vae.model.init(&device).unwrap(),
    };
    let trained = ema::open(&trainer::ema_path(&whole.path("vae"))).unwrap();
    let module = weights::load(module, trained).unwrap();
    let data = Dataset::load(dir.path(), 32, Split::Train).unwrap();
    let latents = Latents::encode(&module.vae, &run.vae.model, &data, 1, &device);
    let config = latents.scaled(&run.vae.model);
    let AutoencoderConfig::DC(dc) = &config else {
        panic!("the class has changed");
    };
    let std = dc.latents_std.clone().unwrap();
    assert_eq!((std.len(), latents.shape), (4, [4, 8, 8]));
    let latents = latents.with_scaling(&config.scaling().unwrap());
    let mut rng = train::training::random::step_rng(1, 1);
    // Each image twice, the second time moved.
    assert_eq!((data.len(), latents.len()), (6, 12));
    let copies: std::collections::BTreeSet<usize> =
        (0..50).map(|_| latents.copy(4, &mut rng)).collect();
    assert_eq!(copies.into_iter().collect::<Vec<_>>(), [4, 10]);
    let samples: Vec<Vec<f32>> = (0..12).map(|i| latents.sample(i, &mut rng)).collect();
    assert_ne!(samples[4], samples[10]);
    for channel in 0..4 {
        let values = samples
            .iter()
            .flat_map(|s| &s[channel * 64..(channel + 1) * 64]);
        let values: Vec<f64> = values.map(|v| f64::from(*v)).collect();
        let moment = |power: i32| values.iter().map(|v| v.powi(power)).sum::<f64>() / 768.0;
        assert!(
            moment(1).abs() < 1e-4 && (moment(2) - 1.0).abs() < 1e-3,
            "{channel}"
        );
    }
    let corpus = std::iter::once("PA chest radiograph.".to_string());
    let tokenizer = train::exchange::tokenizer::train(corpus, 540).unwrap();
    let json = tokenizer.to_string(false).unwrap();
    let words = roentgen_web::tokens::ClipTokenizer::from_json(json.as_bytes()).unwrap();
    assert_eq!(export::configs(&run, &words, &latents).vae, config);
}

#[test]
fn the_decoder_learns_against_a_discriminator_and_both_resume_exactly() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let mut run = run();
    run.vae.optimization.steps = 10;
    run.vae.crop = 32;
    let adversarial: AdversarialRun = toml::from_str(
        r#"
        pixel_weight = 0.3
        coarse_weight = 2.0
        adversarial_weight = 0.1
        ramp_steps = 2
        head_start = 20
        discriminator_learning_rate = 2e-3
        penalty_weight = 1.0
        penalty_noise = 0.1

        [optimization]
        steps = 12 # the average takes every tenth in
        batch_size = 4
        learning_rate = 3e-4
        warmup_steps = 1
        lr_scheduler = "constant"
        adam_betas = [0.5, 0.99]
        weight_decay = 0.0
        max_grad_norm = 1.0
        ema_decay = 0.5
        checkpoint_every = 2
        sheet_every = 12
        "#,
    )
    .unwrap();
    let device = Device::flex();
    let folders = ["whole", "broken"].map(|name| RunFolder(dir.path().join(name)));
    for folder in &folders {
        train(&run, &data, folder);
    }
    let [whole, broken] = &folders;
    let learn = |a: &AdversarialRun, folder| {
        adversarial::train(&run, a, &data, folder, &device).unwrap();
    };
    learn(&adversarial, whole);
    let mut paused = adversarial.clone();
    paused.optimization.pause_at = Some(3);
    learn(&paused, broken);
    learn(&adversarial, broken);
    for (training, steps) in [("adversarial", 12), ("adversarial/discriminator", 32)] {
        assert_eq!(log(whole, training).len(), steps);
        assert_eq!(log(whole, training), log(broken, training), "{training}");
    }
    let judged = log(whole, "adversarial/discriminator");
    assert!(
        mean_loss(&judged[15..20]) < mean_loss(&judged[..5]),
        "{judged:?}"
    );
    assert!(whole.path("sheets/adversarial-000012.png").exists());

    // Latents stay what they were; the decoder has changed, and is the one that is exported.
    let plain = ema::open(&trainer::ema_path(&whole.path("vae"))).unwrap();
    for (name, weight) in export::autoencoder(&run, whole).unwrap() {
        let same = weight == plain[&name];
        assert!(same || !name.starts_with("vae.encoder."), "{name}");
        assert!(!same || name != "vae.decoder.conv_out.conv.weight");
    }
}

#[test]
fn another_run_starts_from_an_autoencoder_that_was_exported_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let mut run = run();
    run.vae.optimization.steps = 10;
    let [first, second] = ["first", "second"].map(|name| RunFolder(dir.path().join(name)));
    train(&run, &data, &first);
    credits::note(&data.credits(), &first.path(SOURCES)).unwrap();
    let alone = dir.path().join("alone");
    scratch::export_components(&run, &first, &alone).unwrap();
    let config = fs::read_to_string(alone.join("vae/config.json")).unwrap();
    let config: AutoencoderConfig = serde_json::from_str(&config).unwrap();
    assert_eq!(config, run.vae.model);
    let noted = credits::noted(&alone.join(SOURCES)).unwrap();
    assert_eq!(noted, data.credits());

    second.create().unwrap();
    let error = export::autoencoder(&run, &second).unwrap_err().to_string();
    assert!(error.contains("train vae"), "{error}");
    run.init = Some(alone);
    let found = export::autoencoder(&run, &second).unwrap();
    assert_eq!(found, vae::trained(&run, &second).unwrap());
    let trained = ema::open(&trainer::ema_path(&first.path("vae"))).unwrap();
    assert_eq!(found.len(), trained.len());
    for (name, weight) in found {
        let rounded = |x: &f32| half::f16::from_f32(*x).to_f32();
        let expected: Vec<f32> = trained[&name].data.iter().map(rounded).collect();
        assert_eq!(weight.data, expected, "{name}");
    }
    // What the run trains itself comes first.
    train(&run, &data, &second);
    let own = export::autoencoder(&run, &second).unwrap();
    assert_eq!(
        own,
        ema::open(&trainer::ema_path(&second.path("vae"))).unwrap()
    );
}

#[test]
fn the_next_model_s_run_file_is_right_and_its_components_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut run = Run::read(&root.join("train/next.toml")).unwrap();
    assert!(run.vae.sees_half() && run.vae.adversarial.is_some());
    assert_eq!(
        (run.vae.model.latent_channels(), run.vae.model.downscale()),
        (16, 16)
    );
    run.init = run.init.map(|init| root.join(init));
    let empty = tempfile::tempdir().unwrap();
    let trained = export::autoencoder(&run, &RunFolder(empty.path().into())).unwrap();
    let vae = run.vae.model.init(&Device::flex()).unwrap();
    weights::load(Autoencoder { vae }, trained).unwrap();
}

#[test]
fn what_an_autoencoder_s_run_cannot_do_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    let next = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("next.toml")).unwrap();
    for (from, to, named) in [
        (
            "encoder_sample_size = 128",
            "encoder_sample_size = 64",
            "half of it",
        ),
        ("latent_noise = 0.1", "latent_noise = -0.1", "latent_noise"),
        ("latent_noise = 0.1", "kl_weight = 1e-4", "kl_weight"),
        ("head_start = 100", "head_start = 110", "head_start"),
        ("decay_share = 0.6", "decay_share = 1.6", "decay_share"),
    ] {
        assert!(next.contains(from), "{from}");
        fs::write(&path, next.replacen(from, to, 1)).unwrap();
        let error = Run::read(&path).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
