//! Between burn's tensors and the buffers of a kernel.

use burn::prelude::*;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::BufferArg;

/// The buffer of a tensor that a kernel of ours can take: on a GPU, in f32, without gradients; `None` for any other.
pub(super) fn on_gpu<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    if super::is_plain() || tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.clone().try_into_primitive::<CubeBackend>().ok()
}

/// The same, its values one after another.
pub(super) fn contiguous<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    on_gpu(tensor).map(into_contiguous)
}

/// The buffer of a tensor beside one that is on the GPU.
pub(super) fn owned<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    let cube = tensor.try_into_primitive::<CubeBackend>();
    cube.expect("all tensors of an operation are on one device")
}

/// The same, its values one after another.
pub(super) fn beside<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    into_contiguous(owned(tensor))
}

/// A buffer without values, beside `like`.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<burn::tensor::Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        shape.into(),
        like.dtype,
    )
}

/// The buffer of `x` for an output of as many values in the same order, where nobody else has it: a map less in memory.
pub(super) fn in_place(
    x: &CubeTensor,
    shape: impl Into<burn::tensor::Shape>,
) -> Option<CubeTensor> {
    x.can_mut().then(|| {
        CubeTensor::new_contiguous(
            x.client.clone(),
            x.device.clone(),
            shape.into(),
            x.handle.clone(),
            x.dtype,
        )
    })
}

/// The argument of an output that lies in the buffer of argument `at`, if that is so.
pub(super) fn output(out: &CubeTensor, at: Option<usize>) -> BufferArg {
    match at {
        Some(at) => BufferArg::alias(at, out.meta.num_elements()),
        None => out.clone().into_buffer_arg(),
    }
}

/// burn's tensor of a buffer.
pub(super) fn tensor<const D: usize>(cube: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<CubeBackend>(cube)
}
