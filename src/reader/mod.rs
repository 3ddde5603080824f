//! Image -> [`Reading`]: what a small classifier sees on a radiograph, how good it is at that, and where it looks.
//!
//! An optional component of a bundle. It judges images; it draws none, and nothing it says is a diagnosis.

mod asked;
mod classifier;
mod config;
mod reading;

pub use asked::{Asked, NAMES, NORMAL, asked};
pub use classifier::{Classifier, ClassifierConfig};
pub use config::{LabelConfig, ReaderConfig};
pub use reading::{LEAST_AUROC, Reading, Seen, is_finding};

use burn::module::Param;
use burn::prelude::*;

use crate::error::Result;
use crate::image::{Image, bicubic};
use crate::weights::Weight;

/// A classifier with what its features are like on radiographs.
#[derive(Module, Debug)]
pub struct Reader {
    classifier: Classifier,
    features: Typical,
}

/// Mean and deviation of each feature over radiographs, `[D]` each.
#[derive(Module, Debug)]
struct Typical {
    mean: Param<Tensor<1>>,
    deviation: Param<Tensor<1>>,
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
            features: Typical {
                mean: Param::from_tensor(Tensor::zeros([width], device)),
                deviation: Param::from_tensor(Tensor::ones([width], device)),
            },
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
        let device = self.features.mean.device();
        let judged = self.judge(Tensor::from_data(data, &device)).await?;
        Ok(Reading::new(config, &judged.evidence, judged.distance))
    }

    /// # Shapes
    /// - `image`: `[1, 1, size, size]` in -1 to 1
    pub(crate) async fn judge(&self, image: Tensor<4>) -> Result<Judged> {
        let map = self.classifier.feature_map(image);
        let features = Weight::read(Classifier::pooled(map.clone())).await?;
        let mean = Weight::read(self.features.mean.val()).await?;
        let deviation = Weight::read(self.features.deviation.val()).await?;
        Ok(Judged {
            evidence: Weight::read(self.classifier.evidence(map)).await?,
            distance: distance(&features.data, &mean.data, &deviation.data),
        })
    }
}

/// What the network says of one image.
pub(crate) struct Judged {
    /// `[1, h, w, labels]`: see [`Classifier::evidence`].
    pub evidence: Weight,
    /// See [`distance`].
    pub distance: f32,
}

/// Root mean square of the features' distances from their means, in deviations: the Mahalanobis distance of features
/// that are taken to be independent (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution
/// Samples"), divided by the root of their number. About 1 for what the means were taken of.
pub fn distance(features: &[f32], mean: &[f32], deviation: &[f32]) -> f32 {
    let squares = features
        .iter()
        .zip(mean)
        .zip(deviation)
        .map(|((f, m), d)| ((f - m) / d.max(1e-6)).powi(2));
    (squares.sum::<f32>() / features.len() as f32).sqrt()
}
