//! Tensors on the CPU, changed where they lie, on every core.

use burn::prelude::*;
use burn::tensor::DType;
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

/// Values that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The tensor's values in their order, where it is on the CPU in f32.
fn here<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.clone().try_into_primitive::<Flex>().ok()
}

/// Whether tensors are on the CPU, in f32.
pub fn are_here<const D: usize>(tensors: &[Tensor<D>]) -> bool {
    tensors.iter().all(|tensor| here(tensor).is_some())
}

/// Runs `change` on pieces of four tensors of one shape, the same piece of each.
///
/// # Panics
/// If they are not on the CPU in f32, see [`are_here`].
pub fn together<const D: usize>(
    tensors: [Tensor<D>; 4],
    change: impl Fn([&mut [f32]; 4]) + Sync,
) -> [Tensor<D>; 4] {
    let mut values = tensors.map(|tensor| {
        let tensor = tensor.try_into_primitive::<Flex>().expect("it is here");
        let size = tensor.layout().num_elements();
        let whole = tensor.layout().contiguous_offsets() == Some((0, size));
        if whole {
            tensor
        } else {
            tensor.to_contiguous()
        }
    });
    let [a, b, c, d] = &mut values;
    let (a, b) = (a.storage_mut::<f32>(), b.storage_mut::<f32>());
    let (c, d) = (c.storage_mut::<f32>(), d.storage_mut::<f32>());
    let left = a.par_chunks_mut(CHUNK).zip(b.par_chunks_mut(CHUNK));
    let right = c.par_chunks_mut(CHUNK).zip(d.par_chunks_mut(CHUNK));
    left.zip(right)
        .for_each(|((a, b), (c, d))| change([a, b, c, d]));
    values.map(Tensor::from_primitive::<Flex>)
}

/// The sum of the squares of all values.
pub fn sum_of_squares<const D: usize>(tensor: &Tensor<D>) -> f64 {
    let squares = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
    let values = here(tensor).filter(|tensor| tensor.is_contiguous());
    match values.as_ref().and_then(|tensor| tensor.as_slice::<f32>()) {
        Some(values) => {
            let parts = values.par_chunks(1 << 8).with_min_len(64);
            parts.map(|values| f64::from(squares(values))).sum()
        }
        None => f64::from((tensor.clone() * tensor.clone()).sum().into_scalar::<f32>()),
    }
}
