//! Prompts say what the record says, and nothing else.

mod vocabulary;

use std::collections::BTreeSet;

use super::statement::Age;
use super::*;
use crate::data::findings::{Finding, Labels};
use crate::data::location::{BoundingBox, Side};
use crate::data::record::{AgeGroup, Sex, View};

fn record(findings: Option<Vec<Finding>>, boxes: Vec<BoundingBox>) -> Record {
    Record {
        file: "256/a.webp".into(),
        dataset: "nih_chestxray14".into(),
        patient: "a".into(),
        view: Some(View::Pa),
        sex: Some(Sex::Male),
        age: Some(60),
        age_group: Some(AgeGroup::Adult),
        findings,
        boxes,
        ..Record::default()
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

fn words(prompt: &str) -> BTreeSet<String> {
    let words = prompt.split(|c: char| !c.is_alphanumeric());
    words.map(str::to_lowercase).collect()
}

/// A piece of each word that only this finding has.
fn stems(finding: Finding) -> &'static [&'static str] {
    use Finding::*;
    match finding {
        Atelectasis => &["atelecta", "volume"],
        Cardiomegaly => &[
            "cardiomegaly",
            "enlarge",
            "heart size",
            "cardiac silhouette",
        ],
        Consolidation => &["consolidat", "airspace", "alveolar"],
        Edema => &["edema", "congest"],
        Effusion => &["effusion", "pleural fluid"],
        Emphysema => &["emphysema", "hyperinflat"],
        Fibrosis => &["fibro", "scar"],
        Hernia => &["hernia"],
        Infiltration => &["infiltrat", "lung opaci", "patchy opaci"],
        Mass => &["mass"],
        Nodule => &["nodul"],
        PleuralThickening => &["thicken"],
        Pneumonia => &["pneumoni", "infection"],
        Pneumothorax => &["pneumothora"],
    }
}

/// Every finding a prompt names or denies agrees with the record.
fn check_claims(record: &Record, prompt: &str) {
    for sentence in prompt.split('.') {
        let denied = ["no ", "without ", "not ", "normal "]
            .iter()
            .any(|w| sentence.trim().starts_with(w) || sentence.contains(&format!(" {w}")))
            || sentence.contains("size is normal");
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
        all.push(Record {
            labels: Labels::Radiologists,
            ..record(Some(vec![f]), vec![])
        });
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
    for r in every_record().iter().filter(|r| r.boxes.is_empty()) {
        for p in prompts(r) {
            let found = words(&p);
            for word in [
                "left",
                "right",
                "bilateral",
                "both",
                "sided",
                "base",
                "bases",
                "zone",
                "field",
                "large",
                "moderate",
                "marked",
                "mild",
                "mirrored",
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
        with("right") > 350 && with("upper") > 250,
        "{} {}",
        with("right"),
        with("upper")
    );
}

#[test]
fn what_a_prompt_says_of_the_side_is_in_its_words() {
    use crate::data::location::Side::*;
    for finding in facts::SIDED {
        for side in Side::ALL {
            let r = Record {
                sides: vec![(finding, side)],
                ..record(Some(vec![finding]), vec![])
            };
            for seed in 0..100 {
                let (said, prompt) = say(&r, seed);
                let found = words(&prompt);
                let has = |word: &str| found.contains(word);
                let told = match (has("left"), has("right"), has("bilateral") || has("both")) {
                    (true, false, false) => Some(Left),
                    (false, true, false) => Some(Right),
                    (false, false, true) => Some(Bilateral),
                    (false, false, false) => None,
                    _ => panic!("two sides in {prompt:?}"),
                };
                assert_eq!(said.findings[0].1.side, told, "{prompt}");
            }
        }
    }
}

#[test]
fn mirrored_images_are_always_called_so() {
    for plain in every_record() {
        for prompt in prompts(&plain.mirror()) {
            assert!(words(&prompt).contains("mirrored"), "{prompt}");
        }
    }
    let r = record(
        Some(vec![Finding::Effusion]),
        vec![right(Finding::Effusion)],
    )
    .mirror();
    assert!(prompts(&r).iter().all(|p| !words(p).contains("right")));
}

#[test]
fn reports_vouch_for_no_absence_and_radiologists_for_what_they_looked_for() {
    let denies = |r: &Record| -> BTreeSet<Finding> {
        let said = (0..400).map(|seed| say(r, seed).0);
        said.flat_map(|said| said.denied).collect()
    };
    let mined = record(Some(vec![Finding::Consolidation]), vec![]);
    assert!(denies(&mined).is_empty());
    let normal = record(Some(vec![]), vec![]);
    assert_eq!(denies(&normal).len(), 14);
    let drawn = Record {
        labels: Labels::Radiologists,
        doubtful: vec![Finding::Infiltration],
        ..mined
    };
    use Finding::*;
    let expected = [
        Cardiomegaly,
        Effusion,
        Emphysema,
        PleuralThickening,
        Pneumothorax,
    ];
    assert_eq!(denies(&drawn), BTreeSet::from(expected));
}

#[test]
fn doubtful_findings_are_neither_named_nor_denied() {
    let doubtful = Record {
        doubtful: vec![Finding::Edema],
        ..record(Some(vec![]), vec![])
    };
    for prompt in prompts(&doubtful) {
        check_claims(&record(None, vec![]), &prompt);
        assert!(
            !prompt.contains("normal") && !prompt.contains("clear"),
            "{prompt}"
        );
    }
}

#[test]
fn clinicians_words_and_remarks_come_with_view_and_sex() {
    let r = Record {
        text: "Hydropneumothorax. Heart not enlarged.".into(),
        other: "Fracture".into(),
        age: None,
        age_group: None,
        ..record(None, vec![])
    };
    let all = prompts(&r);
    assert!(
        all.iter()
            .all(|p| p.contains("hydropneumothorax.") && p.contains("heart not enlarged."))
    );
    let with = |word: &str| all.iter().filter(|p| p.contains(word)).count();
    assert!(with("fracture") > 150 && with("male patient") > 300 && with("pa ") > 100);
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
        let denied = (0..5000).any(|seed| say(&normal, seed).0.denied.contains(&f));
        assert!(denied, "{f:?} is never denied");
    }
}

#[test]
fn view_and_person_are_told_but_in_three_of_ten_prompts() {
    let r = record(Some(vec![Finding::Mass]), vec![]);
    let said: Vec<Statement> = (0..400).map(|seed| say(&r, seed).0).collect();
    let share =
        |has: &dyn Fn(&Statement) -> bool| said.iter().filter(|s| has(s)).count() as f64 / 400.0;
    let near = |found: f64, expected: f64| (found - expected).abs() < 0.07;
    assert!(near(share(&|s| s.brief), 0.3));
    assert!(near(share(&|s| s.view.is_some()), 0.62));
    assert!(near(share(&|s| s.age == Some(Age::Years(60))), 0.62));
    for (seed, said) in said.iter().enumerate() {
        let prompt = compose(&r, seed as u64).to_lowercase();
        let names = prompt.contains("man") || prompt.contains("60") || prompt.contains("adult");
        assert_eq!(names, !said.brief, "{prompt}");
    }
}

#[test]
fn facts_are_what_the_prompt_says() {
    let of = |said: &Statement, name: &str| {
        let at = facts::names().iter().position(|n| n == name).unwrap();
        facts::facts(said)[at]
    };
    let r = Record {
        view: Some(View::Ap),
        sex: Some(Sex::Female),
        age: Some(71),
        ..record(
            Some(vec![Finding::Effusion]),
            vec![right(Finding::Effusion)],
        )
    };
    let long = (0..50)
        .map(|seed| say(&r, seed).0)
        .find(|s| !s.brief && s.view.is_some());
    let long = long.unwrap();
    let told = ["AP", "Adult from 70", "Effusion", "Effusion right"];
    assert!(told.iter().filter(|name| of(&long, name)).count() >= 3);
    let never = [
        "PA",
        "Child",
        "Normal",
        "Mirrored",
        "Effusion left",
        "Effusion bilateral",
        "Mass right",
    ];
    for seed in 0..50 {
        let (said, prompt) = say(&r, seed);
        assert!(never.iter().all(|name| !of(&said, name)), "{prompt}");
        assert_eq!(
            of(&said, "Effusion right"),
            words(&prompt).contains("right"),
            "{prompt}"
        );
        assert_eq!(of(&said, "AP"), said.view.is_some());
    }
    assert_eq!(facts::names().len(), facts::FACTS);
    let elderly = Statement {
        age: Some(Age::Word("elderly")),
        age_group: Some(AgeGroup::Adult),
        mirrored: true,
        ..Statement::default()
    };
    assert!(of(&elderly, "Adult from 70") && of(&elderly, "Mirrored"));
}
