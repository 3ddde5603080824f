//! Made data in every layout, with something wrong in each.

use std::fs;

use image::{GrayImage, Luma};

use super::*;
use crate::images::read_any;

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
    let rows = "file,text,split\na.png,\"Clear  lungs,\n no effusion.\",train\nb.png,Mass.,\nc.png,Mass.,val\nd.png,\" \",\ne.png,Mass.,\nf.png\n";
    write(dir.path(), "metadata.csv", rows);
    for data in [dir.path().to_path_buf(), dir.path().join("metadata.csv")] {
        let (layout, listing) = list(&data).unwrap();
        assert_eq!(layout, Layout::Captions);
        assert_eq!(names(&listing), ["a.png", "b.png"]);
        let caption = &listing.pairs[0].caption;
        assert_eq!(caption.prompt(7), "Clear lungs, no effusion.");
        let reasons = reasons(&listing);
        assert_eq!(
            reasons[..3],
            [
                ("a line", reasons[0].1),
                ("c.png", "belongs to the split val"),
                ("d.png", "has no text")
            ]
        );
        assert_eq!(reasons[3..], [("e.png", "is not there")]);
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

#[test]
fn a_wide_jpeg_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jpg");
    let image = GrayImage::from_fn(64, 32, |x, _| Luma([(x * 4) as u8]));
    image.save(&path).unwrap();
    let (pixels, native) = read_any(&path, 16).unwrap();
    assert_eq!((pixels.len(), native), (256, 32));
    fs::write(&path, &fs::read(&path).unwrap()[..64]).unwrap();
    assert!(read_any(&path, 16).is_err());
}

#[test]
fn what_is_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let error = list(dir.path()).unwrap_err().to_string();
    assert!(error.contains("no table"), "{error}");
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
