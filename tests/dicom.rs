//! The `roentgen` command writes DICOM and begins from it.
#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use roentgen_web::dicom::read::{is_dicom, read};

/// A checkpoint with random weights, 48 x 32 pixels.
const CHECKPOINT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/reference/goldens/pipeline_sd1"
);

fn draw(out: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roentgen"))
        .args(["generate", "--model", CHECKPOINT, "--prompt", "heart"])
        .args(["--steps", "2", "--seed", "1", "--scheduler", "ddim"])
        .args(["--width", "48", "--height", "32", "--out"])
        .arg(out)
        .args(more)
        .output()
        .expect("it starts")
}

#[test]
fn what_is_written_can_be_begun_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let drawn = path("drawn.DCM");
    let output = draw(&drawn, &[]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let bytes = fs::read(&drawn).expect("a file");
    assert!(is_dicom(&bytes));
    let picture = read(&bytes).expect("an image").to_image();
    assert_eq!((picture.width, picture.height), (48, 32));

    // Under a black mask nothing is painted, so the picture comes back as it is.
    let mask = path("mask.png");
    let black = image::GrayImage::new(48, 32);
    black.save(&mask).expect("it is written");
    let again = path("again.png");
    let (image, mask) = (drawn.display().to_string(), mask.display().to_string());
    let output = draw(&again, &["--image", &image, "--mask", &mask]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let kept = image::open(&again).expect("a PNG").into_luma8();
    assert_eq!(kept.into_raw(), picture.data);

    fs::write(&drawn, &bytes[..bytes.len() / 2]).expect("it is written");
    let output = draw(&again, &["--image", &image]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && words.contains("drawn.DCM") && words.contains("cannot be read"),
        "{words}"
    );
}
