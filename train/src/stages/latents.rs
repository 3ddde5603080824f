//! The latents of every image, encoded once.

use std::path::Path;

use burn::prelude::*;
use indicatif::ProgressBar;
use rand::RngExt;
use rand::rngs::StdRng;
use rayon::prelude::*;
use roentgen_web::error::{Error, Result};
use roentgen_web::image::{Autoencoder, AutoencoderConfig, LatentScaling};
use roentgen_web::tensor::HostTensor;
use roentgen_web::weights::Weights;

use crate::data::dataset::Dataset;
use crate::data::images::to_unit;
use crate::data::moved;
use crate::training::ema;
use crate::training::random::{normal, step_rng};
use crate::training::tensors::{floats, values};

/// Images encoded at a time.
pub const BATCH: usize = 16;
/// Batches that are held beside what is encoded: some for each core.
const AT_ONCE: usize = 64;
/// Seed of how the copies are moved.
const MOVEMENTS: u64 = 0x30BE;

/// What the encoder is shown of grey images `[size, size]`: `[B, in_channels, size, size]`.
pub fn shown(
    config: &AutoencoderConfig,
    images: &[impl AsRef<[f32]>],
    size: usize,
    device: &Device,
) -> Tensor<4> {
    let c = config.in_channels();
    let image = HostTensor {
        shape: vec![images.len(), c, size, size],
        data: images
            .iter()
            .flat_map(|image| image.as_ref().repeat(c))
            .collect(),
    };
    let shown = config.encoder_size().shown(image);
    floats(&shown.data, [images.len(), c, size, size], device)
}

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
    /// Images that they are of: there may be several copies of each, all the first ones first.
    images: usize,
    /// Mean and factor of each channel, as diffusion sees it.
    scale: Vec<(f64, f64)>,
    mean: Vec<f32>,
    /// Empty where the autoencoder gives no variance.
    std: Vec<f32>,
}

/// Shape, means and deviations of some images' latents.
type Encoded = ([usize; 3], Vec<f32>, Vec<f32>);

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
    /// For images of `size` x `size` pixels; an autoencoder of three channels sees the same grey in
    /// each.
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
        if !images.is_empty() {
            let encoded = self.encoded(images);
            self.extend(encoded);
        }
    }

    fn extend(&mut self, (shape, mean, std): Encoded) {
        self.shape = shape;
        self.mean.extend(mean);
        self.std.extend(std);
    }

    fn encoded(&self, images: &[&[u8]]) -> Encoded {
        let grey = |image: &&[u8]| image.iter().map(|&p| to_unit(p)).collect::<Vec<f32>>();
        let grey: Vec<Vec<f32>> = images.iter().map(grey).collect();
        let shown = shown(self.config, &grey, self.size, self.device);
        let moments = self.vae.encode(shown);
        let [_, c, h, w] = moments.mean.dims();
        let std = match self.config {
            AutoencoderConfig::KL(_) => values((moments.logvar * 0.5).exp()),
            AutoencoderConfig::DC(_) | AutoencoderConfig::Tiny(_) => vec![],
        };
        ([c, h, w], values(moments.mean), std)
    }

    /// The latents of everything that was encoded.
    pub fn finish(self) -> Latents {
        Latents::new(self.shape, self.mean, self.std)
    }
}

impl Latents {
    /// Encodes every image of `data`, and then `moved` copies of each that are shifted and turned a
    /// little.
    pub fn encode(
        vae: &Autoencoder,
        config: &AutoencoderConfig,
        data: &Dataset,
        moved: usize,
        device: &Device,
    ) -> Self {
        let mut encoder = LatentEncoder::new(vae, config, data.size, device);
        let n = data.len();
        let copy = |i: usize| match i / n {
            0 => data.image(i).to_vec(),
            _ => moved::moved(data.image(i % n), &mut step_rng(MOVEMENTS, i)),
        };
        let all: Vec<usize> = (0..n * (1 + moved)).collect();
        let bar = ProgressBar::new(all.len().div_ceil(BATCH) as u64);
        // Batches beside each other: resizing and what else is no kernel would leave the other
        // cores idle.
        for some in all.chunks(BATCH * AT_ONCE) {
            let batches = some.par_chunks(BATCH).map(|batch| {
                let images: Vec<Vec<u8>> = batch.iter().map(|i| copy(*i)).collect();
                bar.inc(1);
                encoder.encoded(&images.iter().map(Vec::as_slice).collect::<Vec<_>>())
            });
            for batch in batches.collect::<Vec<_>>() {
                encoder.extend(batch);
            }
        }
        bar.finish_and_clear();
        encoder.finish().of_images(n)
    }

    /// As several copies of so many images.
    fn of_images(mut self, images: usize) -> Self {
        self.images = images;
        self
    }

    /// The config of the autoencoder that made them, with their scale: of `AutoencoderDC`, whose
    /// channels differ much, each channel's own, else one for all.
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

    /// Index of one of the copies of image `i`.
    pub fn copy(&self, i: usize, rng: &mut StdRng) -> usize {
        match self.len() / self.images.max(1) {
            0 | 1 => i,
            copies => i + self.images * rng.random_range(0..copies),
        }
    }

    /// Number of latents: of images times their copies.
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
            let variance = |j: usize| std.get(j).map_or(0.0, |s| f64::from(*s).powi(2));
            let squares = at.map(|j| (f64::from(mean[j]) - average).powi(2) + variance(j));
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
            images,
            scale: vec![(shift_factor, scaling_factor); c],
            mean,
            std,
        }
    }

    /// Latents of image `i` as diffusion sees them: sampled, shifted, scaled.
    pub fn sample(&self, i: usize, rng: &mut StdRng) -> Vec<f32> {
        let n: usize = self.shape.iter().product();
        let positions = self.shape[1] * self.shape[2];
        let noise = if self.std.is_empty() {
            vec![0.0; n]
        } else {
            let (mut noise, std) = (normal(rng, n), &self.std[i * n..]);
            noise.iter_mut().zip(std).for_each(|(z, std)| *z *= std);
            noise
        };
        (0..n)
            .map(|j| {
                let z = self.mean[i * n + j] + noise[j];
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
        let tensor = |data: &Vec<f32>| HostTensor {
            shape: shape.clone(),
            data: data.clone(),
        };
        let mut weights = Weights::from([("mean".into(), tensor(&self.mean))]);
        if !self.std.is_empty() {
            weights.insert("std".into(), tensor(&self.std));
        }
        ema::save(&weights, path)
    }

    /// Reads what [`Self::save`] wrote; with `count` there must be as many images with that many
    /// copies.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] if the file belongs to other data.
    pub fn open(path: &Path, count: Option<[usize; 2]>) -> Result<Self> {
        let mut weights = ema::open(path)?;
        let fits = |w: &HostTensor| {
            w.shape.len() == 4 && count.is_none_or(|[n, copies]| n * copies == w.shape[0])
        };
        let others = || {
            Error::config(
                path.display().to_string(),
                "it holds the latents of other images; delete it to encode them anew",
            )
        };
        let mean = weights.remove("mean").filter(fits).ok_or_else(others)?;
        let std = weights
            .remove("std")
            .map(|std| std.data)
            .unwrap_or_default();
        if !std.is_empty() && std.len() != mean.data.len() {
            return Err(others());
        }
        let shape = [mean.shape[1], mean.shape[2], mean.shape[3]];
        let images = count.map_or(mean.shape[0], |[n, _]| n);
        Ok(Self::new(shape, mean.data, std).of_images(images))
    }
}
