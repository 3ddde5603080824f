//! Bundle: a model as a folder of plain files that any static host can serve.
//!
//! `bundle.json` ([`Manifest`]) says what the model is and lists every other file with its bytes
//! and SHA-256; the weights lie in safetensors shards of at most [`SHARD_BYTES`], as f32, f16 or
//! block-quantized integers. `models/README.md` describes the format for readers in other
//! languages.
//!
//! Reading is a chain in which nothing is believed before it is checked: size and hash of a file,
//! its safetensors header, which tensors it may hold, their shapes, and at last every value.

mod manifest;
mod policy;
#[cfg_attr(
    target_family = "wasm",
    allow(dead_code, reason = "a browser reads bundles and never writes one")
)]
mod quantize;
mod reader;
mod shard;
#[cfg(not(target_family = "wasm"))]
mod write;

#[cfg(not(target_family = "wasm"))]
pub(crate) use manifest::check_file_name;
pub use manifest::{Defaults, FileEntry, Manifest, TensorEntry};
pub use policy::{Policy, Precision, precision_for};
#[cfg(feature = "gpu")]
pub(crate) use quantize::matrix;
pub(crate) use quantize::row_words;
pub use quantize::{BLOCK, Quantized};
pub use shard::ShardReader;
pub use shard::decode_plain;
#[cfg(not(target_family = "wasm"))]
pub use write::{BundleInfo, BundleWriter};

/// Versions of the format that this code reads. It writes the lowest that can say what a bundle
/// has: 1, or 2 with a reader. A version adds fields and changes none, so that every older bundle
/// stays readable.
pub const SCHEMA_VERSIONS: [u32; 2] = [1, 2];

/// Name of the manifest in a bundle's folder.
pub const MANIFEST_FILE: &str = "bundle.json";

/// Most bytes of one shard, header included, and of the tokenizer: a size that every static host
/// serves, and that a browser can hold beside the decoded weights.
pub const SHARD_BYTES: usize = 32 << 20;
