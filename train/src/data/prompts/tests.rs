//! Prompts say what the record says, and nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::data::dataset::{AgeGroup, Sex, View};
use crate::data::findings::Finding;
use crate::data::location::BoundingBox;

fn record(findings: Option<Vec<Finding>>, boxes: Vec<BoundingBox>) -> Record {
    Record {
        file: "256/a.webp".into(),
        dataset: "nih_chestxray14".into(),
        patient: "a".into(),
        view: View::Pa,
        sex: Some(Sex::Male),
        age: Some(60),
        age_group: Some(AgeGroup::Adult),
        findings,
        other: String::new(),
        boxes,
        native_size: 256,
    }
}

fn right(finding: Finding) -> BoundingBox {
    BoundingBox {
        finding,
        x: 0.1,
        y: 0.2,
        w: 0.1,
        h: 0.1,
    }
}

fn prompts(record: &Record) -> Vec<String> {
    (0..400)
        .map(|seed| compose(record, seed).to_lowercase())
        .collect()
}

/// A piece of each word that only this finding has.
fn stems(finding: Finding) -> &'static [&'static str] {
    use Finding::*;
    match finding {
        Atelectasis => &["atelecta"],
        Cardiomegaly => &["cardiomegaly", "enlarge"],
        Consolidation => &["consolidation"],
        Edema => &["edema"],
        Effusion => &["effusion", "pleural fluid"],
        Emphysema => &["emphysema"],
        Fibrosis => &["fibro"],
        Hernia => &["hernia"],
        Infiltration => &["infiltrat"],
        Mass => &["mass"],
        Nodule => &["nodule"],
        PleuralThickening => &["thicken"],
        Pneumonia => &["pneumoni", "infection"],
        Pneumothorax => &["pneumothora"],
    }
}

/// Every finding a prompt names or denies agrees with the record.
fn check_claims(record: &Record, prompt: &str) {
    for sentence in prompt.split('.') {
        let denied = ["no ", "without ", "not "]
            .iter()
            .any(|w| sentence.trim().starts_with(w) || sentence.contains(&format!(" {w}")));
        for finding in Finding::ALL {
            if stems(finding).iter().any(|s| sentence.contains(s)) {
                let found = record
                    .findings
                    .as_ref()
                    .expect("an ungraded record names no finding");
                assert_eq!(
                    found.contains(&finding),
                    !denied,
                    "{finding:?} in {prompt:?}"
                );
            }
        }
    }
}

fn every_record() -> Vec<Record> {
    let mut all = vec![record(None, vec![]), record(Some(vec![]), vec![])];
    for (i, f) in Finding::ALL.into_iter().enumerate() {
        let other = Finding::ALL[(i + 5) % 14];
        all.push(record(Some(vec![f]), vec![]));
        all.push(record(Some(vec![f, other]), vec![right(f)]));
    }
    let child = Record {
        dataset: "kermany2018".into(),
        sex: None,
        age: None,
        age_group: Some(AgeGroup::Child),
        ..record(Some(vec![Finding::Pneumonia]), vec![])
    };
    all.push(child);
    all
}

#[test]
fn a_prompt_is_determined_by_record_and_seed() {
    let r = record(Some(vec![Finding::Effusion]), vec![]);
    assert_eq!(prompts(&r), prompts(&r));
    let different: BTreeSet<_> = prompts(&r).into_iter().collect();
    assert!(
        different.len() > 200,
        "only {} paraphrases",
        different.len()
    );
    let other = Record {
        file: "256/b.webp".into(),
        ..r.clone()
    };
    assert_ne!(prompts(&r), prompts(&other));
}

#[test]
fn no_prompt_claims_what_the_record_lacks() {
    for r in every_record() {
        for p in prompts(&r) {
            check_claims(&r, &p);
        }
    }
}

#[test]
fn sides_zones_and_sizes_come_from_boxes_only() {
    let words = |p: &str| -> BTreeSet<String> {
        p.split(|c: char| !c.is_alphabetic())
            .map(String::from)
            .collect()
    };
    for r in every_record().iter().filter(|r| r.boxes.is_empty()) {
        for p in prompts(r) {
            let found = words(&p);
            for word in [
                "left",
                "right",
                "bilateral",
                "both",
                "zone",
                "zones",
                "large",
                "moderate",
                "marked",
                "mild",
            ] {
                assert!(!found.contains(word), "{word} in {p:?}");
            }
        }
    }
    let r = record(Some(vec![Finding::Nodule]), vec![right(Finding::Nodule)]);
    let all = prompts(&r);
    assert!(all.iter().all(|p| !words(p).contains("left")));
    let with = |word: &str| all.iter().filter(|p| words(p).contains(word)).count();
    assert!(
        with("right") > 300 && with("upper") > 200,
        "{} {}",
        with("right"),
        with("upper")
    );
}

#[test]
fn kermany_s_pneumonia_denies_nothing() {
    let r = every_record().pop().unwrap();
    for p in prompts(&r) {
        assert!(!p.contains("no ") && !p.contains("normal"), "{p:?}");
        assert!(!p.contains("man") && !p.contains("boy"), "{p:?}");
    }
}

#[test]
fn every_finding_is_named_and_denied() {
    for f in Finding::ALL {
        let named = prompts(&record(Some(vec![f]), vec![]));
        assert!(
            named.iter().all(|p| stems(f).iter().any(|s| p.contains(s))),
            "{f:?}"
        );
        let normal = Record {
            file: f.name().into(),
            ..record(Some(vec![]), vec![])
        };
        let denied = (0..5000).any(|seed| {
            let p = compose(&normal, seed).to_lowercase();
            stems(f).iter().any(|s| p.contains(s))
        });
        assert!(denied, "{f:?} is never denied");
    }
}

#[test]
fn person_and_view_are_told_mostly() {
    let all = prompts(&record(Some(vec![Finding::Mass]), vec![]));
    let with = |word: &str| all.iter().filter(|p| p.contains(word)).count();
    assert!(with("60") > 250 && with("man") > 270 && with("pa ") + with("posteroanterior") > 270);
    let short = all.iter().filter(|p| p.split(' ').count() <= 4).count();
    assert!((30..120).contains(&short), "{short} short prompts of 400");
}

#[test]
fn articles_follow_the_sound() {
    for (phrase, article) in [
        ("8-year-old boy", "an"),
        ("11-year-old boy", "an"),
        ("81-year-old man", "an"),
        ("60-year-old man", "a"),
        ("1-year-old girl", "a"),
        ("adult", "an"),
        ("18-year-old man", "an"),
    ] {
        assert_eq!(with_article(phrase), format!("{article} {phrase}"));
    }
}
