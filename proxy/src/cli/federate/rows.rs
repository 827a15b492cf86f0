//! A party's rows, and the model that serves where they come from.

use std::path::{Path, PathBuf};

use learner::artifact;
use learner::federate::{Model, Schema, Table};
use learner::table::Mapping;
use learner::train::adopt::{Origin, adopt};
use learner::train::data::{Source, transfers};
use learner::train::dataset::{Dataset, Tables};
use serde_json::json;

use super::Party;
use crate::federate::TookPart;

/// Seed by which a table without time is split.
const SEED: u64 = 7;

/// A party's rows.
pub(super) struct Rows {
    /// To train on.
    pub(super) table: Table,
    /// To measure on.
    pub(super) test: Option<Table>,
    /// All parts, where a model that serves can be made of them.
    pub(super) dataset: Option<Dataset>,
}

/// Reads a party's rows, whichever form they have.
pub(super) fn rows_of(arguments: &Party, schema: &Schema) -> anyhow::Result<Rows> {
    let (data, test) = (&arguments.data, arguments.test.as_deref());
    let dataset = match &arguments.mapping {
        Some(mapping) => read_by(data, test, Mapping::read(mapping)?)?,
        None if arguments.transfers => recorded(data)?,
        None => {
            let test = test.map(|path| Table::read(path, schema)).transpose()?;
            return Ok(Rows { table: Table::read(data, schema)?, test, dataset: None });
        }
    };
    let of = |part| {
        Table::of_part(part, schema)
            .map_err(|name| anyhow::anyhow!("{}: it gives no {name} for every row", data.display()))
    };
    let table = of(&dataset.train)?;
    anyhow::ensure!(!table.positive.is_empty(), "{}: the training part has no rows", data.display());
    let test = if dataset.test.labels.is_empty() { None } else { Some(of(&dataset.test)?) };
    Ok(Rows { table, test, dataset: Some(dataset) })
}

pub(super) fn read_by(data: &Path, test: Option<&Path>, mapping: Mapping) -> anyhow::Result<Dataset> {
    let tables = Tables { data: data.to_owned(), test: test.map(Path::to_owned), mapping, seed: SEED };
    Ok(Dataset::read(&tables, None, &mut ())?)
}

/// Transfers as gateways record them.
pub(super) fn recorded(data: &Path) -> anyhow::Result<Dataset> {
    let source: Source = data.to_string_lossy().parse()?;
    Ok(Dataset::of_transfers(&transfers(&source)?))
}

/// Writes the model as an artifact like `train fraud` does, calibrated on the own validation part. A model that cannot be
/// believed or measured does not serve; why not is said.
pub(super) fn serve(
    out: &Path,
    schema: &Schema,
    took: &TookPart,
    dataset: &Dataset,
    (data, command): (String, String),
) -> Option<PathBuf> {
    let refuse = |why: String| {
        tracing::warn!("no model to serve is written: {why}");
        None
    };
    if !took.verified {
        return refuse("it is unverified".to_owned());
    }
    let Some(model) = Model::of(schema.clone(), took.state.clone()) else {
        return refuse("there is none".to_owned());
    };
    let card = match model.scorecard(dataset.train.frame.names()) {
        Ok(card) => card,
        Err(name) => return refuse(format!("the own rows have no {name}")),
    };
    let outcome = &took.outcome;
    let chosen = json!({
        "model": "federated", "rounds": outcome.rounds, "parties": outcome.parties, "session": outcome.session,
        "state": outcome.state, "epsilon": outcome.epsilon,
    });
    match adopt(card, dataset, Origin { chosen, data, command, seed: SEED }, out) {
        Ok(_) => Some(out.join(artifact::FILE)),
        Err(error) => refuse(error.to_string()),
    }
}
