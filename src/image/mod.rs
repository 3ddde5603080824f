//! Latents -> Image and back: diffusers' autoencoders, and pixels in 8 bits.

mod autoencoder;
pub mod bicubic;
pub mod contrast;
mod dc;
mod kl;
mod pixels;
mod scaling;

pub use autoencoder::{Autoencoder, AutoencoderConfig, DiagonalGaussian};
pub use dc::{AutoencoderDC, AutoencoderDCConfig, Names};
pub use kl::{AutoencoderKL, AutoencoderKLConfig};
pub use pixels::Image;
pub use scaling::LatentScaling;

use crate::error::Error;

/// What is wrong with an autoencoder's config.
fn fault(why: String) -> Error {
    Error::Config {
        what: "vae/config.json".into(),
        why,
    }
}
