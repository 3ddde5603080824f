//! Prompts -> a small tokenizer of CLIP's kind, saved as transformers saves one.
//!
//! Everything but the learned merges is CLIP's (Radford et al. 2021, `CLIPTokenizer` of transformers): NFC, single
//! spaces and lower case, CLIP's split, byte-level BPE with `</w>` at the end of a word, `<|startoftext|>` and
//! `<|endoftext|>` as the last two ids, 77 tokens padded with `<|endoftext|>`.

use std::path::Path;
use std::str::FromStr;

use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, Model, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    Tokenizer, Trainer,
};

use crate::data::prompts;
use crate::data::record::Record;

/// First token of every prompt.
pub const START: &str = "<|startoftext|>";
/// Last token of every prompt, and the padding.
pub const END: &str = "<|endoftext|>";
/// Tokens of a prompt with start, end and padding: CLIP's.
pub const MODEL_MAX_LENGTH: usize = 77;
/// End-of-word mark.
const SUFFIX: &str = "</w>";

/// Every prompt that `per_record` seeds give, to train a tokenizer on.
pub fn corpus(records: &[Record], per_record: u64) -> impl Iterator<Item = String> + Send + '_ {
    records
        .iter()
        .flat_map(move |r| (0..per_record).map(move |seed| prompts::compose(r, seed)))
}

/// Trains the merges on prompts; the same prompts give the same tokenizer.
///
/// # Errors
/// [`Error::Tokenizer`] where `vocab_size` has no room for the bytes, or the library refuses.
pub fn train(prompts: impl Iterator<Item = String> + Send, vocab_size: usize) -> Result<Tokenizer> {
    let mut bytes: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    bytes.sort_unstable(); // CLIP's own order
    let symbols: Vec<String> = bytes
        .iter()
        .map(char::to_string)
        .chain(bytes.iter().map(|b| format!("{b}{SUFFIX}")))
        .collect();
    if vocab_size < symbols.len() + 2 {
        return Err(fail(format!(
            "its vocabulary needs at least {} tokens",
            symbols.len() + 2
        )));
    }
    let untrained = assemble(
        symbols
            .iter()
            .cloned()
            .chain([START.into(), END.into()])
            .collect(),
        json!([]),
    )?;
    let (Some(normalizer), Some(pre_tokenizer)) =
        (untrained.get_normalizer(), untrained.get_pre_tokenizer())
    else {
        return Err(fail("it has no normalizer".into()));
    };
    // The symbols go in as "special" tokens: they then have fixed ids, which also decide between equally frequent
    // merges, and every byte has its token at the end of a word, so that any text can be encoded.
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size - 2)
        .min_frequency(2)
        .special_tokens(
            symbols
                .iter()
                .map(|s| AddedToken::from(s.as_str(), false))
                .collect(),
        )
        .end_of_word_suffix(SUFFIX.into())
        .show_progress(false)
        .build();
    trainer
        .feed(prompts, |text| {
            let mut normalized = text.into();
            normalizer.normalize(&mut normalized)?;
            let mut words = PreTokenizedString::from(normalized);
            pre_tokenizer.pre_tokenize(&mut words)?;
            let splits = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            Ok(splits
                .into_iter()
                .map(|(word, ..)| word.to_string())
                .collect())
        })
        .map_err(library)?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(library)?;
    let mut ids: Vec<(u32, String)> = model
        .get_vocab()
        .into_iter()
        .map(|(token, id)| (id, token))
        .collect();
    ids.sort_unstable();
    let vocab = ids
        .into_iter()
        .map(|(_, token)| token)
        .chain([START.into(), END.into()])
        .collect();
    let model = serde_json::to_value(&model).map_err(|e| fail(e.to_string()))?;
    assemble(vocab, model["merges"].clone())
}

/// Writes `tokenizer.json` for this project and for transformers, and `vocab.json`, `merges.txt` and
/// `tokenizer_config.json` for programs that know CLIP's older files.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be written, [`Error::Tokenizer`] where the library refuses.
pub fn save(tokenizer: &Tokenizer, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let json = tokenizer.to_string(true).map_err(library)?;
    files::replace(&dir.join("tokenizer.json"), json)?;
    tokenizer.get_model().save(dir, None).map_err(library)?;
    let length = tokenizer.get_truncation().map(|t| t.max_length);
    let padding = tokenizer.get_padding().map(|p| p.pad_token.as_str());
    let config = json!({
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": length.unwrap_or(MODEL_MAX_LENGTH),
        "bos_token": START, "eos_token": END, "pad_token": padding.unwrap_or(END), "unk_token": END,
        "do_lower_case": true, "add_prefix_space": false, "errors": "replace",
    });
    let path = dir.join("tokenizer_config.json");
    files::replace(&path, format!("{config:#}\n"))
}

/// The parts of CLIP's `tokenizer.json` around a vocabulary (ids in order, the special tokens last) and merges.
fn assemble(vocab: Vec<String>, merges: serde_json::Value) -> Result<Tokenizer> {
    let (start, end) = (vocab.len() - 2, vocab.len() - 1);
    let vocab: serde_json::Map<_, _> = vocab
        .into_iter()
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let special = |id: usize, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let whole = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": MODEL_MAX_LENGTH, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": MODEL_MAX_LENGTH}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": end, "pad_type_id": 0, "pad_token": END},
        "added_tokens": [special(start, START), special(end, END)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "behavior": "Removed", "invert": true, "pattern": {"Regex":
                r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"}},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [END, end], "cls": [START, start],
                           "trim_offsets": false, "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
                  "end_of_word_suffix": SUFFIX, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocab, "merges": merges},
    });
    Tokenizer::from_str(&whole.to_string()).map_err(library)
}

fn fail(why: String) -> Error {
    Error::Tokenizer { why }
}

fn library(error: tokenizers::Error) -> Error {
    fail(error.to_string())
}

#[cfg(test)]
mod tests {
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

    /// Every word that the page offers, in its examples and its chips, or calls trained is a word of the prompts that a tokenizer
    /// learns from; and it knows all of these.
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
        let chips = include_str!("../../../web/words.js");
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
}
