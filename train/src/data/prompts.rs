//! A record -> a prompt in the words of an impression, in one of many paraphrases.
//!
//! No report text comes with most images, so a prompt says what the tables say: view, sex, age, the
//! findings, the side, zone and size that a radiologist's box shows, and what clinicians wrote
//! where they did. A finding is denied only where somebody looked for it.

mod composer;
pub mod facts;
mod impression;
mod patient;
pub mod statement;
#[cfg(test)]
mod tests;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::data::record::Record;
use composer::{Composer, capital};
use impression::NORMAL;
use statement::Statement;

/// The prompts of the contact sheet: view, sex, age, normal and the findings which show at 128
/// pixels.
pub const CONTACT_SHEET: [&str; 16] = [
    "PA chest radiograph of a 40-year-old man. Normal chest.",
    "PA chest radiograph of a 40-year-old woman. Normal chest.",
    "AP chest radiograph of a 65-year-old man. No acute findings.",
    "PA chest radiograph of an 80-year-old woman. No acute findings.",
    "AP chest radiograph of a young child. Normal chest.",
    "AP chest radiograph of a young child. Pneumonia.",
    "PA chest radiograph of a 12-year-old girl. Normal chest.",
    "PA chest radiograph of a 60-year-old man. Large left pleural effusion.",
    "PA chest radiograph of a 60-year-old man. Large right pleural effusion.",
    "AP chest radiograph of a 55-year-old woman. Bilateral pleural effusions.",
    "PA chest radiograph of a 60-year-old woman. Marked cardiomegaly.",
    "AP chest radiograph of a 70-year-old man. Cardiomegaly and pulmonary edema.",
    "PA chest radiograph of a 30-year-old man. Large right pneumothorax.",
    "PA chest radiograph of a 65-year-old man. Emphysema.",
    "PA chest radiograph of a 58-year-old woman. Large left lung mass.",
    "AP chest radiograph of a 50-year-old man. Bilateral infiltrates.",
];

/// Example prompts for the page, the normal one first.
pub const EXAMPLES: [&str; 8] = [
    "PA chest radiograph of a 40-year-old woman. Normal chest.",
    "PA chest radiograph of a 60-year-old man. Large left pleural effusion.",
    "AP chest radiograph of a young child. Normal chest.",
    "AP chest radiograph of a young child. Pneumonia.",
    "PA chest radiograph of a 60-year-old woman. Marked cardiomegaly.",
    "AP chest radiograph of a 70-year-old man. Cardiomegaly and pulmonary edema.",
    "PA chest radiograph of a 30-year-old man. Large right pneumothorax.",
    "PA chest radiograph of a 65-year-old man. Emphysema.",
];

/// Composes a prompt. The same record and seed give the same prompt; other seeds give other
/// paraphrases.
pub fn compose(record: &Record, seed: u64) -> String {
    say(record, seed).1
}

/// As [`compose`], with what the prompt says.
pub fn say(record: &Record, seed: u64) -> (Statement, String) {
    let hash = Sha256::new()
        .chain_update(&record.file)
        .chain_update(seed.to_le_bytes());
    let mut rng = StdRng::from_seed(hash.finalize().into());
    let said = Statement::draw(record, &mut rng);
    let prompt = Composer { said: &said, rng }.prompt();
    (said, prompt)
}

impl Composer<'_> {
    fn prompt(mut self) -> String {
        let mut sentences = if self.said.brief {
            self.brief()
        } else {
            self.full()
        };
        if self.said.mirrored {
            let word = self.pick(&["mirrored", "mirrored image", "mirrored film"]);
            let at = if self.chance(0.5) { 0 } else { sentences.len() };
            sentences.insert(at, word.into());
        }
        join(&sentences)
    }

    /// Who and how, then what; sometimes the other way round.
    fn full(&mut self) -> Vec<String> {
        let said = self.said;
        if said.normal && self.chance(0.2) {
            return [vec![self.head("normal ")], self.denials()].concat();
        }
        let head = self.head("");
        let rest = [self.remarks(), said.sentences()].concat();
        if !said.findings.is_empty() && head.contains(" of ") && self.chance(0.15) {
            let with = format!("{head} with {}", self.listed(true));
            return [vec![with], rest, self.denials()].concat();
        }
        let mut body = [self.findings(), rest].concat();
        if said.normal {
            body.push(self.pick(NORMAL).into());
        }
        // A denial before the finding reads as well as one after it.
        let denials = self.denials();
        body = if self.chance(0.2) {
            [denials, body].concat()
        } else {
            [body, denials].concat()
        };
        let at = if self.chance(0.2) { body.len() } else { 0 };
        body.insert(at, head);
        body
    }

    /// `Cardiomegaly and left effusion`, `Normal chest X-ray`: nothing on the patient.
    fn brief(&mut self) -> Vec<String> {
        let modality = self.modality();
        let one = match (self.said.normal, self.rng.random_range(0..8)) {
            (true, 0..3) => self.pick(NORMAL).into(),
            (true, 3..5) => format!("normal {modality}"),
            (true, _) => format!("{modality}, normal"),
            (false, 0) => format!("{modality}, {}", self.listed(false)),
            (false, 1) => format!("{modality} with {}", self.listed(true)),
            (false, 2..4) => self.listed(false),
            (false, _) => return self.findings(),
        };
        vec![one]
    }
}

/// Sentences with capitals and full stops.
fn join(sentences: &[String]) -> String {
    sentences
        .iter()
        .map(|s| format!("{}.", capital(s)))
        .collect::<Vec<_>>()
        .join(" ")
}
