//! Whole images through an autoencoder: how much of them it keeps.

use std::fmt;
use std::path::Path;

use burn::prelude::*;
use roentgen_web::error::Result;
use roentgen_web::image::{Autoencoder, AutoencoderConfig};

use crate::data::images::to_grey;
use crate::evaluate::rulers::bands::{self, Bands};
use crate::evaluate::rulers::psnr::{half, psnr};
use crate::stages::latents::{BATCH, shown};
use crate::training::sheet;
use crate::training::tensors::values;

/// Images on a sheet.
pub const ON_SHEET: usize = 8;
/// How much a part of each image is enlarged on a sheet.
const ENLARGED: usize = 3;

/// Images, what an autoencoder makes of them, and the latents between; in values of -1 to 1.
pub struct Reconstructions {
    /// Height and width.
    pub size: usize,
    /// `[size, size]` each.
    pub images: Vec<Vec<f32>>,
    /// Latents of each, `[C, h, w]`, before scaling.
    pub latents: Vec<Vec<f32>>,
    /// `[size, size]` each.
    pub decoded: Vec<Vec<f32>>,
}

impl Reconstructions {
    /// Encodes and decodes grey `images` of `size` x `size` values.
    pub fn new(
        vae: &Autoencoder,
        config: &AutoencoderConfig,
        images: Vec<Vec<f32>>,
        size: usize,
        device: &Device,
    ) -> Self {
        let (mut latents, mut decoded) = (vec![], vec![]);
        for batch in images.chunks(BATCH) {
            let split = |all: Vec<f32>, length: usize| -> Vec<Vec<f32>> {
                let each = all.chunks_exact(all.len() / batch.len());
                each.map(|v| v[..length.min(v.len())].to_vec()).collect()
            };
            let means = vae.encode(shown(config, batch, size, device)).mean;
            latents.extend(split(values(means.clone()), usize::MAX));
            // Autoencoders of colour photographs give three channels, which are alike for a
            // radiograph.
            decoded.extend(split(
                values(vae.decode(means).clamp(-1.0, 1.0)),
                size * size,
            ));
        }
        Self {
            size,
            images,
            latents,
            decoded,
        }
    }

    /// PSNR in dB at the full size and, of means of 2x2 pixels, at a half and a quarter of it, with
    /// the sizes.
    pub fn psnr(&self) -> Vec<(usize, f64)> {
        let (mut size, mut a, mut b) = (self.size, self.decoded.clone(), self.images.clone());
        let mut found = vec![(size, psnr(&a, &b))];
        while found.len() < 3 && size.is_multiple_of(2) {
            [a, b] = [a, b].map(|images| images.iter().map(|image| half(image, size)).collect());
            size /= 2;
            found.push((size, psnr(&a, &b)));
        }
        found
    }

    /// Mean absolute error in grey levels of 255.
    pub fn l1(&self) -> f64 {
        let pairs = self
            .decoded
            .iter()
            .flatten()
            .zip(self.images.iter().flatten());
        let sum: f64 = pairs.map(|(a, b)| f64::from((a - b).abs())).sum();
        sum * 127.5 / (self.images.len() * self.size * self.size) as f64
    }

    /// Power of the decoded images in each band of [`bands`], over that of the images.
    pub fn bands(&self) -> [f64; 6] {
        let [decoded, real] = [&self.decoded, &self.images]
            .map(|images| Bands::of(images.iter().map(Vec::as_slice), self.size));
        decoded.over(&real)
    }

    /// Writes the first [`ON_SHEET`] images, each above what was made of it: whole, then a part of
    /// each enlarged. `others` are more reconstructions of the same images, with what they are
    /// called.
    ///
    /// # Errors
    /// As [`sheet::save`].
    pub fn sheet(&self, name: &str, others: &[(&str, &Self)], path: &Path) -> Result<()> {
        let n = self.images.len().min(ON_SHEET);
        let mut rows: Vec<(&str, &[Vec<f32>])> =
            vec![("real", &self.images), (name, &self.decoded)];
        rows.extend(others.iter().map(|(name, made)| (*name, &made.decoded[..])));
        let (mut tiles, mut captions) = (vec![], vec![]);
        for enlarge in [false, true] {
            for (name, images) in &rows {
                for (i, image) in images[..n].iter().enumerate() {
                    let grey: Vec<u8> = image.iter().map(|v| to_grey(*v)).collect();
                    tiles.push(if enlarge {
                        part(&grey, self.size, i)
                    } else {
                        grey
                    });
                    captions.push(*name);
                }
            }
        }
        sheet::save(path, &tiles, &captions, self.size, self.size, n)
    }
}

/// A part of the i-th image, its pixels [`ENLARGED`] times as large: another one of nine for each
/// image.
fn part(image: &[u8], size: usize, i: usize) -> Vec<u8> {
    let step = (size - size.div_ceil(ENLARGED)) / 2;
    let (top, left) = (i / 3 % 3 * step, i % 3 * step);
    (0..size * size)
        .map(|p| image[(top + p / size / ENLARGED) * size + left + p % size / ENLARGED])
        .collect()
}

impl fmt::Display for Reconstructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images; PSNR", self.images.len())?;
        for (size, decibels) in self.psnr() {
            write!(f, " {decibels:.2} dB at {size},")?;
        }
        write!(f, " L1 {:.2} grey levels; bands", self.l1())?;
        let named = self.bands().into_iter().enumerate();
        let mut named = named.map(|(band, ratio)| (bands::name(band), ratio));
        named.try_for_each(|(name, ratio)| write!(f, " {name} {ratio:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_known_error() {
        let size = 16;
        let image: Vec<f32> = (0..size * size)
            .map(|i| (i as f32 * 0.7).sin() * 0.5)
            .collect();
        let decoded = image.iter().map(|v| v + 0.1).collect();
        let made = Reconstructions {
            size,
            images: vec![image],
            latents: vec![],
            decoded: vec![decoded],
        };
        // The range is 2: 20 log10(2 / 0.1), at every size alike.
        for ((size, decibels), expected) in made.psnr().into_iter().zip([16, 8, 4]) {
            assert_eq!(size, expected);
            assert!((decibels - 26.02).abs() < 0.01, "{decibels}");
        }
        assert!((made.l1() - 12.75).abs() < 1e-3, "{}", made.l1());
        // A shift is in the coarsest band, and a Hann window brings it into the next.
        assert!(made.bands()[2..].iter().all(|b| (b - 1.0).abs() < 1e-3));
        assert!(made.to_string().contains("26.02 dB at 16"), "{made}");
        let grey: Vec<u8> = (0..81).collect();
        assert_eq!(part(&grey, 9, 4)[..4], [30, 30, 30, 31]);
    }
}
