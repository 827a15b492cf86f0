//! Controllers side by side on the same customers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::engine::{Control, PlaneMode, run};
use super::figures::Figures;
use super::scenario::{Episode, Scenario};

/// A controller under comparison.
pub struct Contender<'a> {
    /// Its name in the figures.
    pub name: String,
    /// What it is lent.
    pub plane: PlaneMode,
    /// Makes a fresh one for an episode; it knows the operator's guess and nothing else about it.
    pub make: Box<dyn Fn(&Episode) -> Control + Sync + 'a>,
}

/// The means of one contender on one scenario, with the half-widths of their 95 % intervals.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which scenario.
    pub scenario: String,
    /// Which controller.
    pub controller: String,
    /// What it was lent.
    pub plane: PlaneMode,
    /// Over how many seeds.
    pub seeds: usize,
    /// See [`Figures`].
    pub goodput: f64,
    /// See [`Figures`].
    pub goodput_weighted: f64,
    /// See [`Figures`].
    pub effective_ms: f64,
    /// See [`Figures`].
    pub p50_ms: f64,
    /// See [`Figures`].
    pub p95_ms: f64,
    /// See [`Figures`].
    pub p99_ms: f64,
    /// See [`Figures`].
    pub wrongful_shed: f64,
    /// See [`Figures`].
    pub timeouts: f64,
    /// See [`Figures`].
    pub mitigated_s: f64,
    /// See [`Figures`].
    pub recovered_s: f64,
    /// Half-widths of the 95 % intervals by figure.
    pub ci95: BTreeMap<&'static str, f64>,
}

/// Runs every contender on every scenario with the same seeds, telling `progress` after each.
pub fn compare(
    scenarios: &[Scenario],
    contenders: &[Contender<'_>],
    seeds: std::ops::Range<u64>,
    mut progress: impl FnMut(&Row),
) -> Vec<Row> {
    let mut rows = Vec::new();
    for scenario in scenarios {
        let episodes: Vec<Episode> = seeds.clone().map(|seed| scenario.draw(seed)).collect();
        for contender in contenders {
            let figures: Vec<Figures> = episodes
                .iter()
                .map(|episode| run(episode, (contender.make)(episode), contender.plane).figures)
                .collect();
            let row = Row::of(&scenario.name, contender, &figures);
            progress(&row);
            rows.push(row);
        }
    }
    rows
}

impl Row {
    fn of(scenario: &str, contender: &Contender<'_>, figures: &[Figures]) -> Self {
        let mut ci95 = BTreeMap::new();
        let mut mean = |name: &'static str, figure: fn(&Figures) -> f64| {
            let values: Vec<f64> = figures.iter().map(figure).collect();
            let (mean, half_width) = mean_and_ci95(&values);
            ci95.insert(name, half_width);
            mean
        };
        Self {
            scenario: scenario.to_owned(),
            controller: contender.name.clone(),
            plane: contender.plane,
            seeds: figures.len(),
            goodput: mean("goodput", |f| f.goodput),
            goodput_weighted: mean("goodput_weighted", |f| f.goodput_weighted),
            effective_ms: mean("effective_ms", |f| f.effective_ms),
            p50_ms: mean("p50_ms", |f| f.p50_ms),
            p95_ms: mean("p95_ms", |f| f.p95_ms),
            p99_ms: mean("p99_ms", |f| f.p99_ms),
            wrongful_shed: mean("wrongful_shed", |f| f.wrongful_shed),
            timeouts: mean("timeouts", |f| f.timeouts),
            mitigated_s: mean("mitigated_s", |f| f.mitigated_s),
            recovered_s: mean("recovered_s", |f| f.recovered_s),
            ci95,
        }
    }
}

/// The mean and the half-width of its 95 % interval by the normal approximation.
#[must_use]
pub fn mean_and_ci95(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, 1.96 * (variance / count).sqrt())
}
