//! A matrix product with what follows it: linear layers, and convolutions as the product of patches
//! and weights.

use super::lanes::VECTORS;
use super::math::activate;
use super::panels::Panels;
use super::tile::{Tile, WithTiles, load, multiply, store, tiled, zeros};
use super::{filled_chunks, share};
use crate::kernels::activation::Activation;
use pulp::Simd;

/// Rows that go through the strips together at most: a strip then stays in the nearest cache while
/// they do, and all strips are read once for them.
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

/// What a product's sums go through: `activation(sum + shift) + residual`; where it is gated,
/// `(sum + shift)` times the activation of the gate's `(sum + shift)`, plus the residual.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    /// As long as a row of sums; nothing is added where it is empty.
    pub shift: &'a [f32],
    /// `[B, columns]`, a shift for the rows of each image.
    pub time: Option<&'a [f32]>,
    /// Rows of an image.
    pub pixels: usize,
    /// As the output.
    pub residual: Option<&'a [f32]>,
    /// Of the sum, or of the gate.
    pub activation: Activation,
    /// The panels are those of [`Panels::gated`].
    pub gated: bool,
}

impl Finish<'_> {
    /// For a part of the output.
    pub fn part(&self, start: usize, size: usize) -> Self {
        Self {
            residual: self.residual.map(|all| &all[start..start + size]),
            ..*self
        }
    }
}

/// `[count, columns]` of so many rows.
pub fn product<R: Rows>(
    rows: &R,
    panels: &Panels,
    finish: Finish<'_>,
    [count, columns]: [usize; 2],
) -> Vec<f32> {
    let chunk = share(count, panels.work());
    let chunk = chunk.next_multiple_of(panels.lanes().rows()).min(CHUNK);
    filled_chunks(count * columns, chunk * columns, |i, out| {
        let chunk = Chunk {
            rows,
            first: i * chunk,
            panels,
            finish: finish.part(i * chunk * columns, out.len()),
            out,
            columns,
        };
        tiled(panels.lanes(), chunk);
    })
}

struct Chunk<'a, A: Rows> {
    rows: &'a A,
    first: usize,
    panels: &'a Panels,
    finish: Finish<'a>,
    out: &'a mut [f32],
    columns: usize,
}

impl<A: Rows> WithTiles for Chunk<'_, A> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
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
            for row in (0..count).step_by(R) {
                // Rows past the last are the last once more.
                let at: [A::At; R] =
                    std::array::from_fn(|r| rows.at(first + (row + r).min(count - 1)));
                let tile = if finish.gated {
                    let tile = sums(simd, rows, at, panels.strip(2 * strip));
                    let tile = activated(simd, tile, shift, Activation::None);
                    let gate = sums(simd, rows, at, panels.strip(2 * strip + 1));
                    times(
                        simd,
                        tile,
                        activated(simd, gate, gate_shift, finish.activation),
                    )
                } else {
                    let tile = sums(simd, rows, at, panels.strip(strip));
                    activated(simd, tile, shift, finish.activation)
                };
                for (r, sums) in tile.into_iter().enumerate().take(count - row) {
                    let start = (row + r) * columns;
                    let [from, to] = [start + column, start + columns];
                    let residual = finish.residual.map(|residual| &residual[from..to]);
                    let time = finish.time.map(|time| {
                        let image = (first + row + r) / finish.pixels;
                        &time[image * columns + column..][..columns - column]
                    });
                    write(simd, &mut out[from..to], [residual, time], sums);
                }
            }
        }
    }
}

/// `activation(sum + shift)`
#[inline(always)]
fn activated<S: Simd, const R: usize>(
    simd: S,
    mut tile: Tile<S, R>,
    shift: [S::f32s; VECTORS],
    activation: Activation,
) -> Tile<S, R> {
    for sums in &mut tile {
        for (sum, shift) in sums.iter_mut().zip(shift) {
            *sum = activate(simd, simd.add_f32s(*sum, shift), activation);
        }
    }
    tile
}

#[inline(always)]
fn times<S: Simd, const R: usize>(simd: S, mut tile: Tile<S, R>, other: Tile<S, R>) -> Tile<S, R> {
    for (sums, others) in tile.iter_mut().zip(other) {
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum = simd.mul_f32s(*sum, other);
        }
    }
    tile
}

/// Writes the sums of a row, plus what is added, to the beginning of `out`, which may be shorter.
#[inline(always)]
fn write<S: Simd>(
    simd: S,
    out: &mut [f32],
    added: [Option<&[f32]>; 2],
    mut sums: [S::f32s; VECTORS],
) {
    for added in added.into_iter().flatten() {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = simd.add_f32s(*sum, load(simd, added, v * S::F32_LANES));
        }
    }
    for (v, sum) in sums.into_iter().enumerate() {
        store(simd, out, v * S::F32_LANES, sum);
    }
}

/// The tile of the rows and a strip of the panels.
#[inline(always)]
fn sums<S: Simd, A: Rows, const R: usize>(
    simd: S,
    rows: &A,
    at: [A::At; R],
    strip: &[f32],
) -> Tile<S, R> {
    let size = strip.len() / rows.pieces();
    let mut tile = zeros(simd);
    for piece in 0..rows.pieces() {
        let values = std::array::from_fn(|r| rows.piece(at[r], piece));
        tile = multiply(simd, tile, values, &strip[piece * size..][..size]);
    }
    tile
}
