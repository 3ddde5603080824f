//! The matrix product below convolutions and linear layers:
//! `out[b, m, p] = sum_k weight[m, k] * input[b, k, p]`, and what follows it.

mod epilogue;
mod layout;
mod registers;
mod spec;
mod workgroup;

pub use epilogue::activate;
pub use spec::ProductSpec;

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{element, empty, in_place, output};
use super::tile::{Tile, tile};
use super::weight::{Weight, WeightOrder};
use spec::{Uniforms, UniformsLaunch};

/// What a product is of.
pub struct Operands {
    pub x: CubeTensor,
    /// From one image, channel and pixel to the next; pixels lie row by row.
    pub x_strides: [usize; 3],
    /// Height and width of the input.
    pub size: [usize; 2],
    pub weight: Weight,
    /// `[C_out]`
    pub bias: Option<CubeTensor>,
    /// `[B, C_out]`
    pub time: Option<CubeTensor>,
    /// As the output and of the input's type, with its strides.
    pub residual: Option<(CubeTensor, [usize; 3])>,
    /// Height and width of the output.
    pub out_size: [usize; 2],
    /// `B`, `C_in` and rows of the weight; the output has half of them where it is gated.
    pub shape: [usize; 3],
}

/// `[B, C_out, P]`
pub fn product(spec: ProductSpec, operands: Operands) -> CubeTensor {
    let [b, channels_in, rows] = operands.shape;
    let [height, width] = operands.size;
    let [out_height, out_width] = operands.out_size;
    let out_pixels = out_height * out_width;
    let channels = if spec.gated { rows / 2 } else { rows };
    let shape = [b, channels, out_pixels];
    let in_order = [channels * out_pixels, out_pixels, 1];
    let (scales, bias, time) = (&operands.weight.scales, &operands.bias, &operands.time);
    // arguments before the residual
    let before = 2 + [scales, bias, time].into_iter().flatten().count();
    let reused = operands.residual.as_ref().and_then(|(residual, strides)| {
        let fits = *strides == in_order;
        fits.then(|| in_place(residual, shape)).flatten()
    });
    let dtype = element(&operands.x);
    let place = reused.is_some().then_some(before);
    let out = reused.unwrap_or_else(|| empty(&operands.x, shape));
    let tile = tile([b, rows, out_pixels]);
    let [x, y, z] = tile.workgroups([b, rows, out_pixels]);
    let (residual, residual_strides) = operands.residual.unzip();
    let [residual_batch, residual_channel, residual_pixel] = residual_strides.unwrap_or_default();
    let [x_batch, x_channel, x_pixel] = operands.x_strides;
    let uniforms = UniformsLaunch::new(
        channels_in,
        rows,
        height,
        width,
        out_width,
        out_pixels,
        x_batch,
        x_channel,
        x_pixel,
        residual_batch,
        residual_channel,
        residual_pixel,
    );
    let argument = |cube: CubeTensor| cube.into_buffer_arg();
    // SAFETY: the kernel stays within the lengths that the operands' shapes and strides say.
    unsafe {
        kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(x as u32, y as u32, z as u32),
            CubeDim::new_1d(tile.units() as u32),
            argument(operands.x),
            argument(operands.weight.values),
            operands.weight.scales.map(argument).into(),
            operands.bias.map(argument).into(),
            operands.time.map(argument).into(),
            residual.map(argument).into(),
            output(&out, place),
            uniforms,
            spec,
            operands.weight.order,
            tile,
            dtype,
        );
    }
    out
}

#[cube(launch_unchecked)]
fn kernel<F: Float>(
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
    #[define(F)] _dtype: ElemType,
) {
    if comptime!(tile.depth == 0) {
        registers::product(
            x, weight, scales, bias, time, residual, out, uniforms, spec, order, tile,
        );
    } else {
        workgroup::product(
            x, weight, scales, bias, time, residual, out, uniforms, spec, order, tile,
        );
    }
}
