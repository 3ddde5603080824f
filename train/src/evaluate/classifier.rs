//! The classifier on disk: the network of [`roentgen_web::reader`], trained in a folder, and its
//! predictions on many images.

use std::path::Path;

use burn::module::Module;
use burn::prelude::*;
use indicatif::ProgressIterator;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::reader::{Classifier, ClassifierConfig};
use roentgen_web::weights;

use super::labels::LABELS;
use super::metrics::Features;
use crate::data::images::to_unit;
use crate::training::ema;
use crate::training::ranks;
use crate::training::tensors::{floats, values};
use crate::training::trainer::ema_path;

/// File in a classifier's folder that says what network its weights are for.
const CONFIG_FILE: &str = "classifier.toml";
/// Images that go through the network at a time when nothing is learnt.
const BATCH: usize = 32;

/// What a classifier says of some images.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Last features, a row an image.
    pub features: Features,
    /// Logits, a row an image, in the labels' order.
    pub logits: Vec<[f32; LABELS]>,
}

/// Notes in `folder` what network is trained there.
///
/// # Errors
/// [`Error::Config`] if another one was; [`Error::Io`].
pub fn claim(config: &ClassifierConfig, folder: &Path) -> Result<()> {
    let path = folder.join(CONFIG_FILE);
    if path.exists() && config_in(folder)? != *config {
        return Err(Error::config(
            path.display().to_string(),
            "is of another network than the run's; choose another --folder",
        ));
    }
    if !ranks::is_first() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let text = toml::to_string(config).expect("plain numbers");
    files::replace(&path, text)
}

/// The network that `folder` has weights of.
///
/// # Errors
/// [`Error::Config`] if there is none.
pub fn config_in(folder: &Path) -> Result<ClassifierConfig> {
    let path = folder.join(CONFIG_FILE);
    let fault = |why: String| Error::config(folder.display().to_string(), why);
    let text = std::fs::read_to_string(&path).map_err(|_| {
        fault(format!(
            "holds no classifier ({CONFIG_FILE}); make one with `train classifier`"
        ))
    })?;
    toml::from_str(&text).map_err(|e| fault(e.to_string()))
}

/// The averaged weights of the training in `folder`, and the size of the images they are for.
///
/// # Errors
/// [`Error::Config`] if there is no classifier, or its weights do not fit it.
pub fn open(folder: &Path, device: &Device) -> Result<(Classifier, usize)> {
    let config = config_in(folder)?;
    let weights = ema::open(&ema_path(folder))?;
    let classifier = weights::load(config.init(LABELS, device)?, weights)?;
    Ok((classifier, config.size))
}

/// Judges 8-bit grey images of `size` x `size` pixels.
pub fn predict<'a>(
    classifier: &Classifier,
    images: impl IntoIterator<Item = &'a [u8]>,
    size: usize,
) -> Predictions {
    let device = classifier.devices()[0].clone();
    let images: Vec<&[u8]> = images.into_iter().collect();
    let (mut features, mut logits) = (vec![], vec![]);
    let batches = images.len().div_ceil(BATCH) as u64;
    for batch in images.chunks(BATCH).progress_count(batches) {
        let pixels: Vec<f32> = batch
            .iter()
            .flat_map(|i| i.iter().map(|p| to_unit(*p)))
            .collect();
        let x = floats(&pixels, [batch.len(), 1, size, size], &device);
        let map = classifier.feature_map(x);
        features.extend(values(Classifier::pooled(map.clone())));
        logits.extend(values(Classifier::logits(classifier.evidence(map))));
    }
    Predictions {
        features: Features::new(features.len() / images.len().max(1), features),
        logits: logits.as_chunks().0.to_vec(),
    }
}
