//! What was measured, as JSON, as CSV and as a table for a model card.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use chrono::Utc;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use serde::Serialize;

use super::generate::Settings;

/// One figure of the generated images, beside the same of real ones.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it belongs to.
    pub group: &'static str,
    /// What it is.
    pub name: String,
    /// Of the generated images; none where it could not be measured.
    pub generated: Option<f64>,
    /// Of real images: what a perfect model would have.
    pub real: Option<f64>,
    /// Which way is good, how many images, standard errors.
    pub remark: String,
}

/// Where and how it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Circumstances {
    /// Day, UTC.
    pub date: String,
    /// Commit of the code, with `-dirty` after it if files were changed; empty outside a
    /// repository.
    pub commit: String,
    /// Operating system, architecture, cores.
    pub machine: String,
    /// The command as it was given.
    pub command: String,
}

/// Everything that one `train evaluate` found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When, where, how.
    pub circumstances: Circumstances,
    /// How the images were made.
    pub settings: Settings,
    /// How many were measured.
    pub images: usize,
    /// The figures.
    pub figures: Vec<Figure>,
}

impl Circumstances {
    /// Of this moment and process.
    pub fn now() -> Self {
        let described = Command::new("git")
            .args([
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
                "--exclude=*",
            ])
            .output();
        let commit = described.map_or(vec![], |o| o.stdout);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Self {
            date: Utc::now().format("%F").to_string(),
            commit: String::from_utf8_lossy(&commit).trim().to_string(),
            machine: format!("{os} {arch}, {cores} cores"),
            command: std::env::args().collect::<Vec<_>>().join(" "),
        }
    }
}

impl Report {
    /// Writes `name.json`, `name.csv` and `name.md` into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let json = serde_json::to_string_pretty(self).expect("plain values");
        for (kind, text) in [
            ("json", json + "\n"),
            ("csv", self.csv()),
            ("md", self.markdown()),
        ] {
            let path = folder.join(format!("{name}.{kind}"));
            files::replace(&path, text)?;
        }
        Ok(())
    }

    fn csv(&self) -> String {
        let mut text = "group,name,generated,real,remark\n".to_string();
        for f in &self.figures {
            let number = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
            let (generated, real) = (number(f.generated), number(f.real));
            // No name or remark has a quotation mark in it.
            let _ = writeln!(
                text,
                "{},\"{}\",{generated},{real},\"{}\"",
                f.group, f.name, f.remark
            );
        }
        text
    }

    /// A table a group, for a model card.
    pub fn markdown(&self) -> String {
        let (s, c) = (&self.settings, &self.circumstances);
        let mut text = format!(
            "{} images of {}, {} steps, guidance {}; {}, commit {}, {}.\n\n`{}`\n",
            self.images, s.model, s.steps, s.guidance, c.date, c.commit, c.machine, c.command
        );
        for group in self.figures.chunk_by(|a, b| a.group == b.group) {
            let title = group[0].group;
            let _ = write!(
                text,
                "\n| {title} | generated | real | |\n| --- | ---: | ---: | --- |\n"
            );
            for f in group {
                let number = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.3}"));
                let (generated, real) = (number(f.generated), number(f.real));
                let _ = writeln!(text, "| {} | {generated} | {real} | {} |", f.name, f.remark);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_three_times() {
        let figure = |group, name: &str, generated| Figure {
            group,
            name: name.into(),
            generated,
            real: Some(0.5),
            remark: "higher is better, 3 images".into(),
        };
        let report = Report {
            circumstances: Circumstances::now(),
            settings: Settings {
                model: "tiny".into(),
                weights: "00".into(),
                steps: 2,
                guidance: 1.0,
                scheduler: "ddim".into(),
                size: 16,
                seed: 1,
                verify: None,
            },
            images: 3,
            figures: vec![
                figure("Likeness", "FID", Some(1.25)),
                figure("Prompts", "Edema", None),
            ],
        };
        let dir = tempfile::tempdir().unwrap();
        report.write(dir.path(), "evaluation").unwrap();
        let read = |file| std::fs::read_to_string(dir.path().join(file)).unwrap();
        assert!(read("evaluation.md").contains("| Edema | – | 0.500 |"));
        let csv = read("evaluation.csv");
        let rows = csv::Reader::from_reader(csv.as_bytes())
            .into_records()
            .count();
        assert_eq!(rows, 2);
        let json: serde_json::Value = serde_json::from_str(&read("evaluation.json")).unwrap();
        assert_eq!(json["figures"][0]["generated"], 1.25);
        assert_eq!(json["settings"]["steps"], 2);
    }
}
