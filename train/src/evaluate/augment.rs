//! Whether generated images help to train a classifier: real images alone, generated ones alone,
//! and both, judged on the real val split (the augmentation experiment of Chambon et al. 2022,
//! section 4.4).

mod experiment;
pub mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use clap::Args;
use rand::seq::SliceRandom;
use roentgen_web::error::{Error, Result};
use roentgen_web::reader::Classifier;
use roentgen_web::{files, limits};

pub use self::experiment::{Arm, AugmentationRun, FINDINGS, Outcome};
use self::report::AugmentationReport;
use super::classifier;
use super::generate::{self, Generator, Settings};
use super::labels::{LABELS, requested};
use super::report::Circumstances;
use super::training::{self, ClassifierRun, LabelAuroc, Labelled, label_aurocs, mean_auroc};
use crate::data::dataset::Dataset;
use crate::data::record::{Record, Split};
use crate::training::random::step_rng;

/// What `train augment` is told.
#[derive(Args, Clone, Debug)]
pub struct Augmentation {
    /// Folder of the bundle
    #[arg(long, value_name = "DIR")]
    pub bundle: PathBuf,
    /// Folder with metadata.csv and the images
    #[arg(long)]
    pub data: PathBuf,
    /// The experiment's description
    #[arg(long)]
    pub run: PathBuf,
    /// Folder for the images, the classifiers and the report
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A look at the val split during a training: the step, and the AUROC of each finding in each half.
pub type Look = (usize, [[LabelAuroc; FINDINGS]; 2]);

impl AugmentationRun {
    /// Reads `augment.toml`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Config`] saying what is wrong in it.
    pub fn read(path: &Path) -> Result<Self> {
        let fault = |why: String| Error::config(path.display().to_string(), why);
        let text = limits::read_text(path, limits::RUN_BYTES)?;
        let run: Self = toml::from_str(&text).map_err(|e| fault(e.to_string()))?;
        if run.seeds.is_empty() || run.images == 0 || run.steps == 0 {
            return Err(fault("seeds, images and steps must not be empty".into()));
        }
        if run.fractions.is_empty() || run.fractions.iter().any(|f| !(*f > 0.0 && *f <= 1.0)) {
            return Err(fault("fractions must be above 0 and at most 1".into()));
        }
        match run.optimization.fault() {
            Some(why) => Err(fault(format!("[optimization] {why}"))),
            None => Ok(run),
        }
    }

    /// Every arm, those of a seed together, so that a stopped experiment has whole seeds.
    pub fn arms(&self) -> Vec<Arm> {
        let mut arms = vec![];
        for &seed in &self.seeds {
            let arm = |real, generated| Arm {
                real,
                generated,
                seed,
            };
            arms.push(arm(None, true));
            for &fraction in &self.fractions {
                arms.push(arm(Some(fraction), false));
                arms.push(arm(Some(fraction), true));
            }
        }
        arms
    }

    fn classifier(&self, seed: u64) -> ClassifierRun {
        ClassifierRun {
            seed,
            repeat_below: self.repeat_below,
            optimization: self.optimization.clone(),
            model: self.model.clone(),
        }
    }
}

impl Arm {
    /// Its name in files: `real-0.05-generated-seed-1`.
    pub fn name(&self) -> String {
        let real = self.real.map(|f| format!("real-{f}-")).unwrap_or_default();
        let generated = if self.generated { "generated-" } else { "" };
        format!("{real}{generated}seed-{}", self.seed)
    }
}

/// Indices of the records of so many patients, in a random order, as make up `fraction` of the
/// records. A larger fraction has all of a smaller one's with the same seed.
pub fn fraction(records: &[Record], fraction: f64, seed: u64) -> Vec<usize> {
    let mut of_patient: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, record) in records.iter().enumerate() {
        of_patient.entry(&record.patient).or_default().push(i);
    }
    let mut patients: Vec<Vec<usize>> = of_patient.into_values().collect();
    patients.shuffle(&mut step_rng(seed, 0));
    let wanted = (fraction * records.len() as f64).round() as usize;
    let mut taken = vec![];
    for patient in patients {
        if taken.len() >= wanted {
            break;
        }
        taken.extend(patient);
    }
    taken
}

/// AUROC of each finding, and the steps it was taken at. The best look of a training is chosen by
/// the mean AUROC of one half of the patients and counted on the other half, and the other way
/// round; the two are averaged. So a classifier may stop before it has learnt few images by heart,
/// and nothing is chosen by what it is then judged on.
///
/// # Panics
/// Where there are no looks: a training always has its last.
pub fn verdict(looks: &[Look]) -> ([Option<f64>; FINDINGS], [usize; 2]) {
    let best = |half: usize| {
        let mean = |look: &&Look| mean_auroc(&look.1[half]).unwrap_or(0.0);
        let best = looks.iter().max_by(|a, b| mean(a).total_cmp(&mean(b)));
        best.expect("at least one look")
    };
    let [first, second] = [best(1), best(0)];
    let auroc = std::array::from_fn(|finding| {
        let (a, b) = (first.1[0][finding].auroc?, second.1[1][finding].auroc?);
        Some((a.0 + b.0) / 2.0)
    });
    (auroc, [first.0, second.0])
}

