//! Products with the left side transposed, `sum_i left[i]^T right[i]`: the gradients of weights,
//! where `i` counts positions.

use super::super::lanes::{Lanes, VECTORS};
use super::super::product::Rows;
use super::super::tile::{Lines, Strided, WithTiles, load, outer, store, tiled, zeros};
use super::super::{each, threads};
use pulp::Simd;

/// Positions whose values stay in the nearest caches while every tile of the outcome takes them.
/// Sums within a block are added to those of all blocks, so that rounding errors grow with the
/// number of blocks only.
pub const BLOCK: usize = 64;

/// Adds `sum_i left[i]^T right[i]` to `sums`, `[K, columns]`, for `count` positions; `left[i]` has
/// `K` values, `right[i]` has `columns`.
#[inline(always)]
pub fn accumulate<S: Simd, const R: usize>(
    simd: S,
    count: usize,
    left: &impl Lines,
    right: &impl Lines,
    sums: &mut [f32],
    columns: usize,
) {
    let depth = sums.len() / columns;
    for column in (0..columns).step_by(VECTORS * S::F32_LANES) {
        let whole = depth / R * R;
        for row in (0..whole).step_by(R) {
            add::<S, R>(simd, count, (left, row), (right, column), sums, columns);
        }
        for row in whole..depth {
            add::<S, 1>(simd, count, (left, row), (right, column), sums, columns);
        }
    }
}

#[inline(always)]
fn add<S: Simd, const R: usize>(
    simd: S,
    count: usize,
    (left, row): (&impl Lines, usize),
    (right, column): (&impl Lines, usize),
    sums: &mut [f32],
    columns: usize,
) {
    let mut tile = zeros::<S, R>(simd);
    for (r, vectors) in tile.iter_mut().enumerate() {
        let line = &sums[(row + r) * columns..][..columns];
        for (v, sum) in vectors.iter_mut().enumerate() {
            *sum = load(simd, line, column + v * S::F32_LANES);
        }
    }
    let tile = outer::<S, R>(simd, tile, count, (left, row), (right, column));
    for (r, vectors) in tile.into_iter().enumerate() {
        let line = &mut sums[(row + r) * columns..][..columns];
        for (v, sum) in vectors.into_iter().enumerate() {
            store(simd, line, column + v * S::F32_LANES, sum);
        }
    }
}

/// `sum_i left[i]^T right[i]` for all `count` rows, as `[pieces, piece, columns]`; `right` is
/// `[count, columns]`, and pieces are as long as `piece`.
pub fn product<A: Rows>(left: &A, right: &[f32], [count, piece, columns]: [usize; 3]) -> Vec<f32> {
    let pieces = left.pieces();
    let mut sums = vec![0.0; pieces * piece * columns];
    // Parts of a piece, so that every thread has some.
    let parts = (2 * threads()).div_ceil(pieces).max(1);
    let lines = piece.div_ceil(parts).next_multiple_of(8);
    let mut tasks = Vec::new();
    for (at, sums) in sums.chunks_mut((piece * columns).max(1)).enumerate() {
        let parts = sums.chunks_mut(lines * columns).enumerate();
        tasks.extend(parts.map(|(part, sums)| (at, part * lines, sums)));
    }
    each(tasks, |_, (piece, first, sums)| {
        let part = Part {
            left,
            right,
            count,
            piece,
            first,
            sums,
            columns,
        };
        tiled(Lanes::of(columns), part);
    });
    sums
}

struct Part<'a, A: Rows> {
    left: &'a A,
    right: &'a [f32],
    count: usize,
    piece: usize,
    first: usize,
    sums: &'a mut [f32],
    columns: usize,
}

impl<A: Rows> WithTiles for Part<'_, A> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let depth = self.sums.len() / self.columns;
        let mut pieces: [&[f32]; BLOCK] = [&[]; BLOCK];
        for start in (0..self.count).step_by(BLOCK) {
            let count = BLOCK.min(self.count - start);
            for (i, piece) in pieces[..count].iter_mut().enumerate() {
                let row = self.left.piece(self.left.at(start + i), self.piece);
                *piece = &row[self.first..self.first + depth];
            }
            let right = Strided {
                values: &self.right[start * self.columns..],
                stride: self.columns,
                width: self.columns,
            };
            accumulate::<S, R>(simd, count, &&pieces[..], &right, self.sums, self.columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::product::Matrix;
    use super::*;

    #[test]
    fn it_is_the_product_with_the_left_side_transposed() {
        let [count, depth, columns] = [131, 11, 37];
        let value = |i: usize| ((i * 37) % 101) as f32 / 50.0 - 1.0;
        let left: Vec<f32> = (0..count * depth).map(value).collect();
        let right: Vec<f32> = (0..count * columns).map(|i| value(i * 7 + 3)).collect();
        let matrix = Matrix {
            values: &left,
            width: depth,
        };
        let found = product(&matrix, &right, [count, depth, columns]);
        for (at, found) in found.iter().enumerate() {
            let (k, c) = (at / columns, at % columns);
            let terms = (0..count).map(|i| f64::from(left[i * depth + k] * right[i * columns + c]));
            let expected: f64 = terms.sum();
            assert!(
                (f64::from(*found) - expected).abs() < 1e-4,
                "{found} {expected}"
            );
        }
    }
}
