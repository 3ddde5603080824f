//! The matrix product below convolutions and linear layers:
//! `out[b, m, p] = sum_k weight[m, k] * input[b, k, p]`, and what follows it.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::epilogue::store;
use super::launch::{element, empty, in_place, output};
use super::linear::Activation;
use super::tile::{Tile, tile};
use super::weight::{Weight, WeightOrder, weight_at};

/// What distinguishes one compiled kernel from another, beside its tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// Taps in a row and in a column: 1 or 3.
    pub side: usize,
    pub stride: usize,
    /// Zeros above and on the left.
    pub padding: usize,
    /// The input is read at twice its resolution.
    pub doubled: bool,
    pub activation: Activation,
    /// The first half of the channels is multiplied with GELU of the second (GEGLU).
    pub gated: bool,
}

/// What a product is of.
pub(super) struct Arguments {
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

/// The numbers that a kernel is given at each launch.
#[derive(CubeType, CubeLaunch, Clone)]
pub(super) struct Numbers {
    channels_in: usize,
    /// Rows of the weight.
    pub rows: usize,
    height: usize,
    width: usize,
    out_width: usize,
    pub out_pixels: usize,
    x_batch: usize,
    x_channel: usize,
    x_pixel: usize,
    pub residual_batch: usize,
    pub residual_channel: usize,
    pub residual_pixel: usize,
}

/// `[B, C_out, P]`
pub(super) fn product(form: Form, arguments: Arguments) -> CubeTensor {
    let [b, channels_in, rows] = arguments.shape;
    let [height, width] = arguments.size;
    let [out_height, out_width] = arguments.out_size;
    let out_pixels = out_height * out_width;
    let channels = if form.gated { rows / 2 } else { rows };
    let shape = [b, channels, out_pixels];
    let in_order = [channels * out_pixels, out_pixels, 1];
    let (scales, bias, time) = (&arguments.weight.scales, &arguments.bias, &arguments.time);
    let before = 2 + [scales, bias, time].into_iter().flatten().count(); // arguments before the residual
    let reused = arguments.residual.as_ref().and_then(|(residual, strides)| {
        let fits = *strides == in_order;
        fits.then(|| in_place(residual, shape)).flatten()
    });
    let dtype = element(&arguments.x);
    let place = reused.is_some().then_some(before);
    let out = reused.unwrap_or_else(|| empty(&arguments.x, shape));
    let tile = tile([b, rows, out_pixels]);
    let [x, y, z] = tile.workgroups([b, rows, out_pixels]);
    let (residual, residual_strides) = arguments.residual.unzip();
    let [residual_batch, residual_channel, residual_pixel] = residual_strides.unwrap_or_default();
    let [x_batch, x_channel, x_pixel] = arguments.x_strides;
    let numbers = NumbersLaunch::new(
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
    // SAFETY: the kernel stays within the lengths that the arguments' shapes and strides say.
    unsafe {
        kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(x as u32, y as u32, z as u32),
            CubeDim::new_1d(tile.units() as u32),
            argument(arguments.x),
            argument(arguments.weight.values),
            arguments.weight.scales.map(argument).into(),
            arguments.bias.map(argument).into(),
            arguments.time.map(argument).into(),
            residual.map(argument).into(),
            output(&out, place),
            numbers,
            form,
            arguments.weight.order,
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
    numbers: Numbers,
    #[comptime] form: Form,
    #[comptime] order: WeightOrder,
    #[comptime] tile: Tile,
    #[define(F)] _dtype: ElemType,
) {
    if comptime!(tile.depth == 0) {
        registers(
            x, weight, scales, bias, time, residual, out, numbers, form, order, tile,
        );
    } else {
        workgroup(
            x, weight, scales, bias, time, residual, out, numbers, form, order, tile,
        );
    }
}

/// Tiles of both factors go through workgroup memory.
#[cube]
fn workgroup<F: Float>(
    x: &[F],
    weight: &[u32],
    scales: ComptimeOption<&[f32]>,
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[F]>,
    out: &mut [F],
    numbers: Numbers,
    #[comptime] form: Form,
    #[comptime] order: WeightOrder,
    #[comptime] tile: Tile,
) {
    let units = comptime!(tile.units());
    let columns = comptime!(tile.pixels / tile.unit_pixels); // of units
    let lines = comptime!(tile.channels / tile.unit_channels);
    let taps = comptime!(form.side * form.side);
    let terms = numbers.channels_in * taps;
    let unit = UNIT_POS as usize;
    let batch = CUBE_POS_Z as usize;
    let first_pixel = CUBE_POS_X as usize * tile.pixels;

    // One column more than there are channels, so that neighbours along the sum lie in different banks.
    let pitch = comptime!(tile.channels + 1);
    let mut weights = Shared::<[f32]>::new_slice(comptime!(tile.depth * pitch));
    let mut inputs = Shared::<[f32]>::new_slice(comptime!(tile.depth * tile.pixels));

    // Where this unit's pixel is when it fills `inputs`.
    let pixel = first_pixel + unit % tile.pixels;
    let here = pixel < numbers.out_pixels;
    let (row, column) = (pixel / numbers.out_width, pixel % numbers.out_width);

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
            let line = weight_row(m, &numbers, form, tile.channels);
            let term = first + k;
            let mut value = f32::new(0.0);
            if line < numbers.rows && term < terms {
                value = weight_at(weight, scales, line, term, terms, numbers.rows, order);
            }
            weights[k * pitch + m] = value;
        }
        #[unroll]
        for i in 0..comptime!(tile.pixels * tile.depth / units) {
            let k = unit / tile.pixels + i * comptime!(units / tile.pixels);
            let term = first + k;
            let mut value = f32::new(0.0);
            let (inside, place) = input_place(row, column, term % taps, &numbers, form);
            if here && term < terms && inside {
                let channel = term / taps;
                let at =
                    batch * numbers.x_batch + channel * numbers.x_channel + place * numbers.x_pixel;
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
        &numbers,
        unit_line,
        first_pixel + unit_column,
        &sums,
        form,
        tile,
    );
}

/// Every unit reads for itself.
#[cube]
fn registers<F: Float>(
    x: &[F],
    weight: &[u32],
    scales: ComptimeOption<&[f32]>,
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[F]>,
    out: &mut [F],
    numbers: Numbers,
    #[comptime] form: Form,
    #[comptime] order: WeightOrder,
    #[comptime] tile: Tile,
) {
    let columns = comptime!(tile.pixels / tile.unit_pixels);
    let lines = comptime!(tile.channels / tile.unit_channels);
    let taps = comptime!(form.side * form.side);
    let terms = numbers.channels_in * taps;
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
        let row = weight_row(unit_line + i * lines, &numbers, form, tile.channels);
        rows[i] = select(row < numbers.rows, row, 0); // past the end: computed, not kept
    }
    let mut left = Array::<f32>::new(tile.unit_channels);
    let mut places = Array::<usize>::new(tile.unit_pixels);
    let mut weighs = Array::<f32>::new(tile.unit_pixels);
    for tap in 0..taps {
        #[unroll]
        for j in 0..tile.unit_pixels {
            let pixel = first_pixel + j * columns;
            let (row, column) = (pixel / numbers.out_width, pixel % numbers.out_width);
            let (inside, place) = input_place(row, column, tap, &numbers, form);
            let counts = inside && pixel < numbers.out_pixels;
            places[j] = batch * numbers.x_batch + select(counts, place, 0) * numbers.x_pixel;
            weighs[j] = select(counts, f32::new(1.0), f32::new(0.0));
        }
        for channel in 0..numbers.channels_in {
            let term = channel * taps + tap;
            #[unroll]
            for i in 0..tile.unit_channels {
                left[i] = weight_at(weight, scales, rows[i], term, terms, numbers.rows, order);
            }
            #[unroll]
            for j in 0..tile.unit_pixels {
                let right = f32::cast_from(x[places[j] + channel * numbers.x_channel]) * weighs[j];
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
        &numbers,
        unit_line,
        first_pixel,
        &sums,
        form,
        tile,
    );
}

/// Which row of the weight is line `m` of a workgroup's tile: where the output is gated, half of the lines are gates.
#[cube]
pub(super) fn weight_row(
    m: usize,
    numbers: &Numbers,
    #[comptime] form: Form,
    #[comptime] channels: usize,
) -> usize {
    let block = CUBE_POS_Y as usize;
    if comptime!(form.gated) {
        let half = comptime!(channels / 2);
        let gate = m / half;
        let line = block * half + m % half;
        // A value past the last one must not become a gate.
        select(
            line < numbers.rows / 2,
            line + gate * (numbers.rows / 2),
            numbers.rows,
        )
    } else {
        block * channels + m
    }
}

/// The pixel of the input below a tap, and whether it is one.
#[cube]
fn input_place(
    row: usize,
    column: usize,
    tap: usize,
    numbers: &Numbers,
    #[comptime] form: Form,
) -> (bool, usize) {
    if comptime!(form.side == 1 && form.stride == 1 && form.padding == 0 && !form.doubled) {
        (true, row * numbers.width + column)
    } else {
        // Counted from the first zero of the padding, so that nothing is below zero.
        let y = row * form.stride + tap / form.side;
        let x = column * form.stride + tap % form.side;
        let zoom = comptime!(if form.doubled { 2 } else { 1 });
        let inside = y >= form.padding
            && x >= form.padding
            && y < numbers.height * zoom + form.padding
            && x < numbers.width * zoom + form.padding;
        let place = (y - form.padding) / zoom * numbers.width + (x - form.padding) / zoom;
        (inside, place)
    }
}
