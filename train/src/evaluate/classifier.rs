//! A small residual network that says what a radiograph shows; its last features are what distances are measured in.

use std::path::Path;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;
use indicatif::ProgressIterator;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use roentgen_web::kernels::{self, Added};
use roentgen_web::nn::resample::Downsample2D;
use roentgen_web::nn::resnet::{ResnetBlock2D, ResnetBlock2DConfig};
use roentgen_web::weights;
use serde::{Deserialize, Serialize};

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

/// Sizes of a [`Classifier`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Height and width of the images, in pixels.
    pub size: usize,
    /// Channels of the levels, the first at a quarter of the size, each further one at half of the one before.
    pub channels: Vec<usize>,
    /// Residual blocks of each level.
    pub layers_per_block: usize,
    /// Groups of every normalisation; divides all channels.
    pub norm_num_groups: usize,
}

/// The image at mean 0 and deviation 1, a 7x7 convolution to a quarter of the size, residual blocks at each level, the
/// mean over the image, and a linear head: the plan of ResNet-18 (He et al. 2015) with its blocks normalised first, by
/// groups, so that an image's verdict does not depend on its batch.
#[derive(Module, Debug)]
pub struct Classifier {
    conv_in: Conv2d,
    resnets: Vec<ResnetBlock2D>,
    downsamplers: Vec<Downsample2D>,
    norm_out: GroupNorm,
    head: Linear,
}

/// What a classifier says of some images.
#[derive(Clone, Debug)]
pub struct Verdicts {
    /// Last features, a row an image.
    pub features: Features,
    /// Logits, a row an image, in the labels' order.
    pub logits: Vec<[f32; LABELS]>,
}

impl ClassifierConfig {
    /// A network with random weights.
    ///
    /// # Errors
    /// [`Error::Config`] if the sizes do not fit each other.
    pub fn init(&self, device: &Device) -> Result<Classifier> {
        let fault = |why: &str| Error::Config {
            what: "the classifier's [model]".into(),
            why: why.into(),
        };
        let (Some(&first), Some(&last)) = (self.channels.first(), self.channels.last()) else {
            return Err(fault("channels must name at least one level"));
        };
        let groups = self.norm_num_groups;
        if groups == 0
            || self
                .channels
                .iter()
                .any(|c| *c == 0 || !c.is_multiple_of(groups))
        {
            return Err(fault("norm_num_groups must divide all channels"));
        }
        if self.size >> (self.channels.len() + 1) == 0 {
            return Err(fault("size is too small for so many levels"));
        }
        if self.layers_per_block == 0 {
            return Err(fault("layers_per_block must be at least 1"));
        }
        let each = self
            .channels
            .iter()
            .flat_map(|c| std::iter::repeat_n(*c, self.layers_per_block));
        let after: Vec<usize> = each.collect();
        let before = [&[first][..], &after].concat();
        let resnet = |(&in_channels, &out_channels): (&usize, &usize)| {
            let config = ResnetBlock2DConfig {
                in_channels,
                out_channels,
                temb_channels: None,
                groups,
                eps: 1e-5,
            };
            config.init(device)
        };
        let halved = &self.channels[..self.channels.len() - 1];
        Ok(Classifier {
            conv_in: Conv2dConfig::new([1, first], [7, 7])
                .with_stride([4, 4])
                .with_padding(PaddingConfig2d::Explicit(3, 3, 3, 3))
                .init(device),
            resnets: before.iter().zip(&after).map(resnet).collect(),
            downsamplers: halved
                .iter()
                .map(|c| Downsample2D::init(*c, 1, device))
                .collect(),
            norm_out: GroupNormConfig::new(groups, last).init(device),
            head: LinearConfig::new(last, LABELS).init(device),
        })
    }

    /// Notes in `folder` what network is trained there.
    ///
    /// # Errors
    /// [`Error::Config`] if another one was; [`Error::Io`].
    pub fn claim(&self, folder: &Path) -> Result<()> {
        let path = folder.join(CONFIG_FILE);
        if path.exists() && Self::open(folder)? != *self {
            return Err(Error::Config {
                what: path.display().to_string(),
                why: "is of another network than the run's; choose another --folder".into(),
            });
        }
        if !ranks::is_first() {
            return Ok(());
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let text = toml::to_string(self).expect("plain numbers");
        files::replace(&path, text)
    }

    /// The network that `folder` has weights of.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        let fault = |why: String| Error::Config {
            what: folder.display().to_string(),
            why,
        };
        let text = std::fs::read_to_string(&path).map_err(|_| {
            fault(format!(
                "holds no classifier ({CONFIG_FILE}); make one with `train classifier`"
            ))
        })?;
        toml::from_str(&text).map_err(|e| fault(e.to_string()))
    }
}

