//! The innermost loop of every product: four rows against two vectors of columns, all sums in registers.
//!
//! Eight sums, two columns and a value are 11 registers; a browser's SIMD has 15 to give. A step of 64 operations then loads six
//! times, so that additions and multiplications are what takes the time.

use super::vectorized;
use pulp::{Simd, WithSimd};

/// Rows of a tile.
pub const ROWS: usize = 4;

/// Vectors of columns of a tile.
pub const VECTORS: usize = 2;

/// The sums of [`ROWS`] rows and [`VECTORS`] vectors of columns.
pub type Tile<S> = [[<S as Simd>::f32s; VECTORS]; ROWS];

/// Columns of a tile on this processor.
pub fn columns() -> usize {
    struct Columns;
    impl WithSimd for Columns {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            VECTORS * S::F32_LANES
        }
    }
    vectorized(Columns)
}

/// Sums of nothing.
#[inline(always)]
pub fn zeros<S: Simd>(simd: S) -> Tile<S> {
    [[simd.splat_f32s(0.0); VECTORS]; ROWS]
}

/// `tile[r] + sum_k rows[r][k] * panel[k]`, `panel` as `[k, columns]`.
#[inline(always)]
pub fn multiply<S: Simd>(simd: S, tile: Tile<S>, rows: [&[f32]; ROWS], panel: &[f32]) -> Tile<S> {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<VECTORS>();
    let [a, b, c, d] = rows;
    let [
        [mut a0, mut a1],
        [mut b0, mut b1],
        [mut c0, mut c1],
        [mut d0, mut d1],
    ] = tile;
    // One step after another: a browser's compiler keeps fewer sums in registers when this is unrolled, and takes 1.5 times as
    // long. The sums by name, as a build for tests does not take arrays apart.
    for ((((a, b), c), d), columns) in a.iter().zip(b).zip(c).zip(d).zip(panel) {
        let [x, y] = *columns;
        let [a, b, c, d] = [a, b, c, d].map(|value| simd.splat_f32s(*value));
        a0 = simd.mul_add_e_f32s(a, x, a0);
        a1 = simd.mul_add_e_f32s(a, y, a1);
        b0 = simd.mul_add_e_f32s(b, x, b0);
        b1 = simd.mul_add_e_f32s(b, y, b1);
        c0 = simd.mul_add_e_f32s(c, x, c0);
        c1 = simd.mul_add_e_f32s(c, y, c1);
        d0 = simd.mul_add_e_f32s(d, x, d0);
        d1 = simd.mul_add_e_f32s(d, y, d1);
    }
    [[a0, a1], [b0, b1], [c0, c1], [d0, d1]]
}

/// The vector at `at`, zeros past the end.
#[inline(always)]
pub fn load<S: Simd>(simd: S, values: &[f32], at: usize) -> S::f32s {
    match values.get(at..at + S::F32_LANES) {
        Some(whole) => S::as_simd_f32s(whole).0[0],
        None => simd.partial_load_f32s(values.get(at..).unwrap_or_default()),
    }
}

/// Writes the vector to `at`, what is past the end excepted.
#[inline(always)]
pub fn store<S: Simd>(simd: S, values: &mut [f32], at: usize, vector: S::f32s) {
    match values.get_mut(at..at + S::F32_LANES) {
        Some(whole) => S::as_mut_simd_f32s(whole).0[0] = vector,
        None => simd.partial_store_f32s(values.get_mut(at..).unwrap_or_default(), vector),
    }
}
