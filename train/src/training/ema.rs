//! The exponential moving average of a module's weights: what is shipped.

use std::path::Path;

use burn::module::Module;
use roentgen_web::error::{Error, Result};
use roentgen_web::tensor::HostTensor;
use roentgen_web::weights::{self, Weights};

use crate::exchange::safetensors::{self, Format};

/// Steps between two updates. The average of weights that hardly move in ten steps is the same, at
/// a tenth of the cost.
const EVERY: usize = 10;

/// A moving average in f32 on the host, in the checkpoint's names and layout.
pub struct Ema {
    /// The averaged weights.
    pub weights: Weights,
    /// How much of it stays at each training step.
    pub decay: f64,
}

impl Ema {
    /// Starts from the weights of `module`. `decay` is per training step.
    pub fn new(module: &impl Module, decay: f64) -> Self {
        Self {
            weights: merged(module),
            decay,
        }
    }

    /// Takes the weights after `step` steps in, every tenth step. Early on the average follows
    /// faster, as in diffusers' `EMAModel`: decay `(1 + n) / (10 + n)`.
    pub fn update<M: Module>(&mut self, module: &M, step: usize) {
        if !step.is_multiple_of(EVERY) {
            return;
        }
        let n = step as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n)).powi(EVERY as i32) as f32;
        for (name, weight) in merged(module) {
            if let Some(average) = self.weights.get_mut(&name) {
                for (a, w) in average.data.iter_mut().zip(&weight.data) {
                    *a += (1.0 - decay) * (w - *a); // so written, a weight that is frozen stays what it is
                }
            }
        }
    }

    /// Writes the average as safetensors, f32.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        save(&self.weights, path)
    }

    /// Reads an average back.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] if the file is damaged.
    pub fn open(path: &Path, decay: f64) -> Result<Self> {
        Ok(Self {
            weights: open(path)?,
            decay,
        })
    }
}

/// The weights as a model without adapters has them: what low-rank adapters add is added.
fn merged(module: &impl Module) -> Weights {
    weights::collect(&module.valid().materialize())
}

/// Writes weights as one safetensors file, f32.
///
/// # Errors
/// [`Error::Io`].
pub fn save(weights: &Weights, path: &Path) -> Result<()> {
    let tensors = weights
        .iter()
        .map(|(name, weight)| (name.clone(), weight.shape.clone(), &weight.data[..]));
    safetensors::write(path, tensors, Format::F32, None)
}

/// Reads weights that [`save`] wrote.
///
/// # Errors
/// [`Error::Io`], or [`Error::Config`] if the file is damaged.
pub fn open(path: &Path) -> Result<Weights> {
    let fault = |why: String| Error::config(path.display().to_string(), why);
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        path: path.display().to_string(),
        source,
    })?;
    let file = ::safetensors::SafeTensors::deserialize(&bytes).map_err(|e| fault(e.to_string()))?;
    file.iter()
        .map(|(name, view)| {
            if view.dtype() != ::safetensors::Dtype::F32 {
                return Err(fault(format!("{name} is not f32")));
            }
            let data = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            let shape = view.shape().to_vec();
            Ok((name.to_string(), HostTensor { shape, data }))
        })
        .collect()
}
