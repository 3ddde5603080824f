//! Gradients of a convolution: of its input, the same convolution with the weights turned over; of its weights, a product over
//! positions.

use super::super::layers::Geometry;
use super::super::panels::Panels;
use super::super::patches::Patches;
use super::super::points::{gradient_line, weight_matrix};
use super::super::product::{Finish, Rows, product};
use super::super::tile::{Lanes, Strided, WithTiles, load, store, tiled};
use super::super::winograd::{self, Grid};
use super::super::{each, each_chunk, filled_chunks, threads, vectorized};
use super::transposed::{self, accumulate};
use pulp::{Simd, WithSimd};

/// Bytes of transformed pixels and gradients for each thread, before they are added up.
const CACHED: usize = 1 << 20;

/// Tiles that are transformed by a task. Sums of them are added to those of all, so that rounding errors grow with the number of
/// shares only.
const SHARE: usize = 32;

/// Gradient of the input, `[B, h, w, C_in]`, of that of the output, `[B, H, W, C_out]`.
pub fn of_input(g: &Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let [c_in, c_out] = g.channels;
    if g.stride == 1 {
        let zoom = if g.doubled { 2 } else { 1 };
        let turned = Geometry {
            channels: [c_out, c_in],
            size: g.out_size,
            out_size: g.size.map(|n| n * zoom),
            padding: g.side - 1 - g.padding,
            doubled: false,
            ..*g
        };
        let panels = match turned.winograd() {
            Some(m) => {
                let filters = weight.as_chunks::<9>().0;
                winograd::weights([c_out, c_in], m, true, |k, c| &filters[k * c_in + c])
            }
            None if g.side == 1 => Panels::of_rows(weight, [c_out, c_in]),
            None => {
                let taps = g.side * g.side;
                let tap = |k: usize| taps - 1 - k / c_out;
                let value = |k: usize, c: usize| weight[(k % c_out * c_in + c) * taps + tap(k)];
                Panels::new(taps * c_out, c_in, value)
            }
        };
        let dx = turned.convolve(dy, &panels, Finish::default());
        return match g.doubled {
            true => halved(&dx, turned.out_size, c_in),
            false => dx,
        };
    }
    strided(g, weight, dy)
}

/// The sums of the four pixels that a doubled one became, `[B, 2h, 2w, C]` to `[B, h, w, C]`.
fn halved(dx: &[f32], [h, w]: [usize; 2], c: usize) -> Vec<f32> {
    debug_assert_eq!(h % 2, 0);
    filled_chunks(dx.len() / 4, w / 2 * c, |row, out| {
        let [above, below] = [0, 1].map(|y| &dx[(2 * row + y) * w * c..][..w * c]);
        for (x, out) in out.chunks_exact_mut(c).enumerate() {
            let at = |x: usize| x * c..(x + 1) * c;
            let [a, b] = [above, below].map(|line| (&line[at(2 * x)], &line[at(2 * x + 1)]));
            for (i, out) in out.iter_mut().enumerate() {
                *out = (a.0[i] + a.1[i]) + (b.0[i] + b.1[i]);
            }
        }
    })
}

/// The outputs whose taps saw the pixels of one parity: rows of a product, a piece for each of these taps.
struct Seen<'a> {
    dy: Patches<'a>,
    /// Height and width of the pixels of this parity.
    size: [usize; 2],
    /// The tap, and which output it belongs to: so many rows and columns from the pixel's own.
    taps: Vec<([usize; 2], [isize; 2])>,
}

impl Rows for Seen<'_> {
    type At = (usize, isize, isize);

    fn pieces(&self) -> usize {
        self.taps.len()
    }

    #[inline(always)]
    fn at(&self, i: usize) -> Self::At {
        let [h, w] = self.size;
        (i / (h * w), (i / w % h) as isize, (i % w) as isize)
    }

    #[inline(always)]
    fn piece(&self, (image, y, x): Self::At, piece: usize) -> &[f32] {
        let [dy, dx] = self.taps[piece].1;
        self.dy.pixel(image, y + dy, x + dx)
    }
}

