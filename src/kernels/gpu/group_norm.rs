//! Group normalisation, one workgroup for each group of an image.

use super::launch::{beside, element, empty, in_place, on_gpu, output, tensor};
use super::product::activate;
use super::tile::norm_units;
use crate::kernels::Activation;
use burn::module::Param;
use burn::nn::GroupNorm;
use burn::tensor::Tensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// Whether the kernel can run.
pub fn takes_group_norm(norm: &GroupNorm, x: &Tensor<4>) -> bool {
    norm.gamma.is_some() && norm.beta.is_some() && on_gpu(x).is_some()
}

pub fn group_norm(norm: &GroupNorm, x: Tensor<4>, activated: bool) -> Tensor<4> {
    let parameter = |values: &Option<Param<Tensor<1>>>| {
        let values = values.as_ref().expect("asked for before");
        beside(values.val()).into_buffer_arg()
    };
    let shape = x.dims();
    let [b, c, h, w] = shape;
    let size = c / norm.num_groups * h * w;
    let input = beside(x);
    let reused = in_place(&input, shape);
    let place = reused.is_some().then_some(0);
    let out = reused.unwrap_or_else(|| empty(&input, shape));
    let units = norm_units(size);
    let dtype = element(&input);
    // SAFETY: the kernel stays within `[B, C, h, w]` and `[C]`.
    unsafe {
        kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(norm.num_groups as u32, b as u32, 1),
            CubeDim::new_1d(units as u32),
            input.into_buffer_arg(),
            parameter(&norm.gamma),
            parameter(&norm.beta),
            output(&out, place),
            size,
            h * w,
            norm.epsilon as f32,
            activated,
            units,
            dtype,
        );
    }
    tensor(out)
}

/// A workgroup for each group of each image. The variance is that of differences to the mean, in a
/// pass of its own: the difference of two sums of squares loses too many digits where the mean is
/// large.
#[cube(launch_unchecked)]
fn kernel<F: Float>(
    x: &[F],
    gamma: &[f32],
    beta: &[f32],
    out: &mut [F],
    size: usize,
    pixels: usize,
    epsilon: f32,
    #[comptime] activated: bool,
    #[comptime] units: usize,
    #[define(F)] _dtype: ElemType,
) {
    let unit = UNIT_POS as usize;
    let group = CUBE_POS_X as usize;
    let start = (CUBE_POS_Y as usize * CUBE_COUNT_X as usize + group) * size;
    let mut parts = Shared::<[f32]>::new_slice(units);

    let mut sum = f32::new(0.0);
    let mut at = unit;
    while at < size {
        sum += f32::cast_from(x[start + at]);
        at += units;
    }
    let mean = total(sum, &mut parts, unit, units) / size as f32;

    let mut squares = f32::new(0.0);
    at = unit;
    while at < size {
        let difference = f32::cast_from(x[start + at]) - mean;
        squares += difference * difference;
        at += units;
    }
    let variance = total(squares, &mut parts, unit, units) / size as f32;
    let scale = 1.0 / f32::sqrt(variance + epsilon);

    let first_channel = group * (size / pixels);
    at = unit;
    while at < size {
        let channel = first_channel + at / pixels;
        let value = f32::cast_from(x[start + at]) - mean;
        let value = activate(
            value * scale * gamma[channel] + beta[channel],
            comptime!(if activated {
                Activation::Silu
            } else {
                Activation::None
            }),
        );
        out[start + at] = F::cast_from(value);
        at += units;
    }
}

/// The sum of what all units of a workgroup have, for all of them.
#[cube]
pub fn total(part: f32, parts: &mut Shared<[f32]>, unit: usize, #[comptime] units: usize) -> f32 {
    if comptime!(units == 1) {
        part
    } else {
        parts[unit] = part;
        sync_cube();
        let mut half = comptime!(units / 2).runtime();
        while half > 0 {
            if unit < half {
                parts[unit] += parts[unit + half];
            }
            sync_cube();
            half /= 2;
        }
        let sum = parts[0];
        sync_cube(); // before the next call writes
        sum
    }
}
