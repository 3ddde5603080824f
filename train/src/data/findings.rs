//! The fourteen findings of NIH ChestX-ray14 and the words a report has for them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A finding in the vocabulary of NIH ChestX-ray14 (Wang et al., CVPR 2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the vocabulary
pub enum Finding {
    Atelectasis,
    Cardiomegaly,
    Consolidation,
    Edema,
    Effusion,
    Emphysema,
    Fibrosis,
    Hernia,
    Infiltration,
    Mass,
    Nodule,
    PleuralThickening,
    Pneumonia,
    Pneumothorax,
}

use Finding::*;

/// How the data set's files spell "nothing found".
pub const NO_FINDING: &str = "No Finding";

/// A noun for a finding, and its plural where it can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noun {
    /// As it follows an article, a size and a side: `pleural effusion`.
    pub one: &'static str,
    /// `pleural effusions`; empty for a noun without plural, which then takes no article.
    pub many: &'static str,
}

const fn count(one: &'static str, many: &'static str) -> Noun {
    Noun { one, many }
}

const fn mass(one: &'static str) -> Noun {
    Noun { one, many: "" }
}

/// What prompts know of a finding. The terms are those that clinicians use in published captions
/// and that labellers of reports look for; the sentences are ours.
struct Row {
    finding: Finding,
    /// The name in NIH's files.
    name: &'static str,
    /// Nouns for it; the first is the plainest, and the page's.
    nouns: &'static [Noun],
    /// Whole sentences that say it without the usual pattern, and without a place.
    sentences: &'static [&'static str],
    /// How a report denies it.
    denials: &'static [&'static str],
}

/// Every finding, in the order of [`Finding`].
const TABLE: [Row; 14] = [
    Row {
        finding: Atelectasis,
        name: "Atelectasis",
        nouns: &[
            mass("atelectasis"),
            mass("lung atelectasis"),
            mass("atelectatic change"),
            mass("volume loss"),
        ],
        sentences: &["Loss of lung volume"],
        denials: &["No atelectasis"],
    },
    Row {
        finding: Cardiomegaly,
        name: "Cardiomegaly",
        nouns: &[
            mass("cardiomegaly"),
            mass("enlargement of the heart"),
            mass("cardiac enlargement"),
        ],
        sentences: &[
            "The heart is enlarged",
            "Enlarged heart",
            "Enlarged cardiac silhouette",
            "The cardiac shadow is enlarged",
            "Heart size is enlarged",
        ],
        denials: &[
            "No cardiomegaly",
            "Heart size is normal",
            "Normal heart size",
            "The heart is not enlarged",
            "Normal cardiac silhouette",
        ],
    },
    Row {
        finding: Consolidation,
        name: "Consolidation",
        nouns: &[
            mass("consolidation"),
            mass("lung consolidation"),
            mass("airspace consolidation"),
            count("airspace opacity", "airspace opacities"),
            count("alveolar opacity", "alveolar opacities"),
        ],
        sentences: &["Consolidated lung"],
        denials: &["No focal consolidation", "No consolidation"],
    },
    Row {
        finding: Edema,
        name: "Edema",
        nouns: &[
            mass("pulmonary edema"),
            mass("edema"),
            mass("pulmonary oedema"),
            mass("pulmonary congestion"),
            mass("vascular congestion"),
        ],
        sentences: &["Congested lungs"],
        denials: &["No pulmonary edema", "No edema", "No vascular congestion"],
    },
    Row {
        finding: Effusion,
        name: "Effusion",
        nouns: &[
            count("pleural effusion", "pleural effusions"),
            count("effusion", "effusions"),
            mass("pleural fluid"),
        ],
        sentences: &[],
        denials: &[
            "No pleural effusion",
            "No effusion",
            "Without pleural effusion",
            "No pleural fluid",
        ],
    },
    Row {
        finding: Emphysema,
        name: "Emphysema",
        nouns: &[
            mass("emphysema"),
            mass("pulmonary emphysema"),
            mass("emphysematous change"),
            mass("hyperinflation"),
        ],
        sentences: &[
            "Emphysematous lungs",
            "Hyperinflated lungs",
            "The lungs are hyperinflated",
        ],
        denials: &["No emphysema", "No hyperinflation"],
    },
    Row {
        finding: Fibrosis,
        name: "Fibrosis",
        nouns: &[
            mass("fibrosis"),
            mass("pulmonary fibrosis"),
            mass("fibrotic change"),
            mass("lung scarring"),
        ],
        sentences: &["Scarred lung"],
        denials: &["No fibrosis"],
    },
    Row {
        finding: Hernia,
        name: "Hernia",
        nouns: &[
            count("hernia", "hernias"),
            count("hiatal hernia", "hiatal hernias"),
        ],
        sentences: &[],
        denials: &["No hernia"],
    },
    Row {
        finding: Infiltration,
        name: "Infiltration",
        nouns: &[
            count("infiltrate", "infiltrates"),
            mass("infiltration"),
            count("lung infiltrate", "lung infiltrates"),
            count("pulmonary infiltrate", "pulmonary infiltrates"),
            count("lung opacity", "lung opacities"),
            count("patchy opacity", "patchy opacities"),
        ],
        sentences: &[],
        denials: &["No infiltrate", "No infiltration", "No lung opacity"],
    },
    Row {
        finding: Mass,
        name: "Mass",
        nouns: &[
            count("lung mass", "lung masses"),
            count("mass", "masses"),
            count("pulmonary mass", "pulmonary masses"),
            count("mass lesion", "mass lesions"),
        ],
        sentences: &[],
        denials: &["No mass", "No lung mass"],
    },
    Row {
        finding: Nodule,
        name: "Nodule",
        nouns: &[
            count("lung nodule", "lung nodules"),
            count("nodule", "nodules"),
            count("pulmonary nodule", "pulmonary nodules"),
            count("nodular opacity", "nodular opacities"),
            count("nodular density", "nodular densities"),
        ],
        sentences: &[],
        denials: &["No nodule", "No lung nodule"],
    },
    Row {
        finding: PleuralThickening,
        name: "Pleural_Thickening",
        nouns: &[
            mass("pleural thickening"),
            mass("thickening of the pleura"),
            mass("thickened pleura"),
        ],
        sentences: &["The pleura is thickened"],
        denials: &["No pleural thickening"],
    },
    Row {
        finding: Pneumonia,
        name: "Pneumonia",
        nouns: &[
            mass("pneumonia"),
            mass("lung infection"),
            mass("pulmonary infection"),
            mass("pneumonic change"),
        ],
        sentences: &[
            "Findings consistent with pneumonia",
            "Findings of pneumonia",
        ],
        denials: &["No pneumonia", "No evidence of pneumonia"],
    },
    Row {
        finding: Pneumothorax,
        name: "Pneumothorax",
        nouns: &[count("pneumothorax", "pneumothoraces")],
        sentences: &[],
        denials: &["No pneumothorax", "Without pneumothorax"],
    },
];

