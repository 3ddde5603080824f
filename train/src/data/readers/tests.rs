//! Made data in every layout, with something wrong in each.

use std::fs;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use image::{GrayImage, Luma};

use super::*;
use crate::data::images::{Fit, Grey, read};

fn names(listing: &Listing) -> Vec<String> {
    let name = |pair: &Pair| pair.path.file_name().unwrap().display().to_string();
    listing.pairs.iter().map(name).collect()
}

fn reasons(listing: &Listing) -> Vec<(&str, &str)> {
    let mut reasons: Vec<_> = listing
        .skipped
        .iter()
        .map(|s| (s.file.as_str(), s.reason.as_str()))
        .collect();
    reasons.sort_unstable();
    reasons
}

fn write(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_table_of_texts() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a.png", "b.png", "c.png", "d.png"] {
        write(dir.path(), file, "unread here");
    }
    let rows = "file,text,split\na.png,\"Clear  lungs,\n no effusion.\",train\nb.png,Mass.,\nc.png,Mass.,val\nd.png,\" \",\ne.png,Mass.,\nf.png\n../a.png,Mass.,\n";
    write(dir.path(), "metadata.csv", rows);
    for data in [dir.path().to_path_buf(), dir.path().join("metadata.csv")] {
        let (layout, listing) = list(&data).unwrap();
        assert_eq!(layout, Layout::Captions);
        assert_eq!(names(&listing), ["a.png", "b.png"]);
        let caption = &listing.pairs[0].caption;
        assert_eq!(caption.prompt(7), "Clear lungs, no effusion.");
        let reasons = reasons(&listing);
        assert_eq!(
            reasons,
            [
                ("../a.png", "is outside of the folder of its table"),
                ("d.png", "has no text"),
                ("e.png", "is not there"),
                ("line 8", "has 1 fields where the first row has 3"),
            ]
        );
        let text = listing.to_string();
        assert!(text.starts_with("2 images; ") && text.contains("1 left out: has no text (d.png)"));
    }
}

#[test]
fn a_table_of_findings() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "file,dataset,patient,view,sex,age,age_group,findings,other,split\n\
                a.png,nih_chestxray14,a,PA,M,60,adult,Effusion,,train\n\
                b.png,nih_chestxray14,b,LL,M,60,adult,Effusion,,train\n";
    write(dir.path(), "metadata.csv", rows);
    let (layout, listing) = list(dir.path()).unwrap();
    assert_eq!(
        (layout, names(&listing)),
        (Layout::Table, vec!["a.png".into()])
    );
    assert_eq!(listing.skipped.len(), 1);
    let prompts = (0..20).map(|seed| listing.pairs[0].caption.prompt(seed));
    let different: std::collections::BTreeSet<String> = prompts.collect();
    assert!(different.len() > 5);
}