impl Classifier {
    /// The averaged weights of the training in `folder`, and the size of the images they are for.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no classifier, or its weights do not fit it.
    pub fn open(folder: &Path, device: &Device) -> Result<(Self, usize)> {
        let config = ClassifierConfig::open(folder)?;
        let weights = ema::open(&ema_path(folder))?;
        Ok((weights::load(config.init(device)?, weights)?, config.size))
    }

    /// # Shapes
    /// - `images`: `[B, 1, size, size]` in -1 to 1
    /// - output: `[B, D]`, `D` being the last level's channels
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let images = standardised(images);
        let mut x = kernels::conv2d(&self.conv_in, images, false, Added::default());
        let levels = self.downsamplers.len() + 1;
        let each = self.resnets.len() / levels;
        for (level, resnets) in self.resnets.chunks(each).enumerate() {
            x = resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
            if let Some(downsampler) = self.downsamplers.get(level) {
                x = downsampler.forward(x);
            }
        }
        let x = kernels::group_norm(&self.norm_out, x, true);
        let [b, c, h, w] = x.dims();
        x.reshape([b, c, h * w]).mean_dim(2).reshape([b, c])
    }

    /// # Shapes
    /// - `features`: `[B, D]`
    /// - output: logits, `[B, LABELS]`
    pub fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        self.head.forward(features)
    }

    /// Judges 8-bit grey images of `size` x `size` pixels.
    pub fn judge<'a>(&self, images: impl IntoIterator<Item = &'a [u8]>, size: usize) -> Verdicts {
        let device = self.devices()[0].clone();
        let images: Vec<&[u8]> = images.into_iter().collect();
        let (mut features, mut logits) = (vec![], vec![]);
        let batches = images.len().div_ceil(BATCH) as u64;
        for batch in images.chunks(BATCH).progress_count(batches) {
            let pixels: Vec<f32> = batch
                .iter()
                .flat_map(|i| i.iter().map(|p| to_unit(*p)))
                .collect();
            let x = floats(&pixels, [batch.len(), 1, size, size], &device);
            let f = self.features(x);
            logits.extend(values(self.logits(f.clone())));
            features.extend(values(f));
        }
        Verdicts {
            features: Features::new(features.len() / images.len().max(1), features),
            logits: logits.as_chunks().0.to_vec(),
        }
    }
}

/// Each image at mean 0 and deviation 1: exposure is not what a classifier is asked about, and a generated image must not be
/// told by it. The deviation is at least a hundredth of the range, so that a flat image stays flat.
fn standardised(images: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = images.dims();
    let flat = images.reshape([b, c * h * w]);
    let centred = flat.clone() - flat.mean_dim(1);
    let deviation = centred
        .clone()
        .powi_scalar(2)
        .mean_dim(1)
        .sqrt()
        .clamp_min(0.02);
    (centred / deviation).reshape([b, c, h, w])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_and_contrast_do_not_matter() {
        let device = Device::flex();
        let config = ClassifierConfig {
            size: 32,
            channels: vec![8, 16],
            layers_per_block: 2,
            norm_num_groups: 4,
        };
        let classifier = config.init(&device).unwrap();
        let image: Vec<f32> = (0..1024).map(|i| ((i * 7919) % 97) as f32 / 97.0).collect();
        let logits = |gain: f32, offset: f32| {
            let image: Vec<f32> = image.iter().map(|v| v * gain + offset).collect();
            values(classifier.logits(classifier.features(floats(&image, [1, 1, 32, 32], &device))))
        };
        let (plain, changed) = (logits(1.0, 0.0), logits(0.5, -0.7));
        for (a, b) in plain.iter().zip(&changed) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        let flat = values(standardised(floats(&[0.3; 16], [1, 1, 4, 4], &device)));
        assert!(flat.iter().all(|v| v.abs() < 1e-3), "{flat:?}");
    }
}
