//! Against `tests/reference/rulers.py`, and what follows from the definitions.

use safetensors::SafeTensors;

use super::side::{QUESTIONS, judge};
use super::*;
use crate::data::findings::Finding;
use crate::data::location::BoundingBox;
use crate::data::record::Record;

/// The tensors that `rulers.py` wrote.
pub(crate) struct Golden(Vec<u8>);

pub(crate) fn golden() -> Golden {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/rulers/case.safetensors"
    );
    Golden(std::fs::read(file).unwrap())
}

impl Golden {
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name);
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect()
    }

    /// The golden images in -1 to 1, 64 x 64 each.
    fn images(&self) -> Vec<Vec<f32>> {
        let bytes = self.bytes("input.images_64");
        let unit = |image: &[u8]| image.iter().map(|p| to_unit(*p)).collect();
        bytes.chunks_exact(64 * 64).map(unit).collect()
    }
}

fn close(found: f64, expected: f32, tolerance: f64) {
    let expected = f64::from(expected);
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1e-3),
        "{found} for {expected}"
    );
}

#[test]
fn band_power_is_numpy_s() {
    let golden = golden();
    let images = golden.images();
    let found = Bands::of(images[..6].iter().map(Vec::as_slice), 64);
    let expected = golden.floats("output.bands");
    assert_eq!(expected.len(), 6);
    for (found, expected) in found.0.into_iter().zip(expected) {
        close(found, expected, 1e-4);
    }
    assert_eq!(found.over(&found), [1.0; 6]);
    let names: Vec<String> = (0..6).map(bands::name).collect();
    assert_eq!(
        names,
        [
            "0-1/16", "1/16-1/8", "1/8-1/4", "1/4-1/2", "1/2-3/4", "3/4-1"
        ]
    );
}

#[test]
fn a_blurred_image_loses_its_fine_bands_and_keeps_the_coarse_one() {
    let images = golden().images();
    // Weights of 1, 2, 1 in either direction: cos^4 of the frequency is left of a band's power.
    let blurred: Vec<Vec<f32>> = images
        .iter()
        .map(|image| {
            let at = |y: usize, x: usize| image[y.min(63) * 64 + x.min(63)];
            let row = |y: usize, x: usize| {
                0.25 * at(y, x.saturating_sub(1)) + 0.5 * at(y, x) + 0.25 * at(y, x + 1)
            };
            let pixel = |y: usize, x: usize| {
                0.25 * row(y.saturating_sub(1), x) + 0.5 * row(y, x) + 0.25 * row(y + 1, x)
            };
            (0..64 * 64).map(|i| pixel(i / 64, i % 64)).collect()
        })
        .collect();
    let of = |images: &[Vec<f32>]| Bands::of(images.iter().map(Vec::as_slice), 64);
    let ratios = of(&blurred).over(&of(&images));
    assert!(
        (ratios[0] - 1.0).abs() < 0.1 && ratios[4] < 0.6,
        "{ratios:?}"
    );
}

#[test]
fn psnr_is_numpy_s_and_grows_as_differences_shrink() {
    let golden = golden();
    let images = golden.images();
    close(
        psnr::psnr(&images[..6], &images[6..]),
        golden.floats("output.psnr")[0],
        1e-5,
    );
    let near = vec![vec![0.1; 16]];
    let far = vec![vec![0.2; 16]];
    let difference = psnr::psnr(&near, &[vec![0.0; 16]]) - psnr::psnr(&far, &[vec![0.0; 16]]);
    assert!((difference - 6.0206).abs() < 1e-3, "{difference}");
    assert_eq!(psnr::half(&[1.0, 3.0, 5.0, 7.0], 2), [4.0]);
}

#[test]
fn pyramids_and_sliced_distances_are_those_of_karras() {
    let golden = golden();
    let image: Vec<f32> = golden.bytes("input.images_64")[..64 * 64]
        .iter()
        .map(|p| f32::from(*p))
        .collect();
    let levels = patches::pyramid(&image, 64);
    assert_eq!(levels.len(), 3);
    for (level, size) in levels.iter().zip([64, 32, 16]) {
        let expected = golden.floats(&format!("output.level_{size}"));
        assert_eq!(level.len(), expected.len());
        let worst = level
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst < 1e-3, "{worst} at {size}");
    }
    let [mut a, mut b, directions] = ["patches_a", "patches_b", "directions"]
        .map(|name| golden.floats(&format!("input.{name}")));
    patches::normalise(&mut a);
    patches::normalise(&mut b);
    let found = patches::sliced(&a, &b, &directions, 49);
    close(found, golden.floats("output.sliced")[0], 1e-4);
}