#[test]
fn mimic_cxr_jpg() {
    let dir = tempfile::tempdir().unwrap();
    let gz = |name: &str, text: &str| {
        let file = fs::File::create(dir.path().join(name)).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file.finish().unwrap();
    };
    gz(
        "mimic-cxr-2.0.0-metadata.csv.gz",
        "dicom_id,subject_id,study_id,ViewPosition,Rows\n\
         one,10000032,50414267,PA,10\n\
         two,10000032,50414267,LATERAL,10\n\
         three,10000032,50414268,AP,10\n\
         four,10000032,50414268,AP,10\n\
         five,10000033,50414269,AP,10\n\
         six,10000033,50414270,AP,10\n\
         seven,10000033,50414271,,10\n\
         eight,10000033,50414271,PA,10\n",
    );
    gz(
        "mimic-cxr-2.0.0-split.csv.gz",
        "dicom_id,study_id,subject_id,split\n\
         one,50414267,10000032,train\ntwo,50414267,10000032,train\nthree,50414268,10000032,train\n\
         four,50414268,10000032,validate\nfive,50414269,10000033,train\nsix,50414270,10000033,train\n\
         seven,50414271,10000033,train\n",
    );
    let files = dir.path().join("files");
    for image in ["one", "two"] {
        write(&files, &format!("p10/p10000032/s50414267/{image}.jpg"), "");
    }
    write(
        &files,
        "p10/p10000032/s50414267.txt",
        " FINDINGS: Clear.\n\n IMPRESSION: \n \n No acute process since ___.\n",
    );
    write(&files, "p10/p10000033/s50414269/five.dcm", "");
    write(&files, "p10/p10000033/s50414269.txt", "FINDINGS: Clear.");
    write(&files, "p10/p10000033/s50414270/six.jpg", "");
    let (layout, listing) = list(dir.path()).unwrap();
    assert_eq!(layout, Layout::MimicCxrJpg);
    assert_eq!(names(&listing), ["one.jpg"]);
    assert_eq!(
        listing.pairs[0].caption,
        Caption::Text("No acute process since.".into())
    );
    assert_eq!(
        reasons(&listing),
        [
            ("eight", "belongs to no split"),
            ("five", "its report has no impression"),
            ("four", "belongs to the split validate"),
            ("seven", "has no view position"),
            (
                "six",
                "has no report (unpack mimic-cxr-reports.zip beside the images)"
            ),
            ("three", "is not there"),
            ("two", "is a LATERAL view"),
        ]
    );
    let text = fs::read(dir.path().join("mimic-cxr-2.0.0-split.csv.gz")).unwrap();
    fs::write(
        dir.path().join("mimic-cxr-2.0.0-split.csv.gz"),
        &text[..text.len() / 2],
    )
    .unwrap();
    assert!(list(dir.path()).is_err());
}

/// 8 x 6 pixels of 12 bits, signed, rising from left to right from `start` in steps of 100.
fn dicom(path: &Path, photometric: &str, start: i16, more: &[(Tag, VR, &str)]) {
    let mut object = InMemDicomObject::new_empty();
    let mut text = |tag, vr, value: &str| {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    };
    text(
        tags::SOP_CLASS_UID,
        VR::UI,
        uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
    );
    text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3");
    text(tags::MODALITY, VR::CS, "CR");
    text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
    for (tag, vr, value) in more {
        text(*tag, *vr, value);
    }
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1u16),
        (tags::ROWS, 6),
        (tags::COLUMNS, 8),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::HIGH_BIT, 11),
        (tags::PIXEL_REPRESENTATION, 1),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    let pixels: Vec<u16> = (0..48i16)
        .map(|i| (start + 100 * (i % 8)) as u16 & 0xfff)
        .collect();
    let pixels = PrimitiveValue::U16(pixels.into());
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, pixels));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = object.with_meta(meta).unwrap();
    file.write_to_file(path).unwrap();
}

type Tag = dicom_core::Tag;

