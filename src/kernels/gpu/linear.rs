//! A linear layer as a product: a 1x1 convolution of pixels that are tokens.

use burn::nn::Linear;
use burn::prelude::*;

use super::launch::{beside, on_gpu, owned, tensor};
use super::product::{Operands, ProductSpec, product};
use super::weight::{Weight, WeightOrder};
use crate::kernels::Activation;

pub fn linear(
    layer: &Linear,
    x: &Tensor<3>,
    activation: Activation,
    gated: bool,
    residual: &mut Option<Tensor<3>>,
) -> Option<Tensor<3>> {
    let input = on_gpu(x)?;
    let [b, t, c_in] = x.dims();
    let rows = layer.weight.dims()[1];
    let spec = ProductSpec {
        side: 1,
        stride: 1,
        padding: 0,
        upsample: false,
        activation,
        gated,
    };
    // From [B, T, C] to the order batch, channel, pixel.
    let strides = |cube: &burn_cubecl::tensor::CubeTensor| {
        let strides = cube.meta.strides();
        [strides[0], strides[2], strides[1]]
    };
    let weight = Weight::of(&layer.weight, WeightOrder::InOut)?;
    let residual = residual.take().map(|residual| {
        let residual = owned(residual);
        let strides = strides(&residual);
        (residual, strides)
    });
    let out = product(
        spec,
        Operands {
            x_strides: strides(&input),
            x: input,
            size: [1, t],
            weight,
            bias: layer.bias.as_ref().map(|bias| beside(bias.val())),
            time: None,
            residual,
            out_size: [1, t],
            shape: [b, c_in, rows],
        },
    );
    Some(tensor::<3>(out).swap_dims(1, 2))
}
