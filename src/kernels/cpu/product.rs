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
            for row in (0..count).step_by(ROWS) {
                // Rows past the last are the last once more.
                let at: [R::At; ROWS] =
                    std::array::from_fn(|r| rows.at(first + (row + r).min(count - 1)));
                let (tile, gate) = match finish.gated {
                    false => (sums(simd, rows, at, panels.strip(strip)), None),
                    true => (
                        sums(simd, rows, at, panels.strip(2 * strip)),
                        Some(sums(simd, rows, at, panels.strip(2 * strip + 1))),
                    ),
                };
                for r in 0..ROWS.min(count - row) {
                    let start = (row + r) * columns;
                    let out = &mut out[start..start + columns];
                    for v in 0..VECTORS {
                        let at = column + v * S::F32_LANES;
                        let shift = load(simd, finish.shift, at);
                        let mut sum = simd.add_f32s(tile[r][v], shift);
                        match gate {
                            Some(gate) => {
                                let shift = load(simd, finish.shift, columns + at);
                                let gate = simd.add_f32s(gate[r][v], shift);
                                let open = activate(simd, gate, finish.activation);
                                sum = simd.mul_f32s(sum, open);
                            }
                            None => sum = activate(simd, sum, finish.activation),
                        }
                        if let Some(residual) = finish.residual {
                            let residual = load(simd, &residual[start..start + columns], at);
                            sum = simd.add_f32s(sum, residual);
                        }
                        if at < columns {
                            store(simd, out, at, sum);
                        }
                    }
                }
            }
        }
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
