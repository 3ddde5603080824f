//! What is asked of a GPU, and what the one in use is.

use crate::{Error, Result};
use std::{str::FromStr, sync::OnceLock};

/// What is asked of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limits {
    /// All that the adapter has of what computing needs.
    #[default]
    Adapter,
    /// WebGPU's default limits and not one optional feature: what everyone with WebGPU has.
    Default,
}

impl FromStr for Limits {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "adapter" => Ok(Limits::Adapter),
            "default" => Ok(Limits::Default),
            _ => Err(Error::request(
                "limits",
                format!("`{name}` are not known; use adapter or default"),
            )),
        }
    }
}

/// What the GPU in use is made of; kernels choose their tiles by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterClass {
    /// A program on the CPU: SwiftShader, lavapipe, WARP. Barriers and workgroup memory are dear.
    Software,
    /// Anything else.
    Gpu,
}

/// How a device is to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What is asked of a GPU.
    pub limits: Limits,
    /// Whoever opens the device knows its adapter for a program: browsers tell JavaScript more than
    /// wgpu.
    pub software: bool,
}

/// The GPU that was opened first.
pub(super) static ADAPTER: OnceLock<(AdapterClass, String)> = OnceLock::new();

/// The class of the GPU that was opened first; [`AdapterClass::Gpu`] before that.
pub fn adapter_class() -> AdapterClass {
    ADAPTER.get().map_or(AdapterClass::Gpu, |(class, _)| *class)
}

/// Its name and graphics API as wgpu has them, once a GPU was opened.
pub fn adapter_name() -> Option<&'static str> {
    ADAPTER.get().map(|(_, name)| name.as_str())
}

#[cfg(feature = "gpu")]
pub(super) fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Device(format!(
        "no GPU can be used ({error}); use the cpu backend, or update the graphics driver"
    ))
}
