//! A scorecard that was fitted elsewhere, made ready to serve by a bank's own rows.

use super::classify::{self, Recipe, TrainedTable};
use super::dataset::Dataset;
use super::{ModelKind, Part, TrainError, measure, search};
use crate::artifact::{self, Manifest};
use crate::fraud::{FraudScorer, Method, Scorecard};
use crate::report;
use std::path::Path;

/// Where the scorecard comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// How it was fitted, for report and manifest.
    pub chosen: serde_json::Value,
    /// What the own rows are called, without a folder.
    pub data: String,
    /// The command that it came of.
    pub command: String,
    /// Seed of how the rows were split.
    pub seed: u64,
}

/// Calibrates a scorecard and chooses where to act on the validation part, measures it on the test part, and writes
/// `model.artifact` and `report.html` as training does. The training part is not looked at.
///
/// # Errors
/// A [`TrainError`] that names the part that cannot teach, or why the scorecard does not serve.
pub fn adopt(
    card: Scorecard,
    data: &Dataset,
    origin: Origin,
    out: &Path,
) -> Result<TrainedTable, TrainError> {
    classify::both_classes("validation", &data.validate)?;
    classify::both_classes("test", &data.test)?;
    let (method, recipe) = (Method::Scorecard(card), Recipe::default());
    let costs = recipe.costs;
    let (raw, cents) = classify::counted(&data.validate, search::scores(&data.validate, &method));
    let (classifier, rules) = classify::finished(data, method, &raw, &cents, &recipe);
    classifier.check().map_err(TrainError::Fit)?;
    let parts = [&data.train, &data.validate, &data.test];
    let trained = TrainedTable {
        rows: parts.map(Part::rows),
        positives: parts.map(Part::positives),
        model: ModelKind::Logistic,
        trials: Vec::new(),
        chosen: origin.chosen,
        threshold: classifier.best_f1,
        rules,
        singles: Vec::new(),
        test: measure::measure(&data.test, &classifier, costs, &[], &data.scenarios),
        other: None,
        remarks: data.remarks.clone(),
    };
    let manifest = Manifest {
        schema_hash: classifier.schema.hash().to_owned(),
        data: origin.data,
        data_fingerprint: data.fingerprint.clone(),
        seed: origin.seed,
        command: origin.command,
        metrics: classify::as_metrics(&trained)?,
        baseline: None,
    };
    let (artifact, report) = classify::documents(manifest, classifier, &trained, &data.test, costs)?;
    FraudScorer::of_schema(&artifact, &data.schema)?;
    super::write(out, artifact::FILE, &artifact)?;
    super::write(out, report::FILE, report.as_bytes())?;
    Ok(trained)
}
