//! Image -> [`Reading`]: what a small classifier sees on a radiograph, how good it is at that, and
//! where it looks.
//!
//! An optional component of a bundle. It judges images; it draws none, and nothing it says is a
//! diagnosis.

mod asked;
mod classifier;
mod config;
mod reading;

pub use asked::{Asked, NAMES, NORMAL, asked};
pub use classifier::{Classifier, ClassifierConfig};
pub use config::{LabelConfig, ReaderConfig};
pub use reading::{LEAST_AUROC, Reading, Seen, is_finding};

use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;

use crate::error::Result;
use crate::image::{Image, bicubic};
use crate::kernels::{self, Activation};
use crate::tensor::HostTensor;

/// A classifier, and how its features lie on radiographs.
#[derive(Module, Debug)]
pub struct Reader {
    classifier: Classifier,
    /// To features of mean 0 and deviation 1 that have nothing to do with each other, `[D]` to
    /// `[D]`.
    whitening: Linear,
}

impl ReaderConfig {
    /// A reader without weights.
    ///
    /// # Errors
    /// [`crate::Error::Config`] as [`Self::check`] and [`ClassifierConfig::init`] give it.
    pub fn init(&self, device: &Device) -> Result<Reader> {
        self.check()?;
        let classifier = self.model.init(self.labels.len(), device)?;
        let width = self.model.width();
        Ok(Reader {
            classifier,
            whitening: LinearConfig::new(width, width).init(device),
        })
    }
}

impl Reader {
    /// Reads one image of any size; colours are mixed to grey.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device fails.
    pub async fn read(&self, config: &ReaderConfig, image: &Image) -> Result<Reading> {
        let size = config.model.size;
        let pixels = bicubic::resize(&image.to_weight(1), [size, size]);
        let data = TensorData::new(pixels.data, [1, 1, size, size]);
        let device = self.whitening.weight.device();
        let judged = self.judge(Tensor::from_data(data, &device)).await?;
        Ok(Reading::new(config, &judged.evidence, judged.distance))
    }

    /// # Shapes
    /// - `image`: `[1, 1, size, size]` in -1 to 1
    pub(crate) async fn judge(&self, image: Tensor<4>) -> Result<Judged> {
        let map = self.classifier.feature_map(image);
        let features = Classifier::pooled(map.clone());
        let white = kernels::linear_rows(&self.whitening, features, Activation::None);
        Ok(Judged {
            evidence: HostTensor::read(self.classifier.evidence(map)).await?,
            distance: distance(&HostTensor::read(white).await?.data),
        })
    }
}

/// What the network says of one image.
pub(crate) struct Judged {
    /// `[1, h, w, labels]`: see [`Classifier::evidence`].
    pub evidence: HostTensor,
    /// See [`distance`].
    pub distance: f32,
}

/// Root mean square of whitened features: the Mahalanobis distance of the features from their mean
/// (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples", for
/// one class), by the root of their number. About 1 for what was whitened.
pub fn distance(white: &[f32]) -> f32 {
    let squares: f32 = white.iter().map(|z| z * z).sum();
    (squares / white.len() as f32).sqrt()
}
