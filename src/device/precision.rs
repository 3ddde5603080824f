//! The number format of what layers pass on.

use super::adapter::{AdapterClass, adapter_class};
use crate::{Error, Result, kernels};
use burn::tensor::{Device, FloatDType};
use std::str::FromStr;

/// What the U-Net and the autoencoder keep maps and rows in between their layers. Weights have
/// types of their own, and sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Half the memory and half the traffic, up to 65504.
    F16,
    /// What every device has.
    F32,
}

impl Precision {
    /// The one that is asked for; else f16 where the device computes in it and is no program, which
    /// gains nothing by it.
    ///
    /// # Errors
    /// [`Error::Device`] if f16 is asked for and the device has none.
    pub fn on(device: &Device, asked: Option<Precision>) -> Result<Self> {
        let able = kernels::is_gpu(device) && device.supports_dtype(FloatDType::F16);
        match asked {
            Some(Precision::F16) if !able => Err(Error::Device(
                "f16 needs a GPU with shader-f16 that is asked for all it has; use the precision f32"
                    .into(),
            )),
            Some(precision) => Ok(precision),
            None if able && adapter_class() == AdapterClass::Gpu => Ok(Precision::F16),
            None => Ok(Precision::F32),
        }
    }

    /// burn's name of it.
    pub fn dtype(self) -> FloatDType {
        match self {
            Precision::F16 => FloatDType::F16,
            Precision::F32 => FloatDType::F32,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f16" => Ok(Precision::F16),
            "f32" => Ok(Precision::F32),
            _ => Err(Error::request(
                "precision",
                format!("`{name}` is not known; use f16 or f32"),
            )),
        }
    }
}
