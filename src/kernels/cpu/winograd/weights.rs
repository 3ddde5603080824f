//! Weights at Winograd's points.

use super::super::lanes::{Lanes, vectorized};
use super::super::overwritten_chunks;
use super::super::panels::Panels;
use super::super::points::weight_matrix;
use super::super::tile::{load, store};
use pulp::{Simd, WithSimd};

/// Weights at the points, for each place a matrix `[K, columns]`, one after another in each strip;
/// of `taps(k, column)`, nine that follow one another.
pub fn weights<'a>(
    [depth, columns]: [usize; 2],
    m: usize,
    turned: bool,
    taps: impl Fn(usize, usize) -> &'a [f32; 9] + Sync,
) -> Panels {
    match m {
        2 => weights_at::<4>([depth, columns], turned, taps),
        _ => weights_at::<6>([depth, columns], turned, taps),
    }
}

fn weights_at<'a, const T: usize>(
    [depth, columns]: [usize; 2],
    turned: bool,
    taps: impl Fn(usize, usize) -> &'a [f32; 9] + Sync,
) -> Panels {
    let lanes = Lanes::of(columns);
    let width = lanes.columns();
    let strips = columns.div_ceil(width);
    let matrix = weight_matrix::<T>();
    // [strips, T * T, depth, columns of a tile]
    let size = T * T * depth * width;
    let order: [usize; 9] = std::array::from_fn(|i| if turned { 8 - i } else { i });
    let values = overwritten_chunks(strips * size, size, |strip, places| {
        let first = strip * width;
        let count = width.min(columns - first);
        let mut gathered = vec![0.0; 9 * width];
        for k in 0..depth {
            for j in 0..count {
                for (i, tap) in order.iter().zip(taps(k, first + j)) {
                    gathered[i * width + j] = *tap;
                }
            }
            vectorized(
                lanes,
                Transformed {
                    taps: &gathered,
                    matrix: &matrix,
                    places: &mut places[k * width..],
                    stride: depth * width,
                    width,
                },
            );
        }
    });
    Panels::of_strips(values, T * T * depth, lanes)
}

/// `G g G^T` of the weights of one input channel and a strip of output channels.
struct Transformed<'a, const T: usize> {
    /// `[9, columns]`
    taps: &'a [f32],
    matrix: &'a [[f32; 3]; T],
    /// The first of the places
    places: &'a mut [f32],
    /// From a place to the next.
    stride: usize,
    width: usize,
}

impl<const T: usize> WithSimd for Transformed<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut taps = [simd.splat_f32s(0.0); 9];
        let mut half = [simd.splat_f32s(0.0); 3];
        for v in (0..self.width).step_by(S::F32_LANES) {
            for (i, tap) in taps.iter_mut().enumerate() {
                *tap = load(simd, self.taps, i * self.width + v);
            }
            for (i, row) in self.matrix.iter().enumerate() {
                for (j, half) in half.iter_mut().enumerate() {
                    *half = weighted(simd, row, [taps[j], taps[3 + j], taps[6 + j]]);
                }
                for (j, row) in self.matrix.iter().enumerate() {
                    store(
                        simd,
                        self.places,
                        (i * T + j) * self.stride + v,
                        weighted(simd, row, half),
                    );
                }
            }
        }
    }
}

#[inline(always)]
fn weighted<S: Simd>(simd: S, row: &[f32; 3], x: [S::f32s; 3]) -> S::f32s {
    let mut sum = simd.mul_f32s(simd.splat_f32s(row[0]), x[0]);
    sum = simd.mul_add_e_f32s(simd.splat_f32s(row[1]), x[1], sum);
    simd.mul_add_e_f32s(simd.splat_f32s(row[2]), x[2], sum)
}
