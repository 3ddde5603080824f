//! Weight files of a diffusers checkpoint: which there are, and their tensors under this crate's names.

use super::{no_model, read_optional};
use crate::{
    Error, Result,
    bundle::{check_file_name, decode_plain},
    weights::{Weight, Weights},
};
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Stored bytes of one part; as f32 at most twice this is in memory.
const PART_BYTES: usize = 256 << 20;

/// Longest header believed; safetensors' own limit.
const HEADER_BYTES: u64 = 100_000_000;

/// Names that `save_pretrained` gives weights, by preference: full precision first, whole before sharded. The last
/// two are the index of a half-precision variant as diffusers and as transformers name it.
const NAMES: [(&str, bool); 5] = [
    (".safetensors", false),
    (".safetensors.index.json", true),
    (".fp16.safetensors", false),
    (".safetensors.index.fp16.json", true),
    (".fp16.safetensors.index.json", true),
];

/// One safetensors file of one component.
#[derive(Debug)]
pub(super) struct WeightFile {
    component: &'static str,
    path: PathBuf,
}

impl WeightFile {
    /// The weight files of a component: one, or those that its index names.
    pub fn find(dir: &Path, component: &'static str) -> Result<Vec<WeightFile>> {
        let folder = dir.join(component);
        for (suffix, index) in NAMES {
            for stem in ["diffusion_pytorch_model", "model"] {
                let path = folder.join(format!("{stem}{suffix}"));
                if !path.is_file() {
                    continue;
                }
                if !index {
                    return Ok(vec![WeightFile { component, path }]);
                }
                let names = shards(&path)?;
                return Ok(names
                    .into_iter()
                    .map(|n| WeightFile {
                        component,
                        path: folder.join(n),
                    })
                    .collect());
            }
        }
        let why =
            format!("{component} has no safetensors weights (.bin files have to be converted)");
        Err(no_model(dir, &why))
    }

    /// The tensors as f32, a few hundred megabytes at a time.
    pub fn parts(&self) -> impl Iterator<Item = Result<Weights>> + use<> {
        let component = self.component;
        let (path, opened) = (self.path.clone(), Reader::open(&self.path));
        let mut opened = Some(opened);
        std::iter::from_fn(move || {
            let mut reader = match opened.take()? {
                Ok(reader) => reader,
                Err(error) => return Some(Err(error)),
            };
            let part = reader.next_part(component, &path)?;
            opened = part.is_ok().then_some(Ok(reader));
            Some(part)
        })
    }
}

/// The files that an index names, each once.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = read_optional(index)?.unwrap_or_default();
    let Index { weight_map } = serde_json::from_slice(&bytes).map_err(|e| Error::Json {
        file: index.display().to_string(),
        why: e.to_string(),
    })?;
    let files: BTreeSet<String> = weight_map.into_values().collect();
    files.iter().try_for_each(|file| check_file_name(file))?;
    Ok(files)
}

/// An open file and its tensors that are still to be read, in the order in which they lie.
struct Reader {
    file: File,
    data_start: u64,
    left: std::vec::IntoIter<(String, TensorInfo)>,
}