/// Of a convolution that leaves pixels out: each parity of rows and columns was seen by taps of its own.
fn strided(g: &Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let [c_in, c_out] = g.channels;
    let [h, w] = g.size;
    let s = g.stride;
    let outside = vec![0.0; c_out];
    let image = Patches {
        images: dy,
        size: g.out_size,
        channels: c_out,
        outside: &outside,
        side: 1,
        stride: 1,
        padding: 0,
        doubled: false,
        out_size: g.out_size,
    };
    let mut dx = vec![0.0; g.batch * h * w * c_in];
    // A pixel at `s * y + parity` was seen by tap `t` of output `(s * y + parity + padding - t) / s`.
    let seen = |parity: usize| -> Vec<(usize, isize)> {
        (0..g.side)
            .filter_map(|tap| {
                let place = (parity + g.padding) as isize - tap as isize;
                (place.rem_euclid(s as isize) == 0).then(|| (tap, place.div_euclid(s as isize)))
            })
            .collect()
    };
    for parity in (0..s * s).map(|i| [i / s, i % s]) {
        let size =
            [h.saturating_sub(parity[0]), w.saturating_sub(parity[1])].map(|n| n.div_ceil(s));
        let [rows, columns] = parity.map(seen);
        let taps: Vec<_> = rows
            .iter()
            .flat_map(|(ty, dy)| columns.iter().map(move |(tx, dx)| ([*ty, *tx], [*dy, *dx])))
            .collect();
        if taps.is_empty() || size.contains(&0) {
            continue;
        }
        let value = |k: usize, c: usize| {
            let [ty, tx] = taps[k / c_out].0;
            weight[((k % c_out * c_in + c) * g.side + ty) * g.side + tx]
        };
        let panels = Panels::new(taps.len() * c_out, c_in, value);
        let count = g.batch * size[0] * size[1];
        let rows = Seen {
            dy: image,
            size,
            taps: taps.clone(),
        };
        let out = product(&rows, &panels, Finish::default(), [count, c_in]);
        for (i, pixel) in out.chunks_exact(c_in).enumerate() {
            let (image, y, x) = rows.at(i);
            let [y, x] = [y as usize * s + parity[0], x as usize * s + parity[1]];
            dx[((image * h + y) * w + x) * c_in..][..c_in].copy_from_slice(pixel);
        }
    }
    dx
}

/// Gradient of the weights, `[C_out, C_in, side, side]`, of the input and the gradient of the output.
pub fn of_weight(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let [c_in, c_out] = g.channels;
    let outside = vec![0.0; c_in];
    let images = g.patches(x, &outside);
    let taps = g.side * g.side;
    let by_tap = match g.winograd().filter(|_| c_out >= 8) {
        Some(2) => by_points::<4, 2>(g, &images, dy),
        Some(_) => by_points::<6, 4>(g, &images, dy),
        None => {
            let count = dy.len() / c_out;
            transposed::product(&images, dy, [count, c_in, c_out])
        }
    };
    // From [taps, C_in, C_out].
    filled_chunks(by_tap.len(), c_in * taps, |c, out| {
        for (k, out) in out.chunks_exact_mut(taps).enumerate() {
            for (tap, out) in out.iter_mut().enumerate() {
                *out = by_tap[(tap * c_in + k) * c_out + c];
            }
        }
    })
}

/// By Winograd's points, `[9, C_in, C_out]`.
fn by_points<const T: usize, const M: usize>(
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
        doubled: false,
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
        match total.is_empty() {
            true => total = filled_chunks(places * c_in * c_out, c_in * c_out, add),
            false => each_chunk(&mut total, c_in * c_out, add),
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
            let mut half = [[simd.splat_f32s(0.0); T]; 3]; // of each tap's row, every column of points
            for j in 0..T {
                for i in 0..T {
                    let at = ((i * T + j) * self.c_in + self.k) * c_out;
                    let point = load(simd, &self.total[at..at + c_out], channel);
                    for (half, factor) in half.iter_mut().zip(matrix[i]) {
                        half[j] = simd.mul_add_e_f32s(simd.splat_f32s(factor), point, half[j]);
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
