//! Where a product finds its factors.

use cubecl::prelude::*;

use super::spec::{ProductSpec, Uniforms};

/// Which row of the weight is line `m` of a workgroup's tile: where the output is gated, half of
/// the lines are gates.
#[cube]
pub fn weight_row(
    m: usize,
    uniforms: &Uniforms,
    #[comptime] spec: ProductSpec,
    #[comptime] channels: usize,
) -> usize {
    let block = CUBE_POS_Y as usize;
    if comptime!(spec.gated) {
        let half = comptime!(channels / 2);
        let gate = m / half;
        let line = block * half + m % half;
        // A value past the last one must not become a gate.
        select(
            line < uniforms.rows / 2,
            line + gate * (uniforms.rows / 2),
            uniforms.rows,
        )
    } else {
        block * channels + m
    }
}

/// The pixel of the input below a tap, and whether it is one.
#[cube]
pub fn input_place(
    row: usize,
    column: usize,
    tap: usize,
    uniforms: &Uniforms,
    #[comptime] spec: ProductSpec,
) -> (bool, usize) {
    if comptime!(spec.side == 1 && spec.stride == 1 && spec.padding == 0 && !spec.upsample) {
        (true, row * uniforms.width + column)
    } else {
        // Counted from the first zero of the padding, so that nothing is below zero.
        let y = row * spec.stride + tap / spec.side;
        let x = column * spec.stride + tap % spec.side;
        let zoom = comptime!(if spec.upsample { 2 } else { 1 });
        let inside = y >= spec.padding
            && x >= spec.padding
            && y < uniforms.height * zoom + spec.padding
            && x < uniforms.width * zoom + spec.padding;
        let place = (y - spec.padding) / zoom * uniforms.width + (x - spec.padding) / zoom;
        (inside, place)
    }
}
