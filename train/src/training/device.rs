//! Where a training runs.

use burn::prelude::*;
use clap::ValueEnum;
use roentgen_web::error::{Error, Result};

/// Kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// burn's flex, on every core.
    Cpu,
    /// The first NVIDIA GPU, in a build with the feature `cuda`.
    Cuda,
}

/// Opens the device.
///
/// # Errors
/// [`Error::Device`] saying what is missing: the feature, a driver, or the libraries that compile
/// kernels.
pub fn open(kind: Kind) -> Result<Device> {
    match kind {
        Kind::Cpu => Ok(Device::flex()),
        Kind::Cuda => cuda(),
    }
}

/// The devices that the replicas of a module on `device` may be on, itself first: every NVIDIA GPU
/// for one of them.
pub fn alike(device: &Device) -> Vec<Device> {
    #[cfg(feature = "cuda")]
    if *device == Device::cuda(0) {
        let alike = |gpu: Device| {
            if device.is_autodiff() {
                gpu.autodiff()
            } else {
                gpu
            }
        };
        return gpus().into_iter().map(alike).collect();
    }
    vec![device.clone()]
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device> {
    gpus().into_iter().next().ok_or_else(|| {
        Error::Device(
            "no CUDA device can be used; it needs NVIDIA's driver, libnvrtc where the loader finds it (LD_LIBRARY_PATH) \
             and the CUDA headers (CUDA_PATH); or train with --device cpu"
                .into(),
        )
    })
}

/// Every NVIDIA GPU. Counting them panics where there is no driver.
#[cfg(feature = "cuda")]
fn gpus() -> Vec<Device> {
    use burn::tensor::DeviceType;
    let found = std::panic::catch_unwind(|| Device::enumerate(DeviceType::Cuda).len());
    (0..found.unwrap_or(0)).map(Device::cuda).collect()
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device> {
    Err(Error::Device(
        "this build cannot use CUDA; build with `cargo build --release -p train --features cuda`, or train with --device cpu"
            .into(),
    ))
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_cuda_says_how_to_get_it() {
        assert!(open(Kind::Cpu).is_ok());
        let error = open(Kind::Cuda).unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
        assert!(error.contains("--device cpu"), "{error}");
    }
}
