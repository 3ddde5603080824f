//! Which labels mined from reports a classifier does not believe: see [`crate::data::doubts`].

use std::path::Path;

use burn::prelude::*;
use roentgen_web::error::Result;

use super::classifier::{self, Predictions};
use crate::data::dataset::Dataset;
use crate::data::doubts::Doubt;
use crate::data::findings::{Finding, Labels};
use crate::data::images::Fit;
use crate::data::readers::collection::Selection;
use crate::data::record::Record;

/// Share of the images with a label whose label is not believed: the least credible ones by the
/// classifier.
const SHARE: f64 = 0.1;

/// The doubtful labels of the selected records in `data`, by the classifier in `classifier`.
///
/// # Errors
/// As [`classifier::open`] and [`Dataset::read`].
pub fn find(
    classifier: &Path,
    data: &Path,
    selection: &Selection,
    device: &Device,
) -> Result<Vec<Doubt>> {
    let (network, size) = classifier::open(classifier, device)?;
    let data = Dataset::read(data, selection, Fit::Exactly(size as u32))?;
    println!("{data}");
    let predictions = classifier::predict(&network, (0..data.len()).map(|i| data.image(i)), size);
    Ok(least_credible(&data.records, &predictions))
}

fn least_credible(records: &[Record], predictions: &Predictions) -> Vec<Doubt> {
    let mut doubts = vec![];
    for (label, finding) in Finding::ALL.into_iter().enumerate() {
        let mined = |record: &Record| {
            record.labels == Labels::Reports
                && record.findings.iter().flatten().any(|f| *f == finding)
        };
        let mut labelled: Vec<usize> = (0..records.len()).filter(|i| mined(&records[*i])).collect();
        labelled.sort_by(|a, b| {
            predictions.logits[*a][label].total_cmp(&predictions.logits[*b][label])
        });
        labelled.truncate((SHARE * labelled.len() as f64) as usize);
        doubts.extend(labelled.into_iter().map(|i| Doubt {
            file: records[i].file.clone(),
            finding: finding.name().into(),
        }));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::labels::LABELS;
    use crate::evaluate::metrics::Features;

    #[test]
    fn the_least_credible_tenth_of_each_label_is_doubted() {
        let record = |i: usize| Record {
            file: i.to_string(),
            findings: Some(if i < 30 {
                vec![Finding::Edema]
            } else {
                vec![Finding::Mass]
            }),
            labels: if i == 29 {
                Labels::Radiologists
            } else {
                Labels::Reports
            },
            ..Record::default()
        };
        let records: Vec<Record> = (0..40).map(record).collect();
        // The higher the index, the less it looks like edema; everything looks alike a mass.
        let logits = (0..40).map(|i| {
            let mut logits = [0.0; LABELS];
            logits[Finding::Edema as usize] = -(i as f32);
            logits
        });
        let predictions = Predictions {
            features: Features::new(1, vec![0.0; 40]),
            logits: logits.collect(),
        };
        let doubts = least_credible(&records, &predictions);
        let found: Vec<(&str, &str)> = doubts
            .iter()
            .map(|d| (d.file.as_str(), d.finding.as_str()))
            .collect();
        assert_eq!(found, [("28", "Edema"), ("27", "Edema"), ("30", "Mass")]);
    }
}
