//! Remakes the models that ship in `configs/models`: `cargo run --release -p learner --example remake_models`.

use learner::train::anomaly::{TrainAnomaly, anomaly};
use learner::train::data::Source;
use learner::train::fraud::{TrainFraud, fraud};
use learner::train::{Bar, TrainError};
use std::path::Path;

fn main() -> Result<(), TrainError> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/models");
    let data = Source::Simulate(7);
    let trained =
        fraud(&TrainFraud { data: data.clone(), out: models.join("fraud"), seed: 7 }, &mut Bar::default())?;
    for metrics in &trained.tests {
        println!("fraud, {}: {:?} hold {:?}", metrics.on, metrics.model, metrics.hold);
    }
    let trained = anomaly(&TrainAnomaly { data, out: models.join("anomaly"), seed: 7 }, &mut Bar::default())?;
    println!("anomaly, {}: {:?}", trained.metrics.on, trained.metrics.model);
    Ok(())
}
