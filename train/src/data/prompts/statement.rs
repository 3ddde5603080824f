//! What a prompt says of a record: chosen first, worded later, so that whoever learns from a prompt
//! knows what is in it.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::data::findings::{Finding, Labels};
use crate::data::location::Location;
use crate::data::record::{AgeGroup, Record, Sex, View};

/// Share of the prompts that name findings and sides and nothing else.
const BRIEF: f64 = 0.3;
/// Share of the longer prompts that leave out one thing they could say: the view, the sex, the age,
/// one of several findings.
const OMIT: f64 = 0.12;
/// How often a side, a zone and a size are told where they are known.
const TELL: [f64; 3] = [0.95, 0.75, 0.85];

/// An age as a prompt gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Full years.
    Years(u32),
    /// An adjective: `young`, `middle-aged`, `elderly`, `small`.
    Word(&'static str),
}

/// What one prompt says; everything else of its record it leaves open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    /// Only findings and sides: neither image nor patient is spoken of.
    pub brief: bool,
    /// Direction of the beam.
    pub view: Option<View>,
    /// Sex of the patient.
    pub sex: Option<Sex>,
    /// Their age.
    pub age: Option<Age>,
    /// Adult or child.
    pub age_group: Option<AgeGroup>,
    /// That nothing was found.
    pub normal: bool,
    /// The findings, with as much of their place and size as is told.
    pub findings: Vec<(Finding, Location)>,
    /// Findings that are denied.
    pub denied: Vec<Finding>,
    /// Words of the source outside the vocabulary: `COVID-19`, `Fracture`, `viral pneumonia`.
    pub remarks: Vec<String>,
    /// Sentences of clinicians.
    pub text: String,
    /// That left and right of the image are exchanged.
    pub mirrored: bool,
}

impl Statement {
    /// The clinicians' sentences, without their full stops.
    pub(super) fn sentences(&self) -> Vec<String> {
        let sentences = self
            .text
            .split(". ")
            .map(|s| s.trim_end_matches('.').to_string());
        sentences.filter(|s| !s.is_empty()).collect()
    }

    /// Chooses what to say of a record.
    pub fn draw(record: &Record, rng: &mut StdRng) -> Self {
        let normal = record.is_normal();
        let mut found = record.findings.clone().unwrap_or_default();
        found.shuffle(rng);
        let brief = (normal || !found.is_empty()) && rng.random_bool(BRIEF);
        if !brief && found.len() > 1 && rng.random_bool(OMIT) {
            found.pop();
        }
        let findings = found
            .into_iter()
            .map(|f| (f, place(record.location(f), rng)));
        let said = Self {
            brief,
            normal,
            findings: findings.collect(),
            mirrored: record.mirrored,
            ..Self::default()
        };
        if brief {
            return said;
        }
        let mut tell = || !rng.random_bool(OMIT);
        let (view, sex) = (
            record.view.filter(|_| tell()),
            record.sex.filter(|_| tell()),
        );
        let years = record.age.filter(|_| tell());
        let remarks = record.other.split('|').filter(|r| !r.is_empty());
        Self {
            view,
            sex,
            age: years.map(Age::Years).or_else(|| age_word(record, rng)),
            age_group: record.age_group,
            remarks: remarks
                .filter(|_| rng.random_bool(0.6))
                .map(String::from)
                .collect(),
            denied: denied(record, rng),
            text: record.text.clone(),
            ..said
        }
    }
}

/// As much of a location as is told.
fn place(known: Location, rng: &mut StdRng) -> Location {
    let [side, zone, size] = TELL.map(|share| rng.random_bool(share));
    Location {
        side: known.side.filter(|_| side),
        zone: known.zone.filter(|_| zone),
        size: if size { known.size } else { "" },
        several: known.several,
    }
}

/// An adjective for an age whose number is not told, or not known.
fn age_word(record: &Record, rng: &mut StdRng) -> Option<Age> {
    let word = match record.age {
        Some(0..=5 | 18..=34) => "young",
        Some(40..=59) => "middle-aged",
        Some(70..) => "elderly",
        // The children of Kermany et al. are one to five years old.
        None if record.dataset == "kermany2018" => ["", "small", "young"].choose(rng)?,
        _ => "",
    };
    (!word.is_empty()).then_some(Age::Word(word))
}

/// Zero to three findings to deny, mostly those that a report mentions most.
fn denied(record: &Record, rng: &mut StdRng) -> Vec<Finding> {
    use Finding::*;
    const COMMON: [Finding; 5] = [
        Effusion,
        Pneumothorax,
        Cardiomegaly,
        Consolidation,
        Pneumonia,
    ];
    let number = match rng.random_range(0..100) {
        0..50 => 0,
        50..80 => 1,
        80..95 => 2,
        _ => 3,
    };
    let (mut common, mut rare): (Vec<_>, Vec<_>) = deniable(record)
        .into_iter()
        .partition(|f| COMMON.contains(f));
    common.shuffle(rng);
    rare.shuffle(rng);
    let mut next = || {
        if rng.random_bool(0.75) {
            common.pop().or_else(|| rare.pop())
        } else {
            rare.pop().or_else(|| common.pop())
        }
    };
    (0..number).map_while(|_| next()).collect()
}

/// Findings whose absence somebody vouches for: all of a normal image's, and of those that
/// radiologists looked for and did not see. Where labels were mined from a report, a finding that
/// is not listed was perhaps not mentioned.
fn deniable(record: &Record) -> Vec<Finding> {
    let found = record.findings.iter().flatten();
    let present: Vec<Finding> = found.chain(&record.doubtful).copied().collect();
    let looked_for =
        |f: &Finding| record.is_normal() || (record.labels == Labels::Radiologists && f.is_drawn());
    let all = Finding::ALL.into_iter().filter(looked_for);
    all.filter(|f| present.iter().all(|g| f != g && !f.overlaps(*g)))
        .collect()
}
