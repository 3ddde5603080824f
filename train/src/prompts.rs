//! A record -> a prompt in the words of an impression, in one of many paraphrases.
//!
//! No report text comes with the images, so a prompt says only what the tables say: view, sex, age, the findings, and
//! the side, zone and size that a radiologist's box shows. A finding is denied only where the labels cover it.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::dataset::{AgeGroup, Record, Sex, View};
use crate::findings::Finding;
use crate::location::Location;

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

    fn modality(&mut self) -> &'static str {
        self.pick(&[
            "chest radiograph",
            "chest radiograph",
            "chest X-ray",
            "chest X-ray",
            "chest film",
        ])
    }

    fn view(&mut self) -> &'static str {
        match self.record.view {
            View::Pa => self.pick(&["PA", "PA", "PA", "posteroanterior"]),
            View::Ap => self.pick(&["AP", "AP", "AP", "anteroposterior"]),
        }
    }

    /// The sentence on the image and the patient; `normal` goes before the image's name.
    fn head(&mut self, person: &str, normal: &str) -> String {
        let modality = self.modality();
        let modality = format!("{normal}{modality}");
        if self.chance(OMIT) {
            return format!("{modality} of {}", with_article(person));
        }
        let view = self.view();
        let of = with_article(person);
        match self.rng.random_range(0..10) {
            0..5 => match normal {
                "" => format!("{view} {modality} of {of}"),
                _ => format!("{modality} of {of}, {view} view"),
            },
            5 => format!("{modality}, {view} view. {}", capital(person)),
            6 => format!("{view} {modality}, {person}"),
            7 => format!("{}. {} {modality}", capital(person), capital(view)),
            8 => format!("{modality}, {person}, {view} projection"),
            _ => format!("{modality} of {of} in {view} view"),
        }
    }

    /// `man`, `girl`, `child`, `female patient`, or `patient` where nothing is known or told.
    fn noun_of_person(&mut self, tell_sex: bool) -> String {
        let sex = self.record.sex.filter(|_| tell_sex);
        match (sex, self.record.age_group) {
            (Some(Sex::Male), Some(AgeGroup::Adult)) => "man",
            (Some(Sex::Female), Some(AgeGroup::Adult)) => "woman",
            (Some(Sex::Male), Some(AgeGroup::Child)) => "boy",
            (Some(Sex::Female), Some(AgeGroup::Child)) => "girl",
            // Whoever's age is unknown is called neither man nor boy.
            (Some(Sex::Male), None) => "male patient",
            (Some(Sex::Female), None) => "female patient",
            (None, Some(AgeGroup::Adult)) => "adult",
            (None, Some(AgeGroup::Child)) => "child",
            (None, None) => "patient",
        }
        .into()
    }

    /// `60-year-old man`, without article.
    fn person(&mut self) -> String {
        let tell_sex = !self.chance(OMIT);
        let noun = self.noun_of_person(tell_sex);
        let tell_age = !self.chance(OMIT);
        match self.record.age {
            Some(age) if tell_age => match self.rng.random_range(0..10) {
                0 => format!("{noun} aged {age}"),
                1 => format!("{noun}, {age} years old"),
                _ => format!("{age}-year-old {noun}"),
            },
            Some(0..=5) => format!("young {noun}"),
            Some(18..=34) => format!("young {noun}"),
            Some(40..=59) => format!("middle-aged {noun}"),
            Some(70..) => format!("elderly {noun}"),
            // The children of Kermany et al. are one to five years old.
            None if self.record.dataset == "kermany2018" => match self.rng.random_range(0..3) {
                0 => noun,
                1 => format!("small {noun}"),
                _ => format!("young {noun}"),
            },
            _ => noun,
        }
    }

    /// The findings to name: all, in any order, now and then but one.
    fn told_findings(&mut self) -> Vec<Finding> {
        use rand::seq::SliceRandom;
        let mut told = self.record.findings.clone().unwrap_or_default();
        told.shuffle(&mut self.rng);
        if told.len() > 1 && self.chance(OMIT) {
            told.pop();
        }
        told
    }

    fn findings(&mut self, told: &[Finding]) -> Vec<String> {
        let mut out = Vec::new();
        if told.len() > 1 && self.chance(0.4) {
            out.push(self.listed(told, false));
        } else {
            for finding in told {
                out.push(self.finding(*finding));
            }
        }
        if self.record.other == "COVID-19" && self.chance(0.6) {
            out.push(
                self.pick(&["COVID-19", "Patient with COVID-19", "Known COVID-19"])
                    .into(),
            );
        }
        out
    }

    /// `cardiomegaly, a large left pleural effusion and edema`
    fn listed(&mut self, told: &[Finding], article: bool) -> String {
        let nouns: Vec<String> = told.iter().map(|f| self.noun_phrase(*f, article)).collect();
        match nouns.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => nouns.concat(),
        }
    }

    /// One sentence for one finding.
    fn finding(&mut self, finding: Finding) -> String {
        let unplaced = Location::of(finding, &self.record.boxes) == Location::default();
        let sentences = finding.sentences();
        if unplaced && !sentences.is_empty() && self.chance(0.3) {
            return self.pick(sentences).into();
        }
        if finding == Finding::Pneumonia
            && self.record.other.ends_with("pneumonia")
            && self.chance(0.3)
        {
            return self.record.other.clone();
        }
        match self.rng.random_range(0..10) {
            0 => format!("There is {}", self.noun_phrase(finding, true)),
            1 => format!("Findings: {}", self.noun_phrase(finding, false)),
            2 => format!("Shows {}", self.noun_phrase(finding, true)),
            _ => self.noun_phrase(finding, false),
        }
    }

    /// `large left pleural effusion`, `nodule in the right upper zone`
    fn noun_phrase(&mut self, finding: Finding, article: bool) -> String {
        let place = Location::of(finding, &self.record.boxes);
        let nouns = finding.nouns();
        let plainest = self.chance(0.6);
        let noun = match nouns.choose(&mut self.rng) {
            Some(noun) if !plainest => *noun,
            _ => nouns[0],
        };
        let plural = !noun.many.is_empty() && (place.several || place.side == "bilateral");
        let mut words = Vec::new();
        if !place.size.is_empty() && self.chance(0.85) {
            words.push(place.size);
        }
        let side = if self.chance(0.9) { place.side } else { "" };
        let zone = if self.chance(0.75) { place.zone } else { "" };
        let noun_word = if plural { noun.many } else { noun.one };
        let after = !zone.is_empty() && self.chance(0.5);
        if !after {
            words.push(side);
            if !zone.is_empty() {
                words.extend([zone, "zone"]);
            }
        }
        words.push(noun_word);
        words.retain(|w| !w.is_empty());
        let mut phrase = words.join(" ");
        if after {
            phrase += &match side {
                "" => format!(" in the {zone} zone"),
                "bilateral" => format!(" in both {zone} zones"),
                side => format!(" in the {side} {zone} zone"),
            };
        }
        if article && !plural && !noun.many.is_empty() {
            with_article(&phrase)
        } else {
            phrase
        }
    }

    /// Zero to three sentences on what is not there.
    fn denials(&mut self) -> Vec<String> {
        let deniable = deniable(self.record);
        let number = match self.rng.random_range(0..100) {
            0..50 => 0,
            50..80 => 1,
            80..95 => 2,
            _ => 3,
        };
        let both = [Finding::Effusion, Finding::Pneumothorax];
        let mut denied = Vec::new();
        let mut out = Vec::new();
        if number > 1 && both.iter().all(|f| deniable.contains(f)) && self.chance(0.5) {
            denied.extend(both);
            out.push("No pleural effusion or pneumothorax".to_string());
        }
        while out.len() < number {
            // The ones a report mentions most, half of the time.
            let common = &[
                both[0],
                both[1],
                Finding::Cardiomegaly,
                Finding::Consolidation,
                Finding::Pneumonia,
            ][..];
            let from = if self.chance(0.7) {
                common
            } else {
                &Finding::ALL[..]
            };
            match from.choose(&mut self.rng) {
                Some(f) if deniable.contains(f) && !denied.contains(f) => {
                    denied.push(*f);
                    out.push(self.pick(f.denials()).into());
                }
                // Not that one; and not for ever.
                _ if self.chance(0.3) => break,
                _ => {}
            }
        }
        out
    }
}

/// Sentences for an image without findings.
const NORMAL: &[&str] = &[
    "Normal chest",
    "Normal chest",
    "No acute findings",
    "No abnormality",
    "Normal findings",
    "The lungs are clear",
    "Clear lungs",
    "Lungs are clear and heart size is normal",
    "No acute cardiopulmonary abnormality",
    "Unremarkable chest",
];

/// Findings whose absence the labels vouch for.
fn deniable(record: &Record) -> Vec<Finding> {
    let Some(found) = &record.findings else {
        return Vec::new();
    };
    // Kermany et al. graded pneumonia only: their normal images are normal, the others may show more than is said.
    if record.dataset != "nih_chestxray14" && !found.is_empty() {
        return Vec::new();
    }
    Finding::ALL
        .into_iter()
        .filter(|f| found.iter().all(|g| f != g && !f.overlaps(*g)))
        .collect()
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

#[cfg(test)]
#[path = "prompts_tests.rs"]
mod tests;
