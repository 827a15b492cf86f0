//! Fits a tree model on a CSV of numbers and prints how good it is on another, one JSON object a seed.
//!
//! `fit_trees boosted|tree|tree_histogram|forest|svm|isolation TRAIN.csv TEST.csv SEEDS`: the last column is the label, 1 or 0, an empty
//! field is a missing value. `fit_trees speed ROWS COLUMNS` fits 100 boosted trees on noise with a signal in it.

use learner::evaluate::{Scored, auprc, auroc};
use learner::frame::Frame;
use learner::svm;
use learner::trees::{Examples, FitError, boosted, forest, isolation, tree};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global()?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["speed", rows, columns] => speed(rows.parse()?, columns.parse()?),
        [model, train, test, seeds] => {
            let (train, test) = (read(train)?, read(test)?);
            (1..=seeds.parse()?).try_for_each(|seed| tell(model, &train, &test, seed))
        }
        _ => {
            Err("fit_trees boosted|tree|tree_histogram|forest|svm|isolation TRAIN.csv TEST.csv SEEDS".into())
        }
    }
}

type Table = (Frame, Vec<bool>);

fn read(path: &str) -> Result<Table, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let mut names: Vec<String> = reader.headers()?.iter().map(String::from).collect();
    names.pop().ok_or("no label")?;
    let (mut frame, mut labels) = (Frame::new(names), Vec::new());
    for record in reader.records() {
        let record = record?;
        let number = |field: &str| if field.is_empty() { Ok(f32::NAN) } else { field.parse() };
        let mut row = record.iter().map(number).collect::<Result<Vec<f32>, _>>()?;
        labels.push(row.pop() == Some(1.0));
        frame.push(&row);
    }
    Ok((frame, labels))
}

type Score = Box<dyn Fn(&[f32]) -> f64>;

fn fitted(model: &str, examples: &Examples<'_>, seed: u64) -> Result<Score, FitError> {
    Ok(match model {
        "tree" | "tree_histogram" => {
            let mut settings = tree::Settings { seed, ..Default::default() };
            if model == "tree_histogram" {
                settings.grower = tree::Grower::Histogram;
            }
            let trees = tree::fit(examples, &settings)?;
            Box::new(move |row| trees.raw(row))
        }
        "forest" => {
            let mut settings = forest::Settings::default();
            settings.tree.seed = seed;
            let trees = forest::fit(examples, &settings)?;
            Box::new(move |row| trees.raw(row))
        }
        "svm" => {
            let machine = svm::fit(examples, &svm::Settings { seed, ..Default::default() })?;
            Box::new(move |row| machine.margin(row))
        }
        "isolation" => {
            let forest = isolation::fit(examples.frame, &isolation::Settings { seed, ..Default::default() })?;
            Box::new(move |row| forest.score(row))
        }
        _ => {
            let settings =
                boosted::Settings { seed, row_share: 0.8, column_share: 0.8, ..Default::default() };
            let trees = boosted::fit(examples, None, &settings)?.trees;
            Box::new(move |row| trees.raw(row))
        }
    })
}

fn tell(model: &str, train: &Table, test: &Table, seed: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let examples = Examples { frame: &train.0, labels: &train.1, weights: None };
    let score = fitted(model, &examples, seed)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut row = vec![0.0; test.0.width()];
    let scored: Vec<_> = test
        .1
        .iter()
        .enumerate()
        .map(|(at, &positive)| {
            test.0.row(at, &mut row);
            Scored { score: score(&row), positive }
        })
        .collect();
    let figures = serde_json::json!({
        "model": model, "seed": seed, "auprc": auprc(&scored), "auroc": auroc(&scored), "seconds": seconds,
    });
    println!("{figures}");
    Ok(())
}

fn speed(rows: usize, columns: usize) -> Result<(), Box<dyn Error>> {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let mut frame = Frame::new((0..columns).map(|at| format!("x{at}")).collect());
    let (mut labels, mut row) = (Vec::with_capacity(rows), vec![0.0; columns]);
    for _ in 0..rows {
        row.fill_with(&mut noise);
        labels.push(noise() < 0.2 * row[0] * row[1] * row[2]);
        frame.push(&row);
    }
    let begun = Instant::now();
    let model =
        boosted::fit(&Examples { frame: &frame, labels: &labels, weights: None }, None, &Default::default())?;
    println!("{} trees in {:.1} s", model.trees.count(), begun.elapsed().as_secs_f64());
    Ok(())
}
