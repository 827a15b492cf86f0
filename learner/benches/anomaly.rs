//! Cost of the inline anomaly score of one request, features apart: `cargo bench -p learner --bench anomaly`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use learner::anomaly::AnomalyScorer;
use learner::simulate::{TrafficSettings, traffic};
use std::hint::black_box;
use std::path::Path;

fn score(criterion: &mut Criterion) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/models/anomaly");
    let scorer = AnomalyScorer::load(&model).expect("the shipped model loads");
    let settings = TrafficSettings { attacks: 0.1, ..TrafficSettings::normal(3, 1_000) };
    let vectors: Vec<_> = traffic(&settings).iter().map(|request| request.vector()).collect();
    let mut at = 0;
    criterion.bench_function("anomaly score of one request", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % vectors.len();
            black_box(scorer.score_vector(black_box(&vectors[at])))
        });
    });
}

criterion_group!(benches, score);
criterion_main!(benches);
