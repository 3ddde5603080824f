//! How much of an image's detail a model keeps: power by spatial frequency, over that of real
//! images.

use rustfft::{FftPlanner, num_complex::Complex};

/// Edges of the six bands, in fractions of the Nyquist frequency.
pub const EDGES: [f64; 7] = [0.0, 1.0 / 16.0, 0.125, 0.25, 0.5, 0.75, 1.0];

/// Power of images in each band, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bands(pub [f64; 6]);

impl Bands {
    /// Of images of `size` x `size` values each. Their own mean is taken off, and a Hann window
    /// (symmetric, its product for both directions) put over them, so that an edge of the image is
    /// no edge in it. The radius of a frequency decides its band; what lies beyond Nyquist in the
    /// corners counts for none.
    ///
    /// # Panics
    /// Where an image has another size.
    pub fn of<'a>(images: impl IntoIterator<Item = &'a [f32]>, size: usize) -> Self {
        let fft = FftPlanner::new().plan_fft_forward(size);
        let window: Vec<f64> = (0..size).map(|i| hann(i, size)).collect();
        let mut sums = Self::default();
        for image in images {
            assert_eq!(image.len(), size * size, "pixels of an image");
            let mean = image.iter().map(|v| f64::from(*v)).sum::<f64>() / image.len() as f64;
            let windowed = image.iter().enumerate().map(|(i, v)| {
                Complex::from((f64::from(*v) - mean) * window[i / size] * window[i % size])
            });
            let mut values: Vec<Complex<f64>> = windowed.collect();
            // All rows, then all columns.
            for _ in 0..2 {
                fft.process(&mut values);
                values = (0..values.len())
                    .map(|i| values[i % size * size + i / size])
                    .collect();
            }
            for (i, value) in values.iter().enumerate() {
                let radius = frequency(i / size, size).hypot(frequency(i % size, size));
                if let Some(band) = EDGES[1..].iter().position(|edge| radius < *edge) {
                    sums.0[band] += value.norm_sqr();
                }
            }
        }
        sums
    }

    /// Each band over that of other images, of which there have to be as many.
    pub fn over(&self, real: &Bands) -> [f64; 6] {
        std::array::from_fn(|band| self.0[band] / real.0[band])
    }
}

/// `numpy.hanning`.
fn hann(i: usize, size: usize) -> f64 {
    let turn = std::f64::consts::TAU * i as f64 / (size - 1).max(1) as f64;
    0.5 - 0.5 * turn.cos()
}

/// The frequency that a position of the transform stands for, in fractions of Nyquist, without its
/// sign.
fn frequency(i: usize, size: usize) -> f64 {
    2.0 * i.min(size - i) as f64 / size as f64
}

/// `1/8-1/4` and so on.
pub fn name(band: usize) -> String {
    let part = |edge: f64| match edge {
        0.0 => "0".to_string(),
        0.75 => "3/4".to_string(),
        1.0 => "1".to_string(),
        edge => format!("1/{}", 1.0 / edge),
    };
    format!("{}-{}", part(EDGES[band]), part(EDGES[band + 1]))
}
