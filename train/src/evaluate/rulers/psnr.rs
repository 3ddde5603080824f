//! How near images come to others, at full size and smaller ones.

/// Peak signal-to-noise ratio in dB of values in -1 to 1, the mean over the images.
///
/// # Panics
/// Where the images are not as many and as large as the others.
pub fn psnr(images: &[Vec<f32>], others: &[Vec<f32>]) -> f64 {
    assert_eq!(images.len(), others.len(), "as many images");
    let decibels = images.iter().zip(others).map(|(a, b)| {
        assert_eq!(a.len(), b.len(), "images of one size");
        let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
        let error = squares.sum::<f64>() / a.len() as f64;
        10.0 * (4.0 / error).log10() // the range is 2, its square 4
    });
    decibels.sum::<f64>() / images.len() as f64
}

/// Half the size, each value the mean of four: `[size, size]` to `[size / 2, size / 2]`.
///
/// # Panics
/// For an odd size.
pub fn half(image: &[f32], size: usize) -> Vec<f32> {
    assert!(size.is_multiple_of(2), "an even size");
    let (n, at) = (size / 2, |y: usize, x: usize| image[y * size + x]);
    (0..n * n)
        .map(|i| {
            let (y, x) = (i / n * 2, i % n * 2);
            (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4.0
        })
        .collect()
}
