//! The gradient of a 3x3 convolution's weights by Winograd's points: a product over tiles for each
//! of them, of the pixels and of the gradients at the points.

use super::super::conv2d::Geometry;
use super::super::lanes::{Lanes, vectorized};
use super::super::patches::Patches;
use super::super::points::{gradient_line, weight_matrix};
use super::super::tile::{Strided, WithTiles, load, store, tiled};
use super::super::winograd::{self, Grid};
use super::super::{each, each_chunk, filled_chunks, threads};
use super::transposed::accumulate;
use pulp::{Simd, WithSimd};

/// Bytes of transformed pixels and gradients for each thread, before they are added up.
const CACHED: usize = 1 << 20;

/// Tiles that are transformed by a task. Sums of them are added to those of all, so that rounding
/// errors grow with the number of shares only.
const SHARE: usize = 32;

/// By Winograd's points, `[9, C_in, C_out]`.
pub fn by_points<const T: usize, const M: usize>(
    g: &Geometry,
    images: &Patches<'_>,
    dy: &[f32],
) -> Vec<f32> {
    let [c_in, c_out] = g.channels;
    let grid = Grid::new(g.out_size, M);
    let tiles = g.batch * grid.tiles();
    let outside = vec![0.0; c_out];
    let gradients = Patches {
        images: dy,
        size: g.out_size,
        channels: c_out,
        outside: &outside,
        side: M,
        stride: 1,
        padding: 0,
        upsample: false,
        out_size: g.out_size,
    };
    let places = T * T;
    let lanes = Lanes::of(c_out);
    let chunk = CACHED / (places * (c_in + c_out) * size_of::<f32>());
    let chunk = (chunk.max(SHARE) * threads()).min(tiles);
    let mut total = Vec::new();
    for start in (0..tiles).step_by(chunk) {
        let range = start..(start + chunk).min(tiles);
        // A task transforms some tiles, of pixels and of gradients, `[tiles, T * T, C_in + C_out]`.
        let width = places * (c_in + c_out);
        let points = filled_chunks(range.len() * width, SHARE * width, |i, out| {
            let first = range.start + i * SHARE;
            let tiles = first..first + out.len() / width;
            tiled(
                lanes,
                Transform::<T, M> {
                    images,
                    gradients: &gradients,
                    grid,
                    tiles,
                    out,
                },
            );
        });
        // Another adds up a place.
        let add = |place: usize, sums: &mut [f32]| {
            let points = Place::<T> {
                points: &points,
                place,
                channels: [c_in, c_out],
                sums,
            };
            tiled(lanes, points);
        };
        if total.is_empty() {
            total = filled_chunks(places * c_in * c_out, c_in * c_out, add)
        } else {
            each_chunk(&mut total, c_in * c_out, add)
        }
    }
    let total = &total[..];
    let mut out = vec![0.0; 9 * c_in * c_out];
    let mut lines: Vec<Vec<&mut [f32]>> = (0..c_in).map(|_| Vec::new()).collect();
    for tap in out.chunks_exact_mut(c_in * c_out) {
        let parts = tap.chunks_exact_mut(c_out);
        lines
            .iter_mut()
            .zip(parts)
            .for_each(|(line, part)| line.push(part));
    }
    each(lines, |k, taps| {
        let lanes = Lanes::of(c_out);
        vectorized(
            lanes,
            Back::<T> {
                total,
                k,
                c_in,
                taps,
            },
        );
    });
    out
}

struct Transform<'a, const T: usize, const M: usize> {
    images: &'a Patches<'a>,
    gradients: &'a Patches<'a>,
    grid: Grid,
    tiles: std::ops::Range<usize>,
    /// `[T * T, tiles, C_in]`, then `[T * T, tiles, C_out]`
    out: &'a mut [f32],
}

impl<const T: usize, const M: usize> WithTiles for Transform<'_, T, M> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let size = T * T * self.tiles.len() * self.images.channels;
        let (pixels, points) = self.out.split_at_mut(size);
        winograd::pixels::<S, T>(simd, self.images, self.grid, self.tiles.clone(), pixels);
        gradients::<S, T, M>(simd, self.gradients, self.grid, self.tiles, points);
    }
}

