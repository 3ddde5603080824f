//! `scheduler_config.json`: the raw keys, and how a scheduler reads them.
//!
//! diffusers' `Kind.from_config(config)` gives a scheduler each key that the file has and that this
//! kind knows, and its own default for each key the file lacks (defaults differ between kinds). So
//! the file is kept as it is, and every scheduler reads its own keys from it. Source:
//! `diffusers/configuration_utils.py`, `ConfigMixin.extract_init_dict`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A diffusers `scheduler_config.json`, key by key; unknown keys are kept, so that it can be
/// written back unchanged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchedulerConfig(pub Map<String, Value>);

impl SchedulerConfig {
    /// Reads the bytes of a `scheduler_config.json`.
    ///
    /// diffusers writes Python's `-Infinity` (the default of `lambda_min_clipped`), which is not
    /// JSON; it is read as the string `"-Infinity"`, and so written back as JSON that every reader
    /// takes.
    ///
    /// # Errors
    /// [`Error::Config`] where the bytes are not a JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|e| bad_file(&e))?;
        serde_json::from_str(&quote_python_numbers(text)).map_err(|e| bad_file(&e))
    }

    /// The scheduler class the file names, such as `PNDMScheduler`.
    pub fn class_name(&self) -> Option<&str> {
        self.0.get("_class_name").and_then(Value::as_str)
    }

    /// The value of a key, if the file gives one. A `null` is none, and so is a key listed in
    /// `_use_default_values`, where diffusers notes that a value in the file was only its own
    /// class's default.
    fn value(&self, key: &str) -> Option<&Value> {
        let defaults = self.0.get("_use_default_values").and_then(Value::as_array);
        let is_default = defaults.is_some_and(|keys| keys.iter().any(|k| k == key));
        self.0
            .get(key)
            .filter(|value| !value.is_null() && !is_default)
    }

    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let number = match value {
            Value::String(text) => python_number(text),
            other => other.as_f64(),
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(bad_key(key, format!("{value} is not a number"))),
        }
    }

    /// A whole number, at least zero.
    pub(super) fn count(&self, key: &str, default: usize) -> Result<usize> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
                Some(n) => Ok(n),
                None => Err(bad_key(key, format!("{value} is not a whole number"))),
            },
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(bad_key(key, format!("{value} is neither true nor false"))),
        }
    }

    /// One of several words, each with what it means.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        default: &str,
        choices: &[(&str, T)],
    ) -> Result<T> {
        let word = match self.value(key) {
            None => default,
            Some(Value::String(word)) => word,
            Some(value) => return Err(bad_key(key, format!("{value} is not a string"))),
        };
        match choices.iter().find(|(name, _)| *name == word) {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                let why = format!("\"{word}\" is not supported; use {}", names.join(" or "));
                Err(bad_key(key, why))
            }
        }
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let numbers = value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_f64).collect());
        match numbers {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(bad_key(key, "not a list of numbers".into())),
        }
    }

    /// Refuses options of diffusers which are not done here: each of these must be off.
    pub(super) fn refuse(&self, keys: &[&str]) -> Result<()> {
        for key in keys {
            if self.flag(key, false)? {
                return Err(bad_key(key, "it is not supported; set it to false".into()));
            }
        }
        Ok(())
    }
}

/// An [`Error::Config`] which names the key.
pub(super) fn bad_key(key: &str, why: String) -> Error {
    Error::config(format!("`{key}` in scheduler_config.json"), why)
}

fn bad_file(why: &dyn std::fmt::Display) -> Error {
    Error::config(
        "scheduler_config.json",
        format!("it is not a JSON object: {why}"),
    )
}

/// The three numbers which Python's `json` writes and JSON does not know.
const PYTHON_NUMBERS: [(&str, f64); 3] = [
    ("-Infinity", f64::NEG_INFINITY),
    ("Infinity", f64::INFINITY),
    ("NaN", f64::NAN),
];

fn python_number(text: &str) -> Option<f64> {
    let found = PYTHON_NUMBERS.iter().find(|(name, _)| *name == text);
    found.map(|(_, number)| *number)
}

/// Puts quotes around [`PYTHON_NUMBERS`] where they stand outside of strings.
fn quote_python_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let number = PYTHON_NUMBERS
            .iter()
            .find(|(name, _)| !in_string && rest.starts_with(name));
        if let Some((name, _)) = number {
            out.extend(["\"", name, "\""]);
            rest = &rest[name.len()..];
            continue;
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_python_writes() {
        let text = br#"{"lambda_min_clipped": -Infinity, "a": [Infinity, NaN], "b": "x\" Infinity, \\", "c": 1}"#;
        let config = SchedulerConfig::parse(text).unwrap();
        let lambda = config.number("lambda_min_clipped", 0.0).unwrap();
        assert_eq!(lambda, f64::NEG_INFINITY);
        assert_eq!(config.0["b"], "x\" Infinity, \\");
        let again = serde_json::to_vec(&config).unwrap();
        assert_eq!(SchedulerConfig::parse(&again).unwrap(), config);
    }

    #[test]
    fn defaults_noted_in_the_file_do_not_count() {
        let text = br#"{"steps_offset": 1, "beta_start": 0.5, "_use_default_values": ["beta_start"], "x": null}"#;
        let config = SchedulerConfig::parse(text).unwrap();
        assert_eq!(config.count("steps_offset", 0).unwrap(), 1);
        assert_eq!(config.number("beta_start", 0.25).unwrap(), 0.25);
        assert!(config.flag("x", true).unwrap());
    }

    #[test]
    fn a_bad_value_is_an_error_which_names_the_key() {
        for text in [
            r#"{"k": "word"}"#,
            r#"{"k": [1]}"#,
            r#"{"k": {}}"#,
            r#"{"k": -1}"#,
        ] {
            let config = SchedulerConfig::parse(text.as_bytes()).unwrap();
            let error = config.count("k", 0).unwrap_err();
            assert!(error.to_string().contains("`k`"), "{error}");
        }
        for bytes in [&b"[1]"[..], b"{", b"\xff", b""] {
            let error = SchedulerConfig::parse(bytes).unwrap_err();
            assert_eq!(error.code(), "config");
        }
    }
}
