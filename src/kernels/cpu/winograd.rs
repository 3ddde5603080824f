//! 3x3 convolutions with fewer multiplications (Winograd 1980; Lavin and Gray 2015, arXiv:1509.09308).
//!
//! An output tile of `M x M` pixels is a polynomial product, which is evaluated at `T = M + 2` points in either direction: image
//! tiles of `T x T` pixels and weights are transformed (a few additions), each of the `T * T` places is a matrix product of its own over
//! the channels, and the products are transformed back. `M = 2` takes 16 multiplications where 36 were, `M = 4` 36 where 144 were.
//!
//! The points for `M = 4` are 0, ±sqrt(1/2), ±sqrt(2) and infinity, whose powers stay closer to 1 than those of the usual 0, ±1, ±2:
//! half the rounding error.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::panels::Panels;
use super::patches::Patches;
use super::product::Finish;
use super::tile::{ROWS, VECTORS, load, multiply, store, zeros};
use super::{each_chunk, vectorized};
use pulp::{Scalar, Simd, WithSimd};

/// Tiles that go through the weights together, at least: fewer would read the weights more often than they compute with them.
const TILES: usize = 16;

/// Side of the output's tiles that a map of this size is best cut into, by the products of four tiles each; `None` where the direct way
/// takes fewest.
pub fn side([h, w]: [usize; 2]) -> Option<usize> {
    let products = |m: usize, places: usize| {
        let (rows, columns) = (h.div_ceil(m), w.div_ceil(m));
        let strip = TILES.div_ceil(columns).min(rows);
        let whole = rows / strip * (strip * columns).div_ceil(ROWS);
        (whole + (rows % strip * columns).div_ceil(ROWS)) * places
    };
    let (direct, two, four) = ((h * w).div_ceil(ROWS) * 9, products(2, 16), products(4, 36));
    match two.min(four) {
        best if best >= direct => None,
        best if best == four => Some(4),
        _ => Some(2),
    }
}

/// Weights `[C_out, C_in, 3, 3]`, transformed: a `[C_in, C_out]` matrix for each place of a tile.
pub fn weights(weights: &[f32], [c_out, c_in]: [usize; 2], m: usize) -> Vec<Panels> {
    let matrix: Vec<[f64; 3]> = match m {
        2 => vec![
            [1., 0., 0.],
            [0.5, 0.5, 0.5],
            [0.5, -0.5, 0.5],
            [0., 0., 1.],
        ],
        _ => {
            // For a point p and the other pair's ±q: [1, p, p^2] / (2 p^2 (p^2 - q^2)).
            let row = |p: f64, q: f64| [1.0, p, p * p].map(|x| x / (2. * p * p * (p * p - q * q)));
            let (a, b) = (FRAC_1_SQRT_2, SQRT_2);
            let finite = [row(a, b), row(-a, b), row(b, a), row(-b, a)];
            [&[[1., 0., 0.]][..], &finite, &[[0., 0., 1.]]].concat()
        }
    };
    let t = m + 2;
    let mut places = vec![vec![0.0; c_in * c_out]; t * t];
    for (pair, taps) in weights.as_chunks::<9>().0.iter().enumerate() {
        let at = pair % c_in * c_out + pair / c_in;
        for (i, left) in matrix.iter().enumerate() {
            let row: [f64; 3] =
                std::array::from_fn(|x| (0..3).map(|y| left[y] * f64::from(taps[y * 3 + x])).sum());
            for (j, right) in matrix.iter().enumerate() {
                let value: f64 = row.iter().zip(right).map(|(a, b)| a * b).sum();
                places[i * t + j][at] = value as f32;
            }
        }
    }
    let panels = |place: Vec<f32>| Panels::new(c_in, c_out, |k, c| place[k * c_out + c]);
    places.into_iter().map(panels).collect()
}

