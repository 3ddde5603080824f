//! The latents of every image, encoded once.

use std::path::Path;

use burn::prelude::*;
use indicatif::ProgressIterator;
use rand::rngs::StdRng;
use roentgen_web::error::{Error, Result};
use roentgen_web::image::{Autoencoder, AutoencoderConfig, LatentScaling};
use roentgen_web::weights::{Weight, Weights};

use crate::data::dataset::Dataset;
use crate::data::images::to_unit;
use crate::stages::vae::reconstruct::shown;
use crate::training::ema;
use crate::training::random::normal;
use crate::training::tensors::values;

/// Images encoded at a time.
pub const BATCH: usize = 16;

/// Moments of the latents of a data set, before scaling.
pub struct Latents {
    /// `[C, h, w]` of one image's latents.
    pub shape: [usize; 3],
    /// diffusers' `scaling_factor`: 1 / standard deviation of the latents.
    pub scaling_factor: f64,
    /// diffusers' `shift_factor`: their mean.
    pub shift_factor: f64,
    /// Mean and standard deviation of each channel: diffusers' `latents_mean` and `latents_std`.
    pub channels: [Vec<f64>; 2],
    /// Mean and factor of each channel, as diffusion sees it.
    scale: Vec<(f64, f64)>,
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// An autoencoder that turns images into latents, a few at a time.
pub struct LatentEncoder<'a> {
    vae: &'a Autoencoder,
    config: &'a AutoencoderConfig,
    size: usize,
    device: &'a Device,
    shape: [usize; 3],
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl<'a> LatentEncoder<'a> {
    /// For images of `size` x `size` pixels; an autoencoder of three channels sees the same grey in each.
    pub fn new(
        vae: &'a Autoencoder,
        config: &'a AutoencoderConfig,
        size: usize,
        device: &'a Device,
    ) -> Self {
        let (shape, mean, std) = ([0; 3], vec![], vec![]);
        Self {
            vae,
            config,
            size,
            device,
            shape,
            mean,
            std,
        }
    }

    /// Encodes grey images, each `[size, size]`.
    pub fn push(&mut self, images: &[&[u8]]) {
        if images.is_empty() {
            return;
        }
        let grey = |image: &&[u8]| image.iter().map(|&p| to_unit(p)).collect::<Vec<f32>>();
        let grey: Vec<Vec<f32>> = images.iter().map(grey).collect();
        let shown = shown(self.config, &grey, self.size, self.device);
        let moments = self.vae.encode(shown);
        let [_, c, h, w] = moments.mean.dims();
        self.shape = [c, h, w];
        self.mean.extend(values(moments.mean));
        self.std.extend(values((moments.logvar * 0.5).exp()));
    }

    /// The latents of everything that was encoded.
    pub fn finish(self) -> Latents {
        Latents::new(self.shape, self.mean, self.std)
    }
}

impl Latents {
    /// Encodes every image of `data`.
    pub fn encode(
        vae: &Autoencoder,
        config: &AutoencoderConfig,
        data: &Dataset,
        device: &Device,
    ) -> Self {
        let mut encoder = LatentEncoder::new(vae, config, data.size, device);
        for start in (0..data.len()).step_by(BATCH).progress() {
            let end = data.len().min(start + BATCH);
            let images: Vec<&[u8]> = (start..end).map(|i| data.image(i)).collect();
            encoder.push(&images);
        }
        encoder.finish()
    }

    /// The config of the autoencoder that made them, with their scale: of `AutoencoderDC`, whose channels differ much, each
    /// channel's own, else one for all.
    pub fn scaled(&self, config: &AutoencoderConfig) -> AutoencoderConfig {
        let mut config = config.clone();
        match &mut config {
            AutoencoderConfig::KL(kl) => {
                kl.scaling_factor = self.scaling_factor;
                kl.shift_factor = Some(self.shift_factor);
            }
            AutoencoderConfig::DC(dc) => {
                let [mean, std] = self.channels.clone();
                (dc.latents_mean, dc.latents_std) = (Some(mean), Some(std));
            }
            AutoencoderConfig::Tiny(tiny) => {
                (tiny.scaling_factor, tiny.shift_factor) = (self.scaling_factor, self.shift_factor);
            }
        }
        config
    }

