//! What a prompt says, as numbers: what a text encoder has to carry to the U-Net, and is taught and
//! asked.

use super::statement::{Age, Statement};
use crate::data::findings::Finding;
use crate::data::location::{Side, Zone};
use crate::data::record::{AgeGroup, Sex, View};

/// Findings of which both sides are told: those with at least some fifty boxes on one side.
pub const SIDED: [Finding; 9] = [
    Finding::Effusion,
    Finding::Consolidation,
    Finding::Atelectasis,
    Finding::Pneumothorax,
    Finding::Pneumonia,
    Finding::Infiltration,
    Finding::PleuralThickening,
    Finding::Nodule,
    Finding::Mass,
];

/// Facts that are no findings.
const GENERAL: [&str; 14] = [
    "PA",
    "AP",
    "Male",
    "Female",
    "Child",
    "Adult under 40",
    "Adult from 40 to 69",
    "Adult from 70",
    "Normal",
    "Mirrored",
    "Upper zone",
    "Lower zone",
    "Small",
    "Large",
];

/// Number of facts: the general ones, the findings, and nine findings on three sides.
pub const FACTS: usize = GENERAL.len() + Finding::ALL.len() + SIDED.len() * Side::ALL.len();

/// Whether a prompt says each fact.
pub type Facts = [bool; FACTS];

/// The facts' names, in their order: `PA`, `Effusion`, `Effusion left`.
pub fn names() -> Vec<String> {
    let general = GENERAL.iter().map(|name| name.to_string());
    let findings = Finding::ALL.iter().map(|f| f.name().to_string());
    let side = |f: &Finding| Side::ALL.map(|side| format!("{} {}", f.name(), side.word()));
    general
        .chain(findings)
        .chain(SIDED.iter().flat_map(side))
        .collect()
}

/// What a statement says.
pub fn facts(said: &Statement) -> Facts {
    let adult = |years: std::ops::Range<u32>, word: &str| {
        said.age_group == Some(AgeGroup::Adult)
            && match said.age {
                Some(Age::Years(age)) => years.contains(&age),
                Some(Age::Word(said)) => said == word,
                None => false,
            }
    };
    let any = |zone: Zone| {
        said.findings
            .iter()
            .any(|(_, place)| place.zone == Some(zone))
    };
    let sized = |sizes: [&str; 2]| {
        said.findings
            .iter()
            .any(|(_, place)| sizes.contains(&place.size))
    };
    let general = [
        said.view == Some(View::Pa),
        said.view == Some(View::Ap),
        said.sex == Some(Sex::Male),
        said.sex == Some(Sex::Female),
        said.age_group == Some(AgeGroup::Child),
        adult(0..40, "young"),
        adult(40..70, "middle-aged"),
        adult(70..u32::MAX, "elderly"),
        said.normal,
        said.mirrored,
        any(Zone::Upper),
        any(Zone::Lower),
        sized(["small", "mild"]),
        sized(["large", "marked"]),
    ];
    let place = |f: &Finding| said.findings.iter().find(|(of, _)| of == f);
    let found = Finding::ALL.map(|f| place(&f).is_some());
    let sides =
        SIDED.map(|f| Side::ALL.map(|side| place(&f).is_some_and(|(_, p)| p.side == Some(side))));
    let all = general
        .into_iter()
        .chain(found)
        .chain(sides.into_iter().flatten());
    let mut facts = [false; FACTS];
    facts.iter_mut().zip(all).for_each(|(to, fact)| *to = fact);
    facts
}
