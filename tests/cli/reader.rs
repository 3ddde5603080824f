//! What the command says of a picture to begin from: the shipped model has a reader.

use std::path::Path;

use crate::roentgen;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default");
const NOTE: &str = "does not take --image for an upright frontal chest radiograph";

fn drawn(arguments: &[&str]) -> String {
    let prompt = "PA chest radiograph of a 40-year-old woman. Normal chest.";
    let mut all = vec!["generate", "--model", MODEL, "--prompt", prompt];
    all.extend(arguments);
    let output = roentgen(&all);
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn a_picture_of_something_else_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [chest, turned, out] =
        ["chest.png", "turned.png", "out.png"].map(|name| folder.path().join(name));
    let path = |path: &Path| path.display().to_string();
    drawn(&["--seed", "7", "--steps", "8", "--out", &path(&chest)]);
    let image = image::open(&chest).unwrap();
    image.rotate90().save(&turned).unwrap();
    for (picture, told) in [(&chest, false), (&turned, true)] {
        let begin = [
            "--image",
            &path(picture),
            "--steps",
            "2",
            "--out",
            &path(&out),
        ];
        let text = drawn(&begin);
        assert_eq!(text.contains(NOTE), told, "{}: {text}", picture.display());
    }
}
