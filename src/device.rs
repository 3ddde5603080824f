//! Where the networks run: the CPU, or a GPU through wgpu (natively) or WebGPU (in a browser).

pub(crate) mod adapter;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
mod native;
mod precision;
#[cfg(all(feature = "gpu", feature = "testing"))]
pub mod watch;

pub use adapter::{AdapterClass, Limits, Options, adapter_class, adapter_name};
pub use precision::Precision;

use crate::{Error, Result};
use burn::tensor::Device;
use std::{fmt, str::FromStr};

/// The two kinds of device. Which of them a program has is decided when it is built (features `cpu`
/// and `gpu`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// burn's flex: pure Rust, the same everywhere.
    Cpu,
    /// wgpu natively, WebGPU in a browser.
    Gpu,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Cpu => "cpu",
            Backend::Gpu => "gpu",
        })
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Backend::Cpu),
            "gpu" => Ok(Backend::Gpu),
            _ => Err(Error::request(
                "backend",
                format!("`{name}` is not known; use cpu or gpu"),
            )),
        }
    }
}

/// Opens the device with all that its adapter has.
///
/// # Errors
/// As [`open_with`].
pub async fn open(backend: Backend) -> Result<Device> {
    open_with(backend, Options::default()).await
}

/// Opens the device, once in a program's life.
///
/// # Errors
/// [`Error::Device`] if this program was built without that backend, or there is no GPU that can be
/// used.
pub async fn open_with(backend: Backend, options: Options) -> Result<Device> {
    match backend {
        Backend::Cpu => cpu(),
        Backend::Gpu => gpu(options).await,
    }
}

#[cfg(feature = "cpu")]
fn cpu() -> Result<Device> {
    Ok(Device::flex())
}

#[cfg(not(feature = "cpu"))]
fn cpu() -> Result<Device> {
    Err(Error::Device(
        "this build has no CPU backend; use the gpu backend, or the build with the feature `cpu`"
            .into(),
    ))
}

#[cfg(feature = "gpu")]
async fn gpu(options: Options) -> Result<Device> {
    gpu::open(options).await
}

#[cfg(not(feature = "gpu"))]
async fn gpu(_: Options) -> Result<Device> {
    Err(Error::Device(
        "this build has no GPU backend; use the cpu backend, or the build with the feature `gpu`"
            .into(),
    ))
}
