//! The right side of a product, as the innermost loop reads it: strips of as many columns as a tile
//! has, one after another.

use super::filled_chunks;
use super::lanes::Lanes;

/// Rows that are laid out at a time.
const ROWS: usize = 64;

/// A matrix `[depth, columns]` as `[strip, depth, columns of a tile]`, with zeros where the last
/// strip has columns too many.
pub struct Panels {
    values: Vec<f32>,
    depth: usize,
    width: usize,
    lanes: Lanes,
}

impl Panels {
    /// Of `value(k, column)`.
    pub fn new(depth: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        Self::with_lanes(Lanes::of(columns), depth, columns, value)
    }

    /// Of `value(k, column)`, for these vectors.
    pub fn with_lanes(
        lanes: Lanes,
        depth: usize,
        columns: usize,
        value: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let width = lanes.columns();
        let mut values = vec![0.0; columns.div_ceil(width) * depth * width];
        for (strip, values) in values.chunks_exact_mut((depth * width).max(1)).enumerate() {
            let first = strip * width;
            let count = width.min(columns - first);
            for (k, values) in values.chunks_exact_mut(width).enumerate() {
                for (j, out) in values[..count].iter_mut().enumerate() {
                    *out = value(k, first + j);
                }
            }
        }
        Self {
            values,
            depth,
            width,
            lanes,
        }
    }

    /// Of a matrix `[depth, columns]`.
    pub fn of_rows(matrix: &[f32], [depth, columns]: [usize; 2]) -> Self {
        let lanes = Lanes::of(columns);
        let width = lanes.columns();
        let strips = columns.div_ceil(width);
        let values = filled_chunks(strips * depth * width, depth * width, |strip, values| {
            let first = strip * width;
            let count = width.min(columns - first);
            for (k, values) in values.chunks_exact_mut(width).enumerate() {
                values[..count].copy_from_slice(&matrix[k * columns + first..][..count]);
            }
        });
        Self::of_strips(values, depth, lanes)
    }

    /// Of a matrix `[columns, depth]`.
    pub fn of_columns(matrix: &[f32], [depth, columns]: [usize; 2]) -> Self {
        let lanes = Lanes::of(columns);
        let width = lanes.columns();
        let strips = columns.div_ceil(width);
        let values = filled_chunks(strips * depth * width, depth * width, |strip, values| {
            let first = strip * width;
            let count = width.min(columns - first);
            // Some rows at a time, which stay in the nearest cache.
            for (part, values) in values.chunks_mut(ROWS * width).enumerate() {
                for j in 0..count {
                    let column = &matrix[(first + j) * depth + part * ROWS..];
                    for (values, value) in values.chunks_exact_mut(width).zip(column) {
                        values[j] = *value;
                    }
                }
            }
        });
        Self::of_strips(values, depth, lanes)
    }

    /// Multiply-adds of one row with all of it.
    pub fn work(&self) -> usize {
        self.values.len()
    }

    /// Of strips that are there already, `[strip, depth, columns of a tile]`.
    pub fn of_strips(values: Vec<f32>, depth: usize, lanes: Lanes) -> Self {
        Self {
            values,
            depth,
            width: lanes.columns(),
            lanes,
        }
    }

    /// Of a matrix of which the second half of the columns gates the first: a strip of the first
    /// half, one of the second, and so on, so that both are there when a tile is done.
    pub fn gated(depth: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let half = columns / 2;
        let lanes = Lanes::of(half);
        let width = lanes.columns();
        Self::with_lanes(
            lanes,
            depth,
            half.div_ceil(width) * width * 2,
            |k, column| {
                let (strip, j) = (column / width, column % width);
                let at = strip / 2 * width + j;
                if at < half {
                    value(k, at + strip % 2 * half)
                } else {
                    0.0
                }
            },
        )
    }

    /// Strip `i` as `[depth, columns of a tile]`.
    #[inline(always)]
    pub fn strip(&self, i: usize) -> &[f32] {
        let size = self.depth * self.width;
        &self.values[i * size..][..size]
    }

    /// Rows of the matrix.
    #[cfg(feature = "training")]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The vectors that it is laid out for.
    pub fn lanes(&self) -> Lanes {
        self.lanes
    }

    /// Ends it, and keeps its memory for the next one.
    #[cfg(feature = "training")]
    pub fn give_back(self) {
        super::work::give_back(self.values);
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}
