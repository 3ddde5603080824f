//! A made folder of data sets that overlap.

use std::fs;

use image::GrayImage;

use super::*;
use crate::data::dataset::Dataset;
use crate::data::findings::Finding;
use crate::data::findings::Labels;
use crate::data::images::Fit;
use crate::data::location::Side;

const HEADER: &str = "file,dataset,patient,view,sex,age,age_group,findings,other,split\n";

/// `old` and `sharp` share the image a; patient y of `sharp` has a file named as patient x's in
/// `old`. Both hold labels of ChestX-Det under the name that a has in `old`.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let image = |file: &str, w: u32, h: u32| {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let image = GrayImage::from_fn(w, h, |x, _| image::Luma([(x * 255 / w) as u8]));
        image.save(path).unwrap();
    };
    let nih = |file: &str, patient: &str, findings: &str| {
        format!("{file},nih_chestxray14,{patient},PA,M,50,adult,{findings},,train\n")
    };
    let old = [
        nih("a.png", "a", "Infiltration"),
        nih("x.png", "x", "No Finding"),
        nih("gone.png", "g", "No Finding"),
    ];
    write("old/metadata.csv", &format!("{HEADER}{}", old.concat()));
    let sharp = [
        nih("1/a.png", "a", "Infiltration"),
        nih("1/x.png", "y", "Mass"),
    ];
    write("sharp/metadata.csv", &format!("{HEADER}{}", sharp.concat()));
    let texts = "file,view,sex,text\nt.png,,F,Clear lungs.\nu.png,PA,,\nv.png,,,\n";
    write("texts/metadata.csv", texts);
    let squeezed = "s.png,kermany2018,s,AP,,,child,No Finding,,train\n";
    write(
        "kermany_512_equalised/metadata.csv",
        &format!("{HEADER}{squeezed}"),
    );
    write(
        "boxes/images.csv",
        "file,findings\nold/a.png,Effusion\nold/y.png,Mass\n",
    );
    write(
        "boxes/boxes.csv",
        "file,label,x1,y1,x2,y2\nold/a.png,Effusion,100,600,300,900\n",
    );
    write("notes/README.md", "no table");
    for (file, w, h) in [
        ("old/a.png", 16, 16),
        ("old/x.png", 16, 16),
        ("sharp/1/a.png", 64, 64),
        ("sharp/1/x.png", 64, 64),
        ("texts/t.png", 40, 32),
        ("texts/u.png", 32, 32),
        ("texts/v.png", 32, 32),
        ("kermany_512_equalised/s.png", 64, 64),
    ] {
        image(file, w, h);
    }
    dir
}

fn files(collection: &Collection) -> Vec<&str> {
    collection.records.iter().map(|r| r.file.as_str()).collect()
}

#[test]
fn the_sharper_image_stays_and_takes_the_boxes_along() {
    let dir = folder();
    let found = read(dir.path(), &Split::Train.into()).unwrap();
    assert_eq!(
        files(&found),
        [
            "old/x.png",
            "old/gone.png",
            "sharp/1/a.png",
            "sharp/1/x.png",
            "texts/t.png",
            "texts/u.png"
        ]
    );
    let a = &found.records[2];
    assert_eq!(a.findings, Some(vec![Finding::Effusion]));
    assert_eq!(
        (a.labels, &a.doubtful),
        (Labels::Radiologists, &vec![Finding::Infiltration])
    );
    assert_eq!(a.location(Finding::Effusion).side, Some(Side::Right));
    assert_eq!(found.records[3].labels, Labels::Reports);
    let text = &found.records[4];
    assert_eq!(
        (text.dataset.as_str(), text.text.as_str()),
        ("texts", "Clear lungs.")
    );
}

#[test]
fn an_autoencoder_gets_every_image_and_small_ones_as_they_are() {
    let dir = folder();
    let selection = Selection {
        purpose: Purpose::Detail,
        ..Split::Train.into()
    };
    let data = Dataset::read(dir.path(), &selection, Fit::AtMost(32)).unwrap();
    let sides: Vec<_> = (0..data.len())
        .map(|i| {
            (
                data.records[i].file.as_str(),
                data.records[i].native_size,
                data.side(i),
            )
        })
        .collect();
    assert_eq!(
        sides,
        [
            ("kermany_512_equalised/s.png", 64, 32),
            ("old/x.png", 16, 16),
            ("sharp/1/a.png", 64, 32),
            ("sharp/1/x.png", 64, 32),
            ("texts/t.png", 32, 32),
            ("texts/u.png", 32, 32),
            ("texts/v.png", 32, 32),
        ]
    );
    let names: Vec<String> = data.credits().into_iter().map(|c| c.dataset).collect();
    assert_eq!(
        names,
        ["kermany2018", "nih_chestxray14", "texts", "chestx_det"]
    );
}

#[test]
fn the_log_says_what_each_source_gave_and_why_the_rest_was_left_out() {
    let dir = folder();
    let data = Dataset::load(dir.path(), 32, Split::Train).unwrap();
    let log = data.to_string();
    let lines: Vec<&str> = log.lines().map(str::trim).collect();
    assert_eq!(
        lines[..3],
        [
            "5 images of 32x32 pixels",
            "kermany_512_equalised: 0 images; 1 left out: is for an autoencoder only (kermany_512_equalised/s.png)",
            lines[2],
        ]
    );
    assert!(
        lines[2].starts_with("old: 1 images; ")
            && lines[2].contains("; 1 left out: is in sharp too, at least as large (old/a.png)")
            && lines[2].contains("(old/gone.png)"),
        "{log}"
    );
    assert_eq!(
        lines[3..],
        [
            "sharp: 2 images",
            "texts: 2 images; 1 left out: has no text (texts/v.png)",
            "boxes: 1 images' labels and boxes",
        ]
    );
}

#[test]
fn sources_may_be_named_and_must_be_there() {
    let dir = folder();
    let of = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let selection = Selection {
            sources: Some(&names),
            ..Split::Train.into()
        };
        read(dir.path(), &selection).map(|found| found.records.len())
    };
    assert_eq!(of(&["old", "boxes"]).unwrap(), 3);
    let error = of(&["old", "new"]).unwrap_err().to_string();
    assert!(
        error.contains("\"new\"") && error.contains("boxes, kermany_512_equalised, old"),
        "{error}"
    );
}

#[test]
fn every_image_with_boxes_is_mirrored() {
    let dir = folder();
    let mut data = Dataset::load(dir.path(), 32, Split::Train).unwrap();
    let plain = data.len();
    data.mirror_boxed();
    assert_eq!(data.len(), plain + 1);
    let mirrored = &data.records[plain];
    assert!(mirrored.mirrored);
    assert_eq!(mirrored.location(Finding::Effusion).side, Some(Side::Left));
    let original = data
        .records
        .iter()
        .position(|r| r.file == mirrored.file)
        .unwrap();
    assert_eq!(data.image(plain)[0], data.image(original)[31]);
}
