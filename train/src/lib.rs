//! Training: real chest radiographs -> autoencoder, text encoder and U-Net -> a bundle.
//!
//! ```text
//! metadata.csv, bboxes.csv, *.webp ─dataset─▶ Record + grey image ─prompts─▶ sentence ─tokenizer─▶ token ids
//! ```

pub mod dataset;
pub mod findings;
pub mod images;
pub mod location;
pub mod prompts;
pub mod sheet;
pub mod tokenizer;
