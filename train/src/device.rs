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
/// [`Error::Device`] saying what is missing: the feature, a driver, or the libraries that compile kernels.
pub fn open(kind: Kind) -> Result<Device> {
    match kind {
        Kind::Cpu => Ok(Device::flex()),
        Kind::Cuda => cuda(),
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device> {
    use burn::tensor::DeviceType;
    // Asking for a device that is not there panics, and so does counting them without a driver.
    let found = std::panic::catch_unwind(|| Device::enumerate(DeviceType::Cuda).len());
    match found {
        Ok(1..) => Ok(Device::cuda(0)),
        _ => Err(Error::Device(
            "no CUDA device can be used; it needs NVIDIA's driver, libnvrtc where the loader finds it (LD_LIBRARY_PATH) \
             and the CUDA headers (CUDA_PATH); or train with --device cpu"
                .into(),
        )),
    }
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
