//! Sentence -> which labels it asks for, by the names that findings have in reports.

/// What a sentence asks for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Asked {
    /// Labels of findings that it says are there, in the order of [`NAMES`].
    pub labels: Vec<&'static str>,
    /// It says that there are none.
    pub normal: bool,
}

/// Labels as the data's tables have them, and how they are called in a sentence. A name counts with
/// an `s` behind it too. The page has the same in `web/page/words.js`, and a test compares them.
pub const NAMES: [(&str, &[&str]); 14] = [
    ("Atelectasis", &["atelectasis"]),
    (
        "Cardiomegaly",
        &["cardiomegaly", "enlarged heart", "cardiac enlargement"],
    ),
    (
        "Consolidation",
        &["consolidation", "airspace opacity", "airspace opacities"],
    ),
    (
        "Edema",
        &[
            "edema",
            "pulmonary edema",
            "pulmonary oedema",
            "pulmonary congestion",
        ],
    ),
    (
        "Effusion",
        &["effusion", "pleural effusion", "pleural fluid"],
    ),
    ("Emphysema", &["emphysema", "hyperinflation"]),
    ("Fibrosis", &["fibrosis", "lung scarring"]),
    ("Hernia", &["hernia"]),
    (
        "Infiltration",
        &[
            "infiltrate",
            "infiltration",
            "lung opacity",
            "lung opacities",
        ],
    ),
    ("Mass", &["mass", "masses", "lung mass", "lung masses"]),
    ("Nodule", &["nodule", "lung nodule"]),
    (
        "Pleural_Thickening",
        &["pleural thickening", "thickened pleura"],
    ),
    (
        "Pneumonia",
        &["pneumonia", "lung infection", "pulmonary infection"],
    ),
    ("Pneumothorax", &["pneumothorax", "pneumothoraces"]),
];

/// How a sentence says that there is nothing.
pub const NORMAL: [&str; 6] = [
    "normal chest",
    "no acute findings",
    "no abnormality",
    "normal findings",
    "clear lungs",
    "unremarkable chest",
];

/// Words after which the rest of a sentence is denied.
const NOT: [&str; 3] = ["no", "without", "not"];

/// Reads a prompt, in English and in any case.
pub fn asked(prompt: &str) -> Asked {
    let mut asked = Asked::default();
    for sentence in prompt.split(['.', ';', '!', '?', '\n']) {
        let words: Vec<String> = sentence
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        asked.normal |= NORMAL.iter().any(|name| says(&words, name));
        let denied = words.iter().position(|word| NOT.contains(&word.as_str()));
        let affirmed = &words[..denied.unwrap_or(words.len())];
        for (label, names) in NAMES {
            if names.iter().any(|name| says(affirmed, name)) && !asked.labels.contains(&label) {
                asked.labels.push(label);
            }
        }
    }
    asked
        .labels
        .sort_by_key(|label| NAMES.iter().position(|(name, _)| name == label));
    asked
}

/// Whether the words of `name`, the last one perhaps in the plural, stand there.
fn says(words: &[String], name: &str) -> bool {
    let name: Vec<&str> = name.split(' ').collect();
    let same = |(word, name): (&String, &&str)| {
        word == name || word.strip_suffix('s').is_some_and(|word| word == *name)
    };
    words
        .windows(name.len())
        .any(|words| words.iter().zip(&name).all(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_heard_and_denials_too() {
        let table: [(&str, &[&str], bool); 8] = [
            (
                "PA chest radiograph of a 60-year-old man. Large left pleural effusion.",
                &["Effusion"],
                false,
            ),
            ("Chest radiograph. Normal chest.", &[], true),
            (
                "Marked cardiomegaly. No pleural effusion.",
                &["Cardiomegaly"],
                false,
            ),
            (
                "CARDIOMEGALY and pulmonary edema",
                &["Cardiomegaly", "Edema"],
                false,
            ),
            (
                "Bilateral pleural effusions, enlarged heart without edema",
                &["Cardiomegaly", "Effusion"],
                false,
            ),
            ("Massive anything, a hand", &[], false),
            (
                "Lung masses; right pneumothoraces",
                &["Mass", "Pneumothorax"],
                false,
            ),
            ("", &[], false),
        ];
        for (prompt, labels, normal) in table {
            let labels = labels.to_vec();
            assert_eq!(asked(prompt), Asked { labels, normal }, "{prompt}");
        }
    }

    /// Every name of `FINDINGS` in `web/page/words.js`, which the page's chips write, is heard as
    /// what it is.
    #[test]
    fn the_page_s_words_are_known() {
        let words = include_str!("../../web/page/words.js");
        let (_, table) = words.split_once("export const FINDINGS = {\n").unwrap();
        let (table, _) = table.split_once("\n};").unwrap();
        let sizes = ["small", "moderate", "large", "mild", "marked"];
        let mut heard = 0;
        for line in table.lines() {
            let (key, rest) = line.trim().split_once(": {").unwrap();
            for name in rest
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|name| !sizes.contains(name))
            {
                let asked = asked(name);
                let right = match key {
                    "normal" => asked.normal,
                    _ => {
                        asked.labels.len() == 1 && {
                            let label = asked.labels[0].to_lowercase();
                            label.contains(&key[..key.len().min(6)])
                        }
                    }
                };
                assert!(right, "{name:?} of {key} is heard as {asked:?}");
                heard += 1;
            }
        }
        assert!(heard > 40, "{heard}");
    }
}
