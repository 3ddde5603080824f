//! Where the networks run: the CPU, or a GPU through wgpu (natively) or WebGPU (in a browser).

#[cfg(feature = "gpu")]
mod gpu;
#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
mod native;
#[cfg(all(feature = "gpu", feature = "testing"))]
pub mod watch;

use crate::{Error, Result};
use burn::tensor::{Device, FloatDType};
use std::{fmt, str::FromStr, sync::OnceLock};

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
        let able = crate::kernels::is_gpu(device) && device.supports_dtype(FloatDType::F16);
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
static ADAPTER: OnceLock<(AdapterClass, String)> = OnceLock::new();

/// The class of the GPU that was opened first; [`AdapterClass::Gpu`] before that.
pub fn adapter_class() -> AdapterClass {
    ADAPTER.get().map_or(AdapterClass::Gpu, |(class, _)| *class)
}

/// Its name and graphics API as wgpu has them, once a GPU was opened.
pub fn adapter_name() -> Option<&'static str> {
    ADAPTER.get().map(|(_, name)| name.as_str())
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
