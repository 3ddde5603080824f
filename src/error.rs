//! The one error enum: what went wrong with bytes, files, a device or a prompt, and what to do
//! about it.
//!
//! Every text is one sentence (or two) fit to be shown to a person as it stands; [`Error::code`] is
//! the stable word that programs and the web page use to tell them apart.

mod line;

pub use line::one_line;

use std::{fmt, path::Path};

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a prompt and an image.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The model needs a tensor which none of its weight files holds.
    MissingTensor {
        /// Full key, component first: `unet.conv_in.weight`.
        name: String,
    },
    /// The weight files hold a tensor which the model has no place for.
    UnknownTensor {
        /// Full key, component first: `unet.conv_in.weight`.
        name: String,
    },
    /// A tensor has another shape than the model's configuration asks for.
    TensorShape {
        /// Full key, component first: `unet.conv_in.weight`.
        name: String,
        /// Shape the configuration asks for.
        expected: Vec<usize>,
        /// Shape in the weight file.
        found: Vec<usize>,
    },
    /// Two weight files hold the same tensor.
    DuplicateTensor {
        /// Full key, component first.
        name: String,
    },
    /// A weight is NaN or infinite.
    NotFinite {
        /// Full key, component first.
        name: String,
    },
    /// A tensor is stored in a number format which this version does not read.
    TensorType {
        /// Full key, component first.
        name: String,
        /// Number format as safetensors names it.
        dtype: String,
    },
    /// A tensor of a bundle is stored in another number format than its manifest says.
    StoredAs {
        /// Full key, component first.
        name: String,
        /// Number format that the manifest means, as safetensors names it.
        expected: String,
        /// Number format found.
        found: String,
    },
    /// A block scale of a quantized tensor is NaN, infinite, negative or zero.
    Scale {
        /// Full key, component first.
        name: String,
        /// Index of the block, row-major over `[out, blocks]`.
        block: usize,
        /// The scale as found.
        scale: f32,
    },
    /// The packed integers or the scales of a quantized tensor do not fit its shape, or an integer
    /// is out of range.
    Quantized {
        /// Full key, component first.
        name: String,
        /// What does not fit.
        why: String,
    },
    /// A file is of a kind that is known and not read: a Git LFS pointer, GGUF, a web page.
    WrongFile {
        /// File name.
        file: String,
        /// What it is, and what to do.
        what: String,
    },
    /// A file is longer than any of its kind.
    TooLarge {
        /// File name.
        file: String,
        /// Its bytes, or those that were read before reading ended.
        found: u64,
        /// Most bytes of such a file.
        most: u64,
    },
    /// A file which should be a safetensors file is none.
    Safetensors {
        /// File name.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file is shorter or longer than the manifest says.
    FileSize {
        /// File name.
        file: String,
        /// Bytes the manifest says.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A file does not have the SHA-256 which the manifest says.
    Hash {
        /// File name.
        file: String,
        /// Hash in the manifest, lower-case hex.
        expected: String,
        /// Hash of the bytes, lower-case hex.
        found: String,
    },
    /// The manifest is of another schema version than this program reads.
    SchemaVersion {
        /// Version in the manifest.
        found: u64,
        /// Version this program reads.
        supported: u32,
    },
    /// `bundle.json` reads as JSON but says something that cannot be.
    Manifest {
        /// What is wrong.
        why: String,
    },
    /// A file is not the JSON it should be.
    Json {
        /// File name.
        file: String,
        /// The parser's words.
        why: String,
    },
    /// A text file is not UTF-8.
    Utf8 {
        /// File name.
        file: String,
    },
    /// A file name in a manifest would lead out of the bundle's folder.
    FileName {
        /// The name as found.
        file: String,
    },
    /// The tokenizer's files cannot be used.
    Tokenizer {
        /// What is wrong.
        why: String,
    },
    /// A folder is neither a bundle nor a diffusers checkpoint.
    ModelFolder {
        /// The folder.
        path: String,
        /// What is missing or wrong.
        why: String,
    },
    /// A configuration asks for something this code does not do, or contradicts itself.
    Config {
        /// Which configuration, e.g. `unet/config.json`.
        what: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A generation was asked for with a value that cannot be.
    Request {
        /// Name of the setting as its user knows it.
        field: &'static str,
        /// What is wrong with the value and what would be right; the sentence continues after the
        /// name.
        why: String,
    },
    /// The person who asked for the image cancelled it.
    Cancelled,
    /// No usable device, or the device failed.
    Device(String),
    /// A file or folder could not be read or written.
    Io {
        /// The file or folder.
        path: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The model gave something that is no image: NaN, or a single flat grey.
    Output(String),
    /// A picture to begin from cannot be read.
    Picture {
        /// Path as the user gave it.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The DICOM file could not be encoded.
    Dicom(String),
    /// The PNG could not be encoded.
    Png(String),
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// One sentence on one line, whatever the names in it are: they come from files that anybody may
/// have made.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Error::MissingTensor { name } => format!(
                "the tensor `{name}` is missing from the weights; the download or export is incomplete, fetch or export the model again"
            ),
            Error::UnknownTensor { name } => format!(
                "the tensor `{name}` has no place in this model; the weights do not belong to the configuration beside them"
            ),
            Error::TensorShape {
                name,
                expected,
                found,
            } => format!(
                "the tensor `{name}` has shape {found:?} where the configuration asks for {expected:?}; the weights do not belong to it"
            ),
            Error::DuplicateTensor { name } => format!(
                "the tensor `{name}` is given twice; remove one of the weight files that hold it"
            ),
            Error::NotFinite { name } => format!(
                "the tensor `{name}` holds a value that is not a finite number; the file is damaged or the training diverged"
            ),
            Error::TensorType { name, dtype } => format!(
                "the tensor `{name}` is stored as {dtype}, which is not read here; convert it to F32, F16 or BF16"
            ),
            Error::StoredAs {
                name,
                expected,
                found,
            } => format!(
                "the tensor `{name}` is stored as {found} where the manifest says {expected}; export the model again"
            ),
            Error::Scale { name, block, scale } => format!(
                "the quantized tensor `{name}` has the bad scale {scale} in block {block}; the file is damaged, export the model again"
            ),
            Error::Quantized { name, why } => format!(
                "the quantized tensor `{name}` does not fit its shape: {why}; export the model again"
            ),
            Error::WrongFile { file, what } => format!("{file} is {what}"),
            Error::TooLarge { file, found, most } => format!(
                "{file} has {found} bytes, and at most {most} are read; it is not what its name says"
            ),
            Error::Safetensors { file, why } => {
                format!("{file} is not a valid safetensors file: {why}; fetch or export it again")
            }
            Error::FileSize {
                file,
                expected,
                found,
            } => format!(
                "{file} has {found} bytes where the manifest says {expected}; the download is incomplete, fetch it again"
            ),
            Error::Hash {
                file,
                expected,
                found,
            } => format!(
                "{file} has the SHA-256 {found} where the manifest says {expected}; the file is damaged or was changed, fetch it again"
            ),
            Error::SchemaVersion { found, supported } => format!(
                "this bundle has schema version {found}, and this version of roentgen-web reads {supported}; use a matching release or export the bundle again"
            ),
            Error::Manifest { why } => {
                format!("bundle.json is not valid: {why}; export the bundle again")
            }
            Error::Json { file, why } => {
                format!("{file} is not valid JSON of the kind expected here: {why}")
            }
            Error::Utf8 { file } => {
                format!("{file} is not UTF-8 text; the file is damaged, fetch it again")
            }
            Error::FileName { file } => format!(
                "the file name {file:?} is not allowed in a bundle: it must be a plain name of letters, digits, `-`, `_` and `.`"
            ),
            Error::Tokenizer { why } => format!(
                "the tokenizer cannot be used: {why}; use the tokenizer.json, or the vocab.json and merges.txt, that belong to the model"
            ),
            Error::ModelFolder { path, why } => format!(
                "{path} is not a model: {why}; give a folder with bundle.json, or a diffusers checkpoint folder with unet, vae, text_encoder, scheduler and tokenizer"
            ),
            Error::Config { what, why } => format!("{what} cannot be used: {why}"),
            Error::Request { field, why } => format!("{field} {why}"),
            Error::Cancelled => "generation was cancelled".to_string(),
            Error::Device(why) => why.to_string(),
            Error::Io { path, source } => format!("{path}: {source}"),
            Error::Output(why) => format!("the model gave no usable image: {why}"),
            Error::Picture { file, why } => format!(
                "the picture {file} cannot be read ({why}); give a PNG, JPEG, WebP or DICOM file"
            ),
            Error::Dicom(why) => format!("the image cannot be written as DICOM: {why}"),
            Error::Png(why) => format!("the image cannot be written as PNG: {why}"),
        };
        f.write_str(&one_line(&text))
    }
}

impl Error {
    /// Stable kebab-case word for this kind of error; never changes between releases.
    pub fn code(&self) -> &'static str {
        match self {
            Error::MissingTensor { .. } => "missing-tensor",
            Error::UnknownTensor { .. } => "unknown-tensor",
            Error::TensorShape { .. } => "tensor-shape",
            Error::DuplicateTensor { .. } => "duplicate-tensor",
            Error::NotFinite { .. } => "not-finite",
            Error::TensorType { .. } => "tensor-type",
            Error::StoredAs { .. } => "stored-as",
            Error::Scale { .. } => "scale",
            Error::Quantized { .. } => "quantized",
            Error::WrongFile { .. } => "wrong-file",
            Error::TooLarge { .. } => "too-large",
            Error::Safetensors { .. } => "safetensors",
            Error::FileSize { .. } => "file-size",
            Error::Hash { .. } => "hash",
            Error::SchemaVersion { .. } => "schema-version",
            Error::Manifest { .. } => "manifest",
            Error::Json { .. } => "json",
            Error::Utf8 { .. } => "utf8",
            Error::FileName { .. } => "file-name",
            Error::Tokenizer { .. } => "tokenizer",
            Error::ModelFolder { .. } => "model-folder",
            Error::Config { .. } => "config",
            Error::Request { .. } => "request",
            Error::Cancelled => "cancelled",
            Error::Device(_) => "device",
            Error::Io { .. } => "io",
            Error::Output(_) => "output",
            Error::Picture { .. } => "picture",
            Error::Dicom(_) => "dicom",
            Error::Png(_) => "png",
        }
    }

    /// An [`Error::Config`].
    pub fn config(what: impl Into<String>, why: impl Into<String>) -> Error {
        let (what, why) = (what.into(), why.into());
        Error::Config { what, why }
    }

    /// An [`Error::Request`].
    pub fn request(field: &'static str, why: impl Into<String>) -> Error {
        let why = why.into();
        Error::Request { field, why }
    }

    /// An [`Error::ModelFolder`].
    pub fn model_folder(path: &Path, why: impl Into<String>) -> Error {
        let (path, why) = (path.display().to_string(), why.into());
        Error::ModelFolder { path, why }
    }

    /// An [`Error::Io`] for this path, for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().display().to_string();
        move |source| Error::Io { path, source }
    }
}

#[cfg(test)]
mod tests;
