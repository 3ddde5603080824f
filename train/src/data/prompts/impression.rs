//! The findings, in the words of a prompt: what there is, where and how large, and what there is
//! not.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::composer::{Composer, with_article};
use crate::data::findings::Finding;
use crate::data::location::{Location, Side, Zone};

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
    /// Sentences that name the findings.
    pub(super) fn findings(&mut self) -> Vec<String> {
        let said = self.said;
        if said.findings.len() > 1 && self.chance(0.4) {
            return vec![self.listed(false)];
        }
        let each = said.findings.iter();
        each.map(|(finding, place)| self.finding(*finding, *place))
            .collect()
    }

    /// `cardiomegaly, a large left pleural effusion and edema`
    pub(super) fn listed(&mut self, article: bool) -> String {
        let said = self.said;
        let nouns = said
            .findings
            .iter()
            .map(|(finding, place)| self.noun_phrase(*finding, *place, article));
        let nouns: Vec<String> = nouns.collect();
        match nouns.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => nouns.concat(),
        }
    }

    /// One sentence for one finding.
    fn finding(&mut self, finding: Finding, place: Location) -> String {
        let unplaced = place == Location::default();
        let sentences = finding.sentences();
        if unplaced && !sentences.is_empty() && self.chance(0.3) {
            return self.pick(sentences).into();
        }
        match self.rng.random_range(0..10) {
            0 => format!("There is {}", self.noun_phrase(finding, place, true)),
            1 => format!("Findings: {}", self.noun_phrase(finding, place, false)),
            2 => format!("Shows {}", self.noun_phrase(finding, place, true)),
            _ => self.noun_phrase(finding, place, false),
        }
    }

    /// `large left pleural effusion`, `nodule in the right upper zone`, `pneumonia at both bases`
    fn noun_phrase(&mut self, finding: Finding, place: Location, article: bool) -> String {
        let nouns = finding.nouns();
        let plainest = self.chance(0.6);
        let noun = match nouns.choose(&mut self.rng) {
            Some(noun) if !plainest => *noun,
            _ => nouns[0],
        };
        let both = place.side == Some(Side::Bilateral);
        let plural = !noun.many.is_empty() && (place.several || both);
        let word = if plural { noun.many } else { noun.one };
        let [before, after] = match (place.zone, place.side) {
            (Some(zone), side) => self.zone(zone, side),
            (None, Some(side)) => self.side(finding, side),
            (None, None) => Default::default(),
        };
        let words = [place.size, &before, word, &after];
        let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
        if article && !plural && !noun.many.is_empty() {
            with_article(&words.join(" "))
        } else {
            words.join(" ")
        }
    }

    /// A side, in words before and after the noun.
    fn side(&mut self, finding: Finding, side: Side) -> [String; 2] {
        use Finding::*;
        // What lies around the lung is not in it.
        let lung = !matches!(finding, Effusion | Pneumothorax | PleuralThickening);
        let word = side.word();
        let after = |phrase: String| [String::new(), phrase];
        match (self.rng.random_range(0..10), side) {
            (0..6, _) => [word.into(), String::new()],
            (6..8, Side::Bilateral) if lung => after("in both lungs".into()),
            (_, Side::Bilateral) => after("on both sides".into()),
            (6..8, _) => [format!("{word}-sided"), String::new()],
            (8, _) => after(format!("on the {word}")),
            (_, _) if lung => after(format!("in the {word} lung")),
            (_, _) => after(format!("in the {word} hemithorax")),
        }
    }

    /// A zone and perhaps a side, in words before and after the noun.
    fn zone(&mut self, zone: Zone, side: Option<Side>) -> [String; 2] {
        let what = self.pick(&["zone", "zone", "lung zone", "lung field"]);
        let base = zone == Zone::Lower && self.chance(0.3);
        let (zone, word) = (zone.word(), side.map_or("", Side::word));
        let space = if word.is_empty() { "" } else { " " };
        if self.chance(0.4) {
            return [format!("{word}{space}{zone} {what}"), String::new()];
        }
        let after = match side {
            Some(Side::Bilateral) if base => "at both bases".into(),
            Some(Side::Bilateral) => format!("in both {zone} {what}s"),
            _ if base => format!("at the {word}{space}base"),
            _ => format!("in the {word}{space}{zone} {what}"),
        };
        [String::new(), after]
    }

    /// Sentences on what is not there.
    pub(super) fn denials(&mut self) -> Vec<String> {
        let both = [Finding::Effusion, Finding::Pneumothorax];
        let mut denied = self.said.denied.clone();
        let mut out = vec![];
        if both.iter().all(|f| denied.contains(f)) && self.chance(0.7) {
            denied.retain(|f| !both.contains(f));
            out.push("No pleural effusion or pneumothorax".to_string());
        }
        out.extend(
            denied
                .into_iter()
                .map(|f| self.pick(f.denials()).to_string()),
        );
        out
    }

    /// Sentences for what the source says outside the vocabulary.
    pub(super) fn remarks(&mut self) -> Vec<String> {
        let said = self.said;
        let sentence = |remark: &String| match remark.as_str() {
            "COVID-19" => self
                .pick(&["COVID-19", "Patient with COVID-19", "Known COVID-19"])
                .into(),
            "Fracture" => self
                .pick(&["Fracture", "Rib fracture", "Fractured bone"])
                .into(),
            "Calcification" => self.pick(&["Calcification", "Calcified lesion"]).into(),
            other => other.to_string(),
        };
        said.remarks.iter().map(sentence).collect()
    }
}
