//! What follows the sums of a product: bias, time embedding, activation, gate and residual, and
//! where the outcome goes.

use cubecl::prelude::*;
use std::f32::consts::FRAC_1_SQRT_2;

use super::layout::weight_row;
use super::spec::{ProductSpec, Uniforms};
use crate::kernels::Activation;
use crate::kernels::gpu::tile::Tile;

/// Stores the sums of one unit, whose first line is `line` and whose first pixel is `pixel`; its
/// others follow as many lines and pixels on as the workgroup has units along them.
#[cube]
pub fn store<F: Float>(
    out: &mut [F],
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[F]>,
    uniforms: &Uniforms,
    line: usize,
    pixel: usize,
    sums: &Array<f32>,
    #[comptime] spec: ProductSpec,
    #[comptime] tile: Tile,
) {
    let columns = comptime!(tile.pixels / tile.unit_pixels);
    let lines = comptime!(tile.channels / tile.unit_channels);
    let half = comptime!(tile.unit_channels / 2);
    let kept = comptime!(if spec.gated { half } else { tile.unit_channels });
    #[unroll]
    for j in 0..tile.unit_pixels {
        let pixel = pixel + j * columns;
        if pixel < uniforms.out_pixels {
            #[unroll]
            for i in 0..kept {
                let gate = comptime!(if spec.gated {
                    (i + half) * tile.unit_pixels
                } else {
                    0
                });
                finish(
                    out,
                    bias,
                    time,
                    residual,
                    uniforms,
                    weight_row(line + i * lines, uniforms, spec, tile.channels),
                    pixel,
                    sums[i * tile.unit_pixels + j],
                    sums[gate + j],
                    spec,
                );
            }
        }
    }
}

/// Stores one sum, with its gate where there are gates.
#[cube]
fn finish<F: Float>(
    out: &mut [F],
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[F]>,
    uniforms: &Uniforms,
    line: usize,
    pixel: usize,
    sum: f32,
    gate: f32,
    #[comptime] spec: ProductSpec,
) {
    if line < uniforms.rows {
        let batch = CUBE_POS_Z as usize;
        let channels = if comptime!(spec.gated) {
            uniforms.rows / 2
        } else {
            uniforms.rows
        };
        let mut value = sum + optional(bias, line) + optional(time, batch * uniforms.rows + line);
        if comptime!(spec.gated) {
            value *= activate(gate + optional(bias, line + channels), spec.activation);
        } else {
            value = activate(value, spec.activation);
        }
        let at = batch * uniforms.residual_batch
            + line * uniforms.residual_channel
            + pixel * uniforms.residual_pixel;
        out[(batch * channels + line) * uniforms.out_pixels + pixel] =
            F::cast_from(value + optional(residual, at));
    }
}

/// A value that may be missing, which is zero then.
#[cube]
fn optional<F: Float>(values: ComptimeOption<&[F]>, at: usize) -> f32 {
    #[comptime]
    match values {
        ComptimeOption::Some(values) => f32::cast_from(values[at]),
        ComptimeOption::None => 0.0f32.runtime(),
    }
}

/// [`Activation::plain`] in a kernel.
#[cube]
pub fn activate(x: f32, #[comptime] activation: Activation) -> f32 {
    match comptime!(activation) {
        Activation::None => x,
        Activation::Gelu => x * 0.5f32 * (1.0f32 + Erf::erf(x * FRAC_1_SQRT_2)),
        Activation::QuickGelu => x / (1.0f32 + f32::exp(x * -1.702f32)),
        Activation::Silu => x / (1.0f32 + f32::exp(-x)),
    }
}
