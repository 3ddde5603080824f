//! Layer normalisation over channels that lie tokens apart.

use super::launch::{beside, element, empty, on_gpu, tensor};
use super::tile::{TOKENS, token_slices};
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

pub fn layer_norm(norm: &LayerNorm, epsilon: f64, x: &Tensor<3>) -> Option<Tensor<3>> {
    let beta = norm.beta.as_ref()?;
    let input = on_gpu(x)?;
    let [b, t, c] = x.dims();
    let strides = input.meta.strides();
    let [batch, token, channel] = [strides[0], strides[1], strides[2]];
    let out = empty(&input, [b, c, t]);
    let slices = token_slices();
    let dtype = element(&input);
    // SAFETY: the kernel stays within `[B, T, C]` and `[C]`.
    unsafe {
        kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(t.div_ceil(TOKENS) as u32, b as u32, 1),
            CubeDim::new_1d((TOKENS * slices) as u32),
            input.into_buffer_arg(),
            beside(norm.gamma.val()).into_buffer_arg(),
            beside(beta.val()).into_buffer_arg(),
            out.clone().into_buffer_arg(),
            t,
            c,
            batch,
            token,
            channel,
            epsilon as f32,
            slices,
            dtype,
        );
    }
    Some(tensor::<3>(out).swap_dims(1, 2))
}

/// Each token has `slices` units, which take every `slices`-th channel; neighbouring units have
/// neighbouring tokens.
#[cube(launch_unchecked)]
fn kernel<F: Float>(
    x: &[F],
    gamma: &[f32],
    beta: &[f32],
    out: &mut [F],
    tokens: usize,
    channels: usize,
    batch_stride: usize,
    token_stride: usize,
    channel_stride: usize,
    epsilon: f32,
    #[comptime] slices: usize,
    #[define(F)] _dtype: ElemType,
) {
    let column = UNIT_POS as usize % TOKENS;
    let slice = UNIT_POS as usize / TOKENS;
    let token = CUBE_POS_X as usize * TOKENS + column;
    let batch = CUBE_POS_Y as usize;
    // Units past the last token compute it again, as all have to meet at the barriers.
    let read = select(token < tokens, token, tokens - 1);
    let start = batch * batch_stride + read * token_stride;
    let mut parts = Shared::<[f32]>::new_slice(comptime!(slices * TOKENS));

    let mut sum = f32::new(0.0);
    let mut channel = slice;
    while channel < channels {
        sum += f32::cast_from(x[start + channel * channel_stride]);
        channel += slices;
    }
    let mean = total(sum, &mut parts, column, slice, slices) / channels as f32;
    let mut squares = f32::new(0.0);
    channel = slice;
    while channel < channels {
        let difference = f32::cast_from(x[start + channel * channel_stride]) - mean;
        squares += difference * difference;
        channel += slices;
    }
    let variance = total(squares, &mut parts, column, slice, slices) / channels as f32;
    let scale = 1.0 / f32::sqrt(variance + epsilon);
    if token < tokens {
        channel = slice;
        while channel < channels {
            let value = (f32::cast_from(x[start + channel * channel_stride]) - mean) * scale;
            out[(batch * channels + channel) * tokens + token] =
                F::cast_from(value * gamma[channel] + beta[channel]);
            channel += slices;
        }
    }
}

/// The sum of what the units of one token have, for all of them.
#[cube]
fn total(
    part: f32,
    parts: &mut Shared<[f32]>,
    column: usize,
    slice: usize,
    #[comptime] slices: usize,
) -> f32 {
    if comptime!(slices == 1) {
        part
    } else {
        parts[slice * TOKENS + column] = part;
        sync_cube();
        let mut sum = f32::new(0.0);
        #[unroll]
        for i in 0..slices {
            sum += parts[i * TOKENS + column];
        }
        sync_cube(); // before the next call writes
        sum
    }
}
