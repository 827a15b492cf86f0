//! What a model and simpler detectors find among labelled rows.

use super::learn::{Columns, encoded};
use crate::anomaly::AnomalyModel;
use crate::evaluate::{self, AtThreshold, Ranking, Scored};
use crate::train::{TrainError, rounded};
use ndarray::ArrayView1;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything measured on rows that training did not see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// The rows, in words.
    pub on: String,
    /// The autoencoder.
    pub model: Ranking,
    /// At the percentile that one normal row in a hundred passes.
    pub at_99: AtThreshold,
    /// At the percentile that one in a thousand passes.
    pub at_999: AtThreshold,
    /// Share found at the 99th percentile, by attack.
    pub recall_by_attack: BTreeMap<String, f64>,
    /// The same rows ranked by simpler means.
    pub baselines: BTreeMap<String, Ranking>,
}

/// Scores of rows by the name of the detector, higher is more unusual; one a row.
pub(super) type Scores = BTreeMap<String, Vec<f64>>;

/// What the baselines of a model make of these rows.
pub(super) fn baselines(model: &AnomalyModel, columns: &Columns) -> Result<Scores, TrainError> {
    let inputs = encoded(model, columns, 0..columns.rows())?;
    let mahalanobis =
        |row: ArrayView1<'_, f32>| f64::from(model.baselines.mahalanobis.squared_distance(&row.to_vec()));
    let from_median = |row: ArrayView1<'_, f32>| {
        let apart = row.iter().zip(&model.baselines.medians);
        apart.map(|(x, median)| f64::from(x - median).powi(2)).sum::<f64>()
    };
    let by = |score: &dyn Fn(ArrayView1<'_, f32>) -> f64| inputs.rows().into_iter().map(score).collect();
    Ok(BTreeMap::from([
        ("Mahalanobis distance".to_owned(), by(&mahalanobis)),
        ("distance from the median".to_owned(), by(&from_median)),
    ]))
}

/// Measures a model on rows of which `kinds` says what attack each is, `None` for normal ones.
pub(super) fn measure(
    on: &str,
    model: &AnomalyModel,
    columns: &Columns,
    kinds: &[Option<&str>],
    others: Scores,
) -> Result<(Metrics, Vec<Scored>), TrainError> {
    let attacks = kinds.iter().flatten().count();
    if attacks == 0 || attacks == kinds.len() {
        return Err(TrainError::Unusable {
            part: "test",
            problem: "both normal rows and attacks are needed".to_owned(),
        });
    }
    let labelled = |scores: &[f64]| -> Vec<Scored> {
        let rows = scores.iter().zip(kinds);
        rows.map(|(&score, kind)| Scored { score, positive: kind.is_some() }).collect()
    };
    let scored = labelled(&percentiles(model, columns)?);
    let metrics = Metrics {
        on: on.to_owned(),
        model: evaluate::ranking(&scored),
        at_99: evaluate::at_threshold(&scored, 0.99),
        at_999: evaluate::at_threshold(&scored, 0.999),
        recall_by_attack: by_attack(kinds, &scored),
        baselines: others
            .into_iter()
            .map(|(name, scores)| (name, evaluate::ranking(&labelled(&scores))))
            .collect(),
    };
    Ok((metrics, scored))
}

/// Percentiles exactly as serving gives them; a row that serving refuses is as unusual as can be.
fn percentiles(model: &AnomalyModel, columns: &Columns) -> Result<Vec<f64>, TrainError> {
    let mut percentiles = Vec::with_capacity(columns.rows());
    columns.each(0..columns.rows(), |_, numbers, categories| {
        percentiles.push(model.score(numbers, categories).map_or(1.0, |score| score.percentile));
        Ok(())
    })?;
    Ok(percentiles)
}

fn by_attack(kinds: &[Option<&str>], scored: &[Scored]) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (kind, row) in kinds.iter().zip(scored) {
        if let Some(attack) = kind {
            let (found, all) = counts.entry(attack).or_default();
            *found += usize::from(row.score >= 0.99);
            *all += 1;
        }
    }
    let share =
        |(name, (found, all)): (&str, (usize, usize))| (name.to_owned(), rounded(found as f64 / all as f64));
    counts.into_iter().map(share).collect()
}
