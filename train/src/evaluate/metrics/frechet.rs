//! The Fréchet distance between two clouds of features, each taken for a Gaussian.

use nalgebra::{DMatrix, DVector};

use super::Features;

/// Mean and covariance of a cloud of points.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// `[D]`
    mean: DVector<f64>,
    /// `[D, D]`
    covariance: DMatrix<f64>,
}

impl Gaussian {
    /// Of at least two points; the covariance is the unbiased one.
    ///
    /// # Panics
    /// With fewer than two points.
    pub fn fit(features: &Features) -> Self {
        assert!(features.len() > 1, "a covariance takes two points");
        let values = features.values.iter().map(|v| f64::from(*v));
        // Column by column, so that a point is a column here.
        let mut points = DMatrix::from_iterator(features.width, features.len(), values);
        let mean = points.column_mean();
        for mut point in points.column_iter_mut() {
            point -= &mean;
        }
        let covariance = &points * points.transpose() / (features.len() as f64 - 1.0);
        Self { mean, covariance }
    }

    /// The map `W x + b` to mean 0 and covariance 1, as `[D, D]` and `[D]`. Directions in which the
    /// points hardly vary count as varying by a thousandth of the mean variance.
    pub fn whitening(&self) -> [Vec<f32>; 2] {
        let eigen = self.covariance.clone().symmetric_eigen();
        let least = 1e-3 * self.covariance.trace() / self.mean.len() as f64;
        let scales = eigen.eigenvalues.map(|v| 1.0 / v.max(least).sqrt());
        let matrix = DMatrix::from_diagonal(&scales) * eigen.eigenvectors.transpose();
        let bias = -(&matrix * &self.mean);
        let rows = matrix.transpose(); // nalgebra lays out columns
        [rows.as_slice(), bias.as_slice()].map(|v| v.iter().map(|v| *v as f32).collect())
    }

    /// Squared Fréchet distance: `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` (Heusel et al. 2017,
    /// eq. 6). This is the FID, but of whatever features were given: only numbers from the same
    /// classifier can be compared.
    ///
    /// `C1 C2` has the eigenvalues of `C1^(1/2) C2 C1^(1/2)`, which is symmetric, so nothing
    /// complex arises where a covariance is singular; the trace of the root is the sum of their
    /// roots.
    pub fn distance(&self, other: &Gaussian) -> f64 {
        let root = root(&self.covariance);
        let product = &root * &other.covariance * &root;
        let eigenvalues = product.symmetric_eigenvalues();
        let roots: f64 = eigenvalues.iter().map(|v| v.max(0.0).sqrt()).sum();
        let means = (&self.mean - &other.mean).norm_squared();
        let distance = means + self.covariance.trace() + other.covariance.trace() - 2.0 * roots;
        distance.max(0.0) // rounding, of equal clouds
    }
}

/// The symmetric root of a matrix that has no negative eigenvalue but by rounding.
fn root(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = matrix.clone().symmetric_eigen();
    let roots = eigen.eigenvalues.map(|v| v.max(0.0).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_singular_matrix_has_a_root() {
        let points = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 2.0, 4.0, -1.0]); // rank 2 of 3
        let matrix = points.transpose() * points;
        let root = root(&matrix);
        assert!((&root * &root - matrix).norm() < 1e-9, "{root}");
    }
}
