//! LoRA, low-rank adaptation: `W + weight * alpha / r * B A` (Hu et al. 2021, arXiv 2106.09685,
//! section 4.1), added to a checkpoint's weights once, as diffusers' `load_lora_weights` and
//! `fuse_lora` do.
//!
//! Files of diffusers, kohya and PEFT are read (`diffusers/loaders/lora_conversion_utils.py`,
//! `utils/state_dict_utils.py`, `peft/tuners/lora/layer.py`). Adapters of other kinds (DoRA, LoHa,
//! LoKr) are refused.

mod config;
mod keys;

use super::{
    formats,
    tensors::{Places, Shapes},
};
use crate::{Error, Result, error::one_line, tensor::HostTensor};
use config::AdapterConfig;
use keys::{Key, Part};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    str::FromStr,
};

/// Names that diffusers and PEFT give a LoRA in its folder.
const FILES: [&str; 4] = [
    "pytorch_lora_weights.safetensors",
    "adapter_model.safetensors",
    "pytorch_lora_weights.bin",
    "adapter_model.bin",
];

/// A LoRA's file and how much of it to add: `FILE` or `FILE:WEIGHT` on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFile {
    /// The file, or its folder.
    pub path: PathBuf,
    /// 1 is what it was trained for, 0 nothing; diffusers' `lora_scale`.
    pub weight: f32,
}

impl FromStr for LoraFile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (path, weight) = match text
            .rsplit_once(':')
            .map(|(path, n)| (path, n.parse::<f32>()))
        {
            Some((path, Ok(weight))) => (path, weight),
            _ => (text, 1.0),
        };
        if !weight.is_finite() || path.is_empty() {
            let why = format!("{text} is not FILE or FILE:WEIGHT, such as chest.safetensors:0.8");
            return Err(Error::request("lora", why));
        }
        Ok(Self {
            path: path.into(),
            weight,
        })
    }
}

/// What is added to each tensor.
#[derive(Debug)]
pub(super) struct Lora {
    /// For the name of the model that it makes.
    pub label: String,
    changes: BTreeMap<String, Change>,
}

/// `scale * up * down`.
#[derive(Debug)]
struct Change {
    /// `[r, in]` or `[r, in, kh, kw]`
    down: HostTensor,
    /// `[out, r]` or `[out, r, 1, 1]`
    up: HostTensor,
    scale: f32,
}

impl Lora {
    /// # Errors
    /// Those of [`formats::tensors`]; [`Error::Config`] for another kind of adapter, or one that
    /// was made for another model.
    pub fn open(lora: &LoraFile, shapes: &Shapes) -> Result<Self> {
        let path = file(&lora.path);
        let fault = |why: String| Error::config(path.display().to_string(), why);
        let configs = AdapterConfig::read(&path)?;
        let places = formats::tensors(&path, 0)?;
        let mut parts = BTreeMap::<String, Parts>::new();
        for tensor in Places::new(vec![path.clone()], places)?.tensors() {
            let (key, weight) = tensor?;
            let Key { module, part } = keys::read(&key).map_err(&fault)?;
            let parts = parts.entry(module).or_insert_with(|| Parts::of(key));
            let place = match part {
                Part::Down => &mut parts.down,
                Part::Up => &mut parts.up,
                Part::Alpha => &mut parts.alpha,
            };
            if place.replace(weight).is_some() {
                return Err(fault(format!("it holds {} twice", parts.key)));
            }
        }
        let targets = targets(shapes);
        let mut changes = BTreeMap::new();
        for (module, parts) in parts {
            let found = ["", "unet_", "text_encoder_"]
                .iter()
                .find_map(|component| targets.get(&format!("{component}{module}")));
            let Some(&name) = found else {
                return Err(fault(format!(
                    "it changes {}, which this model has not; it was made for another one",
                    parts.key
                )));
            };
            let change = parts.change(name, &configs).map_err(&fault)?;
            change.fits(name, shapes[name]).map_err(&fault)?;
            changes.insert(
                name.to_owned(),
                Change {
                    scale: change.scale * lora.weight,
                    ..change
                },
            );
        }
        if changes.is_empty() {
            return Err(fault(
                "it holds no LoRA (no lora_A, lora_down or lora.down)".into(),
            ));
        }
        let stem = lora.path.file_stem().unwrap_or_default().to_string_lossy();
        let label = match lora.weight {
            1.0 => one_line(&stem),
            weight => format!("{} x {weight}", one_line(&stem)),
        };
        Ok(Self { label, changes })
    }

