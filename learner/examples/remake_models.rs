//! Remakes the models that ship in `configs/models`: `cargo run --release -p learner --example remake_models`.

use learner::train::anomaly::{TrainAnomaly, anomaly};
use learner::train::classify::Recipe;
use learner::train::data::Source;
use learner::train::fraud::{TrainFraud, fraud};
use learner::train::{Bar, ModelKind, TrainError};
use std::path::Path;

fn main() -> Result<(), TrainError> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/models");
    let only = std::env::args().nth(1);
    let wanted = |kind: &str| only.as_deref().is_none_or(|only| only == kind);
    let data = Source::Simulate(7);
    if wanted("fraud") {
        let model = Some(ModelKind::Logistic);
        let settings = TrainFraud {
            data: data.clone(),
            recipe: Recipe { model, seed: 7, ..Recipe::default() },
            out: models.join("fraud"),
        };
        let trained = fraud(&settings, &mut Bar::default())?;
        for measured in [Some(&trained.test), trained.other.as_ref()].into_iter().flatten() {
            println!("fraud, {measured:?}");
        }
    }
    if wanted("anomaly") {
        let settings = TrainAnomaly { data, out: models.join("anomaly"), seed: 7 };
        println!("anomaly, {}", anomaly(&settings, &mut Bar::default())?.metrics);
    }
    Ok(())
}
