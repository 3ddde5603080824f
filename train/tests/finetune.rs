//! Fine-tuning a small checkpoint of random weights: resuming, freezing, adapters, and both ways
//! out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::prelude::*;
use image::{GrayImage, Luma};
use roentgen_web::bundle::Precision;
use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::weights::Weights;
use train::exchange::{diffusers, export};
use train::stages::finetune::run::{FineTuneRun, LoraRun};
use train::stages::finetune::{self, Base};
use train::training::run::{MixedPrecision, RunFolder};

/// Stable Diffusion 1 in small, as published checkpoints lie.
fn checkpoint() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/pipeline_sd1"
    ))
}

fn run() -> FineTuneRun {
    toml::from_str(include_str!("finetune.toml")).unwrap()
}

/// Five images and their texts, and one file that is no image.
fn data(dir: &Path) -> PathBuf {
    let mut table = "file,text\n".to_string();
    for i in 0..5u32 {
        let image = GrayImage::from_fn(48, 40, |x, y| {
            let distance = x.abs_diff(14 + 4 * i).pow(2) + y.abs_diff(20).pow(2);
            Luma([if distance < 120 {
                220
            } else {
                20 + 4 * i as u8
            }])
        });
        image.save(dir.join(format!("{i}.png"))).unwrap();
        table += &format!("{i}.png,Effusion of size {i}.\n");
    }
    fs::write(dir.join("broken.png"), "no image").unwrap();
    table += "broken.png,Broken.\n";
    let path = dir.join("texts.csv");
    fs::write(&path, table).unwrap();
    path
}

fn weights(dir: &Path) -> Weights {
    let mut all = Weights::new();
    for part in ModelFolder::open(dir).unwrap().weights() {
        all.extend(part.unwrap());
    }
    all
}

/// Runs to the end and gives the weights.
fn train(run: &FineTuneRun, dir: &Path, name: &str) -> (RunFolder, Weights) {
    let folder = RunFolder(dir.join(name));
    let data = dir.join("texts.csv");
    finetune::train(run, &checkpoint(), &data, &folder, &Device::flex()).unwrap();
    let trained = finetune::trained(&folder).unwrap();
    (folder, trained)
}

/// Names of the tensors that differ. SD 1 stores two of them as convolutions, which changes their
/// shapes alone.
fn changed(before: &Weights, after: &Weights) -> Vec<String> {
    assert!(before.keys().eq(after.keys()));
    let names = before.keys().filter(|n| before[*n].data != after[*n].data);
    names.cloned().collect()
}

fn losses(folder: &RunFolder) -> Vec<String> {
    let log = fs::read_to_string(folder.path("finetune/log.csv")).unwrap();
    let columns = |line: &str| line.split(',').take(4).collect::<Vec<_>>().join(",");
    log.lines().skip(1).map(columns).collect()
}

/// The seed of random weights is one for the whole process, so these tests run one after another.
fn alone() -> MutexGuard<'static, ()> {
    static SEED: Mutex<()> = Mutex::new(());
    SEED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_resumed_fine_tuning_goes_on_to_the_same_losses_and_leaves_both_ways() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    data(dir.path());
    let mut run = run();
    let (whole, trained) = train(&run, dir.path(), "whole");
    run.finetune.optimization.pause_at = Some(10);
    train(&run, dir.path(), "broken");
    run.finetune.optimization.pause_at = None;
    let (broken, resumed) = train(&run, dir.path(), "broken");
    assert_eq!(losses(&whole).len(), 20);
    assert_eq!(losses(&whole), losses(&broken));
    assert!(trained == resumed);

    let before = weights(&checkpoint());
    let changed = changed(&before, &trained);
    assert!(changed.iter().all(|name| !name.starts_with("vae.")));
    for part in ["unet.conv_in.weight", "text_encoder.final_layer_norm.bias"] {
        assert!(changed.iter().any(|name| name == part), "{part}");
    }

    let (base, tokenizer) = Base::open(&whole).unwrap();
    let info = base.info(&run);
    let layout = dir.path().join("diffusers");
    diffusers::write(&info, &tokenizer, &trained, &layout).unwrap();
    let bundle = dir.path().join("bundle");
    export::write(info.clone(), &tokenizer, &trained, Precision::F32, &bundle).unwrap();
    for out in [&layout, &bundle] {
        let model = ModelFolder::open(out).unwrap();
        assert_eq!(model.name, "tuned");
        assert_eq!(model.configs, info.components, "{}", out.display());
        assert_eq!(model.defaults.width, 32);
        let again = weights(out);
        assert!(self::changed(&trained, &again).is_empty());
        for prompt in ["", "PA chest radiograph! Größe <|endoftext|> effusion"] {
            let ids = model.tokenizer.encode(prompt).unwrap();
            assert_eq!(ids, tokenizer.encode(prompt).unwrap());
        }
    }
    // A second export into the same folder is fine, one beside other weights is not.
    diffusers::write(&info, &tokenizer, &trained, &layout).unwrap();
    fs::write(layout.join("unet/other.safetensors"), "").unwrap();
    let error = diffusers::write(&info, &tokenizer, &trained, &layout).unwrap_err();
    assert!(error.to_string().contains("other.safetensors"), "{error}");
}

