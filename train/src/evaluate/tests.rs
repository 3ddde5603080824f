//! A classifier on made-up images, and a whole evaluation of the small Stable Diffusion of the
//! goldens with it.

use std::path::{Path, PathBuf};

use burn::prelude::*;
use clap::{Args, FromArgMatches};
use image::{GrayImage, Luma};

use roentgen_web::bundle::{BundleWriter, Precision};
use roentgen_web::reader::{ClassifierConfig, LabelConfig, ReaderConfig};
use roentgen_web::weights;

use super::classifier;
use super::labels::{LABELS, names};
use super::training::{self, ClassifierRun};
use super::{Evaluation, run};
use crate::data::dataset::Dataset;
use crate::data::record::Split;
use crate::exchange::import::{self, Import};
use crate::training::run::{LrScheduler, MixedPrecision, Optimization};

pub(super) const SIZE: usize = 32;

/// Images whose view can be seen (a bright bar at the left or at the right), a third of them of
/// children.
pub(super) fn write_data(dir: &Path) {
    let mut table =
        "file,dataset,patient,view,sex,age,age_group,findings,other,split\n".to_string();
    for i in 0..60u32 {
        let view = ["PA", "AP"][(i % 2) as usize];
        let group = ["child", "adult", "adult"][(i % 3) as usize];
        let finding = ["No Finding", "Effusion"][(i / 2 % 2) as usize];
        let split = if i < 40 { "train" } else { "val" };
        table += &format!("{i}.png,nih_chestxray14,p{i},{view},M,,{group},{finding},,{split}\n");
        let bright = |x: u32| (x < 12) == (view == "PA") && !(12..20).contains(&x);
        let image = GrayImage::from_fn(SIZE as u32, SIZE as u32, |x, y| {
            let noise = (x * 31 + y * 17 + i * 29) % 40;
            Luma([(noise + if bright(x) { 150 } else { 20 }) as u8])
        });
        image.save(dir.join(format!("{i}.png"))).unwrap();
    }
    std::fs::write(dir.join("metadata.csv"), table).unwrap();
}

pub(super) fn classifier_run(steps: usize) -> ClassifierRun {
    ClassifierRun {
        seed: 1,
        repeat_below: 0.25,
        optimization: Optimization {
            steps,
            pause_at: None,
            batch_size: 8,
            gradient_accumulation_steps: 1,
            replicas: 2,
            precision: MixedPrecision::F32,
            learning_rate: 5e-3,
            warmup_steps: 5,
            lr_scheduler: LrScheduler::Cosine,
            decay_share: 0.2,
            adam_betas: [0.9, 0.999],
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            ema_decay: 0.9,
            ema_decays: vec![],
            checkpoint_every: 20,
            sheet_every: 1000,
        },
        model: ClassifierConfig {
            size: SIZE,
            channels: vec![8, 16],
            layers_per_block: 1,
            norm_num_groups: 4,
        },
    }
}

fn train(data: &Path, folder: &Path, run: &ClassifierRun) -> roentgen_web::Result<()> {
    let [learn, val] = [Split::Train, Split::Val].map(|s| Dataset::load(data, SIZE, s).unwrap());
    training::train(run, &learn, &val, folder, &Device::flex())
}

