//! Against the goldens of `tests/reference/metrics.py`, and what follows from the definitions.

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde::Deserialize;

use super::Features;
use super::auroc::{auroc, standard_error};
use super::frechet::Gaussian;
use super::manifold::{Manifold, nearest};
use super::ms_ssim::{ms_ssim, scales};

#[derive(Deserialize)]
struct Expected {
    auroc: f64,
    frechet: f64,
    frechet_few: f64,
    prdc: Prdc,
    nearest_distances: Vec<f64>,
    ms_ssim_128: Vec<f64>,
    ms_ssim_176: Vec<f64>,
}

#[derive(Deserialize)]
struct Prdc {
    precision: f64,
    recall: f64,
    density: f64,
    coverage: f64,
}

fn golden(file: &str) -> Vec<u8> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/metrics"
    );
    std::fs::read(PathBuf::from(folder).join(file)).unwrap()
}

fn expected() -> Expected {
    serde_json::from_slice(&golden("metrics.json")).unwrap()
}

fn bytes(name: &str) -> (Vec<usize>, Vec<u8>) {
    let file = golden("case.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let tensor = file.tensor(&format!("input.{name}")).unwrap();
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

fn floats(name: &str) -> (Vec<usize>, Vec<f32>) {
    let (shape, data) = bytes(name);
    let (floats, rest) = data.as_chunks::<4>();
    assert!(rest.is_empty());
    (
        shape,
        floats.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    )
}

fn features(name: &str) -> Features {
    let (shape, values) = floats(name);
    Features::new(shape[1], values)
}

fn close(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance, "{ours} for {theirs}");
}

#[test]
fn auroc_is_that_of_scikit_learn_with_ties() {
    let (_, scores) = floats("scores");
    let positive: Vec<bool> = bytes("positive").1.iter().map(|p| *p == 1).collect();
    let area = auroc(&scores, &positive).unwrap();
    close(area, expected().auroc, 1e-12);
    let turned: Vec<bool> = positive.iter().map(|p| !p).collect();
    close(auroc(&scores, &turned).unwrap(), 1.0 - area, 1e-12);
}

#[test]
fn auroc_without_both_classes_or_with_nan_is_none() {
    assert_eq!(auroc(&[], &[]), None);
    assert_eq!(auroc(&[0.1, 0.2], &[true, true]), None);
    assert_eq!(auroc(&[f32::NAN, 0.2], &[true, false]), None);
    assert_eq!(auroc(&[0.5, 0.5], &[true, false]), Some(0.5));
    assert_eq!(auroc(&[0.9, 0.5], &[true, false]), Some(1.0));
}

#[test]
fn the_standard_error_is_that_of_hanley_and_mcneil() {
    // Their eq. 1 with Q1 = 0.80668 and Q2 = 0.84252, worked by hand for an area of 0.893 of 51 and
    // 58 images.
    close(standard_error(0.893, 51, 58), 0.0325, 5e-5);
    assert!(standard_error(0.7, 20, 1000) > standard_error(0.7, 100, 1000));
    assert_eq!(standard_error(1.0, 5, 5), 0.0);
}

#[test]
fn the_frechet_distance_is_that_of_scipy() {
    let [real, generated, few] = ["real", "generated", "few"].map(|n| Gaussian::fit(&features(n)));
    close(real.distance(&generated), expected().frechet, 1e-6);
    close(generated.distance(&real), expected().frechet, 1e-6);
    close(real.distance(&few), expected().frechet_few, 1e-5);
    close(few.distance(&real), expected().frechet_few, 1e-5);
    close(real.distance(&real), 0.0, 1e-9);
}

#[test]
fn precision_recall_density_and_coverage_are_those_of_prdc() {
    let m = Manifold::compare(&features("real"), &features("generated"), 5);
    let theirs = expected().prdc;
    close(m.precision, theirs.precision, 1e-9);
    close(m.recall, theirs.recall, 1e-9);
    close(m.density, theirs.density, 1e-9);
    close(m.coverage, theirs.coverage, 1e-9);
}

#[test]
fn neighbours_are_those_of_scikit_learn() {
    let found = nearest(&features("generated"), &features("real"));
    let (_, indices) = bytes("nearest");
    let (indices, _) = indices.as_chunks::<8>();
    assert_eq!(indices.len(), found.len());
    for ((ours, index), distance) in found.iter().zip(indices).zip(expected().nearest_distances) {
        assert_eq!(ours.index as i64, i64::from_le_bytes(*index));
        close(ours.distance, distance, 1e-5);
    }
}

#[test]
fn ms_ssim_is_that_of_torchmetrics_scales() {
    let expected = expected();
    for (size, theirs) in [(128, expected.ms_ssim_128), (176, expected.ms_ssim_176)] {
        let (_, images) = bytes(&format!("images_{size}"));
        let images: Vec<&[u8]> = images.chunks_exact(size * size).collect();
        assert_eq!(images.len(), theirs.len());
        for (image, theirs) in images.iter().zip(theirs) {
            close(ms_ssim(images[0], image, size), theirs, 1e-9);
            close(ms_ssim(image, images[0], size), theirs, 1e-9);
        }
    }
}

#[test]
fn as_many_scales_as_fit_are_used() {
    assert_eq!([10, 11, 64, 128, 176, 512].map(scales), [0, 1, 3, 4, 5, 5]);
}

#[test]
fn rows_can_be_selected() {
    let points = Features::new(2, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(points.len(), 3);
    assert_eq!(
        points.select(&[2, 0]),
        Features::new(2, vec![4.0, 5.0, 0.0, 1.0])
    );
}
