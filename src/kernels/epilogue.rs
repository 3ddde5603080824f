//! What follows the sums of a product: bias, time embedding, activation, gate and residual, and where the outcome goes.

use cubecl::prelude::*;
use std::f32::consts::FRAC_1_SQRT_2;

use super::linear::Activation;
use super::product::{Form, Numbers, weight_row};
use super::tile::Tile;

/// Stores the sums of one unit, whose first line is `line` and whose first pixel is `pixel`; its others follow as many lines and
/// pixels on as the workgroup has units along them.
#[cube]
pub(super) fn store<F: Float>(
    out: &mut [F],
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[F]>,
    numbers: &Numbers,
    line: usize,
    pixel: usize,
    sums: &Array<f32>,
    #[comptime] form: Form,
    #[comptime] tile: Tile,
) {
    let columns = comptime!(tile.pixels / tile.unit_pixels);
    let lines = comptime!(tile.channels / tile.unit_channels);
    let half = comptime!(tile.unit_channels / 2);
    let kept = comptime!(if form.gated { half } else { tile.unit_channels });
    #[unroll]
    for j in 0..tile.unit_pixels {
        let pixel = pixel + j * columns;
        if pixel < numbers.out_pixels {
            #[unroll]
            for i in 0..kept {
                let gate = comptime!(if form.gated {
                    (i + half) * tile.unit_pixels
                } else {
                    0
                });
                finish(
                    out,
                    bias,
                    time,
                    residual,
                    numbers,
                    weight_row(line + i * lines, numbers, form, tile.channels),
                    pixel,
                    sums[i * tile.unit_pixels + j],
                    sums[gate + j],
                    form,
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
    numbers: &Numbers,
    line: usize,
    pixel: usize,
    sum: f32,
    gate: f32,
    #[comptime] form: Form,
) {
    if line < numbers.rows {
        let batch = CUBE_POS_Z as usize;
        let channels = if comptime!(form.gated) {
            numbers.rows / 2
        } else {
            numbers.rows
        };
        let mut value = sum + optional(bias, line) + optional(time, batch * numbers.rows + line);
        if comptime!(form.gated) {
            value *= activate(gate + optional(bias, line + channels), form.activation);
        } else {
            value = activate(value, form.activation);
        }
        let at = batch * numbers.residual_batch
            + line * numbers.residual_channel
            + pixel * numbers.residual_pixel;
        out[(batch * channels + line) * numbers.out_pixels + pixel] =
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
pub(super) fn activate(x: f32, #[comptime] activation: Activation) -> f32 {
    match comptime!(activation) {
        Activation::None => x,
        Activation::Gelu => x * 0.5f32 * (1.0f32 + Erf::erf(x * FRAC_1_SQRT_2)),
        Activation::QuickGelu => x / (1.0f32 + f32::exp(x * -1.702f32)),
        Activation::Silu => x / (1.0f32 + f32::exp(-x)),
    }
}
