//! A product whose units read for themselves, for software adapters.

use cubecl::prelude::*;

use super::epilogue::store;
use super::layout::{input_place, weight_row};
use super::spec::{ProductSpec, Uniforms};
use crate::kernels::gpu::tile::Tile;
use crate::kernels::gpu::weight::{WeightOrder, weight_at};

/// Every unit reads for itself.
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
    let columns = comptime!(tile.pixels / tile.unit_pixels);
    let lines = comptime!(tile.channels / tile.unit_channels);
    let taps = comptime!(spec.side * spec.side);
    let terms = uniforms.channels_in * taps;
    let batch = CUBE_POS_Z as usize;
    let unit_line = UNIT_POS as usize / columns;
    let first_pixel = CUBE_POS_X as usize * tile.pixels + UNIT_POS as usize % columns;
    let mut sums = Array::<f32>::new(comptime!(tile.unit_channels * tile.unit_pixels));
    #[unroll]
    for i in 0..comptime!(tile.unit_channels * tile.unit_pixels) {
        sums[i] = 0.0;
    }
    let mut rows = Array::<usize>::new(tile.unit_channels);
    #[unroll]
    for i in 0..tile.unit_channels {
        let row = weight_row(unit_line + i * lines, &uniforms, spec, tile.channels);
        rows[i] = select(row < uniforms.rows, row, 0); // past the end: computed, not kept
    }
    let mut left = Array::<f32>::new(tile.unit_channels);
    let mut places = Array::<usize>::new(tile.unit_pixels);
    let mut weighs = Array::<f32>::new(tile.unit_pixels);
    for tap in 0..taps {
        #[unroll]
        for j in 0..tile.unit_pixels {
            let pixel = first_pixel + j * columns;
            let (row, column) = (pixel / uniforms.out_width, pixel % uniforms.out_width);
            let (inside, place) = input_place(row, column, tap, &uniforms, spec);
            let counts = inside && pixel < uniforms.out_pixels;
            places[j] = batch * uniforms.x_batch + select(counts, place, 0) * uniforms.x_pixel;
            weighs[j] = select(counts, f32::new(1.0), f32::new(0.0));
        }
        for channel in 0..uniforms.channels_in {
            let term = channel * taps + tap;
            #[unroll]
            for i in 0..tile.unit_channels {
                left[i] = weight_at(weight, scales, rows[i], term, terms, uniforms.rows, order);
            }
            #[unroll]
            for j in 0..tile.unit_pixels {
                let right = f32::cast_from(x[places[j] + channel * uniforms.x_channel]) * weighs[j];
                #[unroll]
                for i in 0..tile.unit_channels {
                    sums[i * tile.unit_pixels + j] += left[i] * right;
                }
            }
        }
    }
    store(
        out,
        bias,
        time,
        residual,
        &uniforms,
        unit_line,
        first_pixel,
        &sums,
        spec,
        tile,
    );
}
