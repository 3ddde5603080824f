//! The `roentgen` command: what it refuses, in one sentence, and one image of a small random model.
#![cfg(feature = "cli")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

#[path = "../common/mod.rs"]
mod common;
mod reader;

use common::copy_folder;
use safetensors::SafeTensors;
use tempfile::TempDir;

/// A checkpoint with random weights as diffusers saves it, 48 x 32 pixels.
const CHECKPOINT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/reference/goldens/pipeline_sd1"
);

/// An image of it, with whatever options follow.
const GENERATE: [&str; 5] = ["generate", "--model", CHECKPOINT, "--prompt", "x"];

/// Address space in kB, and time, within which anything is refused: what a stranger brings cannot
/// ask for more.
const KILOBYTES: u32 = 3_000_000;
const TIME: Duration = Duration::from_secs(20);

fn roentgen(args: &[&str]) -> Output {
    // macOS has no such limit
    let limited = format!("ulimit -v {KILOBYTES} 2>/dev/null; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    let command = command.args(["-c", &limited, env!("CARGO_BIN_EXE_roentgen")]);
    let command = command.args(args).env_remove("RUST_BACKTRACE");
    command.output().expect("it starts")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// Runs it and expects exit code 1, nothing on stdout and one line with these words on stderr.
fn refused(args: &[&str], words: &[&str]) {
    let started = Instant::now();
    let output = roentgen(args);
    assert!(started.elapsed() < TIME, "{args:?}");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert!(
        text.starts_with("roentgen: ") && text.trim_end().lines().count() == 1,
        "{args:?}: {text}"
    );
    for word in words {
        assert!(text.contains(word), "{args:?}: no {word:?} in {text}");
    }
}

#[test]
fn bad_arguments() {
    let args = |more: &[&'static str]| {
        let mut args = GENERATE.to_vec();
        args.extend(["--out", "/tmp/x.png"]);
        args.extend(more);
        args
    };
    refused(&["generate"], &["--model", "--prompt", "--out"]);
    refused(&["paint"], &["paint"]);
    refused(&args(&["--scheduler", "ddpm"]), &["ddpm", "dpm++2m"]);
    refused(&args(&["--backend", "tpu"]), &["tpu", "cpu or gpu"]);
    refused(&args(&["--precision", "f12"]), &["f12", "f16 or f32"]);
    refused(&args(&["--precision", "f16"]), &["shader-f16"]); // the CPU
    refused(&args(&["--steps", "many"]), &["many"]);
    refused(&args(&["--seed", "-1"]), &["-1"]);
    refused(&args(&["--surprise"]), &["--surprise"]);
    refused(&args(&["--width", "50"]), &["width", "50", "multiple"]);
    refused(&args(&["--height", "0"]), &["height"]);
    refused(&args(&["--steps", "0"]), &["steps"]);
    refused(&args(&["--guidance", "nan"]), &["guidance"]);
}

#[test]
fn help_is_no_error() {
    let output = roentgen(&["generate", "--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for flag in [
        "--model",
        "--decoder",
        "--lora",
        "--prompt",
        "--negative",
        "--seed",
        "--steps",
        "--guidance",
        "--scheduler",
        "--width",
        "--height",
        "--backend",
        "--precision",
        "--latents",
        "--dump",
        "--out",
    ] {
        assert!(text.contains(flag), "{flag} is not in the help");
    }
}

#[test]
fn bad_folders_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = path(&folder, "x.png");
    let generate = |model: &str, more: &[&str], words: &[&str]| {
        let mut args = vec!["generate", "--prompt", "x", "--out", &out, "--model", model];
        args.extend(more);
        refused(&args, words);
        assert!(!Path::new(&out).exists());
    };
    generate(
        &path(&folder, "nowhere"),
        &[],
        &["nowhere", "no such folder"],
    );
    generate(&path(&folder, ""), &[], &["text_encoder/config.json"]);
    fs::write(path(&folder, "bundle.json"), "{").unwrap();
    generate(&path(&folder, ""), &[], &["bundle.json", "not valid JSON"]);
    generate(&path(&folder, "bundle.json"), &[], &["it is a file"]);
    generate(
        CHECKPOINT,
        &["--latents", &path(&folder, "nothing")],
        &["nothing"],
    );
    generate(
        CHECKPOINT,
        &["--latents", &path(&folder, "bundle.json")],
        &["safetensors"],
    );
    let case = format!("{CHECKPOINT}/unet/diffusion_pytorch_model.safetensors");
    generate(CHECKPOINT, &["--latents", &case], &["latents"]);
    generate(
        CHECKPOINT,
        &["--dump", &path(&folder, "no/folder/x.safetensors")],
        &["no/folder"],
    );
}

#[test]
fn checkpoints_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let model = path(&folder, "model");
    let out = path(&folder, "x.png");
    let copy = || {
        let _ = fs::remove_dir_all(&model);
        copy_folder(Path::new(CHECKPOINT), Path::new(&model));
    };
    let refused_with = |words: &[&str]| {
        refused(
            &[
                "generate", "--steps", "1", "--prompt", "x", "--out", &out, "--model", &model,
            ],
            words,
        );
    };
    let unet = format!("{model}/unet/diffusion_pytorch_model.safetensors");

    copy();
    let whole = fs::read(&unet).unwrap();
    fs::write(&unet, &whole[..whole.len() - 3]).unwrap();
    refused_with(&["diffusion_pytorch_model.safetensors", "not as long"]);

    let length = u64::from(u32::MAX).to_le_bytes();
    fs::write(&unet, [&length, &whole[8..]].concat()).unwrap();
    refused_with(&["header"]);

    // The same length, so that the file stays valid and one name is wrong.
    fs::write(
        &unet,
        replaced(&whole, b"\"conv_in.weight\"", b"\"conv_on.weight\""),
    )
    .unwrap();
    refused_with(&["unet.conv_on.weight"]);

    // A name that would clear the screen and begin a line of its own.
    let forged = replaced(&whole, b"\"conv_in.weight\"", b"\"\\u001b[2J\\nabc\"");
    fs::write(&unet, forged).unwrap();
    refused_with(&["`unet.\\u{1b}[2J abc`"]);

    fs::remove_file(&unet).unwrap();
    refused_with(&["unet has no weights"]);

    copy();
    fs::remove_file(format!("{model}/tokenizer/merges.txt")).unwrap();
    refused_with(&["tokenizer"]);

    copy();
    fs::write(format!("{model}/vae/config.json"), "[]").unwrap();
    refused_with(&["vae/config.json"]);
}

#[test]
fn one_image_with_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let (out, dump) = (
        path(&folder, "image.png"),
        path(&folder, "dump.safetensors"),
    );
    let mut args = vec![
        "generate",
        "--model",
        CHECKPOINT,
        "--prompt",
        "Größe: left effusion",
        "--negative",
        "normal",
    ];
    args.extend([
        "--seed",
        "7",
        "--steps",
        "3",
        "--guidance",
        "4",
        "--width",
        "48",
        "--height",
        "32",
    ]);
    args.extend(["--scheduler", "euler", "--out", &out, "--dump", &dump]);
    let output = roentgen(&args);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let mut reader = png::Decoder::new(std::io::Cursor::new(fs::read(&out).unwrap()))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    assert_eq!((reader.info().width, reader.info().height), (48, 32));
    let text = |keyword: &str| {
        let chunk = reader
            .info()
            .utf8_text
            .iter()
            .find(|t| t.keyword == keyword)
            .expect(keyword);
        chunk.get_text().unwrap()
    };
    assert!(text("Synthetic").contains("not for diagnosis"));
    let expected = [
        ("Prompt", "Größe: left effusion"),
        ("Negative prompt", "normal"),
        ("Seed", "7"),
        ("Steps", "3"),
        ("Guidance scale", "4"),
        ("Scheduler", "euler"),
        ("Model", "pipeline_sd1"),
        ("Size", "48x32"),
    ];
    for (keyword, value) in expected {
        assert_eq!(text(keyword), value, "{keyword}");
    }

    let bytes = fs::read(&dump).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        tensors
            .tensor(name)
            .unwrap()
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    assert_eq!(
        tensors.tensor("prompt_embeds").unwrap().shape()[..2],
        [1, 77]
    );
    assert_eq!(tensors.tensor("latents").unwrap().shape()[0], 1);
    let shape = tensors.tensor("image").unwrap().shape().to_vec();
    assert_eq!((shape[0], shape[2], shape[3]), (1, 32, 48));
    // The PNG is the dumped image in 8 bits, pixel by pixel.
    let (image, plane) = (floats("image"), 32 * 48);
    let channels = pixels.len() / plane;
    for (i, &value) in pixels.iter().enumerate() {
        let x = image[i % channels * plane + i / channels];
        assert!(
            ((x + 1.0) * 127.5 - f32::from(value)).abs() <= 0.5001,
            "pixel {i}: {x} is not {value}"
        );
    }

    // The dumped latents are taken as a start, and give the size.
    let again = path(&folder, "again.png");
    let mut args = GENERATE.to_vec();
    args.extend(["--steps", "1", "--latents", &dump]);
    args.extend(["--out", &again]);
    let output = roentgen(&args);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(fs::read(&again).unwrap() != fs::read(&out).unwrap());
    let info = png::Decoder::new(std::io::Cursor::new(fs::read(&again).unwrap()))
        .read_info()
        .unwrap();
    assert_eq!((info.info().width, info.info().height), (48, 32));
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(old.len())
        .position(|w| w == old)
        .expect("it is there");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn a_picture_to_begin_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, picture: image::DynamicImage| {
        let file = path(&folder, name);
        picture.save(&file).expect("it is written");
        file
    };
    // Wider than the image to be made, whose 48 x 32 pixels are its middle.
    let slope = image::GrayImage::from_fn(120, 64, |x, y| image::Luma([(x + y) as u8]));
    let left =
        image::GrayImage::from_fn(48, 32, |x, _| image::Luma([if x < 16 { 255 } else { 0 }]));
    let (slope, left) = (
        write("slope.png", slope.into()),
        write("left.png", left.into()),
    );
    let out = path(&folder, "out.png");
    let base = [
        "generate",
        "--model",
        CHECKPOINT,
        "--prompt",
        "heart",
        "--steps",
        "2",
        "--seed",
        "1",
        "--width",
        "48",
        "--height",
        "32",
        "--scheduler",
        "ddim",
        "--out",
        &out,
    ];
    let args = |more: &[&'static str]| [&base[..], more].concat();
    let with = |more: &[&str]| roentgen(&[&base[..], more].concat());

    let output = with(&["--image", &slope, "--mask", &left, "--strength", "0.5"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let painted = image::open(&out).expect("a PNG").into_luma8();
    let kept = |x: u32, y: u32| 13.0 + 2.0 * (x + y) as f32;
    let error = |x, y| (f32::from(painted.get_pixel(x, y)[0]) - kept(x, y)).abs();
    assert!(
        error(40, 8) < 3.0 && error(30, 20) < 3.0,
        "{}",
        error(40, 8)
    );
    assert!((0..16).any(|x| error(x, 8) > 8.0));

    fs::write(folder.path().join("text.png"), "no picture").expect("it is written");
    let text = path(&folder, "text.png");
    let output = with(&["--image", &text]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && words.contains("text.png") && words.contains("JPEG"),
        "{words}"
    );
    refused(&args(&["--image", "/no/such.png"]), &["/no/such.png"]);
    refused(&args(&["--mask", "m.png"]), &["--image"]);
    refused(&args(&["--strength", "0.5"]), &["--image"]);
}
