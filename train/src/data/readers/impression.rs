//! A radiology report -> its impression, fit to be a prompt.

/// Longest heading: `IMPRESSION AND RECOMMENDATIONS` and the like. Longer lines in capitals are
/// sentences.
const HEADING: usize = 48;

/// What stands for removed names, dates and places in MIMIC-CXR. It is in nearly every report and
/// means nothing, so a model that is shown it learns it by heart before anything else.
const REMOVED: &str = "___";

/// The impression of a report, on one line, without the marks of de-identification; `None` if there
/// is none.
///
/// A section begins with a line that starts with capitals and a colon (`IMPRESSION:`) and ends
/// where the next one begins; the last impression counts where there are several, as in an
/// addendum's report.
pub fn impression(report: &str) -> Option<String> {
    let mut found = None;
    let mut section: Option<Vec<&str>> = None;
    for line in report.lines() {
        match heading(line) {
            Some((name, rest)) => {
                found = section.take().or(found);
                section = is_impression(name).then(|| vec![rest]);
            }
            None => {
                if let Some(lines) = &mut section {
                    lines.push(line);
                }
            }
        }
    }
    found = section.or(found);
    let text = without_marks(&found?.join(" "));
    text.chars().any(char::is_alphabetic).then_some(text)
}

/// A section's name and what follows it on the line.
fn heading(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(':')?;
    let name = name.trim();
    let capital = |c: char| c.is_ascii_uppercase() || " ()/,-&".contains(c);
    let is_name = name.len() <= HEADING
        && name.chars().filter(char::is_ascii_uppercase).count() >= 3
        && name.chars().all(capital);
    is_name.then_some((name, rest))
}

fn is_impression(name: &str) -> bool {
    // The names under which MIMIC-CXR's reports have it; CONCLUSION is what some departments say.
    name.starts_with("IMPRESSION") || name.starts_with("CONCLUSION")
}

/// One line, single spaces, and neither the marks nor the punctuation that only they had.
fn without_marks(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        if !word.contains(REMOVED) {
            words.push(word.into());
            continue;
        }
        let left = word.replace('_', "");
        if left.chars().any(char::is_alphanumeric) {
            words.push(left);
        } else if let (Some(last), Some(end)) = (words.last_mut(), left.chars().last())
            && ".,;:".contains(end)
            && !last.ends_with(['.', ',', ';', ':'])
        {
            last.push(end); // "on ___." still ends its sentence
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough.

 COMPARISON:  Chest radiograph ___.

 FINDINGS:

 The lungs are clear.  Heart size: normal.

 IMPRESSION:

 1.  No acute cardiopulmonary process, unchanged since ___.
 2.  Small ___-sided effusion; discussed with Dr. ___ at ___ on ___.

 NOTIFICATION:  By phone.
";

    #[test]
    fn the_impression_is_cut_out_and_cleaned() {
        assert_eq!(
            impression(REPORT).unwrap(),
            "1. No acute cardiopulmonary process, unchanged since. 2. Small -sided effusion; discussed with Dr. at on."
        );
    }

    #[test]
    fn headings_on_the_line_of_the_text_and_other_names() {
        let text = |report: &str| impression(report);
        assert_eq!(text(" IMPRESSION: Clear.").as_deref(), Some("Clear."));
        assert_eq!(
            text("IMPRESSION AND RECOMMENDATION:\n Edema.\n\nThe end").as_deref(),
            Some("Edema. The end")
        );
        assert_eq!(text("CONCLUSION: Stable.").as_deref(), Some("Stable."));
        // The addendum's impression is the one that holds.
        assert_eq!(
            text("IMPRESSION: Clear.\nADDENDUM:\nIMPRESSION: Nodule.").as_deref(),
            Some("Nodule.")
        );
    }

    #[test]
    fn no_impression_is_none() {
        for report in [
            "",
            "FINDINGS: Clear.",
            "IMPRESSION:",
            "IMPRESSION: ___.",
            "Impression of a text without sections",
        ] {
            assert_eq!(impression(report), None, "{report:?}");
        }
    }
}
