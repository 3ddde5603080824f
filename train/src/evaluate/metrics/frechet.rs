//! The Fréchet distance between two clouds of features, each taken for a Gaussian.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::Features;

/// Mean and covariance of a cloud of points.
#[derive(Clone, Debug)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Gaussian {
    /// Of at least two points; the covariance is the unbiased one.
    ///
    /// # Panics
    /// With fewer than two points.
    pub fn fit(features: &Features) -> Self {
        assert!(features.len() > 1, "a covariance takes two points");
        let rows = features.values.iter().map(|v| f64::from(*v));
        let mut points = DMatrix::from_row_iterator(features.len(), features.width, rows);
        let mean = points.row_mean();
        for mut row in points.row_iter_mut() {
            row -= &mean;
        }
        let covariance = points.tr_mul(&points) / (features.len() - 1) as f64;
        Self {
            mean: mean.transpose(),
            covariance,
        }
    }

    /// Squared Fréchet distance: `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` (Heusel et al. 2017, eq. 6). This is the
    /// FID, but of whatever features were given: only numbers from the same classifier can be compared.
    ///
    /// `tr (C1 C2)^(1/2)` is the sum of the roots of the eigenvalues of `C1^(1/2) C2 C1^(1/2)`, which is symmetric, so
    /// nothing complex arises where a covariance is singular.
    pub fn distance(&self, other: &Gaussian) -> f64 {
        let means = (&self.mean - &other.mean).norm_squared();
        let root = square_root(&self.covariance);
        let product = &root * &other.covariance * &root;
        let product = (&product + product.transpose()) / 2.0; // symmetric to the last bit
        let eigenvalues = product.symmetric_eigenvalues();
        let trace: f64 = eigenvalues.iter().map(|v| v.max(0.0).sqrt()).sum();
        let distance = means + self.covariance.trace() + other.covariance.trace() - 2.0 * trace;
        distance.max(0.0) // rounding, of equal clouds
    }
}

/// The positive square root of a symmetric matrix without negative eigenvalues.
fn square_root(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let mut eigen = SymmetricEigen::new(matrix.clone());
    eigen.eigenvalues.apply(|v| *v = v.max(0.0).sqrt());
    eigen.recompose()
}
