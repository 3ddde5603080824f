//! Models in and out: bundles, diffusers checkpoints, Stable Diffusion checkpoints, the tokenizer's
//! files.

pub mod diffusers;
pub mod export;
pub mod import;
pub mod safetensors;
pub mod tokenizer;
