//! What a classifier is asked about an image: the fourteen findings, the view, and whether it shows a child.

use crate::data::dataset::{AgeGroup, Record, View};
use crate::data::findings::Finding;

/// Number of labels.
pub const LABELS: usize = Finding::ALL.len() + 2;

/// Each label's truth; `None` where nobody knows.
pub type Truth = [Option<bool>; LABELS];

/// The labels' names, in their order.
pub fn names() -> [&'static str; LABELS] {
    let mut names = [""; LABELS];
    let all = Finding::ALL.map(Finding::name);
    for (to, name) in names.iter_mut().zip(all.into_iter().chain(["PA", "Child"])) {
        *to = name;
    }
    names
}

/// What the tables say of an image. A finding that is not listed is absent where somebody looked for all of them: NIH's
/// labels, and images called normal. Other sources graded one finding, and nothing is known of the rest.
pub fn known(record: &Record) -> Truth {
    let graded = |finding: Finding| {
        let found = record.findings.as_ref()?;
        let all = record.dataset == "nih_chestxray14" || found.is_empty();
        match found.contains(&finding) {
            true => Some(true),
            false if all => Some(false),
            false => None,
        }
    };
    let mut truth = [None; LABELS];
    for (to, finding) in truth.iter_mut().zip(Finding::ALL) {
        *to = graded(finding);
    }
    truth[LABELS - 2] = Some(record.view == View::Pa);
    truth[LABELS - 1] = record.age_group.map(|group| group == AgeGroup::Child);
    truth
}

/// What `prompt`, composed from `record`, asks for. Prompts leave things out now and then: what the record says and the
/// prompt does not is neither asked for nor excluded.
pub fn requested(record: &Record, prompt: &str) -> Truth {
    let mut truth = known(record);
    let prompt = prompt.to_lowercase();
    for (label, finding) in truth.iter_mut().zip(Finding::ALL) {
        if *label == Some(true) && !names_finding(&prompt, finding) {
            *label = None;
        }
    }
    let words: Vec<&str> = prompt.split(|c: char| !c.is_alphanumeric()).collect();
    let says = |any: &[&str]| words.iter().any(|word| any.contains(word));
    if !says(&["pa", "posteroanterior", "ap", "anteroposterior"]) {
        truth[LABELS - 2] = None;
    }
    if !says(&["child", "boy", "girl", "adult", "man", "woman"]) {
        truth[LABELS - 1] = None;
    }
    truth
}

/// Whether a prompt in lower case names a finding that its record has, which it then does not deny.
fn names_finding(prompt: &str, finding: Finding) -> bool {
    let nouns = finding.nouns().iter().map(|noun| noun.one);
    let sentences = finding.sentences().iter().copied();
    let mut words = nouns.chain(sentences).map(str::to_lowercase);
    words.any(|word| prompt.contains(&word))
        || finding
            .nouns()
            .iter()
            .any(|n| !n.many.is_empty() && prompt.contains(n.many))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Sex;
    use crate::data::prompts;

    fn record(dataset: &str, findings: Option<Vec<Finding>>) -> Record {
        Record {
            file: "a.png".into(),
            dataset: dataset.into(),
            patient: "p".into(),
            view: View::Pa,
            sex: Some(Sex::Male),
            age: Some(50),
            age_group: Some(AgeGroup::Adult),
            findings,
            other: String::new(),
            boxes: vec![],
            native_size: 128,
        }
    }

    fn of(truth: &Truth, name: &str) -> Option<bool> {
        truth[names().iter().position(|n| *n == name).unwrap()]
    }

    #[test]
    fn what_nobody_graded_is_unknown() {
        let nih = known(&record("nih_chestxray14", Some(vec![Finding::Mass])));
        assert_eq!(of(&nih, "Mass"), Some(true));
        assert_eq!(of(&nih, "Nodule"), Some(false));
        assert_eq!(
            (of(&nih, "PA"), of(&nih, "Child")),
            (Some(true), Some(false))
        );
        let one = known(&record("kermany2018", Some(vec![Finding::Pneumonia])));
        assert_eq!(of(&one, "Pneumonia"), Some(true));
        assert_eq!(of(&one, "Edema"), None);
        let normal = known(&record("kermany2018", Some(vec![])));
        assert_eq!(of(&normal, "Edema"), Some(false));
        let ungraded = known(&record("mhh_covid19", None));
        assert!(ungraded[..LABELS - 2].iter().all(Option::is_none));
    }

    #[test]
    fn only_what_the_prompt_says_is_requested() {
        let both = record(
            "nih_chestxray14",
            Some(vec![Finding::Effusion, Finding::Cardiomegaly]),
        );
        let said = requested(&both, "Chest film with pleural effusion.");
        assert_eq!(of(&said, "Effusion"), Some(true));
        assert_eq!(of(&said, "Cardiomegaly"), None);
        assert_eq!(of(&said, "Mass"), Some(false));
        assert_eq!((of(&said, "PA"), of(&said, "Child")), (None, None));
        let said = requested(&both, "PA chest film of a man. The heart is enlarged.");
        assert_eq!(of(&said, "Cardiomegaly"), Some(true));
        assert_eq!(
            (of(&said, "PA"), of(&said, "Child")),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn most_composed_prompts_say_their_finding() {
        for finding in Finding::ALL {
            let record = record("nih_chestxray14", Some(vec![finding]));
            for seed in 0..200 {
                let prompt = prompts::compose(&record, seed);
                let index = Finding::ALL.iter().position(|f| *f == finding).unwrap();
                assert_eq!(requested(&record, &prompt)[index], Some(true), "{prompt}");
            }
        }
    }
}