struct Place<'a, const T: usize> {
    /// What [`Transform`] made of each share of tiles.
    points: &'a [f32],
    place: usize,
    channels: [usize; 2],
    /// `[C_in, C_out]`
    sums: &'a mut [f32],
}

impl<const T: usize> WithTiles for Place<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let [c_in, c_out] = self.channels;
        let width = T * T * (c_in + c_out);
        for points in self.points.chunks(SHARE * width) {
            let tiles = points.len() / width;
            let (left, right) = points.split_at(T * T * tiles * c_in);
            let left = Strided {
                values: &left[self.place * tiles * c_in..],
                stride: c_in,
                width: c_in,
            };
            let right = Strided {
                values: &right[self.place * tiles * c_out..],
                stride: c_out,
                width: c_out,
            };
            accumulate::<S, R>(simd, tiles, &left, &right, self.sums, c_out);
        }
    }
}

/// `A dY A^T` of some tiles, `[T * T, tiles, C_out]`.
#[inline(always)]
fn gradients<S: Simd, const T: usize, const M: usize>(
    simd: S,
    dy: &Patches<'_>,
    grid: Grid,
    range: std::ops::Range<usize>,
    out: &mut [f32],
) {
    let (c, tiles) = (dy.channels, range.len());
    for (tile, index) in range.enumerate() {
        let [image, y, x] = grid.corner(index);
        let place = |n: usize| n as isize;
        let pixels: [[&[f32]; M]; M] = std::array::from_fn(|i| {
            std::array::from_fn(|j| dy.pixel(image, place(y + i), place(x + j)))
        });
        for channel in (0..c).step_by(S::F32_LANES) {
            let mut columns = [[simd.splat_f32s(0.0); T]; M];
            let mut line = [simd.splat_f32s(0.0); M];
            for (j, column) in columns.iter_mut().enumerate() {
                for (line, row) in line.iter_mut().zip(&pixels) {
                    *line = load(simd, row[j], channel);
                }
                *column = gradient_line(simd, line);
            }
            for i in 0..T {
                for (line, column) in line.iter_mut().zip(&columns) {
                    *line = column[i];
                }
                let places: [S::f32s; T] = gradient_line(simd, line);
                for (j, value) in places.into_iter().enumerate() {
                    let at = ((i * T + j) * tiles + tile) * c;
                    store(simd, &mut out[at..at + c], channel, value);
                }
            }
        }
    }
}

/// `G^T U G` of one input channel.
struct Back<'a, const T: usize> {
    /// `[T * T, C_in, C_out]`
    total: &'a [f32],
    k: usize,
    c_in: usize,
    /// `[9]` rows of `[C_out]`
    taps: Vec<&'a mut [f32]>,
}

impl<const T: usize> WithSimd for Back<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let c_out = self.taps[0].len();
        let matrix = weight_matrix::<T>();
        for channel in (0..c_out).step_by(S::F32_LANES) {
            // of each tap's row, every column of points
            let mut half = [[simd.splat_f32s(0.0); T]; 3];
            for j in 0..T {
                for (i, factors) in matrix.iter().enumerate() {
                    let at = ((i * T + j) * self.c_in + self.k) * c_out;
                    let point = load(simd, &self.total[at..at + c_out], channel);
                    for (half, factor) in half.iter_mut().zip(factors) {
                        half[j] = simd.mul_add_e_f32s(simd.splat_f32s(*factor), point, half[j]);
                    }
                }
            }
            for (row, half) in half.into_iter().enumerate() {
                let mut line = [simd.splat_f32s(0.0); 3];
                for (point, factors) in half.into_iter().zip(&matrix) {
                    for (sum, factor) in line.iter_mut().zip(factors) {
                        *sum = simd.mul_add_e_f32s(simd.splat_f32s(*factor), point, *sum);
                    }
                }
                for (column, value) in line.into_iter().enumerate() {
                    store(simd, self.taps[row * 3 + column], channel, value);
                }
            }
        }
    }
}
