//! The matrix product below convolutions and linear layers:
//! `out[b, m, p] = sum_k weight[m, k] * input[b, k, p]`, and what follows it.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use std::f32::consts::FRAC_1_SQRT_2;

use super::launch::empty;
use super::linear::Activation;
use super::tile::{Tile, tile};

/// How a weight lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum WeightOrder {
    /// `[C_out, K]`, as convolutions have it.
    OutIn,
    /// `[K, C_out]`, as burn's linear layers have it.
    InOut,
}

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
    pub order: WeightOrder,
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
    pub weight: CubeTensor,
    /// `[C_out]`
    pub bias: Option<CubeTensor>,
    /// `[B, C_out]`
    pub time: Option<CubeTensor>,
    /// As the output, with its strides.
    pub residual: Option<(CubeTensor, [usize; 3])>,
    /// Height and width of the output.
    pub out_size: [usize; 2],
    /// `B`, `C_in` and rows of the weight; the output has half of them where it is gated.
    pub shape: [usize; 3],
}

/// The numbers that a kernel is given at each launch.
#[derive(CubeType, CubeLaunch, Clone)]
struct Numbers {
    channels_in: usize,
    /// Rows of the weight.
    rows: usize,
    height: usize,
    width: usize,
    out_width: usize,
    out_pixels: usize,
    x_batch: usize,
    x_channel: usize,
    x_pixel: usize,
    residual_batch: usize,
    residual_channel: usize,
    residual_pixel: usize,
}

/// `[B, C_out, P]`
pub(super) fn product(form: Form, arguments: Arguments) -> CubeTensor {
    let [b, channels_in, rows] = arguments.shape;
    let [height, width] = arguments.size;
    let [out_height, out_width] = arguments.out_size;
    let out_pixels = out_height * out_width;
    let channels = if form.gated { rows / 2 } else { rows };
    let out = empty(&arguments.x, [b, channels, out_pixels]);
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
    let launch = match tile.depth {
        0 => registers::launch_unchecked,
        _ => workgroup::launch_unchecked,
    };
    let argument = |cube: CubeTensor| cube.into_buffer_arg();
    // SAFETY: both kernels stay within the lengths that the arguments' shapes and strides say.
    unsafe {
        launch(
            &out.client,
            CubeCount::Static(x as u32, y as u32, z as u32),
            CubeDim::new_1d(tile.units() as u32),
            argument(arguments.x),
            argument(arguments.weight),
            arguments.bias.map(argument).into(),
            arguments.time.map(argument).into(),
            residual.map(argument).into(),
            out.clone().into_buffer_arg(),
            numbers,
            form,
            tile,
        );
    }
    out
}

/// Tiles of both factors go through workgroup memory.
#[cube(launch_unchecked)]
fn workgroup(
    x: &[f32],
    weight: &[f32],
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[f32]>,
    out: &mut [f32],
    numbers: Numbers,
    #[comptime] form: Form,
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
    let block = CUBE_POS_Y as usize;

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
            let (m, k) = match comptime!(form.order) {
                WeightOrder::OutIn => (at / tile.depth, at % tile.depth),
                WeightOrder::InOut => (at % tile.channels, at / tile.channels),
            };
            let line = weight_row(block, m, &numbers, form, tile.channels);
            let term = first + k;
            let mut value = f32::new(0.0);
            if line < numbers.rows && term < terms {
                value = weight[weight_index(line, term, terms, numbers.rows, form)];
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
                value = x[batch * numbers.x_batch
                    + channel * numbers.x_channel
                    + place * numbers.x_pixel];
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

    #[unroll]
    for j in 0..tile.unit_pixels {
        let pixel = first_pixel + unit_column + j * columns;
        if pixel < numbers.out_pixels {
            #[unroll]
            for i in 0..comptime!(if form.gated {
                tile.unit_channels / 2
            } else {
                tile.unit_channels
            }) {
                let m = unit_line + i * lines;
                let gate = comptime!(if form.gated {
                    (i + tile.unit_channels / 2) * tile.unit_pixels
                } else {
                    0
                });
                finish(
                    out,
                    bias,
                    time,
                    residual,
                    &numbers,
                    batch,
                    weight_row(block, m, &numbers, form, tile.channels),
                    pixel,
                    sums[i * tile.unit_pixels + j],
                    sums[gate + j],
                    form,
                );
            }
        }
    }
}

/// Every unit reads for itself.
#[cube(launch_unchecked)]
fn registers(
    x: &[f32],
    weight: &[f32],
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[f32]>,
    out: &mut [f32],
    numbers: Numbers,
    #[comptime] form: Form,
    #[comptime] tile: Tile,
) {
    let columns = comptime!(tile.pixels / tile.unit_pixels);
    let lines = comptime!(tile.channels / tile.unit_channels);
    let taps = comptime!(form.side * form.side);
    let terms = numbers.channels_in * taps;
    let batch = CUBE_POS_Z as usize;
    let block = CUBE_POS_Y as usize;
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
        let row = weight_row(block, unit_line + i * lines, &numbers, form, tile.channels);
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
                left[i] = weight[weight_index(rows[i], term, terms, numbers.rows, form)];
            }
            #[unroll]
            for j in 0..tile.unit_pixels {
                let right = x[places[j] + channel * numbers.x_channel] * weighs[j];
                #[unroll]
                for i in 0..tile.unit_channels {
                    sums[i * tile.unit_pixels + j] += left[i] * right;
                }
            }
        }
    }
    #[unroll]
    for j in 0..tile.unit_pixels {
        let pixel = first_pixel + j * columns;
        if pixel < numbers.out_pixels {
            #[unroll]
            for i in 0..comptime!(if form.gated {
                tile.unit_channels / 2
            } else {
                tile.unit_channels
            }) {
                let gate = comptime!(if form.gated {
                    (i + tile.unit_channels / 2) * tile.unit_pixels
                } else {
                    0
                });
                finish(
                    out,
                    bias,
                    time,
                    residual,
                    &numbers,
                    batch,
                    weight_row(block, unit_line + i * lines, &numbers, form, tile.channels),
                    pixel,
                    sums[i * tile.unit_pixels + j],
                    sums[gate + j],
                    form,
                );
            }
        }
    }
}

/// Which row of the weight is line `m` of a workgroup's tile: where the output is gated, half of the lines are gates.
#[cube]
fn weight_row(
    block: usize,
    m: usize,
    numbers: &Numbers,
    #[comptime] form: Form,
    #[comptime] channels: usize,
) -> usize {
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

#[cube]
fn weight_index(
    line: usize,
    term: usize,
    terms: usize,
    rows: usize,
    #[comptime] form: Form,
) -> usize {
    match comptime!(form.order) {
        WeightOrder::OutIn => line * terms + term,
        WeightOrder::InOut => term * rows + line,
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

/// What follows a sum, and where it goes.
#[cube]
fn finish(
    out: &mut [f32],
    bias: ComptimeOption<&[f32]>,
    time: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[f32]>,
    numbers: &Numbers,
    batch: usize,
    line: usize,
    pixel: usize,
    sum: f32,
    gate: f32,
    #[comptime] form: Form,
) {
    if line < numbers.rows {
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
            value + optional(residual, at);
    }
}

/// A value that may be missing, which is zero then.
#[cube]
fn optional(values: ComptimeOption<&[f32]>, at: usize) -> f32 {
    #[comptime]
    match values {
        ComptimeOption::Some(values) => values[at],
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
