//! 3x3 convolutions with fewer multiplications (Winograd 1980; Lavin and Gray 2015,
//! arXiv:1509.09308).
//!
//! An output tile of `M x M` pixels is a polynomial product, which is evaluated at `T = M + 2`
//! points in either direction: image tiles of `T x T` pixels and weights are transformed (a few
//! additions), each of the `T * T` places is a matrix product of its own over the channels, and the
//! products are transformed back. `M = 2` takes 16 multiplications where 36 were, `M = 4` 36 where
//! 144 were.

#[cfg(all(test, feature = "testing"))]
mod tests;
mod weights;

pub use weights::weights;

use super::lanes::VECTORS;
use super::panels::Panels;
use super::patches::Patches;
use super::points::{input_line, output_line};
use super::product::Finish;
use super::tile::{WithTiles, load, multiply, store, tiled, zeros};
use super::{filled, parts, scratch, threads};
use pulp::{Scalar, Simd};
use std::ops::Range;

/// Bytes of transformed pixels that a task keeps at once: they stay in the second cache while the
/// weights go past.
const CACHED: usize = 1280 << 10;

/// Tiles that a task takes at least, so that the weights are not read more often than it computes
/// with them.
const FEWEST: usize = 16;

/// Tiles that could be computed while the weights of a place are transformed, written and read.
const TRANSFORM: usize = 64;

/// Side of the output's tiles for `count` maps of this size, by the products that they take with so
/// many rows at once, and by the weights, which are `fresh` at each step of a training; `None`
/// where the direct way takes fewest.
pub fn side(count: usize, [h, w]: [usize; 2], fresh: bool) -> Option<usize> {
    const ROWS: usize = 4;
    let transform = if fresh { TRANSFORM } else { 0 };
    let products = |m: usize| {
        let tiles = count * h.div_ceil(m) * w.div_ceil(m);
        (tiles.next_multiple_of(ROWS) + transform) * (m + 2) * (m + 2)
    };
    let direct = ((count * h * w).next_multiple_of(ROWS) + transform) * 9;
    let best = [4, 2].into_iter().min_by_key(|m| products(*m))?;
    (products(best) < direct).then_some(best)
}

/// Which output tiles there are, image after image and row after row.
#[derive(Clone, Copy)]
pub struct Grid {
    /// Side of a tile.
    pub m: usize,
    /// Rows of tiles in an image.
    pub rows: usize,
    /// Tiles in a row.
    pub columns: usize,
}

impl Grid {
    /// Of maps of this size.
    pub fn new([h, w]: [usize; 2], m: usize) -> Self {
        Self {
            m,
            rows: h.div_ceil(m),
            columns: w.div_ceil(m),
        }
    }

    /// Tiles of an image.
    pub fn tiles(&self) -> usize {
        self.rows * self.columns
    }

    /// The first row of pixels of a row of tiles, in maps of this height.
    fn first_row(&self, row: usize, h: usize) -> usize {
        row / self.rows * h + (row % self.rows * self.m).min(h)
    }

    /// The image of a tile, and the row and the column of its first pixel.
    #[inline(always)]
    pub fn corner(&self, tile: usize) -> [usize; 3] {
        let row = tile / self.columns;
        let (y, x) = (row % self.rows, tile % self.columns);
        [row / self.rows, y * self.m, x * self.m]
    }
}