/// Fills `out`, `[h, w, C_out]`, of an image of that size (after doubling) with a ring of zeros around; `m` is 2 or 4.
pub fn convolve(
    image: &Patches<'_>,
    weights: &[Panels],
    m: usize,
    finish: Finish<'_>,
    out: &mut [f32],
    c_out: usize,
) {
    let w = image.out_width;
    // Whole rows of tiles, so that each thread has rows of the output for itself.
    let rows = TILES.div_ceil(w.div_ceil(m)) * m;
    let size = rows * w * c_out;
    each_chunk(out, size, |i, out| {
        let residual = finish.residual.map(|all| &all[i * size..][..out.len()]);
        let strip = Strip {
            image,
            weights,
            first: i * rows,
            finish: Finish { residual, ..finish },
            out,
            c_out,
        };
        match m {
            2 => vectorized(Two(strip)),
            _ => vectorized(Four(strip)),
        }
    });
}

struct Strip<'a> {
    image: &'a Patches<'a>,
    weights: &'a [Panels],
    /// Its first row in the output.
    first: usize,
    finish: Finish<'a>,
    out: &'a mut [f32],
    c_out: usize,
}

struct Two<'a>(Strip<'a>);
struct Four<'a>(Strip<'a>);

impl WithSimd for Two<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run::<S, 4, 2>(simd);
    }
}

impl WithSimd for Four<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run::<S, 6, 4>(simd);
    }
}

