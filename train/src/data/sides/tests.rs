//! Made lungs, one side whiter than the other.

use super::*;
use crate::data::location::BoundingBox;

const SIZE: usize = 32;

/// Noise around a middle grey, the patient's left field whiter by `left` grey levels.
fn image(i: usize, left: i32) -> Vec<u8> {
    let noise = |x: usize, y: usize| ((x * 31 + y * 17 + i * 29) % 37) as i32;
    let pixel = |p: usize| {
        let (x, y) = (p % SIZE, p / SIZE);
        let field = (19..29).contains(&x) && (14..24).contains(&y);
        (100 + noise(x, y) + if field { left } else { 0 }) as u8
    };
    (0..SIZE * SIZE).map(pixel).collect()
}

fn adult(i: usize, findings: Vec<Finding>) -> Record {
    Record {
        dataset: "nih_chestxray14".into(),
        patient: format!("p{i}"),
        view: Some(View::Pa),
        age_group: Some(AgeGroup::Adult),
        findings: Some(findings),
        ..Record::default()
    }
}

/// Forty normal images, forty with a boxed effusion, whiter where the box is, and `more`.
fn data(more: Vec<(Record, Vec<u8>)>) -> Dataset {
    let mut all: Vec<(Record, Vec<u8>)> = (0..40)
        .map(|i| (adult(i, vec![]), image(i, (i % 7) as i32 - 3)))
        .collect();
    for i in 40..80 {
        let (x, left) = if i % 2 == 0 { (0.65, 60) } else { (0.1, -60) };
        let mut record = adult(i, vec![Finding::Effusion]);
        record
            .boxes
            .push(BoundingBox::new(Finding::Effusion, [x, 0.5, 0.25, 0.3]).unwrap());
        all.push((record, image(i, left)));
    }
    all.extend(more);
    Dataset::of(SIZE, all)
}

#[test]
fn the_patient_s_left_is_at_the_image_s_right() {
    assert_eq!(
        asymmetry(&image(1, 50), SIZE) - asymmetry(&image(1, 0), SIZE),
        50.0
    );
    let mirrored = crate::data::images::mirror(&image(1, 50));
    let sum = asymmetry(&image(1, 50), SIZE) + asymmetry(&mirrored, SIZE);
    assert!(sum.abs() < 1e-4, "{sum}");
}

#[test]
fn sides_are_read_where_both_measurements_agree_and_nobody_drew_a_box() {
    let more = vec![
        (
            adult(80, vec![Finding::Pneumonia, Finding::Mass]),
            image(80, 60),
        ),
        (adult(81, vec![Finding::Effusion]), image(81, -60)),
        (adult(82, vec![Finding::Effusion]), image(82, 0)),
        (
            Record {
                age_group: Some(AgeGroup::Child),
                ..adult(83, vec![Finding::Effusion])
            },
            image(83, 60),
        ),
        (
            Record {
                view: None,
                ..adult(84, vec![Finding::Effusion])
            },
            image(84, 60),
        ),
    ];
    let mut data = data(more);
    assert_eq!(read(&mut data), 2);
    let sides: Vec<_> = data.records[80..].iter().map(|r| r.sides.clone()).collect();
    assert_eq!(
        sides,
        [
            vec![(Finding::Pneumonia, Side::Left)],
            vec![(Finding::Effusion, Side::Right)],
            vec![],
            vec![],
            vec![]
        ]
    );
    assert!(data.records[..80].iter().all(|r| r.sides.is_empty()));
}

#[test]
fn agreement_counts_what_the_held_out_boxes_say() {
    let mut wrong = adult(80, vec![Finding::Effusion]);
    wrong
        .boxes
        .push(BoundingBox::new(Finding::Effusion, [0.1, 0.5, 0.25, 0.3]).unwrap());
    let mut both = wrong.clone();
    both.patient = "p81".into();
    both.boxes
        .push(BoundingBox::new(Finding::Effusion, [0.65, 0.5, 0.25, 0.3]).unwrap());
    let data = data(vec![(wrong, image(80, 60)), (both, image(81, 60))]);
    let [(finding, found), ..] = agreement(&data);
    assert_eq!(finding, Finding::Effusion);
    let expected = Agreement {
        right: 40,
        wrong: 1,
        bilateral: 1,
        single: 41,
    };
    assert_eq!(found, expected);
    assert!((found.precision().unwrap() - 40.0 / 41.0).abs() < 1e-9);
    assert_eq!(Agreement::default().precision(), None);
}

/// Against numpy: `tests/reference/rulers.py`.
#[test]
fn the_ridge_is_numpy_s() {
    let golden = crate::evaluate::rulers::tests::golden();
    let images = golden.bytes("input.images_64");
    let side = golden.floats("input.side");
    let rows: Vec<Vec<f64>> = images
        .chunks_exact(64 * 64)
        .map(|i| unevenness(i, 64))
        .collect();
    let examples: Vec<(&[f64], f64)> = rows
        .iter()
        .map(Vec::as_slice)
        .zip(side.iter().map(|s| f64::from(*s)))
        .collect();
    let ridge = Ridge::fit(&examples);
    let expected = golden.floats("output.ridge");
    assert_eq!(ridge.0.len(), expected.len());
    for (found, expected) in ridge.0.iter().zip(&expected) {
        assert!(
            (found - f64::from(*expected)).abs() < 1e-6,
            "{found} {expected}"
        );
    }
    let expected = golden.floats("output.asymmetry");
    for (image, expected) in images.chunks_exact(64 * 64).zip(expected) {
        assert!((asymmetry(image, 64) - expected).abs() < 1e-4);
    }
}
