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

impl Finding {
    /// Every finding.
    pub const ALL: [Finding; 14] = [
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
    ];

    /// The name in the data set's files.
    pub fn name(self) -> &'static str {
        match self {
            Atelectasis => "Atelectasis",
            Cardiomegaly => "Cardiomegaly",
            Consolidation => "Consolidation",
            Edema => "Edema",
            Effusion => "Effusion",
            Emphysema => "Emphysema",
            Fibrosis => "Fibrosis",
            Hernia => "Hernia",
            Infiltration => "Infiltration",
            Mass => "Mass",
            Nodule => "Nodule",
            PleuralThickening => "Pleural_Thickening",
            Pneumonia => "Pneumonia",
            Pneumothorax => "Pneumothorax",
        }
    }

    /// Nouns for it; the first is the plainest.
    pub fn nouns(self) -> &'static [Noun] {
        match self {
            Atelectasis => {
                const {
                    &[
                        mass("atelectasis"),
                        mass("lung atelectasis"),
                        mass("atelectatic change"),
                    ]
                }
            }
            Cardiomegaly => {
                const {
                    &[
                        mass("cardiomegaly"),
                        mass("enlargement of the heart"),
                        mass("cardiac enlargement"),
                    ]
                }
            }
            Consolidation => {
                const {
                    &[
                        mass("consolidation"),
                        mass("lung consolidation"),
                        mass("airspace consolidation"),
                    ]
                }
            }
            Edema => {
                const {
                    &[
                        mass("pulmonary edema"),
                        mass("edema"),
                        mass("pulmonary oedema"),
                    ]
                }
            }
            Effusion => {
                const {
                    &[
                        count("pleural effusion", "pleural effusions"),
                        count("effusion", "effusions"),
                        mass("pleural fluid"),
                    ]
                }
            }
            Emphysema => {
                const {
                    &[
                        mass("emphysema"),
                        mass("pulmonary emphysema"),
                        mass("emphysematous change"),
                    ]
                }
            }
            Fibrosis => {
                const {
                    &[
                        mass("fibrosis"),
                        mass("pulmonary fibrosis"),
                        mass("fibrotic change"),
                    ]
                }
            }
            Hernia => const { &[count("hernia", "hernias")] },
            Infiltration => {
                const {
                    &[
                        count("infiltrate", "infiltrates"),
                        mass("infiltration"),
                        count("lung infiltrate", "lung infiltrates"),
                        count("pulmonary infiltrate", "pulmonary infiltrates"),
                    ]
                }
            }
            Mass => {
                const {
                    &[
                        count("mass", "masses"),
                        count("lung mass", "lung masses"),
                        count("pulmonary mass", "pulmonary masses"),
                    ]
                }
            }
            Nodule => {
                const {
                    &[
                        count("nodule", "nodules"),
                        count("lung nodule", "lung nodules"),
                        count("pulmonary nodule", "pulmonary nodules"),
                    ]
                }
            }
            PleuralThickening => {
                const { &[mass("pleural thickening"), mass("thickening of the pleura")] }
            }
            Pneumonia => {
                const {
                    &[
                        mass("pneumonia"),
                        mass("lung infection"),
                        mass("pneumonic change"),
                    ]
                }
            }
            Pneumothorax => const { &[count("pneumothorax", "pneumothoraces")] },
        }
    }

    /// Whole sentences that say it without the usual pattern.
    pub fn sentences(self) -> &'static [&'static str] {
        match self {
            Cardiomegaly => &[
                "The heart is enlarged",
                "Enlarged heart",
                "Enlarged cardiac silhouette",
                "Heart size is enlarged",
            ],
            Pneumonia => &[
                "Findings consistent with pneumonia",
                "Findings of pneumonia",
            ],
            Emphysema => &["Emphysematous lungs"],
            PleuralThickening => &["Thickened pleura"],
            _ => &[],
        }
    }

    /// How a report denies it.
    pub fn denials(self) -> &'static [&'static str] {
        match self {
            Atelectasis => &["No atelectasis"],
            Cardiomegaly => &[
                "No cardiomegaly",
                "Heart size is normal",
                "Normal heart size",
                "The heart is not enlarged",
            ],
            Consolidation => &["No focal consolidation", "No consolidation"],
            Edema => &["No pulmonary edema", "No edema"],
            Effusion => &[
                "No pleural effusion",
                "No effusion",
                "Without pleural effusion",
            ],
            Emphysema => &["No emphysema"],
            Fibrosis => &["No fibrosis"],
            Hernia => &["No hernia"],
            Infiltration => &["No infiltrate", "No infiltration"],
            Mass => &["No mass", "No lung mass"],
            Nodule => &["No nodule", "No lung nodule"],
            PleuralThickening => &["No pleural thickening"],
            Pneumonia => &["No pneumonia", "No evidence of pneumonia"],
            Pneumothorax => &["No pneumothorax", "Without pneumothorax"],
        }
    }

    /// Whether two findings describe shadows that readers mix up: where one was labelled, the absence of the other
    /// in the labels says nothing, so a prompt must not deny it.
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
    fn overlap_is_symmetric() {
        for a in Finding::ALL {
            for b in Finding::ALL {
                assert_eq!(a.overlaps(b), b.overlaps(a));
            }
        }
        assert!(!Effusion.overlaps(Cardiomegaly));
    }
}
