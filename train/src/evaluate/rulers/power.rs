//! Whether generated latents are as varied as real ones: a model that keeps near to the mean has
//! less power.

/// Mean square of the latents of each channel about the real mean of that channel, of samples of
/// `[channels, positions]` each.
fn power(samples: &[Vec<f32>], channels: usize, means: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for sample in samples {
        let positions = sample.len() / channels;
        for (channel, values) in sample.chunks_exact(positions).enumerate() {
            let squares = values
                .iter()
                .map(|v| (f64::from(*v) - means[channel]).powi(2));
            sums[channel] += squares.sum::<f64>() / (positions * samples.len()) as f64;
        }
    }
    sums
}

/// Power of generated latents over that of real ones: of all channels together, and of each.
///
/// # Panics
/// Without samples, or where their lengths are no multiple of `channels`.
pub fn ratio(generated: &[Vec<f32>], real: &[Vec<f32>], channels: usize) -> (f64, Vec<f64>) {
    assert!(!generated.is_empty() && !real.is_empty(), "samples");
    let first = &real[0];
    assert!(
        first.len().is_multiple_of(channels),
        "values of {channels} channels"
    );
    let positions = first.len() / channels;
    let mean = |channel: usize| {
        let values = real
            .iter()
            .flat_map(|s| &s[channel * positions..(channel + 1) * positions]);
        values.map(|v| f64::from(*v)).sum::<f64>() / (positions * real.len()) as f64
    };
    let means: Vec<f64> = (0..channels).map(mean).collect();
    let [generated, real] = [generated, real].map(|samples| power(samples, channels, &means));
    let each = generated.iter().zip(&real).map(|(g, r)| g / r).collect();
    (
        generated.iter().sum::<f64>() / real.iter().sum::<f64>(),
        each,
    )
}
