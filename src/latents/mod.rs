//! Embeddings -> Latents: the noise a seed stands for, the schedulers, the U-Net.

pub mod noise;
pub mod scheduler;
pub mod unet;

pub use unet::{UNet2DConditionConfig, UNet2DConditionModel};
