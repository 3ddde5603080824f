//! The tokenizer against transformers' `CLIPTokenizer`: published files and today's, both paddings,
//! awkward prompts.

use roentgen_web::tokens::{ClipTokenizer, TokenizerOptions};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    prompt: String,
    ids: Vec<u32>,
    truncated: usize,
}

fn read(folder: &str, file: &str) -> Option<Vec<u8>> {
    let root = env!("CARGO_MANIFEST_DIR");
    std::fs::read(format!("{root}/tests/reference/goldens/{folder}/{file}")).ok()
}

fn options(folder: &str) -> TokenizerOptions {
    let config = read(folder, "tokenizer_config.json");
    let special = read(folder, "special_tokens_map.json");
    TokenizerOptions::from_json(config.as_deref(), special.as_deref()).unwrap()
}

fn check(tokenizer: &ClipTokenizer, folder: &str) {
    let rows: Vec<Row> = serde_json::from_slice(&read(folder, "case.json").unwrap()).unwrap();
    assert!(rows.len() > 20);
    for row in rows {
        let tokens = tokenizer.encode(&row.prompt).unwrap();
        assert_eq!(tokens.ids, row.ids, "{folder} {:?}", row.prompt);
        assert_eq!(tokens.truncated, row.truncated, "{folder} {:?}", row.prompt);
    }
}

#[test]
fn published_files_give_transformers_tokens() {
    for folder in ["tokenizer_sd1", "tokenizer_sd2"] {
        let vocab = read(folder, "vocab.json").unwrap();
        let merges = read(folder, "merges.txt").unwrap();
        let tokenizer =
            ClipTokenizer::from_vocab_and_merges(&vocab, &merges, &options(folder)).unwrap();
        check(&tokenizer, folder);
        // And again as it goes into a bundle.
        let bundled = ClipTokenizer::from_json(tokenizer.to_json().unwrap().as_bytes()).unwrap();
        check(&bundled, folder);
    }
}

#[test]
fn todays_files_give_transformers_tokens() {
    for folder in ["tokenizer_sd1", "tokenizer_sd2"] {
        let json = read(folder, "json/tokenizer.json").unwrap();
        let options = options(&format!("{folder}/json"));
        let tokenizer = ClipTokenizer::from_json_with(&json, &options).unwrap();
        check(&tokenizer, folder);
    }
}
