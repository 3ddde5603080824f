//! The experiment's table: mean and spread over seeds, and what generated images add, seed by seed.

use std::fmt::Write;
use std::path::Path;

use roentgen_web::error::Result;
use roentgen_web::files;
use serde::Serialize;

use super::experiment::{Arm, AugmentationRun, FINDINGS, Outcome};
use crate::evaluate::generate::Settings;
use crate::evaluate::labels::names;
use crate::evaluate::report::Circumstances;

/// Everything that one `train augment` found.
#[derive(Clone, Debug, Serialize)]
pub struct AugmentationReport {
    /// When, where, how.
    pub circumstances: Circumstances,
    /// How the images were made.
    pub settings: Settings,
    /// The experiment.
    pub run: AugmentationRun,
    /// What came of each arm.
    pub outcomes: Vec<Outcome>,
}

/// Mean and sample standard deviation; `None` without values, a deviation of 0 for a single one.
pub fn spread(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((mean, (squares / (n - 1.0).max(1.0)).sqrt()))
}

/// `0.634 ± 0.010`
fn shown(values: &[f64]) -> String {
    spread(values).map_or("–".into(), |(m, s)| format!("{m:.3} ± {s:.3}"))
}

/// `+0.010 ± 0.004`
fn added(values: &[f64]) -> String {
    spread(values).map_or("–".into(), |(m, s)| format!("{m:+.3} ± {s:.3}"))
}

impl Outcome {
    /// AUROC of one finding, or the mean of all that have one.
    fn area(&self, finding: Option<usize>) -> Option<f64> {
        match finding {
            Some(finding) => self.auroc[finding],
            None => {
                let known: Vec<f64> = self.auroc.iter().flatten().copied().collect();
                spread(&known).map(|(mean, _)| mean)
            }
        }
    }
}

impl AugmentationReport {
    /// The figure of every seed that has it, in the seeds' order.
    fn of(&self, real: Option<f64>, generated: bool, finding: Option<usize>) -> Vec<f64> {
        let areas = self.run.seeds.iter().filter_map(|&seed| {
            let arm = Arm {
                real,
                generated,
                seed,
            };
            let outcome = self.outcomes.iter().find(|o| o.arm == arm)?;
            outcome.area(finding)
        });
        areas.collect()
    }

    /// What generated images added to a share of real ones, seed by seed.
    fn difference(&self, real: f64, finding: Option<usize>) -> Vec<f64> {
        let (with, without) = (
            self.of(Some(real), true, finding),
            self.of(Some(real), false, finding),
        );
        with.iter().zip(without).map(|(a, b)| a - b).collect()
    }

    /// Tables for a model card.
    pub fn markdown(&self) -> String {
        let (s, c, run) = (&self.settings, &self.circumstances, &self.run);
        let mut text = format!(
            "{} images of {}, {} steps, guidance {}, beside real ones; {} seeds; {}, commit {}, {}.\n\n`{}`\n\n",
            run.images,
            s.model,
            s.steps,
            s.guidance,
            run.seeds.len(),
            c.date,
            c.commit,
            c.machine,
            c.command
        );
        let columns = run
            .fractions
            .iter()
            .map(|f| format!(" {} % real |", f * 100.0));
        let columns: String = columns.collect();
        let rule = " ---: |".repeat(run.fractions.len());
        let _ = write!(text, "| Mean AUROC |{columns}\n| --- |{rule}\n");
        let row = |text: &mut String, name: &str, cell: &dyn Fn(f64) -> String| {
            let cells: String = run
                .fractions
                .iter()
                .map(|&f| format!(" {} |", cell(f)))
                .collect();
            let _ = writeln!(text, "| {name} |{cells}");
        };
        row(&mut text, "Real images", &|f| {
            shown(&self.of(Some(f), false, None))
        });
        row(&mut text, "Real and generated", &|f| {
            shown(&self.of(Some(f), true, None))
        });
        row(&mut text, "Difference", &|f| {
            added(&self.difference(f, None))
        });
        let alone = shown(&self.of(None, true, None));
        let _ = writeln!(text, "\nGenerated images alone: {alone}.\n");
        let _ = write!(text, "| Difference of AUROC |{columns}\n| --- |{rule}\n");
        for (finding, name) in names().iter().enumerate().take(FINDINGS) {
            row(&mut text, name, &|f| {
                added(&self.difference(f, Some(finding)))
            });
        }
        text
    }

    fn csv(&self) -> String {
        let mut text = "seed,real,generated,real_images,generated_images,label,auroc\n".to_string();
        for o in &self.outcomes {
            let real = o.arm.real.unwrap_or(0.0);
            let means = std::iter::once(("Mean", o.area(None)));
            let findings = names().into_iter().zip(o.auroc);
            for (name, area) in means.chain(findings) {
                let area = area.map_or(String::new(), |a| format!("{a:.5}"));
                let _ = writeln!(
                    text,
                    "{},{real},{},{},{},{name},{area}",
                    o.arm.seed, o.arm.generated, o.real_images, o.generated_images
                );
            }
        }
        text
    }

    /// Writes `augmentation.json`, `augmentation.csv` and `augmentation.md` into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("plain values");
        for (file, text) in [
            ("augmentation.json", json + "\n"),
            ("augmentation.csv", self.csv()),
            ("augmentation.md", self.markdown()),
        ] {
            let path = folder.join(file);
            files::replace(&path, text)?;
        }
        Ok(())
    }
}