impl Reader {
    fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bad = |why: &str| Error::Safetensors {
            file: name.clone(),
            why: why.into(),
        };
        let mut file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(bad("it is too short"));
        }
        file.read_exact(&mut length).map_err(Error::io(path))?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES || length > size - 8 {
            return Err(bad(
                "its header would be longer than the file, or than any header is",
            ));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(Error::io(path))?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|e| bad(&e.to_string()))?;
        if header.data_len() as u64 != size - 8 - length {
            return Err(bad("it is not as long as its header says"));
        }
        let names = header.offset_keys().into_iter();
        let tensors: Vec<_> = names
            .filter_map(|name| Some((name.clone(), header.info(&name)?.clone())))
            .collect();
        Ok(Self {
            file,
            data_start: 8 + length,
            left: tensors.into_iter(),
        })
    }

    fn next_part(&mut self, component: &str, path: &Path) -> Option<Result<Weights>> {
        let mut part = Weights::new();
        let mut bytes = 0;
        while bytes < PART_BYTES {
            let Some((key, info)) = self.left.next() else {
                return (!part.is_empty()).then_some(Ok(part));
            };
            let Some(name) = name(component, &key) else {
                continue;
            };
            bytes += info.data_offsets.1 - info.data_offsets.0;
            match self.read(&name, &info, path) {
                Ok(weight) if part.contains_key(&name) => {
                    drop(weight);
                    return Some(Err(Error::DuplicateTensor { name }));
                }
                Ok(weight) => drop(part.insert(name, weight)),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(part))
    }

    /// One tensor. Its offsets lie within the file and fit its shape: safetensors checked that with the header.
    fn read(&mut self, name: &str, info: &TensorInfo, path: &Path) -> Result<Weight> {
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.file
            .seek(SeekFrom::Start(self.data_start + start as u64))
            .map_err(Error::io(path))?;
        self.file.read_exact(&mut bytes).map_err(Error::io(path))?;
        let view = TensorView::new(info.dtype, info.shape.clone(), &bytes).map_err(|e| {
            Error::Safetensors {
                file: path.display().to_string(),
                why: e.to_string(),
            }
        })?;
        Ok(Weight {
            shape: info.shape.clone(),
            data: decode_plain(name, &view)?,
        })
    }
}

/// The full name of a checkpoint's tensor; `None` for what is no weight.
fn name(component: &str, key: &str) -> Option<String> {
    match component {
        "text_encoder" => {
            // transformers 5 writes the text model's keys bare, earlier ones under `text_model.`.
            let key = key.strip_prefix("text_model.").unwrap_or(key);
            // Positions 0..77 that transformers before 4.31 kept among the weights.
            (key != "embeddings.position_ids").then(|| format!("text_encoder.{key}"))
        }
        "vae" => Some(format!("vae.{}", renamed_attention(key))),
        _ => Some(format!("{component}.{key}")),
    }
}

/// Attention layers of autoencoders saved before diffusers 0.18
/// (`ModelMixin._convert_deprecated_attention_blocks`).
fn renamed_attention(key: &str) -> String {
    if !key.contains(".attentions.") {
        return key.into();
    }
    let names = [
        (".query.", ".to_q."),
        (".key.", ".to_k."),
        (".value.", ".to_v."),
        (".proj_attn.", ".to_out.0."),
    ];
    names
        .into_iter()
        .fold(key.to_owned(), |key, (old, new)| key.replace(old, new))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names() {
        let cases = [
            ("unet", "conv_in.weight", Some("unet.conv_in.weight")),
            (
                "text_encoder",
                "text_model.final_layer_norm.bias",
                Some("text_encoder.final_layer_norm.bias"),
            ),
            (
                "text_encoder",
                "final_layer_norm.bias",
                Some("text_encoder.final_layer_norm.bias"),
            ),
            ("text_encoder", "text_model.embeddings.position_ids", None),
            (
                "vae",
                "decoder.mid_block.attentions.0.query.weight",
                Some("vae.decoder.mid_block.attentions.0.to_q.weight"),
            ),
            (
                "vae",
                "encoder.mid_block.attentions.0.key.bias",
                Some("vae.encoder.mid_block.attentions.0.to_k.bias"),
            ),
            (
                "vae",
                "decoder.mid_block.attentions.0.value.bias",
                Some("vae.decoder.mid_block.attentions.0.to_v.bias"),
            ),
            (
                "vae",
                "decoder.mid_block.attentions.0.proj_attn.bias",
                Some("vae.decoder.mid_block.attentions.0.to_out.0.bias"),
            ),
            (
                "vae",
                "decoder.conv_in.weight",
                Some("vae.decoder.conv_in.weight"),
            ),
        ];
        for (component, key, expected) in cases {
            assert_eq!(name(component, key).as_deref(), expected, "{key}");
        }
    }
}