    /// With the scale of a model instead of one for all channels.
    pub fn with_scaling(mut self, scaling: &LatentScaling) -> Self {
        self.scale = (0..self.shape[0]).map(|c| scaling.of_channel(c)).collect();
        self
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.mean.len() / self.shape.iter().product::<usize>().max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.mean.is_empty()
    }

    fn new(shape: [usize; 3], mean: Vec<f32>, std: Vec<f32>) -> Self {
        let [c, h, w] = shape;
        let (positions, images) = (h * w, mean.len() / (c * h * w).max(1));
        // Of one channel: its mean, and the mean of its squares about it.
        let moments = |channel: usize| {
            let at = (0..images)
                .flat_map(|i| (0..positions).map(move |p| (i * c + channel) * positions + p));
            let n = (images * positions) as f64;
            let average = at.clone().map(|j| f64::from(mean[j])).sum::<f64>() / n;
            let squares =
                at.map(|j| (f64::from(mean[j]) - average).powi(2) + f64::from(std[j]).powi(2));
            (average, squares.sum::<f64>() / n)
        };
        let (means, variances): (Vec<f64>, Vec<f64>) = (0..c).map(moments).unzip();
        let shift_factor = means.iter().sum::<f64>() / c as f64;
        let about = means.iter().zip(&variances);
        let squares = about.map(|(m, v)| v + (m - shift_factor).powi(2));
        let scaling_factor = 1.0 / (squares.sum::<f64>() / c as f64).sqrt();
        Self {
            shape,
            scaling_factor,
            shift_factor,
            channels: [means, variances.iter().map(|v| v.sqrt()).collect()],
            scale: vec![(shift_factor, scaling_factor); c],
            mean,
            std,
        }
    }

    /// Latents of image `i` as diffusion sees them: sampled, shifted, scaled.
    pub fn sample(&self, i: usize, rng: &mut StdRng) -> Vec<f32> {
        let n: usize = self.shape.iter().product();
        let (noise, positions) = (normal(rng, n), self.shape[1] * self.shape[2]);
        (0..n)
            .map(|j| {
                let z = self.mean[i * n + j] + self.std[i * n + j] * noise[j];
                let (mean, factor) = self.scale[j / positions];
                ((f64::from(z) - mean) * factor) as f32
            })
            .collect()
    }

    /// Writes the moments as safetensors.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let [c, h, w] = self.shape;
        let shape = vec![self.mean.len() / (c * h * w), c, h, w];
        let tensor = |data: &Vec<f32>| Weight {
            shape: shape.clone(),
            data: data.clone(),
        };
        let weights = Weights::from([
            ("mean".into(), tensor(&self.mean)),
            ("std".into(), tensor(&self.std)),
        ]);
        ema::save(&weights, path)
    }

    /// Reads what [`Self::save`] wrote; with `count` there must be as many images.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] if the file belongs to other data.
    pub fn open(path: &Path, count: Option<usize>) -> Result<Self> {
        let mut weights = ema::open(path)?;
        let mut take = |name| {
            weights
                .remove(name)
                .filter(|w: &Weight| w.shape.len() == 4 && count.is_none_or(|n| n == w.shape[0]))
                .ok_or_else(|| Error::Config {
                    what: path.display().to_string(),
                    why: "it holds the latents of other images; delete it to encode them anew"
                        .into(),
                })
        };
        let (mean, std) = (take("mean")?, take("std")?);
        let shape = [mean.shape[1], mean.shape[2], mean.shape[3]];
        Ok(Self::new(shape, mean.data, std.data))
    }
}
