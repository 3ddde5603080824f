//! Training the classifier on the real train split, and its AUROC on the real val split.

use std::fmt::Write;
use std::path::Path;

use burn::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;
use roentgen_web::error::{Error, Result};
use roentgen_web::reader::{Classifier, ClassifierConfig};
use roentgen_web::weights;
use roentgen_web::{files, limits};
use serde::{Deserialize, Serialize};

use super::box_targets::BoxTargets;
use super::classifier;
use super::labels::{LABELS, Truth, known, names};
use super::metrics::auroc::{auroc, standard_error};
use crate::data::dataset::Dataset;
use crate::data::images::to_unit;
use crate::data::location::BoundingBox;
use crate::training::loss::binary_cross_entropy;
use crate::training::random::step_rng;
use crate::training::replicas::share;
use crate::training::run::Optimization;
use crate::training::tensors::floats;
use crate::training::trainer::Trainer;

/// Of the loss on places beside that on whole images.
const PLACES_WEIGHT: f64 = 2.0;
/// Furthest shift of a training image in each direction, as a share of its size.
const SHIFT: f64 = 1.0 / 16.0;
/// Largest change of a training image's contrast (a factor) and brightness (of the range -1 to 1).
const CONTRAST: f32 = 0.1;
const BRIGHTNESS: f32 = 0.1;

/// `classifier.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierRun {
    /// Seed of every random choice in the run.
    pub seed: u64,
    /// A label rarer than this share of the images has its images drawn more often, by the root of
    /// how much rarer it is: the repeat factor sampling of Gupta et al. 2019 (LVIS).
    pub repeat_below: f64,
    /// Steps, rates, sizes; `sheet_every` is the number of steps between two looks at the val
    /// split.
    pub optimization: Optimization,
    /// The network.
    pub model: ClassifierConfig,
}

impl ClassifierRun {
    /// Reads `classifier.toml`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Config`] saying what is wrong in it.
    pub fn read(path: &Path) -> Result<Self> {
        let fault = |why: String| Error::config(path.display().to_string(), why);
        let text = limits::read_text(path, limits::RUN_BYTES)?;
        let run: Self = toml::from_str(&text).map_err(|e| fault(e.to_string()))?;
        match run.optimization.fault() {
            Some(why) => Err(fault(format!("[optimization] {why}"))),
            None => Ok(run),
        }
    }
}

/// How well one label is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelAuroc {
    /// Images that have it, and that are known not to.
    pub positives: usize,
    /// Images that are known not to have it.
    pub negatives: usize,
    /// AUROC, and its standard error; `None` without both kinds of images.
    pub auroc: Option<(f64, f64)>,
}

/// Every label's [`LabelAuroc`] over images with known truths, those unknown left out.
pub fn label_aurocs<const N: usize>(
    logits: &[[f32; N]],
    truths: &[[Option<bool>; N]],
) -> [LabelAuroc; N] {
    std::array::from_fn(|label| {
        let of = logits.iter().zip(truths);
        let graded = of.filter_map(|(l, t)| t[label].map(|truth| (l[label], truth)));
        let (scores, truth): (Vec<f32>, Vec<bool>) = graded.unzip();
        let positives = truth.iter().filter(|t| **t).count();
        let negatives = truth.len() - positives;
        let error = |area| (area, standard_error(area, positives, negatives));
        LabelAuroc {
            positives,
            negatives,
            auroc: auroc(&scores, &truth).map(error),
        }
    })
}

/// Mean AUROC of the labels that have one.
pub fn mean_auroc(aurocs: &[LabelAuroc]) -> Option<f64> {
    let areas: Vec<f64> = aurocs.iter().filter_map(|s| Some(s.auroc?.0)).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// Images, and what is known of each.
#[derive(Clone, Debug)]
pub struct Labelled<'a> {
    /// Their height and width in pixels.
    pub size: usize,
    /// Grey pixels, `[size, size]` each.
    pub images: Vec<&'a [u8]>,
    /// As many truths.
    pub truths: Vec<Truth>,
    /// As many lists of boxes; empty where places are not to be learnt.
    pub boxes: Vec<&'a [BoundingBox]>,
}

