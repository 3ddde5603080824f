//! Training: real chest radiographs -> autoencoder, text encoder and U-Net -> a bundle.
//!
//! ```text
//! metadata.csv, bboxes.csv, *.webp ─dataset─▶ Record + grey image ─prompts─▶ sentence ─tokenizer─▶ token ids
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
//! Or as it is: `Stable Diffusion checkpoint ─import─▶ bundle`. Or faster: `bundle + prompts ─distil─▶ the same model in a few steps`.
//!
//! And how good it is: `bundle + val split ─evaluate─▶ figures`.

pub mod curve;
pub mod dataset;
pub mod device;
pub mod dicom;
pub mod diffusers;
pub mod diffusion;
pub mod distil;
pub mod ema;
pub mod evaluate;
pub mod export;
pub mod findings;
pub mod finetune;
pub mod images;
pub mod import;
pub mod latents;
pub mod location;
pub mod objective;
pub mod prompts;
pub mod readers;
pub mod replicas;
pub mod run;
pub mod samples;
pub mod sheet;
pub mod start;
pub mod tables;
pub mod text;
pub mod tokenizer;
pub mod trainer;
pub mod vae;
