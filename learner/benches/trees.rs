//! What a score by trees and its explanations take: 100 boosted trees of depth 6 over 80 columns, and other models
//! beside them. `cargo bench -p learner --bench trees`
#![allow(missing_docs)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use learner::frame::Frame;
use learner::trees::{Examples, boosted, forest, isolation};
use std::hint::black_box;

const COLUMNS: usize = 80;

/// Uniform numbers, the same in every run.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f32 / (1 << 24) as f32
}

/// Rows of noise in which sums and products of some columns mean something, so that trees grow full.
fn rows(count: usize) -> (Frame, Vec<bool>) {
    let mut state = 7;
    let mut frame = Frame::new((0..COLUMNS).map(|at| format!("x{at}")).collect());
    let mut labels = Vec::new();
    for _ in 0..count {
        let row: Vec<f32> = (0..COLUMNS).map(|_| uniform(&mut state)).collect();
        labels.push(uniform(&mut state) < row[0] * row[1] + 0.2 * row[2..12].iter().sum::<f32>() - 0.8);
        frame.push(&row);
    }
    (frame, labels)
}

fn score(criterion: &mut Criterion) {
    let (frame, labels) = rows(20_000);
    let examples = Examples { frame: &frame, labels: &labels, weights: None };
    let Ok(model) = boosted::fit(&examples, None, &boosted::Settings::default()) else { return };
    let trees = model.trees;
    let mut forest = forest::Settings { column_share: 0.2, ..Default::default() };
    forest.tree.rows_max = 4_000;
    let Ok(forest) = forest::fit(&examples, &forest) else { return };
    let Ok(isolation) = isolation::fit(&frame, &isolation::Settings::default()) else { return };
    // Another row each time, so that branches cannot be learned by heart.
    let mut row = vec![0.0; COLUMNS];
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % frame.rows();
        frame.row(at, &mut row);
        row.clone()
    };
    let mut out = vec![0.0; COLUMNS];
    let mut group = criterion.benchmark_group("trees");
    let size = BatchSize::SmallInput;
    group.bench_function("raw", |bench| {
        bench.iter_batched_ref(&mut next, |row| trees.raw(black_box(row)), size);
    });
    group.bench_function("path_contributions", |bench| {
        bench.iter_batched_ref(&mut next, |row| trees.path_contributions(black_box(row), &mut out), size);
    });
    group.bench_function("shap", |bench| {
        bench.iter_batched_ref(&mut next, |row| trees.shap(black_box(row), &mut out), size);
    });
    group.bench_function("forest_raw", |bench| {
        bench.iter_batched_ref(&mut next, |row| forest.raw(black_box(row)), size);
    });
    group.bench_function("isolation_score", |bench| {
        bench.iter_batched_ref(&mut next, |row| isolation.score(black_box(row)), size);
    });
    group.finish();
}

criterion_group!(benches, score);
criterion_main!(benches);
