//! A made data folder, with everything that can be wrong in it.

use std::fs;

use image::GrayImage;

use super::*;
use crate::data::findings::Finding;
use crate::data::location::BoundingBox;
use crate::data::record::Sex;

const HEADER: &str = "file,dataset,patient,view,sex,age,age_group,findings,other,split\n";

/// Three good rows in two splits, and one of each kind of bad row.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let rows = [
        "256/a.webp,nih_chestxray14,a,PA,M,60,adult,Effusion|Mass,,train",
        "128/b.webp,kermany2018,b,AP,,,child,No Finding,,train",
        "128/c.webp,mhh_covid19,c,AP,F,,,,COVID-19,val",
        "128/broken.webp,mhh_covid19,d,AP,F,,,,,train",
        "128/absent.webp,mhh_covid19,d,AP,F,,,,,train",
        "128/e.webp,mhh_covid19,d,LL,F,,,,,train",
        "128/f.webp,nih_chestxray14,d,AP,F,,,Gout,,train",
        "128/g.webp,nih_chestxray14,d,AP,F,old,,Mass,,train",
        "128/h.webp,too,few,columns",
        "128/flat.webp,mhh_covid19,d,AP,F,,,,,train",
    ];
    fs::write(
        dir.path().join("metadata.csv"),
        format!("{HEADER}{}\n", rows.join("\n")),
    )
    .expect("writes");
    let boxes =
        "file,label,x,y,w,h\n256/a.webp,Effusion,128,64,64,32\n256/a.webp,Mass,250,0,64,32\n";
    fs::write(dir.path().join("bboxes.csv"), boxes).expect("writes");
    for (name, size) in [
        ("256/a.webp", 256),
        ("128/b.webp", 128),
        ("128/c.webp", 128),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        GrayImage::from_fn(size, size, |x, _| image::Luma([(x * 255 / size) as u8]))
            .save(path)
            .expect("writes");
    }
    GrayImage::new(128, 128)
        .save(dir.path().join("128/flat.webp"))
        .expect("writes");
    fs::write(dir.path().join("128/broken.webp"), b"RIFF").expect("writes");
    dir
}

#[test]
fn good_rows_are_read_and_bad_ones_named() {
    let dir = folder();
    let data = Dataset::load(dir.path(), 128, Split::Train).expect("loads");
    assert_eq!((data.len(), data.size), (2, 128));
    let a = &data.records[0];
    assert_eq!(a.findings, Some(vec![Finding::Effusion, Finding::Mass]));
    assert_eq!(
        (a.sex, a.age, a.native_size),
        (Some(Sex::Male), Some(60), 256)
    );
    assert_eq!(
        a.boxes,
        [BoundingBox {
            finding: Finding::Effusion,
            x: 0.5,
            y: 0.25,
            w: 0.25,
            h: 0.125
        }]
    );
    assert_eq!(data.records[1].findings, Some(vec![]));
    let skipped = &data.sources[0].skipped;
    let mut bad: Vec<&str> = skipped.iter().map(|s| s.file.as_str()).collect();
    bad.sort_unstable();
    assert_eq!(
        bad,
        [
            "128/absent.webp",
            "128/broken.webp",
            "128/e.webp",
            "128/f.webp",
            "128/flat.webp",
            "128/g.webp",
            "256/a.webp",
            "line 10"
        ]
    );
    let text = data.to_string();
    assert!(
        text.starts_with("2 images of 128x128 pixels\n  metadata.csv: 2 images; ")
            && text.contains("has the view \"LL\""),
        "{text}"
    );
    let val = Dataset::load(dir.path(), 128, Split::Val).expect("loads");
    assert_eq!((val.len(), &val.records[0].findings), (1, &None));
}

#[test]
fn images_have_the_wanted_size_and_keep_left_and_right() {
    let dir = folder();
    for size in [64, 128, 256] {
        let data = Dataset::load(dir.path(), size, Split::Train).expect("loads");
        for i in 0..data.len() {
            let image = data.image(i);
            assert_eq!(image.len(), size * size);
            assert!(
                image[0] < 10 && image[size - 1] > 245,
                "{} {}",
                image[0],
                image[size - 1]
            );
        }
    }
}

#[test]
fn a_table_that_lacks_a_column_or_is_absent_stops_the_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let code = |d: &tempfile::TempDir| {
        Dataset::load(d.path(), 128, Split::Train)
            .map(|_| ())
            .map_err(|e| e.code())
    };
    assert_eq!(code(&dir), Err("config"));
    fs::write(dir.path().join("metadata.csv"), "file,view\na,PA\n").expect("writes");
    assert_eq!(code(&dir), Err("config"));
    fs::write(dir.path().join("metadata.csv"), HEADER).expect("writes");
    assert_eq!(code(&dir), Err("config"));
}

#[test]
fn counts_name_what_there_is() {
    let dir = folder();
    let counts = Dataset::load(dir.path(), 128, Split::Train)
        .expect("loads")
        .counts();
    let of = |name: &str| counts.get(name).copied().unwrap_or(0);
    assert_eq!(
        [
            of("view PA"),
            of("view AP"),
            of("finding Mass"),
            of("finding No Finding"),
            of("age group Child")
        ],
        [1; 5]
    );
}
