//! How much each feature moves a classifier's scores.

use crate::fraud::{Classifier, Method, Scorecard};
use crate::train::{Part, rounded};
use crate::trees::{Document, Trees};
use rayon::prelude::*;

/// Rows whose Shapley values are taken, at most.
const ROWS: usize = 2_000;
/// Rows times nodes of all trees, at most: a row visits every leaf.
const VISITS: usize = 20_000_000;
/// Rows that one thread takes at a time; sums are taken in their order, so that threads do not change the last bits.
const CHUNK: usize = 4_096;

/// Every feature with its importance on the rows of a part, the most important first. For a scorecard it is the standard
/// deviation of the feature's log odds; for trees the mean size of its Shapley value over evenly spaced rows (Lundberg,
/// Erion and Lee 2018), in log odds (boosted) or probability (forest, single tree).
pub fn importance(classifier: &Classifier, part: &Part) -> Vec<(String, f64)> {
    let sizes = match &classifier.method {
        Method::Scorecard(card) => spreads(card, part),
        Method::Trees(trees) => shapley_sizes(trees, part),
    };
    let mut found: Vec<(String, f64)> =
        classifier.names().into_iter().zip(sizes.into_iter().map(rounded)).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found
}

fn spreads(card: &Scorecard, part: &Part) -> Vec<f64> {
    let width = part.frame.width();
    let starts: Vec<usize> = (0..part.rows()).step_by(CHUNK).collect();
    let sums = starts.par_iter().map(|&start| {
        let (mut row, mut log_odds) = (vec![0.0; width], vec![0.0; width]);
        let mut sums = vec![[0.0; 2]; width];
        for at in start..(start + CHUNK).min(part.rows()) {
            part.frame.row(at, &mut row);
            card.contributions(&row, &mut log_odds);
            for (sum, value) in sums.iter_mut().zip(&log_odds) {
                *sum = [sum[0] + value, sum[1] + value * value];
            }
        }
        sums
    });
    let rows = part.rows().max(1) as f64;
    let mut total = vec![[0.0; 2]; width];
    for sums in sums.collect::<Vec<_>>() {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total = [total[0] + sum[0], total[1] + sum[1]];
        }
    }
    total.into_iter().map(|[sum, squares]| (squares / rows - (sum / rows).powi(2)).max(0.0).sqrt()).collect()
}

fn shapley_sizes(trees: &Trees, part: &Part) -> Vec<f64> {
    let nodes: usize = Document::from(trees.clone()).trees.iter().map(|tree| tree.nodes()).sum();
    let most = (VISITS / nodes.max(1)).clamp(100, ROWS);
    let step = part.rows().div_ceil(most).max(1);
    let rows: Vec<usize> = (0..part.rows()).step_by(step).collect();
    let values = rows.par_iter().map(|&at| {
        let (mut row, mut values) = (vec![0.0; part.frame.width()], vec![0.0; trees.width()]);
        part.frame.row(at, &mut row);
        trees.shap(&row, &mut values);
        values
    });
    let mut sizes = vec![0.0; trees.width()];
    for values in values.collect::<Vec<_>>() {
        sizes.iter_mut().zip(values).for_each(|(size, value)| *size += value.abs());
    }
    sizes.into_iter().map(|size| size / rows.len().max(1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::{Inputs, Schema};
    use crate::fraud::{Calibrator, Encoder, Term, Thresholds};
    use crate::trees::{Link, TreeDocument};

    /// Two features; `a` is 0 in one half of the rows and 1 in the other, `b` is always 5.
    fn given(method: Method) -> Vec<(String, f64)> {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let mut part = Part::new(names.clone(), 0);
        for row in 0..10_000 {
            part.frame.push(&[f32::from(u8::from(row >= 5_000)), 5.0]);
            part.labels.push(false);
        }
        let classifier = Classifier {
            schema: Schema::new(Inputs { numeric: names, ..Inputs::default() }),
            encoder: Encoder::default(),
            derived: None,
            method,
            calibrator: Calibrator::Platt { slope: 1.0, intercept: 0.0 },
            thresholds: Thresholds { step_up: 0.5, hold: 0.5 },
            best_f1: 0.5,
        };
        importance(&classifier, &part)
    }

    #[test]
    fn a_scorecard_by_hand() {
        let term = |points: [f64; 2]| Term {
            imputed: 0.0,
            mean: 0.0,
            spread: 1.0,
            weight: 0.0,
            ends: vec![0.5],
            points: points.to_vec(),
            missing: 0.0,
        };
        let card = Scorecard {
            intercept: -3.0,
            terms: vec![term([-1.0, 2.0]), term([-9.0, 9.0])],
            crosses: Vec::new(),
        };
        // Half the rows have -1, half 2: a deviation of 1.5. A feature that never changes moves nothing.
        assert_eq!(given(Method::Scorecard(card)), [("a".to_owned(), 1.5), ("b".to_owned(), 0.0)]);
    }

    #[test]
    fn trees_by_hand() {
        let stump = TreeDocument {
            feature: vec![0; 3],
            threshold: vec![0.5, 0.0, 0.0],
            left: vec![1, 0, 0],
            missing_right: vec![false; 3],
            value: vec![0.0, -1.0, 1.0],
            cover: vec![4.0, 3.0, 1.0],
        };
        let document = Document { link: Link::LogOdds, width: 2, base: 0.0, trees: vec![stump] };
        // The expectation is -0.5, so that a row is worth -0.5 or 1.5.
        let found = given(Method::Trees(Trees::try_from(document).unwrap()));
        assert_eq!(found, [("a".to_owned(), 1.0), ("b".to_owned(), 0.0)]);
    }
}