/// Generates what is missing, trains what is missing, and writes the report.
///
/// # Errors
/// [`Error::Config`] if the folder has another experiment's arms; as [`Dataset::load`],
/// [`Generator::fill`], [`training::fit`] and [`AugmentationReport::write`].
pub fn run(a: &Augmentation, device: &Device) -> Result<AugmentationReport> {
    let run = AugmentationRun::read(&a.run)?;
    let size = run.model.size;
    let load = |split| {
        let data = Dataset::load(&a.data, size, split)?;
        println!("{split:?}: {data}");
        Ok(data)
    };
    let (train, val) = (load(Split::Train)?, load(Split::Val)?);
    let generator = Generator::open(&a.bundle, Some(run.steps), None, 1, device)?;
    let plan = generate::plan(&train.records, run.images, generator.settings.seed);
    let folder = a.out.join("images");
    generator.fill(&folder, &plan)?;
    let images = generate::read(&folder, &plan, size)?;
    let generated = Labelled {
        size,
        images: images.iter().map(Vec::as_slice).collect(),
        truths: plan
            .iter()
            .map(|p| requested(&train.records[p.record], &p.said))
            .collect(),
        boxes: vec![],
    };

    let arms = a.out.join("arms");
    claim(&arms, &run, &generator.settings)?;
    let (real, val) = (Labelled::of(&train), Halves::new(&val));
    let mut outcomes = vec![];
    for arm in run.arms() {
        let path = arms.join(format!("{}.json", arm.name()));
        let outcome = match std::fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map_err(|e| {
                Error::config(
                    path.display().to_string(),
                    format!("{e}; delete it to train this classifier anew"),
                )
            })?,
            Err(_) => {
                println!("{}", arm.name());
                let mut taken = vec![];
                if let Some(share) = arm.real {
                    taken = fraction(&train.records, share, arm.seed);
                }
                let mut learn = Labelled {
                    size,
                    images: taken.iter().map(|&i| real.images[i]).collect(),
                    truths: taken.iter().map(|&i| real.truths[i]).collect(),
                    boxes: vec![],
                };
                if arm.generated {
                    learn.images.extend(&generated.images);
                    learn.truths.extend(&generated.truths);
                }
                let looks = watch(&run.classifier(arm.seed), &learn, &val, &arms, &arm, device)?;
                let (auroc, chosen) = verdict(&looks);
                let outcome = Outcome {
                    arm,
                    real_images: taken.len(),
                    generated_images: learn.images.len() - taken.len(),
                    chosen,
                    auroc,
                };
                let json = serde_json::to_vec_pretty(&outcome).expect("plain numbers");
                files::replace(&path, &json)?;
                outcome
            }
        };
        outcomes.push(outcome);
    }
    let report = AugmentationReport {
        circumstances: Circumstances::now(),
        settings: generator.settings.clone(),
        run,
        outcomes,
    };
    report.write(&a.out)?;
    Ok(report)
}

/// The val split in two halves without a patient in common.
struct Halves<'a> {
    halves: [Labelled<'a>; 2],
}

impl<'a> Halves<'a> {
    fn new(data: &'a Dataset) -> Self {
        let all = Labelled::of(data);
        let mut first = vec![false; data.len()];
        for i in fraction(&data.records, 0.5, 0) {
            first[i] = true;
        }
        let half = |which: bool| {
            let of = (0..data.len()).filter(|&i| first[i] == which);
            let (images, truths) = of.map(|i| (all.images[i], all.truths[i])).unzip();
            Labelled {
                size: data.size,
                images,
                truths,
                boxes: vec![],
            }
        };
        Self {
            halves: [half(true), half(false)],
        }
    }

    fn judge(&self, network: &Classifier) -> [[LabelAuroc; FINDINGS]; 2] {
        self.halves.each_ref().map(|half| {
            let predictions = classifier::predict(network, half.images.iter().copied(), half.size);
            let all: [LabelAuroc; LABELS] = label_aurocs(&predictions.logits, &half.truths);
            std::array::from_fn(|finding| all[finding])
        })
    }
}

/// Trains one arm from its start: what a stopped one had seen of the val split is not kept.
fn watch(
    run: &ClassifierRun,
    learn: &Labelled,
    val: &Halves,
    arms: &Path,
    arm: &Arm,
    device: &Device,
) -> Result<Vec<Look>> {
    let folder = arms.join(arm.name());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
    }
    let mut looks = vec![];
    training::fit(run, learn, &folder, device, |step, classifier| {
        looks.push((step, val.judge(classifier)));
        Ok(())
    })?;
    Ok(looks)
}

/// Notes in `folder` which experiment's arms it has, or makes sure that it is this one.
fn claim(folder: &Path, run: &AugmentationRun, settings: &Settings) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join("experiment.json");
    let json = serde_json::to_vec_pretty(&(run, settings)).expect("plain values");
    match std::fs::read(&path) {
        Ok(there) if there != json => Err(Error::config(
            folder.display().to_string(),
            "has arms of another experiment; choose another --out",
        )),
        Ok(_) => Ok(()),
        Err(_) => files::replace(&path, &json),
    }
}