impl Finding {
    /// Every finding.
    pub const ALL: [Finding; 14] = {
        let mut all = [Atelectasis; 14];
        let mut i = 0;
        while i < all.len() {
            all[i] = TABLE[i].finding;
            i += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name in the data set's files.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Nouns for it; the first is the plainest.
    pub fn nouns(self) -> &'static [Noun] {
        self.row().nouns
    }

    /// Whole sentences that say it without the usual pattern.
    pub fn sentences(self) -> &'static [&'static str] {
        self.row().sentences
    }

    /// How a report denies it.
    pub fn denials(self) -> &'static [&'static str] {
        self.row().denials
    }

    /// Whether the radiologists of ChestX-Det looked for it.
    pub fn is_drawn(self) -> bool {
        !matches!(self, Edema | Hernia | Infiltration | Pneumonia)
    }

    /// Whether two findings describe shadows that readers mix up: where one was labelled, the
    /// absence of the other in the labels says nothing, so a prompt must not deny it.
    pub fn overlaps(self, other: Finding) -> bool {
        const GROUPS: [&[Finding]; 4] = [
            &[Atelectasis, Consolidation, Edema, Infiltration, Pneumonia],
            &[Mass, Nodule, Consolidation],
            &[Effusion, PleuralThickening],
            &[Fibrosis, Infiltration],
        ];
        GROUPS
            .iter()
            .any(|g| g.contains(&self) && g.contains(&other))
    }
}

impl FromStr for Finding {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Finding::ALL
            .into_iter()
            .find(|f| f.name() == name)
            .ok_or_else(|| format!("the finding {name:?} is none of NIH ChestX-ray14's"))
    }
}

/// Who says what the findings are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Labels {
    /// Mined from report text, or one diagnosis for the image: a finding that is not listed may
    /// still be there.
    #[default]
    Reports,
    /// Drawn by the radiologists of ChestX-Det, who looked for every finding of
    /// [`Finding::is_drawn`].
    Radiologists,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for f in Finding::ALL {
            assert_eq!(f.name().parse(), Ok(f));
        }
        assert!("Pneumoconiosis".parse::<Finding>().is_err());
    }

    #[test]
    fn rows_are_in_the_order_of_the_enum() {
        for (i, finding) in Finding::ALL.into_iter().enumerate() {
            assert_eq!(finding as usize, i);
            assert_eq!(finding.row().finding, finding);
            assert!(!finding.nouns().is_empty() && !finding.denials().is_empty());
        }
    }

    #[test]
    fn overlap_is_symmetric() {
        for a in Finding::ALL {
            for b in Finding::ALL {
                assert_eq!(a.overlaps(b), b.overlaps(a));
            }
        }
        assert!(!Effusion.overlaps(Cardiomegaly));
    }
}
