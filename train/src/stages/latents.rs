//! The latents of every image, encoded once.

use std::path::Path;

use burn::prelude::*;
use indicatif::ProgressIterator;
use rand::rngs::StdRng;
use roentgen_web::error::{Error, Result};
use roentgen_web::image::bicubic::EncoderSize;
use roentgen_web::image::{Autoencoder, LatentScaling};
use roentgen_web::weights::{Weight, Weights};

use crate::data::dataset::Dataset;
use crate::data::images::to_unit;
use crate::training::ema;
use crate::training::random::normal;
use crate::training::tensors::{floats, values};

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
    /// That of a model which has one already, instead of these images' own.
    scaling: Option<LatentScaling>,
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// An autoencoder that turns images into latents, a few at a time.
pub struct LatentEncoder<'a> {
    vae: &'a Autoencoder,
    channels: usize,
    size: usize,
    detail: EncoderSize,
    device: &'a Device,
    shape: [usize; 3],
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl<'a> LatentEncoder<'a> {
    /// For images of `size` x `size` pixels, of which the encoder sees `detail`; an autoencoder of `channels` 3 sees the same grey in
    /// each.
    pub fn new(
        vae: &'a Autoencoder,
        channels: usize,
        size: usize,
        detail: EncoderSize,
        device: &'a Device,
    ) -> Self {
        let (shape, mean, std) = ([0; 3], vec![], vec![]);
        Self {
            vae,
            channels,
            size,
            detail,
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
        let (n, c, size) = (images.len(), self.channels, self.size);
        let grey = |image: &&[u8]| image.iter().map(|&p| to_unit(p)).collect::<Vec<f32>>();
        let pixels: Vec<f32> = images.iter().flat_map(|i| grey(i).repeat(c)).collect();
        let shown = self.detail.shown(Weight {
            shape: vec![n, c, size, size],
            data: pixels,
        });
        let moments = self
            .vae
            .encode(floats(&shown.data, [n, c, size, size], self.device));
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
    pub fn encode(vae: &Autoencoder, detail: EncoderSize, data: &Dataset, device: &Device) -> Self {
        let mut encoder = LatentEncoder::new(vae, 1, data.size, detail, device);
        for start in (0..data.len()).step_by(BATCH).progress() {
            let end = data.len().min(start + BATCH);
            let images: Vec<&[u8]> = (start..end).map(|i| data.image(i)).collect();
            encoder.push(&images);
        }
        encoder.finish()
    }

    /// With the scale of a model that has one already, instead of these images' own.
    pub fn with_scaling(self, scaling: LatentScaling) -> Self {
        Self {
            scaling: Some(scaling),
            ..self
        }
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
        let n = mean.len() as f64;
        let shift_factor = mean.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = mean
            .iter()
            .zip(&std)
            .map(|(&m, &s)| (f64::from(m) - shift_factor).powi(2) + f64::from(s).powi(2))
            .sum::<f64>()
            / n;
        Self {
            shape,
            scaling_factor: 1.0 / variance.sqrt(),
            shift_factor,
            scaling: None,
            mean,
            std,
        }
    }

    /// Latents of image `i` as diffusion sees them: sampled, shifted, scaled.
    pub fn sample(&self, i: usize, rng: &mut StdRng) -> Vec<f32> {
        let n: usize = self.shape.iter().product();
        let plane = n / self.shape[0].max(1);
        let noise = normal(rng, n);
        (0..n)
            .map(|j| {
                let z = self.mean[i * n + j] + self.std[i * n + j] * noise[j];
                let own = (self.shift_factor, self.scaling_factor);
                let given = self.scaling.as_ref();
                let (shift, factor) = given.map_or(own, |s| s.of_channel(j / plane));
                ((f64::from(z) - shift) * factor) as f32
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
