//! The findings, in the words of a prompt: what there is, where and how large, and what there is not.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};

use super::{Composer, OMIT, with_article};
use crate::data::dataset::Record;
use crate::data::findings::Finding;
use crate::data::location::Location;

/// Sentences for an image without findings.
pub(super) const NORMAL: &[&str] = &[
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

impl Composer<'_> {
    /// The findings to name: all, in any order, now and then but one.
    pub(super) fn told_findings(&mut self) -> Vec<Finding> {
        let mut told = self.record.findings.clone().unwrap_or_default();
        told.shuffle(&mut self.rng);
        if told.len() > 1 && self.chance(OMIT) {
            told.pop();
        }
        told
    }

    /// Sentences that name these findings.
    pub(super) fn findings(&mut self, told: &[Finding]) -> Vec<String> {
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
    pub(super) fn listed(&mut self, told: &[Finding], article: bool) -> String {
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
    pub(super) fn noun_phrase(&mut self, finding: Finding, article: bool) -> String {
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
    pub(super) fn denials(&mut self) -> Vec<String> {
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
            // Mostly the ones that a report mentions most.
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
