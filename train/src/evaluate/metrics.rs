//! The figures themselves, on plain numbers: no network, no file, no randomness.
//!
//! Each agrees with a published implementation on the goldens of `tests/reference/metrics.py`.

pub mod auroc;
pub mod frechet;
pub mod manifold;
pub mod ms_ssim;
#[cfg(test)]
mod tests;

/// Points in a space, one row each: features of images, or their pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Numbers in a row.
    pub width: usize,
    /// `[rows, width]`, row by row.
    pub values: Vec<f32>,
}

impl Features {
    /// Points of `width` numbers each.
    ///
    /// # Panics
    /// Where `values` are no whole rows: that is a bug of the caller.
    pub fn new(width: usize, values: Vec<f32>) -> Self {
        assert!(
            width > 0 && values.len().is_multiple_of(width),
            "{} values are no rows of {width}",
            values.len()
        );
        Self { width, values }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The points, `[width]` each.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.width)
    }

    /// One point, `[width]`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    /// The points with these indices.
    pub fn select(&self, indices: &[usize]) -> Features {
        let rows = indices.iter().flat_map(|&i| self.row(i)).copied();
        Features::new(self.width, rows.collect())
    }
}
