//! Trees and rows made up for tests.

use super::{Document, Link, TreeDocument, Trees};
use crate::frame::Frame;
use crate::simulate::Random;

/// Random trees that are sound: some grow to `depth`, thresholds and values are multiples of a quarter.
pub(super) fn trees(link: Link, width: usize, count: usize, depth: usize, random: &mut Random) -> Trees {
    let trees = (0..count).map(|_| tree(link, width, depth, random)).collect();
    let base = if link == Link::LogOdds { -1.5 } else { 0.0 };
    Trees::try_from(Document { link, width, base, trees }).unwrap()
}

fn tree(link: Link, width: usize, depth: usize, random: &mut Random) -> TreeDocument {
    let mut tree = TreeDocument::default();
    let mut open = vec![(tree.push_leaf(0.0, 1.0), 0)];
    while let Some((at, level)) = open.pop() {
        if level < depth && random.chance(0.8) {
            tree.feature[at] = random.below(width) as u16;
            tree.threshold[at] = random.below(9) as f32 / 4.0 - 1.0;
            tree.missing_right[at] = random.chance(0.5);
            tree.left[at] = tree.nodes() as u16;
            for _ in 0..2 {
                open.push((tree.push_leaf(0.0, 1.0), level + 1));
            }
        } else {
            let quarters = random.below(5) as f32 / 4.0;
            tree.value[at] = if link == Link::LogOdds { quarters * 2.0 - 1.0 } else { quarters };
            tree.cover[at] = 1.0 + random.below(20) as f32;
        }
    }
    tree
}

/// A row that sits on thresholds now and then, and misses values.
pub(super) fn row(width: usize, random: &mut Random) -> Vec<f32> {
    let value = |random: &mut Random| match random.below(8) {
        0 => f32::NAN,
        1 => random.below(9) as f32 / 4.0 - 1.0,
        _ => random.normal() as f32,
    };
    (0..width).map(|_| value(random)).collect()
}

/// Rows whose label depends on two columns together, on a third where it is missing, and on luck; the rest is noise.
pub(super) fn labelled(rows: usize, seed: u64) -> (Frame, Vec<bool>) {
    let mut random = Random::new(seed);
    let mut frame = Frame::new((0..10).map(|at| format!("x{at}")).collect());
    let mut labels = Vec::new();
    for _ in 0..rows {
        let mut row: Vec<f32> = (0..10).map(|_| random.normal() as f32).collect();
        let is_missing = random.chance(0.1);
        let log_odds = 2.5 * f64::from(row[0] * row[1]) + if is_missing { 3.0 } else { 0.0 } - 3.5;
        if is_missing {
            row[2] = f32::NAN;
        }
        labels.push(random.chance(1.0 / (1.0 + (-log_odds).exp())));
        frame.push(&row);
    }
    (frame, labels)
}