    /// Whether [`Self::merge`] does anything to this tensor.
    pub fn changes(&self, name: &str) -> bool {
        self.changes.contains_key(name)
    }

    /// Adds the change to a tensor.
    pub fn merge(&self, name: &str, weight: &mut HostTensor) {
        let Some(Change { down, up, scale }) = self.changes.get(name) else {
            return;
        };
        let rank = down.shape[0];
        let columns = down.data.len() / rank;
        for (row, up) in weight
            .data
            .chunks_exact_mut(columns)
            .zip(up.data.chunks_exact(rank))
        {
            for (b, a) in up.iter().zip(down.data.chunks_exact(columns)) {
                let b = b * scale;
                row.iter_mut().zip(a).for_each(|(w, a)| *w += b * a);
            }
        }
    }
}

/// The tensors of one module in a file, `key` being the name of one of them.
struct Parts {
    key: String,
    down: Option<HostTensor>,
    up: Option<HostTensor>,
    alpha: Option<HostTensor>,
}

impl Parts {
    fn of(key: String) -> Self {
        Self {
            key,
            down: None,
            up: None,
            alpha: None,
        }
    }

    fn change(self, name: &str, configs: &AdapterConfig) -> Result<Change, String> {
        let (Some(down), Some(up)) = (self.down, self.up) else {
            return Err(format!(
                "one of the two matrices of {} is missing",
                self.key
            ));
        };
        let rank = match down.shape[..] {
            [rank, ..] if rank > 0 && !down.data.is_empty() => rank,
            _ => return Err(format!("{} has no rank", self.key)),
        };
        let scale = match self.alpha.as_ref().map(|alpha| &alpha.data[..]) {
            Some([alpha]) => alpha / rank as f32,
            Some(_) => return Err(format!("the alpha of {} is not one number", self.key)),
            None => configs.scale(name, rank)?,
        };
        Ok(Change { down, up, scale })
    }
}

impl Change {
    fn fits(&self, name: &str, shape: &[usize]) -> Result<(), String> {
        let rank = self.down.shape[0];
        let product = |shape: &[usize]| shape.iter().product::<usize>();
        let fits = self.up.shape.first() == shape.first()
            && self.up.shape.get(1) == Some(&rank)
            && product(&self.up.shape[2..]) == 1
            && product(&self.down.shape[1..]) == product(&shape[1..]);
        if fits {
            Ok(())
        } else {
            Err(format!(
                "its matrices {:?} and {:?} do not fit {name} of shape {shape:?}; it was made for another model",
                self.up.shape, self.down.shape
            ))
        }
    }
}

/// The weights of linear and convolutional layers by their modules, with `_` for every `.`, as
/// kohya's names have them.
fn targets<'a>(shapes: &Shapes<'a>) -> HashMap<String, &'a str> {
    let matrices = shapes.iter().filter(|(_, shape)| shape.len() >= 2);
    matrices
        .filter_map(|(name, _)| Some((name.strip_suffix(".weight")?.replace('.', "_"), *name)))
        .collect()
}

/// The file of a LoRA, which is given itself or by its folder.
fn file(path: &Path) -> PathBuf {
    let inside = FILES.iter().map(|name| path.join(name));
    let found = inside.into_iter().find(|file| file.is_file());
    found.unwrap_or_else(|| path.into())
}