impl<'a> Labelled<'a> {
    /// All images of a split.
    pub fn of(data: &'a Dataset) -> Self {
        Self {
            size: data.size,
            images: (0..data.len()).map(|i| data.image(i)).collect(),
            truths: data.records.iter().map(known).collect(),
            boxes: data.records.iter().map(|r| r.boxes.as_slice()).collect(),
        }
    }
}

/// Trains the classifier of `run` into `folder`, or goes on there; `folder/auroc.csv` has its
/// AUROCs on `val`.
///
/// # Errors
/// As [`classifier::claim`] and [`Trainer::step`].
pub fn train(
    run: &ClassifierRun,
    data: &Dataset,
    val: &Dataset,
    folder: &Path,
    device: &Device,
) -> Result<()> {
    let val = Labelled::of(val);
    fit(
        run,
        &Labelled::of(data),
        folder,
        device,
        |step, averaged| {
            let predictions = classifier::predict(averaged, val.images.iter().copied(), val.size);
            let aurocs = label_aurocs(&predictions.logits, &val.truths);
            println!(
                "step {step}: mean AUROC on val {:.3}",
                mean_auroc(&aurocs).unwrap_or(f64::NAN)
            );
            let path = folder.join("auroc.csv");
            files::replace(&path, table(&aurocs))
        },
    )
}

/// Trains the classifier of `run` on `data` into `folder`, or goes on there. `look` is given the
/// step and the averaged network every `sheet_every` steps and at the end.
///
/// # Errors
/// As [`classifier::claim`] and [`Trainer::step`], and what `look` gives.
pub fn fit(
    run: &ClassifierRun,
    data: &Labelled,
    folder: &Path,
    device: &Device,
    mut look: impl FnMut(usize, &Classifier) -> Result<()>,
) -> Result<()> {
    classifier::claim(&run.model, folder)?;
    let learning = device.clone().autodiff();
    learning.seed(run.seed); // of the starting weights
    let network = run.model.init(LABELS, &learning)?;
    println!("classifier: {} parameters", network.num_params());
    let repeats = repeats(&data.truths, run.repeat_below)
        .into_iter()
        .enumerate();
    let pool: Vec<usize> = repeats
        .flat_map(|(i, times)| std::iter::repeat_n(i, times))
        .collect();
    let mut trainer = Trainer::new(network, run.optimization.clone(), folder.to_path_buf())?;
    let n = trainer.share();
    let (image, label) = ([n, 1, data.size, data.size], [n, LABELS]);
    while !trainer.is_done() {
        let mut rng = step_rng(run.seed, trainer.step);
        let (mut pixels, mut truth, mut graded) = (vec![], vec![], vec![]);
        let mut targets = BoxTargets::new(&run.model);
        for _ in 0..run.optimization.batch_size {
            let i = pool[rng.random_range(0..pool.len())];
            let moved = augmented(data.images[i], data.size, &mut rng, &mut pixels);
            targets.add(data.boxes.get(i).copied().unwrap_or_default(), moved);
            truth.extend(data.truths[i].map(|t| f32::from(t == Some(true))));
            graded.extend(data.truths[i].map(|t| f32::from(t.is_some())));
        }
        trainer.step(|module, part, device| {
            let images = floats(share(&pixels, part, image), image, device);
            let table = |values: &[f32]| {
                Tensor::<1>::from_floats(share(values, part, label), device).reshape(label)
            };
            let (truth, graded) = (table(&truth), table(&graded));
            let evidence = module.evidence(module.feature_map(images));
            let logits = Classifier::logits(evidence.clone());
            let whole = (binary_cross_entropy(logits, truth) * graded).mean();
            whole + targets.loss(evidence, part) * PLACES_WEIGHT
        })?;
        if trainer.sheet_is_due() {
            let averaged =
                weights::load(run.model.init(LABELS, device)?, trainer.ema.weights.clone())?;
            look(trainer.step, &averaged)?;
        }
    }
    Ok(())
}

