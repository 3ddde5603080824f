//! How alike two images are, on several scales at once.

/// Exponents of the scales from fine to coarse (Wang, Simoncelli and Bovik 2003, section 3.2).
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Pixels across the Gaussian window, and its standard deviation (Wang et al. 2004).
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;
/// Constants that keep flat regions from dividing by nothing (ibid.), for values that span 255.
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// Multi-scale structural similarity of two square grey images of `size` x `size` pixels: 1 for
/// equal images, near 0 for unlike ones (Wang et al. 2003, eq. 7; a factor below 0 counts as 0).
/// Windows lie inside the image.
///
/// The paper's five scales need 176 pixels for the window to fit into the coarsest. A smaller image
/// has as many as fit (four at 128 pixels), with the first weights scaled to a sum of one, as
/// [`scales`] says; only figures with equally many scales can be compared.
///
/// # Panics
/// Where an image does not have `size` x `size` pixels, or `size` is below 11.
pub fn ms_ssim(a: &[u8], b: &[u8], size: usize) -> f64 {
    let to_plane = |pixels: &[u8]| {
        let values = pixels.iter().map(|p| f64::from(*p)).collect();
        Plane::new(size, values)
    };
    let (mut a, mut b) = (to_plane(a), to_plane(b));
    let scales = scales(size);
    assert!(scales > 0, "{size} pixels are fewer than the window's");
    let sum: f64 = WEIGHTS[..scales].iter().sum();
    let mut product = 1.0;
    for (scale, weight) in WEIGHTS[..scales].iter().enumerate() {
        if scale > 0 {
            (a, b) = (a.halved(), b.halved());
        }
        let (similarity, contrast) = ssim(&a, &b);
        // Brightness is compared on the coarsest scale alone.
        let last = scale + 1 == scales;
        let factor: f64 = if last { similarity } else { contrast };
        product *= factor.max(0.0).powf(weight / sum);
    }
    product
}

/// Scales that fit into an image of `size` pixels, at most five.
pub fn scales(size: usize) -> usize {
    let fits = |scale: &usize| size >> scale >= WINDOW;
    (0..WEIGHTS.len()).take_while(fits).count()
}

/// Mean structural similarity, and the mean of its factors without brightness.
fn ssim(a: &Plane, b: &Plane) -> (f64, f64) {
    let (mean_a, mean_b) = (a.blurred(), b.blurred());
    let squares = [a.times(a), b.times(b), a.times(b)].map(|p| p.blurred());
    let n = mean_a.values.len();
    let (mut similarity, mut contrast) = (0.0, 0.0);
    for i in 0..n {
        let (ma, mb) = (mean_a.values[i], mean_b.values[i]);
        let [aa, bb, ab] = [0, 1, 2].map(|p| squares[p].values[i]);
        let (variance_a, variance_b) = ((aa - ma * ma).max(0.0), (bb - mb * mb).max(0.0));
        let c = (2.0 * (ab - ma * mb) + C2) / (variance_a + variance_b + C2);
        contrast += c;
        similarity += c * (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1);
    }
    (similarity / n as f64, contrast / n as f64)
}

/// A square image, `[size, size]`.
struct Plane {
    size: usize,
    values: Vec<f64>,
}

impl Plane {
    fn new(size: usize, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), size * size, "an image of {size}x{size}");
        Self { size, values }
    }

    fn times(&self, other: &Plane) -> Plane {
        let products = self.values.iter().zip(&other.values).map(|(a, b)| a * b);
        Plane::new(self.size, products.collect())
    }

    /// Means of 2 x 2 pixels; an odd last row or column is left out.
    fn halved(&self) -> Plane {
        let half = self.size / 2;
        let mean = |y: usize, x: usize| {
            let at = |dy, dx| self.values[(2 * y + dy) * self.size + 2 * x + dx];
            (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4.0
        };
        let values = (0..half).flat_map(|y| (0..half).map(move |x| mean(y, x)));
        Plane::new(half, values.collect())
    }

    /// The Gaussian window's means wherever it lies inside the image.
    fn blurred(&self) -> Plane {
        let window = window();
        let out = self.size + 1 - WINDOW;
        let mut rows = Vec::with_capacity(self.size * out);
        for row in self.values.chunks_exact(self.size) {
            let mean = |w: &[f64]| w.iter().zip(&window).map(|(v, g)| v * g).sum::<f64>();
            rows.extend(row.windows(WINDOW).map(mean));
        }
        let mut values = vec![0.0; out * out];
        for (y, mean) in values.chunks_exact_mut(out).enumerate() {
            for (row, g) in rows[y * out..].chunks_exact(out).zip(&window) {
                for (m, v) in mean.iter_mut().zip(row) {
                    *m += g * v;
                }
            }
        }
        Plane::new(out, values)
    }
}

/// The Gaussian window along one axis, of sum one.
fn window() -> [f64; WINDOW] {
    let middle = (WINDOW / 2) as f64;
    let mut window = [0.0; WINDOW];
    for (i, g) in window.iter_mut().enumerate() {
        *g = (-(i as f64 - middle).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    }
    let sum: f64 = window.iter().sum();
    window.map(|g| g / sum)
}