#[test]
fn a_frozen_text_encoder_stays_as_it_is() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    data(dir.path());
    let mut run = run();
    run.finetune.train_text_encoder = false;
    run.finetune.min_snr_gamma = Some(5.0);
    run.finetune.prompts = vec!["Effusion.".into()];
    run.finetune.optimization.sheet_every = 20;
    let (folder, trained) = train(&run, dir.path(), "run");
    let changed = changed(&weights(&checkpoint()), &trained);
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|name| name.starts_with("unet.")));
    assert!(folder.path("sheets/finetune-000020.png").exists());
}

#[test]
fn products_in_16_bits_train_alike() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    data(dir.path());
    let mut run = run();
    let mut last = |precision, name: &str| -> f64 {
        run.finetune.optimization.precision = precision;
        let (folder, _) = train(&run, dir.path(), name);
        let losses = losses(&folder);
        losses[19].split(',').nth(1).unwrap().parse().unwrap()
    };
    let exact = last(MixedPrecision::F32, "f32");
    for (precision, name) in [(MixedPrecision::Bf16, "bf16"), (MixedPrecision::F16, "f16")] {
        let found = last(precision, name);
        assert!(found != exact, "{name} changes nothing");
        assert!(
            (found / exact - 1.0).abs() < 0.02,
            "{name}: {found} against {exact}"
        );
    }
}

#[test]
fn adapters_change_the_projections_of_attention_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    data(dir.path());
    let mut run = run();
    run.finetune.lora = Some(LoraRun {
        rank: 2,
        alpha: 4.0,
    });
    let (whole, trained) = train(&run, dir.path(), "whole");
    run.finetune.optimization.pause_at = Some(10);
    train(&run, dir.path(), "broken");
    run.finetune.optimization.pause_at = None;
    let (broken, resumed) = train(&run, dir.path(), "broken");
    assert_eq!(losses(&whole), losses(&broken));
    assert!(trained == resumed);

    let projections = [
        "to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj",
    ];
    let changed = changed(&weights(&checkpoint()), &trained);
    for name in &changed {
        let adapted = projections
            .iter()
            .any(|p| name.ends_with(&format!(".{p}.weight")));
        assert!(adapted && !name.starts_with("vae."), "{name}");
    }
    let parts = ["unet.", "text_encoder."];
    assert!(
        parts
            .iter()
            .all(|p| changed.iter().any(|n| n.starts_with(p)))
    );
}

#[test]
fn a_text_encoder_can_be_taken_from_another_checkpoint() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    data(dir.path());
    let other = checkpoint().with_file_name("pipeline_sd2");
    let mut run = run();
    run.finetune.train_text_encoder = false;
    run.finetune.text_encoder = Some(other.clone());
    let (folder, trained) = train(&run, dir.path(), "run");
    let theirs = weights(&other);
    let text = |name: &&String| name.starts_with("text_encoder.");
    for name in theirs.keys().filter(text) {
        assert_eq!(trained[name], theirs[name], "{name}");
    }
    // Stable Diffusion 2 pads with "!", which is its tokenizer's and not the checkpoint's.
    let (_, tokenizer) = Base::open(&folder).unwrap();
    assert_eq!(tokenizer.pad_token_id(), 0);
}

#[test]
fn what_does_not_fit_is_refused() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let folder = RunFolder(dir.path().join("run"));
    let refused = |run: &FineTuneRun, checkpoint: &Path, data: &Path, words: &[&str]| {
        let device = Device::flex();
        let error = finetune::train(run, checkpoint, data, &folder, &device).unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
    };
    let mut odd = run();
    odd.size = 30;
    refused(&odd, &checkpoint(), &data, &["size 30", "multiple of 4"]);
    refused(&run(), dir.path(), &data, &["not a model"]);
    let broken = dir.path().join("broken.csv");
    fs::write(&broken, "file,text\nbroken.png,Broken.\n").unwrap();
    refused(&run(), &checkpoint(), &broken, &["no image can be read"]);
    let other = checkpoint().with_file_name("pipeline_sd2");
    refused(&run(), &other, &data, &["another model"]);
}
