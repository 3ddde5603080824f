//! The loss curves of a run as one SVG, from the logs that the trainings wrote.

use std::path::Path;

use plotters::prelude::*;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use serde::Deserialize;

use crate::training::run::RunFolder;

/// Steps over which the curve is averaged.
const WINDOW: usize = 50;

#[derive(Deserialize)]
struct Row {
    step: usize,
    loss: f64,
}

/// Draws the curves of the run's trainings, averaged over 50 steps, on a logarithmic scale.
///
/// # Errors
/// [`Error::Config`] if there is no log or one is damaged, [`Error::Output`] if the picture cannot
/// be written.
pub fn draw(folder: &RunFolder, out: &Path) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| Error::Output(format!("{}: {error}", out.display()));
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (900, 320)).into_drawing_area();
    root.fill(&WHITE).map_err(|e| failed(&e))?;
    let logs: Vec<_> = [
        ("vae", "autoencoder"),
        ("adversarial", "decoder against discriminator"),
        ("adversarial/discriminator", "discriminator"),
        ("diffusion", "text encoder and U-Net"),
        ("finetune", "fine-tuning"),
        ("distil", "distillation"),
    ]
    .map(|(training, title)| (folder.path(training).join("log.csv"), title))
    .into_iter()
    .filter(|(log, _)| log.exists())
    .collect();
    if logs.is_empty() {
        return Err(Error::config(
            folder.0.display().to_string(),
            "nothing was trained in it; give the folder of a run",
        ));
    }
    let panels = root.split_evenly((1, logs.len()));
    for (panel, (log, title)) in panels.iter().zip(logs) {
        let points = averaged(&read(&log)?);
        let losses = points.iter().map(|p| p.1);
        let (low, high) = losses.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let steps = points.last().map_or(1.0, |p| p.0);
        let mut chart = ChartBuilder::on(panel)
            .caption(format!("{title}: loss by step"), ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(24)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..steps, (low * 0.95..high * 1.05).log_scale())
            .map_err(|e| failed(&e))?;
        chart.configure_mesh().draw().map_err(|e| failed(&e))?;
        chart
            .draw_series(LineSeries::new(points, &BLUE))
            .map_err(|e| failed(&e))?;
    }
    root.present().map_err(|e| failed(&e))?;
    drop((panels, root));
    files::replace(out, svg)
}

fn read(path: &Path) -> Result<Vec<Row>> {
    let fault = |why: csv::Error| Error::config(path.display().to_string(), why.to_string());
    let mut reader = csv::Reader::from_path(path).map_err(fault)?;
    reader.deserialize().map(|row| row.map_err(fault)).collect()
}

/// One point for every window: its middle step and its mean loss. A resumed log may repeat steps;
/// the last one counts.
fn averaged(rows: &[Row]) -> Vec<(f64, f64)> {
    let last: std::collections::BTreeMap<usize, f64> =
        rows.iter().map(|r| (r.step, r.loss)).collect();
    let rows: Vec<(usize, f64)> = last.into_iter().collect();
    rows.chunks(WINDOW)
        .map(|w| {
            let mean = w.iter().map(|r| r.1).sum::<f64>() / w.len() as f64;
            (w[w.len() / 2].0 as f64, mean)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_steps_count_once() {
        let row = |step, loss| Row { step, loss };
        let points = averaged(&[row(1, 8.0), row(2, 8.0), row(2, 2.0)]);
        assert_eq!(points, [(2.0, 5.0)]);
    }
}
