//! Training: real chest radiographs -> autoencoder, text encoder and U-Net -> a bundle.
//!
//! ```text
//! tables, images ─readers, dataset─▶ Record + grey image ─prompts─▶ Statement, sentence ─tokenizer─▶ token ids
//! grey images ─vae─▶ autoencoder ─latents─▶ latents of every image
//! latents + sentences ─diffusion─▶ text encoder, U-Net ─samples─▶ contact sheet, ─export─▶ bundle
//! ```
//!
//! Or from a model that is already there:
//!
//! ```text
//! bundle or diffusers checkpoint + radiographs with texts ─readers, finetune─▶ the same model, trained further
//! ─export─▶ bundle, ─diffusers─▶ diffusers checkpoint
//! ```
//!
//! Or as it is: `Stable Diffusion checkpoint ─import─▶ bundle`. Or faster:
//! `bundle + prompts ─distil─▶ the same model in a few steps`.
//!
//! And how good it is: `bundle + val split ─evaluate─▶ figures`.
//!
//! Folders: [`data`] reads files, [`training`] is what all trainings share, [`stages`] has one
//! module for each thing that is trained, [`exchange`] brings models in and out, [`evaluate`]
//! measures.

pub mod data;
pub mod evaluate;
pub mod exchange;
pub mod stages;
pub mod training;
