//! Prompts -> a small tokenizer of CLIP's kind, saved as transformers saves one.
//!
//! Everything but the learned merges is CLIP's (Radford et al. 2021, `CLIPTokenizer` of
//! transformers): NFC, single spaces and lower case, CLIP's split, byte-level BPE with `</w>` at
//! the end of a word, `<|startoftext|>` and `<|endoftext|>` as the last two ids, 77 tokens padded
//! with `<|endoftext|>`.

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
    // The symbols go in as "special" tokens: they then have fixed ids, which also decide between
    // equally frequent merges, and every byte has its token at the end of a word, so that any text
    // can be encoded.
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

/// Writes `tokenizer.json` for this project and for transformers, and `vocab.json`, `merges.txt`
/// and `tokenizer_config.json` for programs that know CLIP's older files.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be written, [`Error::Tokenizer`] where the library
/// refuses.
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

/// The parts of CLIP's `tokenizer.json` around a vocabulary (ids in order, the special tokens last)
/// and merges.
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
mod tests;
