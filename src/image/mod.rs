//! Latents -> Image and back: diffusers' autoencoders, and pixels in 8 bits.

mod autoencoder;
pub mod bicubic;
pub mod contrast;
mod dc;
mod kl;
mod pixels;
mod scaling;
mod tiny;

pub use autoencoder::{Autoencoder, AutoencoderConfig};
pub use dc::{AutoencoderDC, AutoencoderDCConfig, Names};
pub use kl::{AutoencoderKL, AutoencoderKLConfig, DiagonalGaussian};
pub use pixels::Image;
pub use scaling::LatentScaling;
pub use tiny::{AutoencoderTiny, AutoencoderTinyConfig};

use crate::error::Error;

/// Pixels that a latent position stands for after so many levels. A config that was not checked yet
/// can name any number.
fn downscale(levels: usize) -> usize {
    let halvings = levels.saturating_sub(1);
    1usize.checked_shl(halvings as u32).unwrap_or(usize::MAX)
}

/// What is wrong with an autoencoder's config.
fn fault(why: String) -> Error {
    Error::config("vae/config.json", why)
}
