//! Plots as inline SVG.

use crate::evaluate::{Reliability, Scored, curve};
use plotters::prelude::*;

const SIZE: (u32, u32) = (420, 320);
/// Points of a curve; more would only make the file larger.
const POINTS_MAX: usize = 200;
const LINE: RGBColor = RGBColor(9, 105, 218);
const SOFT: RGBColor = RGBColor(208, 215, 222);
const ALERT: RGBColor = RGBColor(207, 34, 46);

type Points = Vec<(f64, f64)>;

/// Precision against recall.
pub(super) fn precision_recall(scored: &[Scored]) -> Result<String, String> {
    let points = curve(scored).into_iter().map(|(_, counts)| (counts.recall(), counts.precision())).collect();
    lines("Precision against recall", "recall", "precision", thinned(points), None)
}

/// Recall against false positives.
pub(super) fn roc(scored: &[Scored]) -> Result<String, String> {
    let points = curve(scored).into_iter().map(|(_, counts)| (counts.false_positive_rate(), counts.recall()));
    let points = std::iter::once((0.0, 0.0)).chain(points).collect();
    lines("ROC", "false positive rate", "recall", thinned(points), Some(vec![(0.0, 0.0), (1.0, 1.0)]))
}

/// Frequency that came against probability said.
pub(super) fn calibration(groups: &[Reliability]) -> Result<String, String> {
    let points = groups.iter().map(|group| (group.said, group.came)).collect();
    lines(
        "Calibration",
        "probability said",
        "frequency that came",
        points,
        Some(vec![(0.0, 0.0), (1.0, 1.0)]),
    )
}

fn thinned(points: Points) -> Points {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let last = points.last().copied();
    points.into_iter().step_by(step).chain(last).collect()
}

fn lines(title: &str, x: &str, y: &str, points: Points, diagonal: Option<Points>) -> Result<String, String> {
    drawn(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_desc(x)
            .y_desc(y)
            .light_line_style(TRANSPARENT)
            .x_labels(6)
            .y_labels(6)
            .draw()?;
        if let Some(diagonal) = diagonal {
            chart.draw_series(LineSeries::new(diagonal, SOFT))?;
        }
        chart.draw_series(LineSeries::new(points, LINE.stroke_width(2)))?;
        Ok(())
    })
}

/// How scores between 0 and 1 are spread over both classes, counts on a log scale.
pub(super) fn histogram(scored: &[Scored], name: &str) -> Result<String, String> {
    const BINS: usize = 25;
    let mut counts = [[0u32; BINS]; 2];
    for row in scored {
        let bin = ((row.score * BINS as f64) as usize).min(BINS - 1);
        counts[usize::from(row.positive)][bin] += 1;
    }
    let top = counts.iter().flatten().copied().max().unwrap_or(0);
    let log = |count: u32| f64::from(count + 1).log10();
    drawn(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption("Scores (blue: negatives, red: positives)", ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..1.0, 0.0..log(top) * 1.05 + 0.01)?;
        chart.configure_mesh().x_desc(name).y_desc("log10(1 + rows)").light_line_style(TRANSPARENT).draw()?;
        for (class, colour) in [(0, LINE), (1, ALERT)] {
            chart.draw_series(counts[class].iter().enumerate().map(|(bin, &count)| {
                let left = bin as f64 / BINS as f64;
                Rectangle::new(
                    [(left, 0.0), (left + 1.0 / BINS as f64, log(count))],
                    colour.mix(0.45).filled(),
                )
            }))?;
        }
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn drawn(draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        draw(&area).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}
