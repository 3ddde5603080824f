//! Random crops of radiographs, as the encoder is shown them and as the decoder should give them
//! back.

use rand::RngExt;
use rand::rngs::StdRng;
use roentgen_web::image::bicubic::resize;
use roentgen_web::tensor::HostTensor;

use crate::data::dataset::Dataset;
use crate::data::images::to_unit;

/// Pixels around a crop that change what it looks like at half its size and back: both cubics reach
/// 4 of them. Even, so that the crop's pixels are halved in the same pairs as the whole image's.
const MARGIN: usize = 16;

/// Crops of `n` images in -1 to 1, image after image.
#[derive(Default)]
pub struct Crops {
    /// What the encoder sees: `[n, 1, crop, crop]`.
    pub shown: Vec<f32>,
    /// What the decoder should give: `[n, 1, crop, crop]`; of use where the image is
    /// [`Self::sharp`].
    pub target: Vec<f32>,
    /// The same at half the size, `[n, 1, crop / 2, crop / 2]`; empty where losses are taken at one
    /// size.
    pub half: Vec<f32>,
    /// 1 for an image stored at its full size, 0 for one stored at half of it: `[n]`.
    pub sharp: Vec<f32>,
}

/// Where crops come from.
pub struct Source<'a> {
    data: &'a Dataset,
    /// Images of the full size.
    sharp: Vec<usize>,
    /// All that can be drawn: those, and where the encoder sees half of the detail, images of half
    /// the size.
    all: Vec<usize>,
    crop: usize,
    sees_half: bool,
}

impl<'a> Source<'a> {
    /// Crops of `crop` pixels a side out of images of `data.size`, or of half of it where the
    /// encoder `sees_half` of the detail.
    pub fn new(data: &'a Dataset, crop: usize, sees_half: bool) -> Self {
        let of = |side: usize| (0..data.len()).filter(move |i| data.side(*i) == side);
        let sharp: Vec<usize> = of(data.size).collect();
        let mut all = sharp.clone();
        if sees_half {
            all.extend(of(data.size / 2));
        }
        Self {
            data,
            sharp,
            all,
            crop,
            sees_half,
        }
    }

    /// Number of images that can be drawn: of the full size, and in all.
    pub fn counts(&self) -> [usize; 2] {
        [self.sharp.len(), self.all.len()]
    }

    /// `n` crops; of images of the full size alone where `only_sharp`.
    ///
    /// # Panics
    /// Where there is none to draw from.
    pub fn draw(&self, n: usize, only_sharp: bool, rng: &mut StdRng) -> Crops {
        let from = if only_sharp { &self.sharp } else { &self.all };
        let mut crops = Crops::default();
        for _ in 0..n {
            let image = from[rng.random_range(0..from.len())];
            let corner =
                [(); 2].map(|()| rng.random_range(0..=(self.data.size - self.crop) / 2) * 2);
            self.cut(image, corner, rng.random_bool(0.5), &mut crops);
        }
        crops
    }

    /// Adds one crop; `corner` is its row and column in pixels of the full size, both even.
    fn cut(&self, image: usize, corner: [usize; 2], mirrored: bool, crops: &mut Crops) {
        let (pixels, side, crop) = (self.data.image(image), self.data.side(image), self.crop);
        let [mirror, half_mirror] = [crop, crop / 2].map(|width| {
            move |mut values: Vec<f32>| {
                if mirrored {
                    values.chunks_exact_mut(width).for_each(<[f32]>::reverse);
                }
                values
            }
        });
        let sharp = side == self.data.size;
        crops.sharp.push(if sharp { 1.0 } else { 0.0 });
        if !self.sees_half {
            let target = mirror(window(pixels, side, corner, [crop; 2]));
            crops.shown.extend(&target);
            crops.target.extend(target);
            return;
        }
        let full = self.data.size;
        let first = corner.map(|c| c.saturating_sub(MARGIN));
        let size = [0, 1].map(|i| (corner[i] + crop + MARGIN).min(full) - first[i]);
        let halved = size.map(|n| n / 2);
        let around = if sharp {
            resize(&plane(window(pixels, side, first, size), size), halved)
        } else {
            plane(window(pixels, side, first.map(|c| c / 2), halved), halved)
        };
        let inside = [0, 1].map(|i| corner[i] - first[i]);
        let part = |of: &HostTensor, corner: [usize; 2], n: usize| {
            let width = of.shape[3];
            let rows = (corner[0]..corner[0] + n).map(|y| &of.data[y * width + corner[1]..][..n]);
            rows.flatten().copied().collect::<Vec<f32>>()
        };
        let shown = mirror(part(&resize(&around, size), inside, crop));
        crops.target.extend(if sharp {
            mirror(window(pixels, side, corner, [crop; 2]))
        } else {
            shown.clone()
        });
        crops.shown.extend(shown);
        let half = part(&around, inside.map(|c| c / 2), crop / 2);
        crops.half.extend(half_mirror(half));
    }
}

