//! The right side of a product, as the innermost loop reads it: strips of as many columns as a tile has, one after another.

use super::tile;

/// A matrix `[depth, columns]` as `[strip, depth, columns of a tile]`, with zeros where the last strip has columns too many.
pub struct Panels {
    values: Vec<f32>,
    depth: usize,
    width: usize,
}

impl Panels {
    /// Of `value(k, column)`.
    pub fn new(depth: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let width = tile::columns();
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
        }
    }

    /// Of a matrix of which the second half of the columns gates the first: a strip of the first half, one of the second, and
    /// so on, so that both are there when a tile is done.
    pub fn gated(depth: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let half = columns / 2;
        let width = tile::columns();
        Self::new(depth, half.div_ceil(width) * width * 2, |k, column| {
            let (strip, j) = (column / width, column % width);
            let at = strip / 2 * width + j;
            match at < half {
                true => value(k, at + strip % 2 * half),
                false => 0.0,
            }
        })
    }

    /// Strip `i` as `[depth, columns of a tile]`.
    #[inline(always)]
    pub fn strip(&self, i: usize) -> &[f32] {
        let size = self.depth * self.width;
        &self.values[i * size..][..size]
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}