#[test]
fn like_textures_are_nearer_than_unlike_ones() {
    let images = golden().images();
    let rng = || step_rng(7, 0);
    let same = patches::distances(&images, &images, 64, &mut rng());
    assert!(same.iter().all(|(_, d)| *d == 0.0), "{same:?}");
    let noisy: Vec<Vec<f32>> = images
        .iter()
        .map(|image| {
            image
                .iter()
                .enumerate()
                .map(|(i, v)| v + ((i * 7919) % 13) as f32 / 26.0)
                .collect()
        })
        .collect();
    let other = patches::distances(&images, &noisy, 64, &mut rng());
    assert_eq!(
        other.iter().map(|(size, _)| *size).collect::<Vec<_>>(),
        [64, 32, 16]
    );
    assert!(other[0].1 > 10.0, "{other:?}");
}

#[test]
fn power_is_measured_about_the_real_mean_of_each_channel() {
    // Channel 0 varies by 1 about 5, channel 1 by 2 about 0; the generated ones by half of that,
    // and the second is off by 1.
    let real = vec![vec![4.0, 6.0, -2.0, 2.0], vec![6.0, 4.0, 2.0, -2.0]];
    let generated = vec![vec![4.5, 5.5, 0.0, 2.0]];
    let (all, each) = power::ratio(&generated, &real, 2);
    assert_eq!(each, [0.25, 0.5]);
    assert_eq!(all, (0.25 + 2.0) / (1.0 + 4.0));
}

#[test]
fn a_model_obeys_if_both_images_of_a_seed_do() {
    let size = 32;
    let lung = |left: u8, right: u8| -> Vec<u8> {
        (0..size * size)
            .map(|i| if i % size >= size / 2 { left } else { right })
            .collect()
    };
    let pairs = [
        [lung(150, 100), lung(100, 150)],
        [lung(110, 100), lung(100, 105)],
        [lung(100, 150), lung(150, 100)],
        [lung(150, 100), lung(120, 100)],
    ];
    let found = judge(&pairs, size, true, 0.0);
    assert_eq!((found.visible, found.opposite), (0.5, 0.5));
    assert_eq!(found.difference, (100.0 + 15.0 - 100.0 + 30.0) / 4.0);
    let darker = judge(&pairs, size, false, 0.0);
    assert_eq!((darker.visible, darker.opposite), (0.25, 0.25));
    let offset = judge(&pairs[1..2], size, true, 20.0);
    assert_eq!(offset.opposite, 0.0, "what is normal lies between them");
    let [left, right] = QUESTIONS[1].prompts();
    assert!(left.ends_with(". Left consolidation.") && right.ends_with(". Right consolidation."));
    assert!(QUESTIONS[0].prompts()[0].ends_with("Large left pleural effusion."));
}

#[test]
fn what_real_images_show_is_told_by_their_boxes() {
    // A box of a sixth of the image is a large effusion; the patient's left is at the right.
    let size = 64;
    let image = |at: f32, whiter: u8| {
        let found = BoundingBox {
            finding: Finding::Effusion,
            x: at,
            y: 0.4,
            w: 0.4,
            h: 0.4,
        };
        let record = Record {
            boxes: vec![found],
            findings: Some(vec![Finding::Effusion]),
            ..Record::default()
        };
        let grey = |i: usize| {
            100 + if (i % size >= size / 2) == (at > 0.4) {
                whiter
            } else {
                0
            }
        };
        (record, (0..size * size).map(grey).collect())
    };
    let [effusion, _, pneumothorax] = QUESTIONS;
    let images = vec![image(0.55, 30), image(0.55, 50), image(0.05, 20)];
    let data = Dataset::of(size, images);
    assert_eq!(effusion.real(&data), Some((40.0 + 20.0, [2, 1])));
    assert_eq!(pneumothorax.real(&data), None, "nothing of it is boxed");
    let data = Dataset::of(size, vec![image(0.55, 30)]);
    assert_eq!(effusion.real(&data), None, "none on the right");
}