/// `[B, h, w, C_out]` of images of that size (after doubling) with a ring of zeros around; `m` is 2
/// or 4.
pub fn convolve(
    images: &Patches<'_>,
    weights: &Panels,
    m: usize,
    finish: Finish<'_>,
    [count, c_out]: [usize; 2],
) -> Vec<f32> {
    let [h, w] = images.out_size;
    let grid = Grid::new([h, w], m);
    let places = (m + 2) * (m + 2);
    let all = count * grid.tiles();
    let parts = parts(all.saturating_mul(weights.work()));
    let task = |rows: Range<usize>, channels: Range<usize>, out: &mut [f32]| {
        let task = Task {
            images,
            weights,
            grid,
            tiles: rows.start * grid.columns..rows.end * grid.columns,
            finish,
            first: grid.first_row(rows.start, h) * w,
            out,
            channels,
            c_out,
        };
        let tiles = task.tiles.len();
        let values = places * tiles * (images.channels + weights.lanes().columns());
        scratch(values, |memory| match m {
            2 => tiled(weights.lanes(), Two(task, memory)),
            _ => tiled(weights.lanes(), Four(task, memory)),
        });
    };
    let pixels = count * h * w;
    // As many tiles as are multiplied at once take as long as one: a small map is shared by its
    // channels, and not by its tiles.
    let threads = parts.min(threads());
    if all < threads * weights.lanes().rows() && threads > 1 {
        let width = weights.lanes().columns();
        let strips = c_out.div_ceil(width).div_ceil(threads) * width;
        let tasks: Vec<_> = (0..c_out)
            .step_by(strips)
            .map(|first| first..c_out.min(first + strips))
            .collect();
        let sizes = tasks.iter().map(|channels| pixels * channels.len());
        let values = filled(sizes, pixels * c_out, |i, out| {
            task(0..count * grid.rows, tasks[i].clone(), out);
        });
        let mut out = Vec::with_capacity(values.len());
        for pixel in 0..pixels {
            for channels in &tasks {
                let start = pixels * channels.start + pixel * channels.len();
                out.extend_from_slice(&values[start..][..channels.len()]);
            }
        }
        return out;
    }
    let cached = CACHED / (places * images.channels * size_of::<f32>());
    let tiles = all.div_ceil(parts).clamp(FEWEST, cached.max(FEWEST));
    let tiles = tiles.min(all.div_ceil(threads));
    // Whole rows of tiles, or whole images, so that each task has a part of the output for itself.
    let rows = (tiles / grid.columns).max(1);
    let mut tasks = Vec::new();
    let mut row = 0;
    while row < count * grid.rows {
        let here = if rows >= grid.rows {
            rows / grid.rows * grid.rows
        } else {
            rows.min(grid.rows - row % grid.rows)
        };
        let last = (row + here).min(count * grid.rows);
        tasks.push(row..last);
        row = last;
    }
    let size = |rows: &Range<usize>| {
        (grid.first_row(rows.end, h) - grid.first_row(rows.start, h)) * w * c_out
    };
    filled(tasks.iter().map(size), pixels * c_out, |i, out| {
        task(tasks[i].clone(), 0..c_out, out);
    })
}

struct Task<'a> {
    images: &'a Patches<'a>,
    weights: &'a Panels,
    grid: Grid,
    tiles: Range<usize>,
    finish: Finish<'a>,
    /// Its first pixel, of those of all images.
    first: usize,
    /// Its channels of each of its pixels.
    out: &'a mut [f32],
    /// Whole strips of the weights.
    channels: Range<usize>,
    /// Those of all tasks.
    c_out: usize,
}

struct Two<'a>(Task<'a>, &'a mut [f32]);
struct Four<'a>(Task<'a>, &'a mut [f32]);

impl WithTiles for Two<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        self.0.run::<S, R, 4, 2>(simd, self.1);
    }
}

impl WithTiles for Four<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        self.0.run::<S, R, 6, 4>(simd, self.1);
    }
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize, const M: usize>(
        self,
        simd: S,
        memory: &mut [f32],
    ) {
        let Task {
            images,
            weights,
            grid,
            tiles: range,
            finish,
            first,
            out,
            channels,
            c_out,
        } = self;
        let c_in = images.channels;
        let [h, w] = images.out_size;
        let tiles = range.len();
        let width = VECTORS * S::F32_LANES;
        // [T * T, tiles, C_in], and [T * T, tiles, columns of a tile] of one strip of output
        // channels
        let sizes = [T * T * tiles * c_in, T * T * tiles * width];
        let (transformed, products) = memory[..sizes[0] + sizes[1]].split_at_mut(sizes[0]);
        pixels::<S, T>(simd, images, grid, range.clone(), transformed);
        for strip in channels.start / width..channels.end.div_ceil(width) {
            let panels = weights.strip(strip).chunks_exact(c_in * width);
            for (place, panel) in panels.enumerate() {
                let rows = &transformed[place * tiles * c_in..][..tiles * c_in];
                let sums = &mut products[place * tiles * width..][..tiles * width];
                for tile in (0..tiles).step_by(R) {
                    let rows: [&[f32]; R] =
                        std::array::from_fn(|r| &rows[(tile + r).min(tiles - 1) * c_in..][..c_in]);
                    let product = multiply::<S, R>(simd, zeros(simd), rows, panel);
                    for (r, product) in product.iter().enumerate().take(tiles - tile) {
                        for (v, sum) in product.iter().enumerate() {
                            store(simd, sums, (tile + r) * width + v * S::F32_LANES, *sum);
                        }
                    }
                }
            }
            for tile in 0..tiles {
                let [image, y, x] = grid.corner(range.start + tile);
                for v in 0..VECTORS {
                    let channel = strip * width + v * S::F32_LANES;
                    if channel >= channels.end {
                        continue;
                    }
                    let at = tile * width + v * S::F32_LANES;
                    let shift = load(simd, finish.shift, channel);
                    let shift = match finish.time {
                        Some(time) => simd
                            .add_f32s(shift, load(simd, &time[image * c_out..][..c_out], channel)),
                        None => shift,
                    };
                    let pixels = output::<S, T, M>(simd, products, [tiles * width, at]);
                    for (i, pixels) in pixels.iter().enumerate().take(h - y) {
                        for (j, pixel) in pixels.iter().enumerate().take(w - x) {
                            let place = (image * h + y + i) * w + x + j;
                            let mut sum = simd.add_f32s(*pixel, shift);
                            if let Some(residual) = finish.residual {
                                let residual = &residual[place * c_out..][..c_out];
                                sum = simd.add_f32s(sum, load(simd, residual, channel));
                            }
                            let own = &mut out[(place - first) * channels.len()..];
                            let own = &mut own[..channels.len()];
                            store(simd, own, channel - channels.start, sum);
                        }
                    }
                }
            }
        }
    }
}

