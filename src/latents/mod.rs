//! Embeddings -> Latents: the noise of a seed, the schedulers, the U-Net, and the denoising loop's
//! step.

pub mod denoise;
pub mod img2img;
pub mod noise;
pub mod scheduler;
pub mod unet;

pub use unet::{UNet2DConditionConfig, UNet2DConditionModel};

use burn::prelude::*;
use burn::tensor::FloatDType;

use crate::error::{Error, Result};
use crate::tensor::HostTensor;

/// Latents on the host, scaled as the U-Net sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    /// `[B, C, h, w]`
    pub shape: [usize; 4],
    /// Row-major values, as many as the shape says.
    pub data: Vec<f32>,
}

impl Latents {
    /// The starting noise of `seed`, of variance 1 ([`noise::gaussian`]).
    pub fn noise(seed: u64, shape: [usize; 4]) -> Self {
        let data = noise::gaussian(seed, shape.iter().product());
        Self { shape, data }
    }

    /// The same shape with other values.
    pub fn with(&self, data: Vec<f32>) -> Self {
        Self {
            shape: self.shape,
            data,
        }
    }

    /// On a device, in the precision that the networks compute in.
    pub fn to_tensor(&self, device: &Device, dtype: FloatDType) -> Tensor<4> {
        let data = TensorData::new(self.data.clone(), self.shape);
        Tensor::<4>::from_data(data, device).cast(dtype)
    }

    /// # Errors
    /// [`Error::Output`] naming the step of the scheduler after which a value is not finite.
    pub(crate) fn check_finite(&self, step: usize) -> Result<()> {
        match self.data.iter().find(|v| !v.is_finite()) {
            Some(bad) => Err(Error::Output(format!(
                "the latents became {bad} at step {step}"
            ))),
            None => Ok(()),
        }
    }
}

impl From<Latents> for HostTensor {
    fn from(latents: Latents) -> Self {
        Self {
            shape: latents.shape.to_vec(),
            data: latents.data,
        }
    }
}
