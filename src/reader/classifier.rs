//! A small residual network that says what a radiograph shows.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::{self, Activation};
use crate::limits::LEVELS;
use crate::nn::conv3x3;
use crate::nn::resample::Downsample2D;
use crate::nn::resnet::{ResnetBlock2D, ResnetBlock2DConfig};

/// Height and width of the squares of pixels that the first convolution takes as channels.
const PATCH: usize = 4;

/// Sizes of a [`Classifier`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Height and width of the images, in pixels.
    pub size: usize,
    /// Channels of the levels, the first at a quarter of the size, each further one at half of the
    /// one before.
    pub channels: Vec<usize>,
    /// Residual blocks of each level.
    pub layers_per_block: usize,
    /// Groups of every normalisation; divides all channels.
    pub norm_num_groups: usize,
}

/// The image at mean 0 and deviation 1, its squares of 4x4 pixels as channels, a convolution,
/// residual blocks at each level, a linear head at each place, and over the places a smooth
/// maximum, so that a small finding counts as much as a large one: the plan of ResNet-18 (He et al.
/// 2015) with its blocks normalised first, by groups, so that an image's verdict does not depend on
/// its batch.
#[derive(Module, Debug)]
pub struct Classifier {
    conv_in: Conv2d,
    resnets: Vec<ResnetBlock2D>,
    downsamplers: Vec<Downsample2D>,
    norm_out: GroupNorm,
    head: Linear,
}

impl ClassifierConfig {
    /// Number of features, the last level's channels.
    pub fn width(&self) -> usize {
        self.channels.last().copied().unwrap_or(0)
    }

    /// A network with random weights that tells so many `labels`.
    ///
    /// # Errors
    /// [`Error::Config`] if the sizes do not fit each other.
    pub fn init(&self, labels: usize, device: &Device) -> Result<Classifier> {
        self.check()?;
        let each = self
            .channels
            .iter()
            .flat_map(|c| std::iter::repeat_n(*c, self.layers_per_block));
        let after: Vec<usize> = each.collect();
        let before = [&self.channels[..1], &after].concat();
        let resnet = |(&in_channels, &out_channels): (&usize, &usize)| {
            let config = ResnetBlock2DConfig {
                in_channels,
                out_channels,
                temb_channels: None,
                groups: self.norm_num_groups,
                eps: 1e-5,
            };
            config.init(device)
        };
        let halved = &self.channels[..self.channels.len() - 1];
        Ok(Classifier {
            conv_in: conv3x3(PATCH * PATCH, self.channels[0], device),
            resnets: before.iter().zip(&after).map(resnet).collect(),
            downsamplers: halved
                .iter()
                .map(|c| Downsample2D::init(*c, 1, device))
                .collect(),
            norm_out: GroupNormConfig::new(self.norm_num_groups, self.width()).init(device),
            head: LinearConfig::new(self.width(), labels).init(device),
        })
    }

    /// Tensors of such a network: two normalisations and two convolutions of each block, with their
    /// biases; a block that changes the channels has one more convolution, which is not counted.
    pub(crate) fn least_tensors(&self) -> u64 {
        let levels = self.channels.len() as u64;
        levels.saturating_mul((self.layers_per_block as u64).saturating_mul(8))
    }

    /// # Errors
    /// [`Error::Config`] if the sizes do not fit each other.
    fn check(&self) -> Result<()> {
        let fault = |why: &str| Error::config("the classifier's [model]", why);
        let levels = self.channels.len();
        if levels == 0 || levels > LEVELS {
            return Err(fault(
                "channels must name at least one level, and not so many",
            ));
        }
        let groups = self.norm_num_groups;
        let divided = |c: &usize| groups > 0 && *c > 0 && c.is_multiple_of(groups);
        if !self.channels.iter().all(divided) {
            return Err(fault("norm_num_groups must divide all channels"));
        }
        let smallest = PATCH << (levels - 1);
        if self.size == 0 || !self.size.is_multiple_of(smallest) {
            return Err(fault(
                "size must be a multiple of 4, and of 2 for each further level",
            ));
        }
        if self.layers_per_block == 0 {
            return Err(fault("layers_per_block must be at least 1"));
        }
        Ok(())
    }
}

impl Classifier {
    /// Features at each place.
    ///
    /// # Shapes
    /// - `images`: `[B, 1, size, size]` in -1 to 1
    /// - output: `[B, D, h, w]`, `D` being the last level's channels
    pub fn feature_map(&self, images: Tensor<4>) -> Tensor<4> {
        let x = patches(standardised(images));
        let mut x = kernels::conv2d(&self.conv_in, x);
        let levels = self.downsamplers.len() + 1;
        let each = self.resnets.len() / levels;
        for (level, resnets) in self.resnets.chunks(each).enumerate() {
            x = resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
            if let Some(downsampler) = self.downsamplers.get(level) {
                x = downsampler.forward(x);
            }
        }
        kernels::group_norm(&self.norm_out, x, true)
    }

