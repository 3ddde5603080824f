//! What was measured, with when, where and how: a JSON file, and a table for the README.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use chrono::Utc;
use serde_json::{Value, json};

use crate::workspace::root;

/// One stage in one engine; times in milliseconds.
pub struct Row {
    pub model: &'static str,
    pub stage: String,
    pub engine: String,
    pub adapter: String,
    /// The first run, which compiles.
    pub first: f64,
    pub runs: Vec<f64>,
}

impl Row {
    pub fn median(&self) -> f64 {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        match runs.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => runs[n / 2],
            n => (runs[n / 2 - 1] + runs[n / 2]) / 2.0,
        }
    }

    /// The fastest and the slowest run.
    fn spread(&self) -> (f64, f64) {
        let fold = |f: fn(f64, f64) -> f64, start| self.runs.iter().copied().fold(start, f);
        (fold(f64::min, f64::INFINITY), fold(f64::max, 0.0))
    }

    fn is_ours(&self) -> bool {
        self.engine.starts_with("roentgen-web")
    }

    fn json(&self) -> Value {
        json!({
            "model": self.model, "stage": self.stage, "engine": self.engine, "adapter": self.adapter,
            "first_ms": self.first, "median_ms": self.median(), "runs_ms": self.runs,
        })
    }
}

/// All rows of a command.
pub struct Record {
    machine: String,
    commit: String,
    date: String,
    pub browser: Option<String>,
    pub rows: Vec<Row>,
}

impl Record {
    /// An empty one, of now and of the commit that is checked out.
    pub fn new(machine: &str) -> Result<Self> {
        let git = |args: &[&str]| -> Result<String> {
            let output = Command::new("git").args(args).current_dir(root()).output();
            let output = output.context("git does not start")?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        Ok(Self {
            machine: machine.into(),
            commit: if dirty {
                commit + " with changes"
            } else {
                commit
            },
            date: Utc::now().format("%FT%RZ").to_string(),
            browser: None,
            rows: Vec::new(),
        })
    }

    /// Tables: every row, and the ratios to another runtime's.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| model | stage | engine | adapter | median, ms | fastest to slowest, ms | first, ms |\n|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let (low, high) = row.spread();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.1} | {low:.1} to {high:.1} | {:.0} |",
                row.model,
                row.stage,
                row.engine,
                row.adapter,
                row.median(),
                row.first
            );
        }
        let ratios = self.ratios();
        if !ratios.is_empty() {
            text += "\n| model | stage | ours against | times as fast |\n|---|---|---|---|\n";
            for (theirs, ratio) in ratios {
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {ratio:.2} |",
                    theirs.model, theirs.stage, theirs.engine
                );
            }
        }
        text
    }

    /// Each row of another runtime, and its median over that of ours just before it.
    fn ratios(&self) -> Vec<(&Row, f64)> {
        let pairs = self.rows.windows(2);
        pairs
            .filter(|pair| pair[0].is_ours() && !pair[1].is_ours())
            .map(|pair| (&pair[1], pair[1].median() / pair[0].median()))
            .collect()
    }

    /// Writes it, with the command that was given.
    pub fn write(&self, file: &Path) -> Result<()> {
        let command: Vec<String> = std::env::args().skip(1).collect();
        let ratios = self.ratios();
        let ratios = ratios.iter().map(|(theirs, ratio)| {
            json!({"model": theirs.model, "stage": theirs.stage, "against": theirs.engine, "times_as_fast": ratio})
        });
        let record = json!({
            "date": self.date,
            "commit": self.commit,
            "command": format!("cargo xtask {}", command.join(" ")),
            "machine": self.machine,
            "browser": self.browser,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "ratios": ratios.collect::<Vec<_>>(),
        });
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, serde_json::to_string_pretty(&record)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// The processor's name and how many of it may be used.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or(std::env::consts::ARCH);
    format!("{cores} cores of {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_theirs_over_ours() {
        let row = |engine: &str, runs: &[f64]| Row {
            model: "shipped",
            stage: "unet".into(),
            engine: engine.into(),
            adapter: String::new(),
            first: 9.0,
            runs: runs.to_vec(),
        };
        let mut record = Record::new("a machine").unwrap();
        record.rows = vec![
            row("roentgen-web, cpu wasm", &[3.0, 1.0, 2.0]),
            row("onnxruntime-web", &[8.0, 4.0]),
            row("roentgen-web, native cpu", &[1.0]),
        ];
        let ratios = record.ratios();
        assert_eq!(ratios.len(), 1);
        assert_eq!(ratios[0].1, 3.0);
        assert!(record.markdown().contains("| 2.0 | 1.0 to 3.0 | 9 |"));
    }
}
