//! A record -> a prompt in the words of an impression, in one of many paraphrases.
//!
//! No report text comes with the images, so a prompt says only what the tables say: view, sex, age, the findings, and
//! the side, zone and size that a radiologist's box shows. A finding is denied only where the labels cover it.

mod impression;
mod patient;
#[cfg(test)]
mod tests;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::data::dataset::Record;
use impression::NORMAL;

/// The prompts of the contact sheet: view, sex, age, normal and the findings which show at 128 pixels.
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
    "PA chest radiograph of a 60-year-old woman. Marked cardiomegaly. No pleural effusion.",
    "AP chest radiograph of a 70-year-old man. Cardiomegaly and pulmonary edema.",
    "PA chest radiograph of a 30-year-old man. Large right pneumothorax.",
    "PA chest radiograph of a 65-year-old man. Emphysema.",
];

/// Share of very short prompts.
const SHORT: f64 = 0.15;

/// Share of the prompts that leave out one thing they could say (the view, the sex, the age, one of several findings).
const OMIT: f64 = 0.12;

/// Composes a prompt. The same record and seed give the same prompt; other seeds give other paraphrases.
pub fn compose(record: &Record, seed: u64) -> String {
    let hash = Sha256::new()
        .chain_update(&record.file)
        .chain_update(seed.to_le_bytes());
    let mut c = Composer {
        record,
        rng: StdRng::from_seed(hash.finalize().into()),
    };
    if c.chance(SHORT) { c.short() } else { c.full() }
}

struct Composer<'a> {
    record: &'a Record,
    rng: StdRng,
}

impl Composer<'_> {
    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    /// One of a list that is never empty.
    fn pick<'t>(&mut self, words: &[&'t str]) -> &'t str {
        words.choose(&mut self.rng).copied().unwrap_or_default()
    }

    /// Who and how, then what; sometimes the other way round.
    fn full(&mut self) -> String {
        let findings = self.told_findings();
        let person = self.person();
        let normal = matches!(&self.record.findings, Some(f) if f.is_empty());
        if normal && self.chance(0.2) {
            let head = self.head(&person, "normal ");
            let rest = if self.chance(0.4) {
                self.denials()
            } else {
                Vec::new()
            };
            return join(&[vec![head], rest].concat());
        }
        let head = self.head(&person, "");
        if !findings.is_empty() && head.contains(" of ") && self.chance(0.15) {
            let with = self.listed(&findings, true);
            let rest = self.denials();
            return join(&[vec![format!("{head} with {with}")], rest].concat());
        }
        let mut body = self.findings(&findings);
        if normal {
            body.push(self.pick(NORMAL).into());
        }
        // A denial before the finding reads as well as one after it.
        let denials = self.denials();
        body = if self.chance(0.2) {
            [denials, body].concat()
        } else {
            [body, denials].concat()
        };
        if !body.is_empty() && self.chance(0.2) {
            body.push(head);
        } else {
            body.insert(0, head);
        }
        join(&body)
    }

    /// `Cardiomegaly.`, `Normal chest X-ray, child.`
    fn short(&mut self) -> String {
        let modality = self.modality();
        let findings = self.record.findings.clone();
        let what = match findings.as_deref() {
            None if self.record.other == "COVID-19" && self.chance(0.5) => "COVID-19".to_string(),
            None => format!("{} {modality}", self.view()),
            Some([]) => match self.rng.random_range(0..3) {
                0 => self.pick(NORMAL).into(),
                1 => format!("normal {modality}"),
                _ => format!("{modality}, normal"),
            },
            Some(findings) => {
                let finding = findings[self.rng.random_range(0..findings.len())];
                let noun = self.noun_phrase(finding, false);
                match self.rng.random_range(0..4) {
                    0 => format!("{modality}, {noun}"),
                    1 => format!("{} {modality} with {noun}", self.view()),
                    _ => noun,
                }
            }
        };
        let who = match self.chance(0.4) {
            true => self.noun_of_person(true),
            false => String::new(),
        };
        match who.as_str() {
            "" | "patient" => join(&[what]),
            who => join(&[format!("{what}, {who}")]),
        }
    }
}

fn with_article(phrase: &str) -> String {
    // 8, 11, 18 and 80 to 89 begin with a vowel sound; no other number does.
    let digits: String = phrase.chars().take_while(char::is_ascii_digit).collect();
    let vowel = match digits.as_str() {
        "" => phrase.starts_with(['a', 'e', 'i', 'o', 'u']),
        "11" | "18" => true,
        other => other.starts_with('8'),
    };
    format!("{} {phrase}", if vowel { "an" } else { "a" })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// Sentences with capitals and full stops.
fn join(sentences: &[String]) -> String {
    sentences
        .iter()
        .map(|s| format!("{}.", capital(s)))
        .collect::<Vec<_>>()
        .join(" ")
}