#[test]
fn dicom_files_and_their_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let view = |view| (tags::VIEW_POSITION, VR::CS, view);
    let sex = (tags::PATIENT_SEX, VR::CS, "F");
    let age = (tags::PATIENT_AGE, VR::AS, "054Y");
    let ages = |age| [view("PA"), sex, (tags::PATIENT_AGE, VR::AS, age)];
    dicom(&path("a.dcm"), "MONOCHROME2", -300, &[view("PA"), sex, age]);
    dicom(&path("b"), "MONOCHROME1", 0, &[view("AP")]);
    dicom(&path("c.dcm"), "MONOCHROME2", 0, &[view("LL")]);
    dicom(&path("d.dcm"), "MONOCHROME2", 0, &[]);
    dicom(&path("f.dcm"), "MONOCHROME2", 0, &ages("51"));
    dicom(&path("g.dcm"), "MONOCHROME2", 0, &ages("old"));
    dicom(&path("h.dcm"), "MONOCHROME2", 0, &ages(""));
    fs::write(path("e.dcm"), [&[0; 128][..], b"DICM\x01"].concat()).unwrap();
    fs::write(path("notes.txt"), "nothing").unwrap();

    let (layout, listing) = list(dir.path()).unwrap();
    assert_eq!(
        (layout, names(&listing)),
        (
            Layout::Dicom,
            ["a.dcm", "b", "f.dcm", "g.dcm", "h.dcm"]
                .map(String::from)
                .to_vec()
        )
    );
    let age = |pair: &Pair| match &pair.caption {
        Caption::Record(record) => record.age,
        Caption::Text(_) => panic!("not a record"),
    };
    let ages: Vec<_> = listing.pairs.iter().map(age).collect();
    assert_eq!(ages, [Some(54), None, Some(51), None, None]);
    let prompts: Vec<String> = (0..50)
        .map(|s| listing.pairs[0].caption.prompt(s))
        .collect();
    assert!(
        prompts.iter().any(|p| p.contains("54-year-old woman")),
        "{prompts:?}"
    );
    let reasons = reasons(&listing);
    assert_eq!(
        reasons[..2],
        [("c.dcm", "is a LL view"), ("d.dcm", "has no view position")]
    );
    assert_eq!(
        (reasons[2].0, reasons[3], reasons[4]),
        (
            "e.dcm",
            ("g.dcm", "only its age, which cannot be read"),
            ("notes.txt", "is no DICOM file")
        )
    );

    // The middle 6 x 6 pixels, which rise from left to right; in MONOCHROME1 they fall.
    let row = |name: &str| {
        let Grey { pixels, native } = read(&path(name), Fit::Exactly(6)).unwrap();
        assert_eq!(native, 6);
        pixels[..6].to_vec()
    };
    let rising = row("a.dcm");
    assert!(rising.windows(2).all(|w| w[0] < w[1]), "{rising:?}");
    let falling = row("b");
    assert!(falling.windows(2).all(|w| w[0] > w[1]), "{falling:?}");
    assert!(read(&path("e.dcm"), Fit::Exactly(6)).is_err());
}

#[test]
fn windows_and_slopes_of_dicom() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.dcm");
    let row = |more: &[(Tag, VR, &str)]| {
        dicom(&path, "MONOCHROME2", 0, more);
        read(&path, Fit::Exactly(6)).unwrap().pixels[..6].to_vec()
    };
    // Values 100 to 600 in the middle; after the slope 2100 to 2600, of which the window shows 2250
    // to 2450.
    let window = [
        (tags::RESCALE_SLOPE, VR::DS, "1"),
        (tags::RESCALE_INTERCEPT, VR::DS, "2000"),
        (tags::WINDOW_CENTER, VR::DS, "2350"),
        (tags::WINDOW_WIDTH, VR::DS, "200"),
    ];
    let windowed = row(&window);
    assert_eq!((windowed[0], windowed[1]), (0, 0));
    assert!(windowed[2] > 0 && windowed[3] < 255 && windowed[2] < windowed[3]);
    assert_eq!((windowed[4], windowed[5]), (255, 255));
    // A negative slope turns the image over.
    let falling = row(&[
        (tags::RESCALE_SLOPE, VR::DS, "-2"),
        (tags::RESCALE_INTERCEPT, VR::DS, "0"),
    ]);
    assert!(falling.windows(2).all(|w| w[0] > w[1]), "{falling:?}");
}

#[test]
fn a_wide_jpeg_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jpg");
    let image = GrayImage::from_fn(64, 32, |x, _| Luma([(x * 4) as u8]));
    image.save(&path).unwrap();
    let Grey { pixels, native } = read(&path, Fit::Exactly(16)).unwrap();
    assert_eq!((pixels.len(), native), (256, 32));
    fs::write(&path, &fs::read(&path).unwrap()[..64]).unwrap();
    assert!(read(&path, Fit::Exactly(16)).is_err());
}

#[test]
fn what_is_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let error = list(dir.path()).unwrap_err().to_string();
    assert!(error.contains("neither a table nor DICOM"), "{error}");
    write(dir.path(), "metadata.csv", "image,label\na,b\n");
    let error = list(dir.path()).unwrap_err().to_string();
    assert!(error.contains("columns are not known"), "{error}");
    write(dir.path(), "metadata.csv", "file,text\na.png,Mass.\n");
    let error = list(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("nothing to train on") && error.contains("is not there"),
        "{error}"
    );
    assert!(list(&dir.path().join("nowhere")).is_err());
}
