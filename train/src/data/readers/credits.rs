//! Where the images and labels come from, under which terms, and the words that have to ship with a
//! model trained on them.

use std::path::Path;

use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use serde::{Deserialize, Serialize};

use crate::training::ranks;

/// A data set, as a model card names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// What it is called in `metadata.csv`.
    pub dataset: String,
    /// Its terms.
    pub licence: String,
    /// Names and addresses that its terms or its authors ask for.
    pub attribution: String,
}

/// `dataset`, licence, attribution.
const KNOWN: [[&str; 3]; 5] = [
    [
        "nih_chestxray14",
        "no restriction; link, citation and acknowledgement asked",
        "Chest radiographs: NIH Clinical Center, ChestX-ray14 (https://nihcc.app.box.com/v/ChestXray-NIHCC), Wang et al., CVPR 2017",
    ],
    [
        "kermany2018",
        "CC BY 4.0",
        "Kermany et al. 2018, doi:10.17632/rscbjbr9sj, CC BY 4.0 (resized, cropped, some contrast equalised)",
    ],
    [
        "mhh_covid19",
        "CC BY 3.0",
        "COVID-19 Image Repository, Institute for Diagnostic and Interventional Radiology, Hannover Medical School, doi:10.6084/m9.figshare.12275009, CC BY 3.0 (resized, cropped)",
    ],
    [
        "chestx_det",
        "Apache-2.0",
        "Boxes: ChestX-Det (Deepwise AI Lab), Apache License 2.0; Lian et al., A Structure-Aware Relation Network for Thoracic Diseases Detection and Segmentation, IEEE TMI 2021; Liu, Lian, Yu, ChestX-Det10, arXiv:2006.10550",
    ],
    [
        "vqa_rad_chest",
        "CC0 1.0",
        "VQA-RAD: Lau, Gayen, Ben Abacha, Demner-Fushman, Scientific Data 5:180251 (2018), CC0 1.0, images from MedPix, US National Library of Medicine",
    ],
];

/// What is known of a data set; one that is not known here is named, with its terms left to whoever
/// brought it.
pub fn credit(dataset: &str) -> Credit {
    let known = KNOWN.iter().find(|[name, ..]| *name == dataset);
    let [dataset, licence, attribution] = known.copied().unwrap_or([dataset, "unknown", dataset]);
    Credit {
        dataset: dataset.into(),
        licence: licence.into(),
        attribution: attribution.into(),
    }
}

/// Adds data sets to those that the file at `path` names: a run's stages may read different ones.
///
/// # Errors
/// [`Error::Io`], or [`Error::Config`] if the file is damaged.
pub fn note(credits: &[Credit], path: &Path) -> Result<()> {
    let mut all = if path.exists() { noted(path)? } else { vec![] };
    all.extend_from_slice(credits);
    all.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    all.dedup_by(|a, b| a.dataset == b.dataset);
    let json = serde_json::to_vec_pretty(&all).expect("plain text");
    if ranks::is_first() {
        files::replace(path, json)
    } else {
        Ok(())
    }
}

/// The data sets that a run has learned from. Runs that did not note them read the first three of
/// the table.
///
/// # Errors
/// As [`note`].
pub fn noted(path: &Path) -> Result<Vec<Credit>> {
    if !path.exists() {
        return Ok(KNOWN[..3].iter().map(|[name, ..]| credit(name)).collect());
    }
    let json = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&json).map_err(|e| {
        Error::config(
            path.display().to_string(),
            format!("{e}; delete it and start the stage again"),
        )
    })
}

/// All attributions as one text, each once.
pub fn attribution(credits: &[Credit]) -> String {
    let texts: Vec<&str> = credits.iter().map(|c| c.attribution.as_str()).collect();
    format!("{}.", texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_to_the_credits_and_nobody_is_named_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sources.json");
        let old = noted(&path).unwrap();
        assert_eq!(old.len(), 3, "of a run that noted nothing");
        let names = ["nih_chestxray14", "chestx_det"].map(credit);
        note(&names[..1], &path).unwrap();
        note(&names, &path).unwrap();
        let found = noted(&path).unwrap();
        assert_eq!(found, [names[1].clone(), names[0].clone()]);
        let text = attribution(&found);
        assert_eq!(text.matches("NIH Clinical Center").count(), 1);
        assert!(text.contains("Apache License 2.0"), "{text}");
        let own = credit("somebody's");
        assert_eq!(
            (own.licence.as_str(), own.attribution.as_str()),
            ("unknown", "somebody's")
        );
    }
}
