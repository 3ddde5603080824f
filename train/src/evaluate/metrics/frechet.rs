//! The Fréchet distance between two clouds of features, each taken for a Gaussian.

use super::Features;

/// Sweeps of Jacobi's method at most; it converges quadratically and needs about ten.
const SWEEPS: usize = 50;

/// Mean and covariance of a cloud of points.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// `[D]`
    mean: Vec<f64>,
    /// `[D, D]`
    covariance: Vec<Vec<f64>>,
}

impl Gaussian {
    /// Of at least two points; the covariance is the unbiased one.
    ///
    /// # Panics
    /// With fewer than two points.
    pub fn fit(features: &Features) -> Self {
        assert!(features.len() > 1, "a covariance takes two points");
        let (d, n) = (features.width, features.len() as f64);
        let mut mean = vec![0.0; d];
        for row in features.rows() {
            for (m, v) in mean.iter_mut().zip(row) {
                *m += f64::from(*v) / n;
            }
        }
        let mut covariance = vec![vec![0.0; d]; d];
        for row in features.rows() {
            let centred = row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m);
            let centred: Vec<f64> = centred.collect();
            for (line, a) in covariance.iter_mut().zip(&centred) {
                for (c, b) in line.iter_mut().zip(&centred) {
                    *c += a * b / (n - 1.0);
                }
            }
        }
        Self { mean, covariance }
    }

    /// Squared Fréchet distance: `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` (Heusel et al. 2017, eq. 6). This is the
    /// FID, but of whatever features were given: only numbers from the same classifier can be compared.
    ///
    /// `C1 C2` has the eigenvalues of `Lᵀ C2 L`, where `C1 = L Lᵀ`, which is symmetric, so nothing complex arises where a
    /// covariance is singular; the trace of the root is the sum of their roots.
    pub fn distance(&self, other: &Gaussian) -> f64 {
        let means = self.mean.iter().zip(&other.mean);
        let means: f64 = means.map(|(a, b)| (a - b) * (a - b)).sum();
        let l = transposed(&cholesky(&self.covariance)); // rows are L's columns
        let half: Vec<Vec<f64>> = l.iter().map(|row| times(&other.covariance, row)).collect();
        let product = half.iter().map(|row| times(&l, row)).collect();
        let roots = eigenvalues(product).into_iter().map(|v| v.max(0.0).sqrt());
        let trace = |m: &[Vec<f64>]| m.iter().enumerate().map(|(i, row)| row[i]).sum::<f64>();
        let traces = trace(&self.covariance) + trace(&other.covariance);
        let distance = means + traces - 2.0 * roots.sum::<f64>();
        distance.max(0.0) // rounding, of equal clouds
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, vector)).collect()
}

fn transposed(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let column = |j: usize| matrix.iter().map(|row| row[j]).collect();
    (0..matrix.len()).map(column).collect()
}

/// `L`, lower triangular, with `L Lᵀ = matrix`, which has no negative eigenvalue. Where a direction has no variance, the
/// column is zero.
fn cholesky(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let d = matrix.len();
    let largest = (0..d).map(|i| matrix[i][i]).fold(0.0, f64::max);
    let mut l = vec![vec![0.0; d]; d];
    for j in 0..d {
        let pivot = matrix[j][j] - dot(&l[j][..j], &l[j][..j]);
        if pivot <= 1e-12 * largest {
            continue;
        }
        let pivot = pivot.sqrt();
        for i in j..d {
            l[i][j] = (matrix[i][j] - dot(&l[i][..j], &l[j][..j])) / pivot;
        }
    }
    l
}

/// Eigenvalues of a symmetric matrix, in any order: Jacobi's rotations, pair after pair, until what is beside the diagonal
/// is rounding (Golub and Van Loan, "Matrix Computations", section 8.5).
fn eigenvalues(mut a: Vec<Vec<f64>>) -> Vec<f64> {
    let d = a.len();
    let total: f64 = a.iter().map(|row| dot(row, row)).sum();
    for _ in 0..SWEEPS {
        let beside: f64 = (0..d).map(|i| dot(&a[i][..i], &a[i][..i])).sum();
        if beside <= 1e-26 * total {
            break;
        }
        for p in 0..d {
            for q in p + 1..d {
                if a[p][q] == 0.0 {
                    continue;
                }
                let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
                let cosine = 1.0 / t.hypot(1.0);
                let sine = t * cosine;
                let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
                for row in &mut a {
                    (row[p], row[q]) = turn(row[p], row[q]);
                }
                let (upper, lower) = a.split_at_mut(q);
                for (x, y) in upper[p].iter_mut().zip(&mut lower[0]) {
                    (*x, *y) = turn(*x, *y);
                }
            }
        }
    }
    (0..d).map(|i| a[i][i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_are_those_of_the_second_difference() {
        let d = 12;
        let entry = |i: usize, j: usize| [2.0, -1.0].get(i.abs_diff(j)).copied().unwrap_or(0.0);
        let matrix = (0..d).map(|i| (0..d).map(|j| entry(i, j)).collect());
        let mut found = eigenvalues(matrix.collect());
        found.sort_by(f64::total_cmp);
        for (k, value) in (1..).zip(found) {
            let angle = std::f64::consts::PI * f64::from(k) / (d as f64 + 1.0);
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-12, "{value}");
        }
    }

    #[test]
    fn a_singular_matrix_has_a_root() {
        let points = [[1.0, 2.0, 3.0], [2.0, 4.0, -1.0]]; // rank 2 of 3
        let entry = |i: usize, j: usize| points.iter().map(|p| p[i] * p[j]).sum();
        let row = |i: usize| (0..3).map(|j| entry(i, j)).collect::<Vec<f64>>();
        let matrix: Vec<_> = (0..3).map(row).collect();
        let l = cholesky(&matrix);
        for i in 0..3 {
            for j in 0..3 {
                assert!((dot(&l[i], &l[j]) - matrix[i][j]).abs() < 1e-9, "{l:?}");
            }
        }
    }
}
