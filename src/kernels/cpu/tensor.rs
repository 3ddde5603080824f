//! Between burn's tensors and the kernels' slices.

use crate::kernels::choice::is_plain;
use burn::prelude::*;
use burn::tensor::{Bytes, DType};
use burn_flex::{Flex, FlexTensor, Layout};

/// A tensor that lies here, in f32, without gradients.
pub(super) fn here<const D: usize>(tensor: Tensor<D>) -> Option<FlexTensor> {
    if is_plain() || tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.try_into_primitive::<Flex>().ok()
}

/// The values of a tensor where they follow one another.
pub(super) fn values(tensor: &FlexTensor) -> Option<&[f32]> {
    let (start, end) = tensor.layout().contiguous_offsets()?;
    tensor.storage::<f32>().get(start..end)
}

/// A tensor's values, one after another.
pub(super) fn dense<const D: usize>(tensor: Tensor<D>) -> Option<FlexTensor> {
    here(tensor).map(|tensor| tensor.to_contiguous())
}

/// A map's values, pixel by pixel.
pub(super) fn pixels(x: Tensor<4>) -> Option<FlexTensor> {
    here(x).map(|x| x.permute(&[0, 2, 3, 1]).to_contiguous())
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    let layout = Layout::contiguous(shape.into());
    Tensor::from_primitive::<Flex>(FlexTensor::new(
        Bytes::from_elems(values),
        layout,
        DType::F32,
    ))
}

/// A map of values that lie pixel by pixel, `[B, h, w, C]` to `[B, C, h, w]`.
pub(super) fn mapped(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    tensor(values, shape).permute([0, 3, 1, 2])
}
