//! roentgen-web: from a sentence to a chest radiograph, wherever the person is.
//!
//! Data flows one way, and each boundary is a type:
//!
//! ```text
//! text ─tokens─▶ Tokens ─embeddings─▶ Embeddings ─latents─▶ Latents ─image─▶ Image
//! &str           [B, T]               [B, T, E]             [B, C, h, w]     [B, 1|3, H, W]
//! ```
//!
//! Beside it, `reader` judges what was drawn: `Image ─reader─▶ Reading`.
//!
//! Whatever leaves or enters a device is a [`tensor::HostTensor`].
//!
//! Dimension letters used throughout: `B` batch, `T` tokens (77 for CLIP), `E` embedding width, `C`
//! channels, `h`, `w` latent height and width, `H`, `W` image height and width in pixels.

pub mod bundle;
#[cfg(not(target_family = "wasm"))]
pub mod checkpoint;
#[cfg(not(target_family = "wasm"))]
pub mod command;
pub mod components;
pub mod device;
pub mod dicom;
pub mod embeddings;
pub mod error;
#[cfg(not(target_family = "wasm"))]
pub mod files;
pub mod image;
mod inventory;
pub mod kernels;
pub mod latents;
pub mod limits;
pub mod names;
pub mod nn;
pub mod origin;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod parity;
#[cfg(feature = "pictures")]
pub mod picture;
pub mod pipeline;
pub mod png;
pub mod reader;
pub mod tensor;
pub mod tokens;
#[cfg(target_family = "wasm")]
mod web;
pub mod weights;

pub use error::{Error, Result};
