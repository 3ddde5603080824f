//! Tests of the tokenizer that a run makes.

use roentgen_web::tokens::ClipTokenizer;

use super::*;

fn trained() -> Tokenizer {
    let prompts = prompts::CONTACT_SHEET
        .iter()
        .cycle()
        .take(64)
        .map(|p| p.to_string());
    train(prompts, 700).expect("trains")
}

#[test]
fn frequent_words_are_one_token_and_frames_are_clip_s() {
    let t = trained();
    let n = t.get_vocab_size(true) as u32;
    assert!((600..=700).contains(&n), "{n} tokens");
    assert_eq!(
        (t.token_to_id("!"), t.token_to_id("!</w>")),
        (Some(0), Some(256))
    );
    let e = t.encode("PA  chest\tRadiograph.", true).expect("encodes");
    assert_eq!(e.len(), MODEL_MAX_LENGTH);
    assert_eq!(
        &e.get_tokens()[..7],
        [
            START,
            "pa</w>",
            "chest</w>",
            "radiograph</w>",
            ".</w>",
            END,
            END
        ]
    );
    assert_eq!((e.get_ids()[0], e.get_ids()[76]), (n - 2, n - 1));
}

#[test]
fn any_text_has_ids_and_long_text_keeps_its_end() {
    let t = trained();
    let end = t.token_to_id(END).expect("has it");
    for text in ["é", "心臓 肥大", "\u{1F9B4}x\u{0}", "don't ½"] {
        let e = t.encode(text, true).expect("encodes");
        let length = e.get_attention_mask().iter().sum::<u32>() as usize;
        let inner = &e.get_ids()[1..length - 1];
        assert!(!inner.is_empty() && !inner.contains(&end), "{text:?}");
    }
    let e = t
        .encode("cardiomegaly ".repeat(100), true)
        .expect("encodes");
    assert_eq!((e.len(), e.get_ids()[76]), (MODEL_MAX_LENGTH, end));
    assert_ne!(e.get_ids()[75], end);
}

/// Every word that the page offers, in its examples and its chips, or calls trained is a word of
/// the prompts that a tokenizer learns from; and it knows all of these.
#[test]
fn the_page_s_words_are_in_the_training_text() {
    use crate::data::findings::Finding;
    use crate::data::location::{BoundingBox, Side};
    use crate::data::record::{AgeGroup, Record, Sex, View};

    let mut records = vec![];
    for (i, finding) in Finding::ALL.into_iter().enumerate() {
        let adult = i % 2 == 0;
        let x = [0.1, 0.65][i % 2];
        for (w, h) in [(0.05, 0.05), (0.2, 0.2), (0.25, 0.7), (0.52, 0.4)] {
            records.push(Record {
                file: format!("{finding:?}{w}"),
                view: Some([View::Pa, View::Ap][i % 2]),
                sex: Some([Sex::Male, Sex::Female][i / 2 % 2]),
                age: Some(if adult { 40 } else { 5 }),
                age_group: Some(if adult {
                    AgeGroup::Adult
                } else {
                    AgeGroup::Child
                }),
                findings: Some(vec![finding]),
                boxes: vec![BoundingBox {
                    finding,
                    x,
                    y: 0.2,
                    w,
                    h,
                }],
                ..Record::default()
            });
        }
        for y in [0.05, 0.6] {
            let at = |x| BoundingBox {
                finding,
                x,
                y,
                w: 0.2,
                h: 0.2,
            };
            for xs in [&[x][..], &[0.1, 0.65]] {
                records.push(Record {
                    file: format!("{finding:?} {xs:?} {y}"),
                    boxes: xs.iter().map(|&x| at(x)).collect(),
                    ..records[records.len() - 1].clone()
                });
            }
        }
        records.push(Record {
            file: format!("{finding:?} both"),
            sides: vec![(finding, Side::Bilateral)],
            boxes: vec![],
            sex: None,
            ..records[records.len() - 1].clone()
        });
    }
    for sex in [None, Some(Sex::Male), Some(Sex::Female)] {
        records.push(Record {
            sex,
            findings: Some(vec![]),
            ..Record::default()
        });
    }
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphabetic());
        words
            .filter(|w| !w.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    // What the tables add to a prompt: other ages, remarks, images that were mirrored.
    for (age, group) in [
        (2, AgeGroup::Child),
        (50, AgeGroup::Adult),
        (80, AgeGroup::Adult),
    ] {
        records.push(Record {
            file: format!("{age} years"),
            age: Some(age),
            age_group: Some(group),
            findings: Some(vec![]),
            other: "COVID-19|Fracture|Calcification".into(),
            mirrored: true,
            ..Record::default()
        });
    }
    let known: std::collections::BTreeSet<String> = corpus(&records, 200)
        .flat_map(|prompt| words(&prompt))
        .collect();
    let chips = include_str!("../../../../web/page/words.js");
    let chips = chips
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|s| s.chars().all(|c| c.is_ascii_lowercase() || c == ' '));
    let examples = prompts::EXAMPLES
        .iter()
        .chain(&prompts::CONTACT_SHEET)
        .copied();
    let mut on_page = std::collections::BTreeSet::new();
    for text in examples.chain(chips) {
        for word in words(text) {
            assert!(
                known.contains(&word),
                "{word:?} of {text:?} is in no prompt"
            );
            on_page.insert(word);
        }
    }
    let missing: Vec<_> = known.difference(&on_page).collect();
    assert!(
        missing.is_empty(),
        "the page takes {missing:?} for unknown; add them to TRAINED"
    );
}

#[test]
fn training_is_deterministic_and_survives_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    save(&trained(), dir.path()).expect("saves");
    let first = std::fs::read_to_string(dir.path().join("tokenizer.json")).expect("is there");
    assert_eq!(first, trained().to_string(true).expect("serialises"));
    let back = Tokenizer::from_str(&first).expect("loads");
    let text = "AP chest radiograph of a young child. Pneumonia.";
    let ids = |t: &Tokenizer| t.encode(text, true).expect("encodes").get_ids().to_vec();
    assert_eq!(ids(&back), ids(&trained()));
    for file in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        assert!(dir.path().join(file).exists(), "{file}");
    }
}

#[test]
fn the_pipeline_s_tokenizer_reads_it_alike() {
    let t = trained();
    let json = t.to_string(false).expect("serialises");
    let pipeline = ClipTokenizer::from_json(json.as_bytes()).expect("reads it");
    let long = "pleural effusion ".repeat(60);
    for text in [
        prompts::CONTACT_SHEET[5],
        "",
        "Opacité, don't  know!",
        &long,
    ] {
        let ours = t.encode(text, true).expect("encodes");
        assert_eq!(
            pipeline.encode(text).expect("encodes").ids,
            ours.get_ids(),
            "{text:?}"
        );
    }
}

#[test]
fn a_vocabulary_below_the_bytes_is_refused() {
    assert_eq!(
        train(std::iter::empty(), 513)
            .map(|_| ())
            .map_err(|e| e.code()),
        Err("tokenizer")
    );
}