#[test]
fn a_classifier_learns_resumes_and_measures_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let [data, folder, out] = ["data", "classifier", "out"].map(|name| dir.path().join(name));
    std::fs::create_dir(&data).unwrap();
    write_data(&data);

    let mut half = classifier_run(60);
    half.optimization.pause_at = Some(30);
    train(&data, &folder, &half).unwrap();
    train(&data, &folder, &classifier_run(60)).unwrap();
    let log = std::fs::read_to_string(folder.join("log.csv")).unwrap();
    let losses: Vec<f64> = log
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(losses.len(), 60, "it went on where it paused");
    let mean = |l: &[f64]| l.iter().sum::<f64>() / l.len() as f64;
    assert!(mean(&losses[50..]) < 0.5 * mean(&losses[..5]), "{losses:?}");
    let mut table = csv::Reader::from_path(folder.join("auroc.csv")).unwrap();
    let view = table.records().map(|r| r.unwrap()).find(|r| &r[0] == "PA");
    let view: f64 = view.unwrap()[3].parse().unwrap();
    assert!(view > 0.95, "AUROC of the view: {view}");

    let mut other = classifier_run(60);
    other.model.channels = vec![8, 8];
    let error = train(&data, &folder, &other).unwrap_err().to_string();
    assert!(error.contains("choose another --folder"), "{error}");

    let bundle = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/pipeline_sd1"
    );
    let xrv = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/densenet/model.safetensors"
    );
    let mut evaluation = Evaluation {
        bundle: bundle.into(),
        classifier: folder,
        xrv: Some(xrv.into()),
        data,
        out: out.clone(),
        images: 8,
        prompts: 2,
        steps: Some(1),
        guidance: Some(1.0),
        verify: None,
        seed: 3,
    };
    let report = run(&evaluation, &Device::flex()).unwrap();
    let figure = |name: &str| report.figures.iter().find(|f| f.name == name).unwrap();
    let distance = figure("Fréchet distance");
    assert!(distance.generated > distance.real, "{distance:?}");
    let distance = figure("Fréchet distance, torchxrayvision");
    assert!(distance.generated > distance.real, "{distance:?}");
    assert!(figure("PA").real.unwrap() > 0.95);
    assert!(figure("Smallest distance, grey levels").generated.unwrap() > 0.0);
    assert!(
        figure("MS-SSIM within a prompt")
            .real
            .is_none_or(|v| v <= 1.0)
    );
    for file in [
        "evaluation.json",
        "evaluation.csv",
        "evaluation.md",
        "nearest.png",
    ] {
        assert!(out.join(file).exists(), "{file}");
    }

    // The same images again, none generated anew, and none mixed with another model's.
    let image = out.join("images/000000-0.png");
    let made = image.metadata().unwrap().modified().unwrap();
    run(&evaluation, &Device::flex()).unwrap();
    assert_eq!(image.metadata().unwrap().modified().unwrap(), made);
    evaluation.steps = Some(2);
    let error = run(&evaluation, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("choose another --out"), "{error}");
    evaluation.images = 3;
    let error = run(&evaluation, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("images"), "{error}");

    evaluation.images = 8;
    evaluation.verify = Some(2);
    let error = run(&evaluation, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("no reader"), "{error}");
    evaluation.bundle = with_reader(&evaluation.bundle, &dir.path().join("bundle"));
    evaluation.out = dir.path().join("verified");
    let report = run(&evaluation, &Device::flex()).unwrap();
    let figure = report.figures.iter().find(|f| f.group == "Selection");
    let drawn = figure.unwrap().generated.unwrap();
    assert!(drawn > 1.0 && drawn < 2.0, "{drawn}");
}

/// A bundle whose reader never sees a finding: it agrees with every image of a normal chest and
/// with no other.
fn with_reader(checkpoint: &Path, out: &Path) -> PathBuf {
    let [from, to] = [checkpoint, out].map(|path| path.display().to_string());
    let command = Import::augment_args(clap::Command::new("import"));
    let given = command.get_matches_from(["import", "--checkpoint", &from, "--out", &to]);
    import::bundle(&Import::from_arg_matches(&given).unwrap()).unwrap();
    let label = |name: &str| LabelConfig {
        name: name.into(),
        auroc: 0.9,
        threshold: 0.9999,
    };
    let config = ReaderConfig {
        model: classifier_run(1).model,
        temperature: 1.0,
        farthest: 1e6,
        labels: names().into_iter().map(label).collect(),
    };
    let mut writer = BundleWriter::new(out, Precision::Q8).unwrap();
    for (name, weight) in weights::collect(&config.init(&Device::flex()).unwrap()) {
        writer.add(&format!("reader.{name}"), &weight).unwrap();
    }
    writer.join(config).unwrap();
    out.into()
}

#[test]
fn a_folder_without_a_classifier_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = classifier::open(dir.path(), &Device::flex())
        .unwrap_err()
        .to_string();
    assert!(error.contains("train classifier"), "{error}");
}

#[test]
fn the_run_that_is_shipped_is_sound() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/classifier.toml"));
    let run = ClassifierRun::read(&path).unwrap();
    let device = Device::flex();
    let size = run.model.size;
    let classifier = run.model.init(LABELS, &device).unwrap();
    let predictions = classifier::predict(&classifier, [&vec![7; size * size][..]], size);
    assert_eq!(
        predictions.features.width,
        *run.model.channels.last().unwrap()
    );
    assert_eq!(predictions.logits.len(), 1);
}
