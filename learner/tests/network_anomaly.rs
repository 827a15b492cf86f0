//! Figures of anomaly detection on NSL-KDD, which this repository does not hold; nothing is chosen by its test file.
//! Run with `GATEHOUSE_DATA=… cargo test --release -p learner --test network_anomaly -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use learner::train::anomaly::table::{TrainTable, table};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[test]
#[ignore = "needs the public data: set GATEHOUSE_DATA"]
fn attacks_on_a_network_stand_out_from_its_normal_connections() {
    #[allow(clippy::disallowed_methods)]
    let data =
        PathBuf::from(std::env::var_os("GATEHOUSE_DATA").expect("GATEHOUSE_DATA names the public data"));
    let folder = tempfile::tempdir().unwrap();
    let mut figures = Vec::new();
    for seed in [1, 2, 3] {
        let settings = TrainTable {
            data: data.join("network/KDDTrain+.txt.gz"),
            test: Some(data.join("network/KDDTest+.txt.gz")),
            mapping: Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/mappings/nsl-kdd.toml"),
            out: folder.path().join(seed.to_string()),
            seed,
            network: None,
        };
        let begin = Instant::now();
        let trained = table(&settings, &mut ()).unwrap();
        let metrics = trained.metrics;
        println!("seed {seed}, {} epochs, {:.1} s\n{metrics}", trained.epochs, begin.elapsed().as_secs_f64());
        let unseen = metrics.unseen_kinds.unwrap().auroc;
        figures.push([metrics.model.auroc, unseen, metrics.model.recall_at_fpr[1]]);
    }
    for (at, (name, floor)) in
        [("AUROC", 0.965), ("unseen kinds", 0.955), ("recall at 1 %", 0.58)].iter().enumerate()
    {
        let values = figures.iter().map(|figures| figures[at]);
        let (low, high) = (values.clone().fold(1.0, f64::min), values.clone().fold(0.0, f64::max));
        let mean = values.sum::<f64>() / figures.len() as f64;
        println!("{name}: mean {mean:.4}, {low:.4} to {high:.4}");
        assert!(mean >= *floor, "{name} is {mean} on average");
    }
}
