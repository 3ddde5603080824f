//! Which `tokenizer.json` is accepted: the parts that CLIP tokenizers have, within limits.
//!
//! The library reads tokenizers of every kind. Some of their parts ask for gigabytes or panic when
//! they are damaged (a map of characters, a prefix of subwords, a list of replacements), and any
//! regular expression can take for ever. CLIP has one of each.

use crate::limits::{ADDED_TOKENS, TOKEN_BYTES, VOCABULARY};
use serde_json::{Value, json};

/// CLIP's split (transformers: `convert_slow_tokenizer.py`, `CLIPConverter`), and that of
/// transformers 5, which keeps the special tokens whole (`models/clip/tokenization_clip.py`).
const SPLITS: [&str; 2] = [
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
];

/// Parts of a sequence: CLIP has three normalizers and two pre-tokenizers.
const SEQUENCE: usize = 4;

/// # Errors
/// What no CLIP tokenizer has, or has so much of.
pub(super) fn check(tokenizer: &Value) -> Result<(), String> {
    model(&tokenizer["model"])?;
    for part in sequence(&tokenizer["normalizer"], "normalizer", "normalizers")? {
        let known = match part["type"].as_str() {
            Some("NFC" | "Lowercase") => true,
            Some("Replace") => {
                part["pattern"] == json!({ "Regex": r"\s+" }) && part["content"] == " "
            }
            _ => false,
        };
        expect(known, "normalizer", part)?;
    }
    for part in sequence(
        &tokenizer["pre_tokenizer"],
        "pre_tokenizer",
        "pretokenizers",
    )? {
        let known = match part["type"].as_str() {
            Some("ByteLevel") => true,
            Some("Split") => part["pattern"]["Regex"]
                .as_str()
                .is_some_and(|regex| SPLITS.contains(&regex)),
            _ => false,
        };
        expect(known, "pre_tokenizer", part)?;
    }
    let post_processor = &tokenizer["post_processor"];
    expect(
        post_processor["type"] == "RobertaProcessing",
        "post_processor",
        post_processor,
    )?;
    added_tokens(&tokenizer["added_tokens"])
}

/// The parts of a sequence, or the one part that there is.
fn sequence<'a>(part: &'a Value, what: &str, key: &str) -> Result<&'a [Value], String> {
    let parts = match (part["type"].as_str(), part[key].as_array()) {
        (Some("Sequence"), Some(parts)) => parts,
        _ => std::slice::from_ref(part),
    };
    if parts.len() <= SEQUENCE {
        Ok(parts)
    } else {
        Err(format!(
            "its {what} has {} parts, and CLIP's has at most {SEQUENCE}",
            parts.len()
        ))
    }
}

fn expect(known: bool, what: &str, part: &Value) -> Result<(), String> {
    if known {
        Ok(())
    } else {
        Err(format!("its {what} {part} is not one of CLIP's"))
    }
}

fn model(model: &Value) -> Result<(), String> {
    let none =
        |key: &str| matches!(&model[key], Value::Null | Value::Bool(false)) || model[key] == "";
    if model["type"] != "BPE" {
        return Err("its model is not BPE, which CLIP's is".into());
    }
    for key in [
        "dropout",
        "continuing_subword_prefix",
        "fuse_unk",
        "byte_fallback",
        "ignore_merges",
    ] {
        if !none(key) {
            return Err(format!(
                "its model has {key} {}, which CLIP's has not",
                model[key]
            ));
        }
    }
    if model["end_of_word_suffix"] != "</w>" {
        return Err(
            "its model does not mark the end of a word with </w>, which CLIP's does".into(),
        );
    }
    let vocab = model["vocab"]
        .as_object()
        .ok_or("its model has no vocabulary")?;
    let merges = model["merges"]
        .as_array()
        .ok_or("its model has no merges")?;
    for (what, count) in [("tokens", vocab.len()), ("merges", merges.len())] {
        if count > VOCABULARY {
            return Err(format!(
                "it has {count} {what}, and at most {VOCABULARY} are read"
            ));
        }
    }
    vocab.iter().try_for_each(|(text, id)| token(text, id))?;
    let part = |part: &Value| {
        part.as_str()
            .is_some_and(|text| text.len() <= 2 * TOKEN_BYTES)
    };
    let good = |merge: &&Value| match merge {
        Value::Array(parts) => parts.len() == 2 && parts.iter().all(part),
        merge => part(merge),
    };
    match merges.iter().find(|merge| !good(merge)) {
        Some(merge) => Err(format!("{merge} is no merge of two tokens")),
        None => Ok(()),
    }
}

fn added_tokens(tokens: &Value) -> Result<(), String> {
    let tokens = tokens.as_array().map_or(&[][..], |tokens| tokens);
    if tokens.len() > ADDED_TOKENS {
        return Err(format!(
            "it adds {} tokens, and at most {ADDED_TOKENS} are read",
            tokens.len()
        ));
    }
    tokens
        .iter()
        .try_for_each(|added| match added["content"].as_str() {
            Some(text) if !text.is_empty() => token(text, &added["id"]),
            _ => Err(format!("its added token {added} has no text")),
        })
}

fn token(text: &str, id: &Value) -> Result<(), String> {
    let known = id.as_u64().is_some_and(|id| id < VOCABULARY as u64) && text.len() <= TOKEN_BYTES;
    if known {
        Ok(())
    } else {
        Err(format!(
            "its token {text:?} has the id {id}; ids below {VOCABULARY} and tokens of at most {TOKEN_BYTES} bytes are read"
        ))
    }
}
