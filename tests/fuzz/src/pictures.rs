//! Radiographs and pictures.

use std::fs;

use roentgen_web::picture::Picture;
use roentgen_web::{dicom, png};

use crate::{Target, goldens};

fn files(folder: &str, endings: &[&str]) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(goldens().join(folder)).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let wanted = paths.iter().filter(|path| {
        let ending = path.extension().map(|ending| ending.to_string_lossy());
        ending.is_some_and(|ending| endings.contains(&&*ending))
    });
    wanted.map(|path| fs::read(path).expect("a file")).collect()
}

/// A file's fault is the end of a sentence on one line.
fn sentence(why: &str) {
    assert!(!why.is_empty() && !why.contains('\n'), "{why:?}");
}

pub const DICOM: Target = Target {
    name: "dicom",
    prepare: |_| {},
    seeds: || files("radiographs", &["dcm"]),
    run: |_, bytes| match dicom::read::read(bytes) {
        Ok(found) => {
            assert_eq!(found.values.len(), found.width * found.height);
            assert_eq!(found.to_image().data.len(), found.values.len());
        }
        Err(why) => sentence(&why),
    },
};

pub const PICTURE: Target = Target {
    name: "picture",
    prepare: |_| {},
    seeds: || files("pictures", &["png", "jpg", "webp"]),
    run: |_, bytes| {
        match Picture::decode(bytes) {
            Ok(picture) => drop(picture.shown()),
            Err(why) => sentence(&why),
        }
        if let Err(why) = png::decode_wide(bytes) {
            sentence(&why);
        }
    },
};
