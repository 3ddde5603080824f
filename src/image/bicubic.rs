//! Bicubic resizing of images in -1 to 1, and the detail that an encoder is shown.

use super::fault;
use crate::error::Result;
use crate::tensor::HostTensor;

/// `a` of Keys' cubic (1981): -1/2 is Catmull-Rom, as in Pillow and in PyTorch's antialiased
/// resizing.
const A: f64 = -0.5;

/// Keys of a config that say how fine the images are which the encoder was trained on.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncoderSize {
    /// An image with sides of `sample_size` pixels is reduced to sides of so many and enlarged
    /// again before it is encoded, so that images which were stored small and large have latents of
    /// one kind. `None`: images are encoded as they are.
    ///
    /// This key is ours; diffusers' classes ignore it.
    pub encoder_sample_size: Option<usize>,
    /// Image height and width that the model was trained for.
    pub sample_size: Option<usize>,
}

impl EncoderSize {
    /// # Errors
    /// [`crate::Error::Config`] if `encoder_sample_size` is there without a `sample_size` that is
    /// as large.
    pub(super) fn check(self) -> Result<()> {
        match (self.encoder_sample_size, self.sample_size) {
            (None, _) => Ok(()),
            (Some(shown), Some(native)) if shown > 0 && shown <= native => Ok(()),
            (Some(shown), native) => Err(fault(format!(
                "encoder_sample_size {shown} must be above 0 and at most sample_size, which is {}",
                native.map_or("missing".into(), |n| n.to_string())
            ))),
        }
    }

    /// What the encoder is shown of `image`, `[B, C, H, W]`, at the same size.
    pub fn shown(self, image: HostTensor) -> HostTensor {
        let (Some(shown), Some(native)) = (self.encoder_sample_size, self.sample_size) else {
            return image;
        };
        let size = [image.shape[2], image.shape[3]];
        let reduced = size.map(|n| (n * shown / native).max(1));
        if reduced == size {
            image
        } else {
            resize(&resize(&image, reduced), size)
        }
    }
}

/// `[B, C, H, W]` to `[B, C, size[0], size[1]]`: bicubic, the cubic widened where the image is
/// reduced so that nothing aliases, and Catmull-Rom's where it is enlarged. The same numbers as
/// PyTorch's `interpolate(mode="bicubic", antialias=True)`.
pub fn resize(image: &HostTensor, size: [usize; 2]) -> HostTensor {
    let [b, c, h, w] = image.shape[..] else {
        panic!("an image has 4 dimensions, not {:?}", image.shape)
    };
    let [rows, columns] = [Taps::new(h, size[0]), Taps::new(w, size[1])];
    // Across first: each row of each plane is a signal; then down, each row as a whole being one
    // value of it.
    let across = columns.apply(&image.data, 1);
    HostTensor {
        shape: vec![b, c, size[0], size[1]],
        data: rows.apply(&across, size[1]),
    }
}

/// What each value of a resized signal is made of.
struct Taps {
    /// Length of the signal.
    from: usize,
    /// First value that is read, and the share of it and of each that follows.
    outputs: Vec<(usize, Vec<f32>)>,
}

impl Taps {
    fn new(from: usize, to: usize) -> Self {
        let step = from as f64 / to as f64;
        let wide = step.max(1.0);
        let reach = 2.0 * wide;
        let output = |i: usize| {
            let centre = (i as f64 + 0.5) * step;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            let share = |j: usize| cubic((j as f64 + 0.5 - centre) / wide);
            let shares: Vec<f64> = (first..end).map(share).collect();
            let sum: f64 = shares.iter().sum(); // less than all where the signal ends
            (first, shares.iter().map(|s| (s / sum) as f32).collect())
        };
        Self {
            from,
            outputs: (0..to).map(output).collect(),
        }
    }

    /// Resizes signals, one after another in `values`, of which each value is `width` numbers.
    fn apply(&self, values: &[f32], width: usize) -> Vec<f32> {
        let signals = values.len() / (self.from * width);
        let mut out = vec![0.0; signals * self.outputs.len() * width];
        let places = out.chunks_exact_mut(width);
        let wanted = values
            .chunks_exact(self.from * width)
            .flat_map(|signal| self.outputs.iter().map(move |output| (signal, output)));
        for (place, (signal, (first, shares))) in places.zip(wanted) {
            for (value, share) in signal[first * width..].chunks_exact(width).zip(shares) {
                for (out, value) in place.iter_mut().zip(value) {
                    *out += share * value;
                }
            }
        }
        out
    }
}

/// Keys 1981, "Cubic convolution interpolation for digital image processing", equation 15 with `a`
/// = [`A`].
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}
