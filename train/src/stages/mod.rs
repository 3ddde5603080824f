//! One module for each thing that can be trained: autoencoder, text encoder, U-Net, an existing
//! model, a few-step student.

pub mod diffusion;
pub mod distil;
pub mod finetune;
pub mod latents;
pub mod scratch;
pub mod text;
pub mod vae;

/// File in a run's folder that names the data sets it has learned from.
pub const SOURCES: &str = "sources.json";
