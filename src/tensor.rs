//! A tensor outside of any device.

use burn::prelude::*;

use crate::error::{Error, Result};

/// A tensor in this process's memory, in f32 and PyTorch's layout: weights, images, latents,
/// embeddings, attention maps.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// Row-major values, as many as the shape says.
    pub data: Vec<f32>,
}

impl HostTensor {
    /// Reads a tensor back from its device. In a browser this is where the GPU's work is awaited.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Debug| Error::Device(format!("{error:?}"));
        let shape = tensor.shape().to_vec();
        let data = tensor.into_data_async().await.map_err(|e| failed(&e))?;
        let data = data.try_into_vec_as().map_err(|e| failed(&e))?;
        Ok(Self { shape, data })
    }
}
