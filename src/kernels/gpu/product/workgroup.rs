//! A product whose units share what they read, for graphics cards.

use cubecl::prelude::*;

use super::epilogue::store;
use super::layout::{input_place, weight_row};
use super::spec::{ProductSpec, Uniforms};
use crate::kernels::gpu::tile::Tile;
use crate::kernels::gpu::weight::{WeightOrder, weight_at};

/// Tiles of both factors go through workgroup memory.
#[cube]
pub fn product<F: Float>(
    x: &[F],
    weight: &[u32],
    scales: ComptimeOption<&[f32]>,
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[F]>,
    out: &mut [F],
    uniforms: Uniforms,
    #[comptime] spec: ProductSpec,
    #[comptime] order: WeightOrder,
    #[comptime] tile: Tile,
) {
    let units = comptime!(tile.units());
    let columns = comptime!(tile.pixels / tile.unit_pixels); // of units
    let lines = comptime!(tile.channels / tile.unit_channels);
    let taps = comptime!(spec.side * spec.side);
    let terms = uniforms.channels_in * taps;
    let unit = UNIT_POS as usize;
    let batch = CUBE_POS_Z as usize;
    let first_pixel = CUBE_POS_X as usize * tile.pixels;

    // One column more than there are channels, so that neighbours along the sum lie in different
    // banks.
    let pitch = comptime!(tile.channels + 1);
    let mut weights = Shared::<[f32]>::new_slice(comptime!(tile.depth * pitch));
    let mut inputs = Shared::<[f32]>::new_slice(comptime!(tile.depth * tile.pixels));

    // Where this unit's pixel is when it fills `inputs`.
    let pixel = first_pixel + unit % tile.pixels;
    let here = pixel < uniforms.out_pixels;
    let (row, column) = (pixel / uniforms.out_width, pixel % uniforms.out_width);

    let mut sums = Array::<f32>::new(comptime!(tile.unit_channels * tile.unit_pixels));
    #[unroll]
    for i in 0..comptime!(tile.unit_channels * tile.unit_pixels) {
        sums[i] = 0.0;
    }
    let mut left = Array::<f32>::new(tile.unit_channels);
    let (unit_line, unit_column) = (unit / columns, unit % columns);

    let mut first = 0;
    while first < terms {
        #[unroll]
        for i in 0..comptime!(tile.channels * tile.depth / units) {
            let at = unit + i * units;
            // Neighbouring units read neighbouring values.
            let (m, k) = if comptime!(order.terms_first()) {
                (at / tile.depth, at % tile.depth)
            } else {
                (at % tile.channels, at / tile.channels)
            };
            let line = weight_row(m, &uniforms, spec, tile.channels);
            let term = first + k;
            let mut value = f32::new(0.0);
            if line < uniforms.rows && term < terms {
                value = weight_at(weight, scales, line, term, terms, uniforms.rows, order);
            }
            weights[k * pitch + m] = value;
        }
        #[unroll]
        for i in 0..comptime!(tile.pixels * tile.depth / units) {
            let k = unit / tile.pixels + i * comptime!(units / tile.pixels);
            let term = first + k;
            let mut value = f32::new(0.0);
            let (inside, place) = input_place(row, column, term % taps, &uniforms, spec);
            if here && term < terms && inside {
                let channel = term / taps;
                let at = batch * uniforms.x_batch
                    + channel * uniforms.x_channel
                    + place * uniforms.x_pixel;
                value = f32::cast_from(x[at]);
            }
            inputs[k * tile.pixels + unit % tile.pixels] = value;
        }
        sync_cube();
        for k in 0..tile.depth {
            #[unroll]
            for i in 0..tile.unit_channels {
                left[i] = weights[k * pitch + unit_line + i * lines];
            }
            #[unroll]
            for j in 0..tile.unit_pixels {
                let right = inputs[k * tile.pixels + unit_column + j * columns];
                #[unroll]
                for i in 0..tile.unit_channels {
                    sums[i * tile.unit_pixels + j] += left[i] * right;
                }
            }
        }
        sync_cube();
        first += tile.depth;
    }

    store(
        out,
        bias,
        time,
        residual,
        &uniforms,
        unit_line,
        first_pixel + unit_column,
        &sums,
        spec,
        tile,
    );
}
