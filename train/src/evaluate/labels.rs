//! What a classifier is asked about an image: the fourteen findings, the view, and whether it shows
//! a child.

use crate::data::findings::Finding;
use crate::data::prompts::statement::Statement;
use crate::data::record::{AgeGroup, Record, View};

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

/// What the tables say of an image. A finding that is not listed is absent where somebody looked
/// for all of them: NIH's labels, and images called normal; not where sources contradict each
/// other. Other sources graded one finding, and nothing is known of the rest.
pub fn known(record: &Record) -> Truth {
    let graded = |finding: Finding| {
        let found = record.findings.as_ref()?;
        let all = record.dataset == "nih_chestxray14" || record.is_normal();
        let found = found.contains(&finding);
        let looked_for = all && !record.doubtful.contains(&finding);
        (found || looked_for).then_some(found)
    };
    let mut truth = [None; LABELS];
    for (to, finding) in truth.iter_mut().zip(Finding::ALL) {
        *to = graded(finding);
    }
    truth[LABELS - 2] = record.view.map(|view| view == View::Pa);
    truth[LABELS - 1] = record.age_group.map(|group| group == AgeGroup::Child);
    truth
}

/// What a prompt asks for that says `said` of `record`. Prompts leave things out: what the record
/// says and the prompt does not is neither asked for nor excluded.
pub fn requested(record: &Record, said: &Statement) -> Truth {
    let mut truth = known(record);
    for (label, finding) in truth.iter_mut().zip(Finding::ALL) {
        if *label == Some(true) && said.findings.iter().all(|(f, _)| *f != finding) {
            *label = None;
        }
    }
    if said.view.is_none() {
        truth[LABELS - 2] = None;
    }
    if said.age_group.is_none() {
        truth[LABELS - 1] = None;
    }
    truth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::location::Location;
    use crate::data::record::Sex;

    fn record(dataset: &str, findings: Option<Vec<Finding>>) -> Record {
        Record {
            file: "a.png".into(),
            dataset: dataset.into(),
            patient: "p".into(),
            view: Some(View::Pa),
            sex: Some(Sex::Male),
            age: Some(50),
            age_group: Some(AgeGroup::Adult),
            findings,
            ..Record::default()
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
        let brief = Statement {
            brief: true,
            findings: vec![(Finding::Effusion, Location::default())],
            ..Statement::default()
        };
        let asked = requested(&both, &brief);
        assert_eq!(of(&asked, "Effusion"), Some(true));
        assert_eq!(of(&asked, "Cardiomegaly"), None);
        assert_eq!(of(&asked, "Mass"), Some(false));
        assert_eq!((of(&asked, "PA"), of(&asked, "Child")), (None, None));
        let whole = Statement {
            view: both.view,
            age_group: both.age_group,
            ..brief
        };
        let asked = requested(&both, &whole);
        assert_eq!(
            (of(&asked, "PA"), of(&asked, "Child")),
            (Some(true), Some(false))
        );
    }
}
