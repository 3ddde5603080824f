//! 3x3 convolutions with fewer multiplications (Winograd 1980; Lavin and Gray 2015, arXiv:1509.09308).
//!
//! An output tile of `M x M` pixels is a polynomial product, which is evaluated at `T = M + 2` points in either direction: image
//! tiles of `T x T` pixels and weights are transformed (a few additions), each of the `T * T` places is a matrix product of its own over
//! the channels, and the products are transformed back. `M = 2` takes 16 multiplications where 36 were, `M = 4` 36 where 144 were.

use super::panels::Panels;
use super::patches::Patches;
use super::points::{input_line, output_line};
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
    // `from_fn` and no `map` of arrays, which keeps them in memory: half the speed.
    for (j, column) in columns.iter_mut().enumerate() {
        *column = input_line(simd, std::array::from_fn(|i| load(simd, pixels[i][j], c)));
    }
    #[allow(clippy::needless_range_loop)] // it is the second of two indices
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
    for (j, column) in columns.iter_mut().enumerate() {
        let place = |i: usize| (i * T + j) * stride + offset;
        let places: [S::f32s; T] = std::array::from_fn(|i| load(simd, products, place(i)));
        *column = output_line(simd, places);
    }
    std::array::from_fn(|i| output_line(simd, std::array::from_fn::<_, T, _>(|j| columns[j][i])))
}

#[cfg(test)]
mod tests {
    use super::super::points;
    use super::super::product::product;
    use super::*;
    use crate::parity::relative_l2;

    #[test]
    fn small_maps_have_small_tiles() {
        assert_eq!(side([64, 64]), Some(4));
        assert_eq!(side([4, 4]), Some(2));
        assert_eq!(side([1, 1]), None);
    }

    #[test]
    fn both_tiles_equal_the_product_of_patches() {
        let [h, w, c_in, c_out] = [11, 13, 19, 17]; // nothing divides them
        let numbers = |count: usize| -> Vec<f32> {
            (0..count)
                .map(|i| (i as u32).wrapping_mul(2_654_435_761) as f32 / 2f32.powi(31) - 1.0)
                .collect()
        };
        let (pixels, taps) = (numbers(h * w * c_in), numbers(c_out * c_in * 9));
        let (shift, residual) = (numbers(c_out), numbers(h * w * c_out));
        let image = Patches {
            image: &pixels,
            size: [h, w],
            channels: c_in,
            outside: &vec![0.0; c_in],
            side: 3,
            stride: 1,
            padding: 1,
            doubled: false,
            out_width: w,
        };
        let finish = Finish {
            shift: &shift,
            residual: Some(&residual),
            ..Finish::default()
        };
        let mut expected = vec![0.0; h * w * c_out];
        let value = |k: usize, c: usize| taps[(c * c_in + k % c_in) * 9 + k / c_in];
        let panels = Panels::new(9 * c_in, c_out, value);
        product(&image, &panels, finish, &mut expected, c_out);
        for m in [2, 4] {
            let weights = points::weights(&taps, [c_out, c_in], m);
            let mut found = vec![0.0; h * w * c_out];
            convolve(&image, &weights, m, finish, &mut found, c_out);
            let error = relative_l2(&found, &expected);
            assert!(error < 2e-6, "tiles of {m}: {error:.1e}");
        }
    }
}