/// `[height, width]` of a square image from `corner` on, in -1 to 1.
fn window(pixels: &[u8], side: usize, corner: [usize; 2], [h, w]: [usize; 2]) -> Vec<f32> {
    let rows = (corner[0]..corner[0] + h).map(|y| &pixels[y * side + corner[1]..][..w]);
    rows.flatten().map(|p| to_unit(*p)).collect()
}

fn plane(data: Vec<f32>, [h, w]: [usize; 2]) -> HostTensor {
    HostTensor {
        shape: vec![1, 1, h, w],
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::record::Record;
    use crate::training::random::step_rng;
    use roentgen_web::image::AutoencoderDCConfig;

    fn image(side: usize) -> Vec<u8> {
        (0..side * side)
            .map(|i| ((i * i * 31 + i % side * 17) % 251) as u8)
            .collect()
    }

    fn data() -> Dataset {
        let images = [image(64), image(32)];
        Dataset::of(64, images.map(|i| (Record::default(), i)).to_vec())
    }

    #[test]
    fn a_crop_is_shown_as_in_the_whole_image() {
        let data = data();
        let source = Source::new(&data, 16, true);
        assert_eq!(source.counts(), [1, 2]);
        let config = AutoencoderDCConfig {
            sample_size: Some(64),
            encoder_sample_size: Some(32),
            ..AutoencoderDCConfig::default()
        };
        let whole = plane(window(data.image(0), 64, [0, 0], [64; 2]), [64; 2]);
        let whole = config.encoder_size().shown(whole);
        let small = plane(window(data.image(1), 32, [0, 0], [32; 2]), [32; 2]);
        let enlarged = resize(&small, [64, 64]);
        for corner in [[0, 0], [24, 30], [48, 2]] {
            let mut crops = Crops::default();
            source.cut(0, corner, false, &mut crops);
            source.cut(1, corner, false, &mut crops);
            assert_eq!(crops.sharp, [1.0, 0.0]);
            for (i, whole) in [&whole, &enlarged].into_iter().enumerate() {
                for y in 0..16 {
                    for x in 0..16 {
                        let found = crops.shown[i * 256 + y * 16 + x];
                        let expected = whole.data[(corner[0] + y) * 64 + corner[1] + x];
                        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
                    }
                }
            }
            let stored = window(data.image(1), 32, corner.map(|c| c / 2), [8; 2]);
            assert_eq!(crops.half[64..], stored);
            let stored = window(data.image(0), 64, corner, [16; 2]);
            assert_eq!(crops.target[..256], stored);
        }
    }

    #[test]
    fn half_of_the_crops_are_mirrored_in_all_their_parts() {
        let data = data();
        let source = Source::new(&data, 16, true);
        let (mut plain, mut mirrored) = (Crops::default(), Crops::default());
        source.cut(0, [8, 8], false, &mut plain);
        source.cut(0, [8, 8], true, &mut mirrored);
        for (a, b, width) in [
            (&plain.shown, &mut mirrored.shown, 16),
            (&plain.target, &mut mirrored.target, 16),
            (&plain.half, &mut mirrored.half, 8),
        ] {
            b.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            assert_eq!(a, b);
        }
        let drawn = source.draw(40, false, &mut step_rng(1, 1));
        let sharp = drawn.sharp.iter().sum::<f32>();
        assert!((10.0..30.0).contains(&sharp), "{sharp} of 40");
        assert_eq!(source.draw(5, true, &mut step_rng(1, 1)).sharp, [1.0; 5]);
    }
}
