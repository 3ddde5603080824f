//! Between burn's tensors and the buffers of a kernel.
//!
//! Maps and rows come in f32 or in f16; weights, norms' parameters and time embeddings in f32
//! always. In registers and workgroup memory every number is f32: what f16 halves is what is read
//! from and written to memory, and a kernel converts each number once as it reads it. Sums have to
//! be f32, and a product of two f16 numbers that is added to one takes conversions beside the fused
//! multiply-add that f32 is alone.

use burn::prelude::*;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::BufferArg;

/// The buffer of a tensor that a kernel of ours can take: on a GPU, in f32 or f16, without
/// gradients; `None` for any other.
pub fn on_gpu<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    if crate::kernels::choice::is_plain() || !matches!(tensor.dtype(), DType::F32 | DType::F16) {
        return None;
    }
    tensor.clone().try_into_primitive::<CubeBackend>().ok()
}

/// What a kernel is compiled for.
pub fn element(cube: &CubeTensor) -> ElemType {
    ElemType::Float(match cube.dtype {
        DType::F16 => FloatKind::F16,
        _ => FloatKind::F32,
    })
}

/// The same, its values one after another.
pub fn contiguous<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    on_gpu(tensor).map(into_contiguous)
}

/// The buffer of a tensor beside one that is on the GPU.
pub fn owned<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    let cube = tensor.try_into_primitive::<CubeBackend>();
    cube.expect("all tensors of an operation are on one device")
}

/// The same, its values one after another.
pub fn beside<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    into_contiguous(owned(tensor))
}

/// A buffer without values, beside `like` and of its type.
pub fn empty(like: &CubeTensor, shape: impl Into<burn::tensor::Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        shape.into(),
        like.dtype,
    )
}

/// The buffer of `x` for an output of as many values in the same order, where nobody else has it: a
/// map less in memory.
pub fn in_place(x: &CubeTensor, shape: impl Into<burn::tensor::Shape>) -> Option<CubeTensor> {
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
pub fn output(out: &CubeTensor, at: Option<usize>) -> BufferArg {
    match at {
        Some(at) => BufferArg::alias(at, out.meta.num_elements()),
        None => out.clone().into_buffer_arg(),
    }
}

/// burn's tensor of a buffer.
pub fn tensor<const D: usize>(cube: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<CubeBackend>(cube)
}