/// The pixels of some tiles at the points, `[T * T, tiles, C_in]`.
#[inline(always)]
pub fn pixels<S: Simd, const T: usize>(
    simd: S,
    images: &Patches<'_>,
    grid: Grid,
    range: Range<usize>,
    transformed: &mut [f32],
) {
    let (c_in, tiles) = (images.channels, range.len());
    for (i, tile) in range.enumerate() {
        let [image, y, x] = grid.corner(tile);
        let start = |n: usize| n as isize - images.padding as isize;
        let pixels: [[&[f32]; T]; T] = std::array::from_fn(|i| {
            std::array::from_fn(|j| images.pixel(image, start(y + i), start(x + j)))
        });
        let places = [tiles * c_in, i * c_in];
        let whole = c_in / S::F32_LANES * S::F32_LANES;
        for c in (0..whole).step_by(S::F32_LANES) {
            input(simd, &pixels, c, transformed, places);
        }
        for c in whole..c_in {
            input(Scalar, &pixels, c, transformed, places);
        }
    }
}

/// Transforms the vector of channels at `c` of a tile's pixels; the values of a place go `offset`
/// after `place * stride`.
#[inline(always)]
fn input<S: Simd, const T: usize>(
    simd: S,
    pixels: &[[&[f32]; T]; T],
    c: usize,
    out: &mut [f32],
    [stride, offset]: [usize; 2],
) {
    let mut columns = [[simd.splat_f32s(0.0); T]; T];
    // Loops and no closures, which may be compiled without the vectors that they are called with.
    let mut line = [simd.splat_f32s(0.0); T];
    for (j, column) in columns.iter_mut().enumerate() {
        for (line, row) in line.iter_mut().zip(pixels) {
            *line = load(simd, row[j], c);
        }
        *column = input_line(simd, line);
    }
    for i in 0..T {
        for (line, column) in line.iter_mut().zip(&columns) {
            *line = column[i];
        }
        for (j, value) in input_line(simd, line).into_iter().enumerate() {
            store(simd, out, (i * T + j) * stride + offset + c, value);
        }
    }
}

/// The pixels of a tile, of the products that lie `offset` after `place * stride`.
#[inline(always)]
fn output<S: Simd, const T: usize, const M: usize>(
    simd: S,
    products: &[f32],
    [stride, offset]: [usize; 2],
) -> [[S::f32s; M]; M] {
    let mut columns = [[simd.splat_f32s(0.0); M]; T];
    let mut line = [simd.splat_f32s(0.0); T];
    for (j, column) in columns.iter_mut().enumerate() {
        for (i, line) in line.iter_mut().enumerate() {
            *line = load(simd, products, (i * T + j) * stride + offset);
        }
        *column = output_line(simd, line);
    }
    let mut rows = [[simd.splat_f32s(0.0); M]; M];
    for (i, row) in rows.iter_mut().enumerate() {
        for (line, column) in line.iter_mut().zip(&columns) {
            *line = column[i];
        }
        *row = output_line(simd, line);
    }
    rows
}
