//! `AutoencoderDC` (diffusers: `models/autoencoders/autoencoder_dc.py`; Chen et al. 2024,
//! arXiv:2410.10733): resolutions change by moving pixels into channels and back, and shortcuts
//! that learn nothing do the same beside every such change.

mod check;
mod config;
mod decoder;
mod encoder;
mod layers;
mod order;
mod res_block;

pub use config::{AutoencoderDCConfig, Names};

use burn::prelude::*;

use self::decoder::Decoder;
use self::encoder::Encoder;
use super::scaling::LatentScaling;
use crate::error::Result;

/// Encoder and decoder between images in -1 to 1 and latents.
#[derive(Module, Debug)]
pub struct AutoencoderDC {
    encoder: Encoder,
    decoder: Decoder,
    #[module(skip)]
    pub(super) scaling: LatentScaling,
}

impl AutoencoderDCConfig {
    /// An autoencoder with random weights.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key that is inconsistent or not supported.
    pub fn init(&self, device: &Device) -> Result<AutoencoderDC> {
        self.check()?;
        Ok(AutoencoderDC {
            encoder: Encoder::init(self, device)?,
            decoder: Decoder::init(self, device)?,
            scaling: self.scaling()?,
        })
    }
}

impl AutoencoderDC {
    /// The latents of an image, before scaling.
    ///
    /// # Shapes
    /// - `image`: `[B, in_channels, H, W]` in -1 to 1
    /// - output: `[B, latent_channels, H/f, W/f]`
    pub fn encode(&self, image: Tensor<4>) -> Tensor<4> {
        self.encoder.forward(image)
    }

    /// The image of unscaled latents.
    ///
    /// # Shapes
    /// - `latents`: `[B, latent_channels, h, w]`
    /// - output: `[B, in_channels, h*f, w*f]`, about -1 to 1
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(latents)
    }
}