/// The AUROCs as CSV; empty where there is none.
fn table(aurocs: &[LabelAuroc; LABELS]) -> String {
    let mut csv = "label,positives,negatives,auroc,standard_error\n".to_string();
    for (name, label) in names().iter().zip(aurocs) {
        let _ = write!(csv, "{name},{},{},", label.positives, label.negatives);
        let _ = match label.auroc {
            Some((area, error)) => writeln!(csv, "{area:.4},{error:.4}"),
            None => writeln!(csv, ","),
        };
    }
    csv
}

/// How often each image is drawn: as often as its rarest label asks for, at most ten times.
fn repeats(truths: &[Truth], below: f64) -> Vec<usize> {
    let factor: [f64; LABELS] = std::array::from_fn(|label| {
        let positives = truths.iter().filter(|t| t[label] == Some(true)).count();
        let share = positives.max(1) as f64 / truths.len() as f64;
        (below / share).sqrt().clamp(1.0, 10.0)
    });
    let repeat = |truth: &Truth| {
        let has = |label: &usize| truth[*label] == Some(true);
        let factors = (0..LABELS).filter(has).map(|label| factor[label]);
        factors.fold(1.0, f64::max).round() as usize
    };
    truths.iter().map(repeat).collect()
}

/// Appends the image in -1 to 1, shifted, brightened and steepened a little; gives the shift of
/// what is on it, in parts of its size. It is never mirrored: the heart has a side.
fn augmented(image: &[u8], size: usize, rng: &mut StdRng, out: &mut Vec<f32>) -> [f32; 2] {
    let reach = (size as f64 * SHIFT) as i32;
    let [dx, dy] = [(); 2].map(|()| rng.random_range(-reach..=reach));
    let gain = 1.0 + rng.random_range(-CONTRAST..=CONTRAST);
    let offset = rng.random_range(-BRIGHTNESS..=BRIGHTNESS);
    // What comes in at an edge repeats the edge.
    let at = |v: usize, d: i32| (v as i32 + d).clamp(0, size as i32 - 1) as usize;
    for y in 0..size {
        let row = &image[at(y, dy) * size..][..size];
        out.extend((0..size).map(|x| to_unit(row[at(x, dx)]) * gain + offset));
    }
    [dx, dy].map(|d| -d as f32 / size as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_labels_are_drawn_more_often() {
        let mut truths = vec![[Some(false); LABELS]; 100];
        truths[0][3] = Some(true);
        for truth in &mut truths[1..51] {
            truth[5] = Some(true);
        }
        let repeats = repeats(&truths, 0.25);
        assert_eq!((repeats[0], repeats[1], repeats[60]), (5, 1, 1));
    }

    #[test]
    fn unknown_truths_count_for_nothing() {
        let mut logits = [[0.0; LABELS]; 3];
        (logits[0][0], logits[1][0], logits[2][0]) = (2.0, 1.0, 9.0);
        let mut truths = [[None; LABELS]; 3];
        (truths[0][0], truths[1][0]) = (Some(true), Some(false));
        let aurocs = label_aurocs(&logits, &truths);
        assert_eq!((aurocs[0].positives, aurocs[0].negatives), (1, 1));
        assert_eq!(aurocs[0].auroc, Some((1.0, 0.0)));
        assert_eq!(aurocs[1].auroc, None);
        assert_eq!(mean_auroc(&aurocs), Some(1.0));
        assert!(table(&aurocs).contains("Cardiomegaly,0,0,,\n"));
    }

    #[test]
    fn variations_move_and_brighten_but_do_not_mirror() {
        let size = 32;
        let image: Vec<u8> = (0..size * size).map(|i| (i % size * 8) as u8).collect();
        for step in 0..20 {
            let mut pixels = vec![];
            augmented(&image, size, &mut step_rng(1, step), &mut pixels);
            assert_eq!(pixels.len(), size * size);
            let row = &pixels[size * 9..][..size];
            assert!(row.is_sorted() && row[31] > row[0] + 1.0);
        }
    }
}
