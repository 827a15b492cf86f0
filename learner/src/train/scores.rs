//! Scores of a table's rows by a model that was trained with the same mapping.

use super::TrainError;
use super::anomaly::table::{self as anomaly, Row as Inputs, TableModel};
use super::replay::{self, Order, Replay, inputs};
use crate::artifact::{self, Artifact, Kind};
use crate::behaviour::Schema;
use crate::fraud::FraudScorer;
use crate::score::explained;
use crate::table::{self, Mapping, Part, Summary};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What to score.
#[derive(Debug, Clone)]
pub struct ScoreTable {
    /// The model's folder.
    pub model: PathBuf,
    /// The table.
    pub data: PathBuf,
    /// What came before it: rows that profiles know when the first row is scored. Of a table without time, the one that the
    /// model was trained on.
    pub history: Option<PathBuf>,
    /// What the columns are.
    pub mapping: PathBuf,
}

/// Hands the score of each readable row to `visit`, as an object with the row's number in its file: of a fraud model in the
/// order of time, each row against what came before it, a label taught once its delay has passed. Returns what is out of the
/// ordinary.
///
/// # Errors
/// A [`TrainError`] that names what is wrong with artifact, table or mapping.
pub fn table(settings: &ScoreTable, visit: &mut dyn FnMut(Value)) -> Result<Vec<String>, TrainError> {
    let mapping = Mapping::read(&settings.mapping)?;
    let bytes = artifact::read(&settings.model)?;
    if artifact::kind_of(&bytes) == Some(Kind::Anomaly) {
        let Artifact { model, .. } = anomaly::load(&settings.model, &mapping)?;
        return Ok(anomalies(&model, &settings.data, &mapping, visit)?.remarks());
    }
    let schema = Schema::new(inputs(&mapping));
    let scorer = FraudScorer::of_schema(&bytes, &schema)?;
    let timeless = mapping.columns.time.is_none();
    if timeless && !schema.inputs().categorical.is_empty() && settings.history.is_none() {
        let problem = "without time, what a category says of fraud is known from the table that the model was trained on: \
                       give that as --history";
        return Err(TrainError::Unusable { part: "test", problem: problem.to_owned() });
    }
    let mut replay = Replay::new(schema);
    // Rows without time come a second after one another, as in training; the history first.
    let mut number = 0;
    let mut before = None;
    if let Some(history) = &settings.history {
        let cut = mapping.split.cut(None, false, 0, scorer.manifest().seed);
        let order = match (timeless, cut) {
            (true, Ok(cut)) => Order::Shuffled(cut, scorer.manifest().seed),
            _ => by_time(history, &mapping)?,
        };
        let summary = replay::rows(history, &mapping, &order, &mut |row| {
            let taught = match order {
                Order::Shuffled(cut, _) => cut.part(None, row.number) == Some(Part::Train),
                _ => true,
            };
            if timeless {
                row.at_ms = number * 1_000;
                number += 1;
            }
            replay.next(row, taught);
        })?;
        before = Some(summary);
    }
    let order = if timeless { Order::AsRead } else { by_time(&settings.data, &mapping)? };
    let mut vector = Vec::new();
    let summary = replay::rows(&settings.data, &mapping, &order, &mut |row| {
        if timeless {
            row.at_ms = number * 1_000;
        }
        vector.clear();
        vector.extend_from_slice(replay.next(row, !timeless));
        scorer.model().complete(&row.event(), &mut vector);
        let said = match scorer.score(&vector) {
            Ok(score) => explained(&scorer, &score, &vector),
            Err(why) => json!({ "error": why.to_string() }),
        };
        visit(numbered(row.number, said));
    })?;
    let mut remarks = summary.remarks();
    if let Some(before) = before {
        remarks.extend(before.remarks());
        let span = |of: &Summary| of.span_ms.filter(|_| !timeless);
        if span(&before).zip(span(&summary)).is_some_and(|((_, end_ms), (begin_ms, _))| begin_ms < end_ms) {
            let overlap = "the table begins before its history ends: its rows see behaviour that came later";
            remarks.push(overlap.to_owned());
        }
    }
    Ok(remarks)
}

fn anomalies(
    model: &TableModel,
    data: &Path,
    mapping: &Mapping,
    visit: &mut dyn FnMut(Value),
) -> Result<Summary, TrainError> {
    let mut inputs = Inputs::new(mapping);
    Ok(table::read(data, mapping, &mut |record| {
        let said = match model.score(record, &mut inputs) {
            Ok(score) => {
                let contributions: Vec<Value> = score
                    .contributions
                    .iter()
                    .filter(|contribution| contribution.error > 0.0)
                    .filter_map(|contribution| {
                        let name = model.feature(contribution.feature)?;
                        Some(json!({ "feature": name, "error": contribution.error }))
                    })
                    .collect();
                json!({ "percentile": score.percentile, "error": score.error, "contributions": contributions })
            }
            Err(why) => json!({ "error": why.to_string() }),
        };
        visit(numbered(record.row, said));
        ControlFlow::Continue(())
    })?)
}

/// Whether the rows must be sorted is known once they have been looked through.
fn by_time(path: &Path, mapping: &Mapping) -> Result<Order, TrainError> {
    let summary = table::read(path, mapping, &mut |_| ControlFlow::Continue(()))?;
    Ok(if summary.backwards > 0 { Order::ByTime } else { Order::AsRead })
}

fn numbered(row: u64, mut said: Value) -> Value {
    if let Some(members) = said.as_object_mut() {
        members.insert("row".to_owned(), json!(row));
    }
    said
}

#[cfg(test)]
mod tests;
