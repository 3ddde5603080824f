//! A matrix product with what follows it: linear layers, and convolutions as the product of patches and weights.

use super::super::linear::Activation;
use super::math::activate;
use super::panels::Panels;
use super::tile::{ROWS, Tile, VECTORS, load, multiply, store, zeros};
use super::{each_chunk, vectorized};
use pulp::{Simd, WithSimd};

/// Rows that go through the strips together: a strip then stays in the nearest cache while they do, and all strips are read
/// once for them.
const CHUNK: usize = 64;

/// The left side of a product, each row in pieces of one length, which lie anywhere.
pub trait Rows: Sync {
    /// Where a row is.
    type At: Copy;

    /// Pieces of a row.
    fn pieces(&self) -> usize;

    /// Where row `i` is.
    fn at(&self, i: usize) -> Self::At;

    /// A piece of a row.
    fn piece(&self, at: Self::At, piece: usize) -> &[f32];
}

/// Rows that lie one after another.
pub struct Matrix<'a> {
    /// `[rows, width]`
    pub values: &'a [f32],
    /// Length of a row.
    pub width: usize,
}

impl Rows for Matrix<'_> {
    type At = usize;

    fn pieces(&self) -> usize {
        1
    }

    #[inline(always)]
    fn at(&self, i: usize) -> usize {
        i * self.width
    }

    #[inline(always)]
    fn piece(&self, at: usize, _: usize) -> &[f32] {
        &self.values[at..at + self.width]
    }
}

/// What a product's sums go through: `activation(sum + shift) + residual`; where it is gated, `(sum + shift)` times the activation
/// of the gate's `(sum + shift)`, plus the residual.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    /// As long as a row of sums; nothing is added where it is empty.
    pub shift: &'a [f32],
    /// As the output.
    pub residual: Option<&'a [f32]>,
    /// Of the sum, or of the gate.
    pub activation: Activation,
    /// The panels are those of [`Panels::gated`].
    pub gated: bool,
}

/// Fills `out`, `[rows, columns]`.
pub fn product<R: Rows>(
    rows: &R,
    panels: &Panels,
    finish: Finish<'_>,
    out: &mut [f32],
    columns: usize,
) {
    each_chunk(out, CHUNK * columns, |i, out| {
        let residual = finish
            .residual
            .map(|all| &all[i * CHUNK * columns..][..out.len()]);
        vectorized(Chunk {
            rows,
            first: i * CHUNK,
            panels,
            finish: Finish { residual, ..finish },
            out,
            columns,
        });
    });
}

struct Chunk<'a, R: Rows> {
    rows: &'a R,
    first: usize,
    panels: &'a Panels,
    finish: Finish<'a>,
    out: &'a mut [f32],
    columns: usize,
}

impl<R: Rows> WithSimd for Chunk<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Chunk {
            rows,
            first,
            panels,
            finish,
            out,
            columns,
        } = self;
        let width = VECTORS * S::F32_LANES;
        let count = out.len() / columns;
        for strip in 0..columns.div_ceil(width) {
            let column = strip * width;
            let place = |v: usize| column + v * S::F32_LANES;
            let shift = std::array::from_fn(|v| load(simd, finish.shift, place(v)));
            let gate_shift = std::array::from_fn(|v| load(simd, finish.shift, columns + place(v)));
            for row in (0..count).step_by(ROWS) {
                // Rows past the last are the last once more.
                let at: [R::At; ROWS] =
                    std::array::from_fn(|r| rows.at(first + (row + r).min(count - 1)));
                let tile = match finish.gated {
                    false => {
                        let tile = sums(simd, rows, at, panels.strip(strip));
                        activated(simd, tile, shift, finish.activation)
                    }
                    true => {
                        let tile = sums(simd, rows, at, panels.strip(2 * strip));
                        let tile = activated(simd, tile, shift, Activation::None);
                        let gate = sums(simd, rows, at, panels.strip(2 * strip + 1));
                        times(
                            simd,
                            tile,
                            activated(simd, gate, gate_shift, finish.activation),
                        )
                    }
                };
                for (r, sums) in tile.into_iter().enumerate().take(count - row) {
                    let start = (row + r) * columns;
                    let [from, to] = [start + column, start + columns];
                    let residual = finish.residual.map(|residual| &residual[from..to]);
                    write(simd, &mut out[from..to], residual, sums);
                }
            }
        }
    }
}

/// `activation(sum + shift)`
#[inline(always)]
fn activated<S: Simd>(
    simd: S,
    mut tile: Tile<S>,
    shift: [S::f32s; VECTORS],
    activation: Activation,
) -> Tile<S> {
    for sums in &mut tile {
        for (sum, shift) in sums.iter_mut().zip(shift) {
            *sum = activate(simd, simd.add_f32s(*sum, shift), activation);
        }
    }
    tile
}

#[inline(always)]
fn times<S: Simd>(simd: S, mut tile: Tile<S>, other: Tile<S>) -> Tile<S> {
    for (sums, others) in tile.iter_mut().zip(other) {
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum = simd.mul_f32s(*sum, other);
        }
    }
    tile
}

/// Writes the sums of a row, plus the residual, to the beginning of `out`, which may be shorter.
#[inline(always)]
fn write<S: Simd>(
    simd: S,
    out: &mut [f32],
    residual: Option<&[f32]>,
    mut sums: [S::f32s; VECTORS],
) {
    if let Some(residual) = residual {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = simd.add_f32s(*sum, load(simd, residual, v * S::F32_LANES));
        }
    }
    for (v, sum) in sums.into_iter().enumerate() {
        store(simd, out, v * S::F32_LANES, sum);
    }
}

/// The tile of the rows and a strip of the panels.
#[inline(always)]
fn sums<S: Simd, R: Rows>(simd: S, rows: &R, at: [R::At; ROWS], strip: &[f32]) -> Tile<S> {
    let size = strip.len() / rows.pieces();
    let mut tile = zeros(simd);
    for piece in 0..rows.pieces() {
        let [a, b, c, d] = at;
        let values = [
            rows.piece(a, piece),
            rows.piece(b, piece),
            rows.piece(c, piece),
            rows.piece(d, piece),
        ];
        tile = multiply(simd, tile, values, &strip[piece * size..][..size]);
    }
    tile
}
