//! Whether generated images can be told from real ones: a network learns to tell them on one half
//! and is judged on the other (the classifier two-sample test of Lopez-Paz and Oquab 2017, arXiv
//! 1610.06545, with the AUROC in place of the accuracy). 0.5 is as good as real, 1 is told always.

use std::path::Path;

use burn::prelude::*;
use roentgen_web::error::{Error, Result};

use super::augment::fraction;
use super::classifier;
use super::labels::{LABELS, Truth};
use super::report::Figure;
use super::training::{ClassifierRun, LabelAuroc, Labelled, fit, label_aurocs};
use crate::data::dataset::Dataset;
use crate::training::ranks;

/// Two kinds of images in two halves: the first is learned from, the second is judged.
#[derive(Clone, Debug)]
pub struct TwoSamples<'a> {
    /// Height and width in pixels.
    pub size: usize,
    /// Grey pixels `[size, size]` of each image in question, generated as a rule.
    pub questioned: [Vec<&'a [u8]>; 2],
    /// The real images beside them, no patient of which is in both halves.
    pub real: [Vec<&'a [u8]>; 2],
}

/// The run file of `train evaluate` for images of `size` pixels.
pub fn shipped_run(size: usize) -> ClassifierRun {
    let text = include_str!("../../two-sample.toml");
    let mut run: ClassifierRun = toml::from_str(text).expect("a shipped file");
    run.model.size = size;
    run
}

/// Images that are held against val, as many of either kind.
#[derive(Clone, Debug)]
pub struct Questioned<'a> {
    /// Of the model.
    pub generated: Vec<&'a [u8]>,
    /// Real ones, which show what there is to tell without a model.
    pub train: Vec<&'a [u8]>,
}

/// How well a small network tells generated images from `val`, beside training images from `val`.
///
/// # Errors
/// As [`TwoSamples::told_apart`].
pub fn figure(
    questioned: &Questioned,
    val: &Dataset,
    seed: u64,
    folder: &Path,
    device: &Device,
) -> Result<Figure> {
    let size = val.size;
    let mut first = vec![false; val.len()];
    for i in fraction(&val.records, 0.5, seed) {
        first[i] = true;
    }
    let half = |which| {
        let of = (0..val.len()).filter(|i| first[*i] == which);
        of.map(|i| val.image(i)).collect()
    };
    let real: [Vec<&[u8]>; 2] = [half(true), half(false)];
    let told = |images: &[&[u8]]| {
        let (a, b) = images.split_at(images.len() / 2);
        let samples = TwoSamples {
            size,
            questioned: [a.to_vec(), b.to_vec()],
            real: real.clone(),
        };
        samples.told_apart(&shipped_run(size), folder, device)
    };
    let (found, floor) = (told(&questioned.generated)?, told(&questioned.train)?);
    let area = |told: &LabelAuroc| told.auroc.map(|(area, _)| area);
    Ok(Figure {
        group: "Likeness",
        name: "Told from val by a small network (AUROC)".into(),
        generated: area(&found),
        real: area(&floor),
        remark: format!(
            "0.5 is best; {} generated and {} val images that it did not learn from; {size} pixels",
            found.positives, found.negatives
        ),
    })
}

impl<'a> TwoSamples<'a> {
    fn half(&self, half: usize) -> Labelled<'a> {
        // The first label says which kind an image is; the network's others are never graded.
        let truth = |questioned: bool| -> Truth {
            std::array::from_fn(|label| (label == 0).then_some(questioned))
        };
        let (questioned, real) = (&self.questioned[half], &self.real[half]);
        let truths = [(questioned, true), (real, false)]
            .into_iter()
            .flat_map(|(images, kind)| std::iter::repeat_n(truth(kind), images.len()));
        Labelled {
            size: self.size,
            truths: truths.collect(),
            images: [questioned.as_slice(), real].concat(),
            boxes: vec![],
        }
    }

    /// How well the network of `run`, taught the first halves in `folder`, tells the second. What
    /// an earlier call left in the folder is removed.
    ///
    /// # Errors
    /// As [`fit`]; [`Error::Io`].
    pub fn told_apart(
        &self,
        run: &ClassifierRun,
        folder: &Path,
        device: &Device,
    ) -> Result<LabelAuroc> {
        if ranks::is_first() && folder.exists() {
            std::fs::remove_dir_all(folder).map_err(Error::io(folder))?;
        }
        let judged = self.half(1);
        let mut found = None;
        fit(run, &self.half(0), folder, device, |_, network| {
            let images = judged.images.iter().copied();
            let predictions = classifier::predict(network, images, self.size);
            let aurocs: [LabelAuroc; LABELS] = label_aurocs(&predictions.logits, &judged.truths);
            found = Some(aurocs[0]);
            Ok(())
        })?;
        Ok(found.expect("a training looks at its end"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SIZE, classifier_run};
    use super::*;

    /// Noise from 0 to 99, with every eighth column brighter by `stripes`.
    fn images(first: u32, stripes: u8) -> Vec<Vec<u8>> {
        let image = |i: u32| {
            let pixel = |p: u32| {
                let noise = (p.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503)).rotate_left(9);
                let stripe = if p.is_multiple_of(8) { stripes } else { 0 };
                (noise.wrapping_mul(2_246_822_519) >> 8) as u8 % 100 + stripe
            };
            (0..(SIZE * SIZE) as u32).map(pixel).collect()
        };
        (first..first + 48).map(image).collect()
    }

    #[test]
    fn what_differs_is_told_and_what_does_not_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let auroc = |stripes| {
            let all: Vec<Vec<Vec<u8>>> = [(0, stripes), (100, stripes), (200, 0), (300, 0)]
                .map(|(first, stripes)| images(first, stripes))
                .into();
            let of = |i: usize| all[i].iter().map(Vec::as_slice).collect();
            let samples = TwoSamples {
                size: SIZE,
                questioned: [of(0), of(1)],
                real: [of(2), of(3)],
            };
            let mut run = classifier_run(60);
            run.repeat_below = 0.0;
            run.optimization.sheet_every = 60;
            let told = samples.told_apart(&run, &dir.path().join("two-sample"), &Device::flex());
            told.unwrap().auroc.unwrap().0
        };
        let (different, alike) = (auroc(60), auroc(0));
        assert!(different > 0.95, "{different}");
        assert!((0.3..0.7).contains(&alike), "{alike}");
    }

    #[test]
    fn the_shipped_run_is_sound() {
        assert_eq!(shipped_run(64).optimization.fault(), None);
    }
}
