//! Winograd's convolutions beside the product of patches, and beside themselves.

use super::super::product::product;
use super::*;
use crate::parity::relative_l2;

fn numbers(count: usize) -> Vec<f32> {
    let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761);
    (0..count)
        .map(|i| hash(i) as f32 / 2f32.powi(31) - 1.0)
        .collect()
}

#[test]
fn small_maps_have_small_tiles() {
    assert_eq!(side(1, [64, 64], false), Some(4));
    assert_eq!(side(1, [4, 4], false), Some(2));
    assert_eq!(side(32, [4, 4], false), Some(4));
    assert_eq!(side(32, [4, 4], true), Some(2));
    assert_eq!(side(1, [1, 1], false), None);
}

#[test]
fn both_tiles_equal_the_product_of_patches() {
    let [b, h, w, c_in, c_out] = [3, 11, 13, 19, 37]; // nothing divides them
    let (pixels, taps) = (numbers(b * h * w * c_in), numbers(c_out * c_in * 9));
    let (shift, residual) = (numbers(c_out), numbers(b * h * w * c_out));
    let time = numbers(b * c_out);
    let images = Patches {
        images: &pixels,
        size: [h, w],
        channels: c_in,
        outside: &vec![0.0; c_in],
        side: 3,
        stride: 1,
        padding: 1,
        upsample: false,
        out_size: [h, w],
    };
    let finish = Finish {
        shift: &shift,
        time: Some(&time),
        pixels: h * w,
        residual: Some(&residual),
        ..Finish::default()
    };
    let value = |k: usize, c: usize| taps[(c * c_in + k % c_in) * 9 + k / c_in];
    let panels = Panels::new(9 * c_in, c_out, value);
    let expected = product(&images, &panels, finish, [b * h * w, c_out]);
    let filters = taps.as_chunks::<9>().0;
    for m in [2, 4] {
        let weights = weights([c_in, c_out], m, false, |k, c| &filters[c * c_in + k]);
        let found = convolve(&images, &weights, m, finish, [b, c_out]);
        let error = relative_l2(&found, &expected);
        assert!(error < 2e-6, "tiles of {m}: {error:.1e}");
    }
}

#[cfg(feature = "threads")]
#[test]
fn any_number_of_threads_gives_the_same() {
    // Shared by its channels where it is small, and by its rows where it is not.
    for [b, side, c_in, c_out] in [[1, 4, 128, 120], [1, 8, 96, 100], [2, 13, 64, 72]] {
        let (pixels, taps) = (numbers(b * side * side * c_in), numbers(c_out * c_in * 9));
        let (shift, residual) = (numbers(c_out), numbers(b * side * side * c_out));
        let images = Patches {
            images: &pixels,
            size: [side; 2],
            channels: c_in,
            outside: &vec![0.0; c_in],
            side: 3,
            stride: 1,
            padding: 1,
            upsample: false,
            out_size: [side; 2],
        };
        let finish = Finish {
            shift: &shift,
            pixels: side * side,
            residual: Some(&residual),
            ..Finish::default()
        };
        let filters = taps.as_chunks::<9>().0;
        for m in [2, 4] {
            let weights = weights([c_in, c_out], m, false, |k, c| &filters[c * c_in + k]);
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                let run = || convolve(&images, &weights, m, finish, [b, c_out]);
                pool.build().expect("threads").install(run)
            };
            let alone = with(1);
            for threads in [2, 3, 8] {
                assert_eq!(with(threads), alone, "{threads} threads, tiles of {m}");
            }
        }
    }
}