    /// The mean over all places, `[B, D, h, w]` to `[B, D]`.
    pub fn pooled(map: Tensor<4>) -> Tensor<2> {
        let [b, c, h, w] = map.dims();
        map.reshape([b, c, h * w]).mean_dim(2).reshape([b, c])
    }

    /// The logit of each label: `log(mean(exp(x)))` over the places, the pooling of Pinheiro and
    /// Collobert 2015 ("From Image-level to Pixel-level Labeling with Convolutional Networks", eq.
    /// 1, r = 1).
    ///
    /// # Shapes
    /// - `evidence`: `[B, h, w, labels]`
    /// - output: `[B, labels]`
    pub fn logits(evidence: Tensor<4>) -> Tensor<2> {
        let [b, h, w, labels] = evidence.dims();
        let places = evidence.reshape([b, h * w, labels]);
        let most = places.clone().max_dim(1);
        let mean = (places - most.clone()).exp().mean_dim(1);
        (mean.log() + most).reshape([b, labels])
    }

    /// What each place says for each label, in logits: a class activation map (Zhou et al. 2016,
    /// "Learning Deep Features for Discriminative Localization").
    ///
    /// # Shapes
    /// - `map`: `[B, D, h, w]`
    /// - output: `[B, h, w, labels]`
    pub fn evidence(&self, map: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = map.dims();
        let places = map.reshape([b, c, h * w]).swap_dims(1, 2);
        let out = kernels::linear(&self.head, places, Activation::None, None);
        let [_, _, labels] = out.dims();
        out.reshape([b, h, w, labels])
    }
}

/// `[B, 1, 4h, 4w]` to `[B, 16, h, w]` (PyTorch: `pixel_unshuffle`).
fn patches(images: Tensor<4>) -> Tensor<4> {
    let [b, _, height, width] = images.dims();
    let (h, w) = (height / PATCH, width / PATCH);
    images
        .reshape([b, h, PATCH, w, PATCH])
        .permute([0, 2, 4, 1, 3])
        .reshape([b, PATCH * PATCH, h, w])
}

/// Each image at mean 0 and deviation 1: exposure is not what a classifier is asked about, and a
/// generated image must not be told by it. The deviation is at least a hundredth of the range, so
/// that a flat image stays flat.
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

    fn floats<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec_as().unwrap()
    }

    fn small() -> ClassifierConfig {
        ClassifierConfig {
            size: 32,
            channels: vec![8, 16],
            layers_per_block: 2,
            norm_num_groups: 4,
        }
    }

    #[test]
    fn exposure_and_contrast_do_not_matter() {
        let classifier = small().init(3, &Device::flex()).unwrap();
        let image: Vec<f32> = (0..1024).map(|i| ((i * 7919) % 97) as f32 / 97.0).collect();
        let logits = |gain: f32, offset: f32| {
            let image: Vec<f32> = image.iter().map(|v| v * gain + offset).collect();
            let map = classifier.feature_map(floats(&image, [1, 1, 32, 32]));
            values(Classifier::logits(classifier.evidence(map)))
        };
        let (plain, changed) = (logits(1.0, 0.0), logits(0.5, -0.7));
        for (a, b) in plain.iter().zip(&changed) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        let flat = values(standardised(floats(&[0.3; 16], [1, 1, 4, 4])));
        assert!(flat.iter().all(|v| v.abs() < 1e-3), "{flat:?}");
    }

    #[test]
    fn a_logit_is_the_smooth_maximum_of_its_places() {
        let places = [[0.0, -80.0], [100.0, -90.0], [1.0, -80.0], [-3.0, -90.0]].concat();
        let logits = values(Classifier::logits(floats(&places, [1, 2, 2, 2])));
        assert!((logits[0] - (100.0 - 4f32.ln())).abs() < 1e-3, "{logits:?}");
        assert!((logits[1] - (-80.0 - 2f32.ln())).abs() < 1e-3, "{logits:?}");
    }

    #[test]
    fn sizes_that_fit_nothing_are_refused() {
        let changes: [fn(&mut ClassifierConfig); 5] = [
            |c| c.channels.clear(),
            |c| c.channels[1] = 18,
            |c| c.size = 36,
            |c| c.layers_per_block = 0,
            |c| c.norm_num_groups = 0,
        ];
        for change in changes {
            let mut config = small();
            change(&mut config);
            assert!(config.init(3, &Device::flex()).is_err(), "{config:?}");
        }
    }
}