impl Strip<'_> {
    #[inline(always)]
    fn run<S: Simd, const T: usize, const M: usize>(self, simd: S) {
        let Strip {
            image,
            weights,
            first,
            finish,
            out,
            c_out,
        } = self;
        let (c_in, w) = (image.channels, image.out_width);
        let height = out.len() / (w * c_out);
        let columns = w.div_ceil(M);
        let tiles = height.div_ceil(M) * columns;
        let corner = |tile: usize| (tile / columns * M, tile % columns * M);

        // [T * T, tiles, C_in]
        let mut transformed = vec![0.0; T * T * tiles * c_in];
        for tile in 0..tiles {
            let (y, x) = corner(tile);
            let start = |n: usize| n as isize - 1;
            let pixels: [[&[f32]; T]; T] = std::array::from_fn(|i| {
                std::array::from_fn(|j| image.pixel(start(first + y + i), start(x + j)))
            });
            let places = [tiles * c_in, tile * c_in];
            let whole = c_in / S::F32_LANES * S::F32_LANES;
            for c in (0..whole).step_by(S::F32_LANES) {
                input(simd, &pixels, c, &mut transformed, places);
            }
            for c in whole..c_in {
                input(Scalar, &pixels, c, &mut transformed, places);
            }
        }

        // [T * T, tiles, columns of a tile] of one strip of output channels
        let width = VECTORS * S::F32_LANES;
        let mut products = vec![0.0; T * T * tiles * width];
        for strip in 0..c_out.div_ceil(width) {
            for (place, panels) in weights.iter().enumerate() {
                let rows = &transformed[place * tiles * c_in..][..tiles * c_in];
                let sums = &mut products[place * tiles * width..][..tiles * width];
                for tile in (0..tiles).step_by(ROWS) {
                    let rows: [&[f32]; ROWS] =
                        std::array::from_fn(|r| &rows[(tile + r).min(tiles - 1) * c_in..][..c_in]);
                    let product = multiply(simd, zeros(simd), rows, panels.strip(strip));
                    for (r, product) in product.iter().enumerate().take(tiles - tile) {
                        for (v, sum) in product.iter().enumerate() {
                            store(simd, sums, (tile + r) * width + v * S::F32_LANES, *sum);
                        }
                    }
                }
            }
            for tile in 0..tiles {
                let (y, x) = corner(tile);
                for v in 0..VECTORS {
                    let channel = strip * width + v * S::F32_LANES;
                    if channel >= c_out {
                        continue;
                    }
                    let at = tile * width + v * S::F32_LANES;
                    let shift = load(simd, finish.shift, channel);
                    let pixels = output::<S, T, M>(simd, &products, [tiles * width, at]);
                    for (i, pixels) in pixels.iter().enumerate().take(height - y) {
                        for (j, pixel) in pixels.iter().enumerate().take(w - x) {
                            let start = ((y + i) * w + x + j) * c_out;
                            let mut sum = simd.add_f32s(*pixel, shift);
                            if let Some(residual) = finish.residual {
                                let residual = &residual[start..start + c_out];
                                sum = simd.add_f32s(sum, load(simd, residual, channel));
                            }
                            store(simd, &mut out[start..start + c_out], channel, sum);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the vector of channels at `c` of a tile's pixels; the values of a place go `offset` after `place * stride`.
#[inline(always)]
fn input<S: Simd, const T: usize>(
    simd: S,
    pixels: &[[&[f32]; T]; T],
    c: usize,
    out: &mut [f32],
    [stride, offset]: [usize; 2],
) {
    let mut columns = [[simd.splat_f32s(0.0); T]; T];
    for j in 0..T {
        let column = std::array::from_fn(|i| load(simd, pixels[i][j], c));
        columns[j] = input_line(simd, column);
    }
    for i in 0..T {
        let row = input_line::<S, T>(simd, std::array::from_fn(|j| columns[j][i]));
        for (j, value) in row.into_iter().enumerate() {
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
    for j in 0..T {
        let column: [S::f32s; T] =
            std::array::from_fn(|i| load(simd, products, (i * T + j) * stride + offset));
        columns[j] = output_line(simd, column);
    }
    std::array::from_fn(|i| output_line(simd, std::array::from_fn::<_, T, _>(|j| columns[j][i])))
}

/// A row or a column of pixels, evaluated at the points.
#[inline(always)]
fn input_line<S: Simd, const T: usize>(simd: S, d: [S::f32s; T]) -> [S::f32s; T] {
    let mut v = d;
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    let times = |a, b: f32| simd.mul_f32s(a, simd.splat_f32s(b));
    if T == 4 {
        v[0] = sub(d[0], d[2]);
        v[1] = add(d[1], d[2]);
        v[2] = sub(d[2], d[1]);
        v[3] = sub(d[3], d[1]);
    } else {
        // The coefficients of x (x^2 - 1/2) (x^2 - 2), without the factor that is zero at the point.
        v[0] = add(sub(d[0], times(d[2], 2.5)), d[4]);
        v[5] = add(sub(d[1], times(d[3], 2.5)), d[5]);
        for (at, p, q2) in [(1, FRAC_1_SQRT_2 as f32, 2.0), (3, SQRT_2 as f32, 0.5)] {
            let even = sub(d[4], times(d[2], q2));
            let odd = times(sub(d[3], times(d[1], q2)), p);
            v[at] = add(even, odd);
            v[at + 1] = sub(even, odd);
        }
    }
    v
}

/// The pixels of a row or a column, of the products at the points.
#[inline(always)]
fn output_line<S: Simd, const T: usize, const M: usize>(simd: S, m: [S::f32s; T]) -> [S::f32s; M] {
    let mut y = [m[0]; M];
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    let times = |a, b: f32| simd.mul_f32s(a, simd.splat_f32s(b));
    let (even, odd) = (add(m[1], m[2]), sub(m[1], m[2]));
    if T == 4 {
        y[0] = add(m[0], even);
        y[1] = add(odd, m[3]);
    } else {
        let (a, b) = (FRAC_1_SQRT_2 as f32, SQRT_2 as f32);
        let (even_b, odd_b) = (add(m[3], m[4]), sub(m[3], m[4]));
        y[0] = add(add(m[0], even), even_b);
        y[1] = add(times(odd, a), times(odd_b, b));
        y[2] = add(times(even, 0.5), times(even_b, 2.0));
        y[3] = add(add(times(odd, a / 2.0), times(odd_b, 2.0 * b)), m[5]);
    }
    y
}
