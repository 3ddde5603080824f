//! Between burn's autodiff and the kernels.

use super::precision::Products;
use crate::kernels::choice::is_plain;
use burn::prelude::*;
use burn::tensor::{Bytes, DType};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn_flex::{Flex, FlexTensor, Layout};

/// A tensor on the CPU that gradients may be wanted of.
pub struct Input {
    /// Its values.
    pub tensor: FlexTensor,
    node: NodeGuard,
}

impl Input {
    /// `None` for a tensor of another backend or type, and without autodiff.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Option<Self> {
        if is_plain() || Products::wanted().is_none() || tensor.dtype() != DType::F32 {
            return None;
        }
        let tensor = tensor.try_into_primitive::<Autodiff<Flex>>().ok()?;
        let (tensor, node) = tensor.into_parts();
        Some(Self { tensor, node })
    }

    /// In place of a tensor that is not there.
    pub fn absent() -> Self {
        let empty = Tensor::<1>::from_primitive::<Flex>(flex(vec![], [0]));
        let tensor = Tensor::from_inner(empty);
        Self::of(tensor).expect("it was made so")
    }

    /// The values of an optional tensor.
    pub fn optional<const D: usize>(tensor: Option<Tensor<D>>) -> Option<Self> {
        match tensor {
            Some(tensor) => Self::of(tensor),
            None => Some(Self::absent()),
        }
    }
}

/// Whether an operation on this tensor can be recorded.
pub fn takes<const D: usize>(tensor: &Tensor<D>) -> bool {
    Input::of(tensor.clone()).is_some()
}

/// A tensor of values that follow one another.
pub fn flex<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape.into()),
        DType::F32,
    )
}

/// The values of a tensor that follow one another.
pub fn values(tensor: &FlexTensor) -> &[f32] {
    super::super::tensor::values(tensor).expect("it was made contiguous")
}

/// How the gradients of `N` inputs follow from that of the output.
pub trait Differentiable<const N: usize>: Clone + Send + std::fmt::Debug + 'static {
    /// The gradient of each input, in its shape; `wanted` says which are wanted.
    fn gradients(self, dy: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

#[derive(Debug)]
struct Recorded<T>(std::marker::PhantomData<T>);

impl<T: Differentiable<N> + Sync, const N: usize> Backward<Flex, N> for Recorded<T> {
    type State = T;

    fn backward(self, ops: Ops<T, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = ops.state.gradients(dy, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The output of an operation on `inputs`, with what its backward step wants.
pub fn record<T: Differentiable<N> + Sync, const N: usize, const D: usize>(
    inputs: [Input; N],
    output: FlexTensor,
    state: impl FnOnce() -> T,
) -> Tensor<D> {
    let nodes = inputs.map(|input| input.node);
    let operation = Recorded::<T>(std::marker::PhantomData);
    let prepared = operation.prepare::<NoCheckpointing>(nodes).compute_bound();
    let output = match prepared.stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state(), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}

/// A map's values, pixel by pixel.
pub fn pixels(x: &FlexTensor) -> FlexTensor {
    x.permute(&[0, 2, 3, 1]).to_contiguous()
}

/// A map of values that lie pixel by pixel, `[B, h, w, C]` to `[B, C, h, w]`.
pub fn mapped(values: Vec<f32>, shape: [usize; 4]) -> FlexTensor {
    flex(values, shape).permute(&[0, 3, 1, 2])
}

/// The shape of a tensor of `D` dimensions.
pub fn shape<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    std::array::from_fn(|i| tensor.layout().shape()[i])
}

/// The values of a tensor that may be absent, which has none then.
pub fn present(tensor: &FlexTensor) -> Option<&[f32]> {
    Some(values(tensor)).filter(|values| !values.is_empty())
}
