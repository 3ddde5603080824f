//! `AutoencoderKL` (diffusers: `models/autoencoders/autoencoder_kl.py`).

mod config;
pub mod decoder;
pub mod encoder;
mod mid;

pub use config::AutoencoderKLConfig;

use burn::nn::conv::Conv2d;
use burn::prelude::*;

use self::decoder::Decoder;
use self::encoder::Encoder;
use super::scaling::LatentScaling;
use crate::error::Result;
use crate::kernels;
use crate::nn::conv1x1;

/// Mean and log-variance of the latents of an image.
#[derive(Clone, Debug)]
pub struct DiagonalGaussian {
    /// `[B, latent_channels, h, w]`
    pub mean: Tensor<4>,
    /// `[B, latent_channels, h, w]`, within -30 to 20
    pub logvar: Tensor<4>,
}

/// Encoder and decoder between images in -1 to 1 and latents.
#[derive(Module, Debug)]
pub struct AutoencoderKL {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    #[module(skip)]
    pub(super) scaling: LatentScaling,
}

impl AutoencoderKLConfig {
    /// An autoencoder with random weights.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key that is inconsistent or not supported.
    pub fn init(&self, device: &Device) -> Result<AutoencoderKL> {
        self.check()?;
        let c = self.latent_channels;
        Ok(AutoencoderKL {
            encoder: Encoder::init(self, device),
            decoder: Decoder::init(self, device),
            quant_conv: self.use_quant_conv.then(|| conv1x1(2 * c, 2 * c, device)),
            post_quant_conv: self.use_post_quant_conv.then(|| conv1x1(c, c, device)),
            scaling: self.scaling()?,
        })
    }
}

impl AutoencoderKL {
    /// The distribution of latents of an image, before scaling.
    ///
    /// # Shapes
    /// - `image`: `[B, in_channels, H, W]` in -1 to 1
    /// - output: mean and logvar, `[B, latent_channels, H/f, W/f]`
    pub fn encode(&self, image: Tensor<4>) -> DiagonalGaussian {
        let moments = self.encoder.forward(image);
        let moments = match &self.quant_conv {
            Some(conv) => kernels::conv2d(conv, moments),
            None => moments,
        };
        let halves = moments.chunk(2, 1);
        DiagonalGaussian {
            mean: halves[0].clone(),
            logvar: halves[1].clone().clamp(-30.0, 20.0),
        }
    }

    /// The image of unscaled latents.
    ///
    /// # Shapes
    /// - `latents`: `[B, latent_channels, h, w]`
    /// - output: `[B, out_channels, h*f, w*f]`, about -1 to 1
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        let latents = match &self.post_quant_conv {
            Some(conv) => kernels::conv2d(conv, latents),
            None => latents,
        };
        self.decoder.forward(latents)
    }
}
