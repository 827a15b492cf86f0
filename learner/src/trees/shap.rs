//! Exact Shapley values of trees (TreeSHAP): Lundberg, Erion and Lee, "Consistent Individualized Feature Attribution for
//! Tree Ensembles", 2018, algorithm 2, path-dependent. For reports and cases: it visits every leaf.

use super::MEAN_DEPTH_MAX;
use super::model::{Tree, Trees};

/// Room for a path: its features, the empty start, and one that is being added.
const ROOM: usize = MEAN_DEPTH_MAX + 2;

/// A feature on the way to a leaf.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    column: usize,
    /// Share of the training rows that go this way.
    zero: f64,
    /// Whether the row goes this way: 1 or 0.
    one: f64,
    /// Weight of all subsets of this size of features on the path.
    weight: f64,
}

/// The features on the way to a node, each once.
#[derive(Debug, Clone, Copy)]
struct Way {
    steps: [Step; ROOM],
    length: usize,
}

impl Way {
    fn extend(&mut self, zero: f64, one: f64, column: usize) {
        let length = self.length;
        let weight = if length == 0 { 1.0 } else { 0.0 };
        self.steps[length] = Step { column, zero, one, weight };
        let whole = (length + 1) as f64;
        for at in (0..length).rev() {
            self.steps[at + 1].weight += one * self.steps[at].weight * (at + 1) as f64 / whole;
            self.steps[at].weight *= zero * (length - at) as f64 / whole;
        }
        self.length += 1;
    }

    /// Weights of the way without its step `at`, from the longest subset to the shortest.
    fn weights_without(&self, at: usize) -> impl Iterator<Item = (usize, f64)> {
        let (last, whole) = (self.length - 1, self.length as f64);
        let Step { zero, one, .. } = self.steps[at];
        let mut carried = self.steps[last].weight;
        (0..last).rev().map(move |place| {
            let weight = self.steps[place].weight;
            let rest = (last - place) as f64;
            if one == 0.0 {
                return (place, weight * whole / (zero * rest));
            }
            let without = carried * whole / ((place + 1) as f64 * one);
            carried = weight - without * zero * rest / whole;
            (place, without)
        })
    }

    /// The way as if step `at` had never been taken.
    fn without(&self, at: usize) -> Self {
        let mut way = *self;
        self.weights_without(at).for_each(|(place, weight)| way.steps[place].weight = weight);
        for place in at..self.length - 1 {
            way.steps[place] = Step { weight: way.steps[place].weight, ..self.steps[place + 1] };
        }
        way.length -= 1;
        way
    }
}

impl Trees {
    /// Writes the Shapley value of each feature, shape `[width]`, for the game whose worth of a set of features is the
    /// expectation of `raw` given these, where the others follow the covers. Their sum is `raw(row) - expected()`. All
    /// are `NaN` when `row` is shorter than [`Trees::width`] or `out` has another length.
    pub fn shap(&self, row: &[f32], out: &mut [f64]) {
        if row.len() < self.width || out.len() != self.width {
            return out.fill(f64::NAN);
        }
        out.fill(0.0);
        for tree in &self.trees {
            let mut start = Way { steps: [Step::default(); ROOM], length: 0 };
            start.extend(1.0, 1.0, usize::MAX);
            visit(tree, row, 0, start, self.scale(), out);
        }
    }
}

fn visit(tree: &Tree, row: &[f32], at: u16, way: Way, scale: f64, out: &mut [f64]) {
    let Some((hot, column)) = tree.descend(at, row) else {
        let value = f64::from(tree.values[usize::from(at)]) * scale;
        for place in 1..way.length {
            let step = way.steps[place];
            let weight: f64 = way.weights_without(place).map(|(_, weight)| weight).sum();
            out[step.column] += weight * (step.one - step.zero) * value;
        }
        return;
    };
    let left = tree.nodes[usize::from(at)].left;
    let cold = if hot == left { left + 1 } else { left };
    // A feature that was asked about before is one player, not two.
    let before = (1..way.length).find(|place| way.steps[*place].column == column);
    let (way, zero, one) = match before {
        Some(place) => (way.without(place), way.steps[place].zero, way.steps[place].one),
        None => (way, 1.0, 1.0),
    };
    for (child, one) in [(hot, one), (cold, 0.0)] {
        let share = tree.covers[usize::from(child)] / tree.covers[usize::from(at)];
        let mut further = way;
        further.extend(zero * share, one, column);
        visit(tree, row, child, further, scale, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Link, made};
    use super::*;
    use crate::simulate::Random;
    use proptest::prelude::*;

    const WIDTH: usize = 4;

    /// Expectation of the score given the features whose bit is set (the paper's algorithm 1).
    fn worth(trees: &Trees, row: &[f32], known: usize) -> f64 {
        fn below(tree: &Tree, row: &[f32], known: usize, at: u16) -> f64 {
            let Some((child, column)) = tree.descend(at, row) else {
                return f64::from(tree.values[usize::from(at)]);
            };
            if known >> column & 1 == 1 {
                return below(tree, row, known, child);
            }
            let left = tree.nodes[usize::from(at)].left;
            let part = |child: u16| tree.covers[usize::from(child)] * below(tree, row, known, child);
            (part(left) + part(left + 1)) / tree.covers[usize::from(at)]
        }
        trees.trees.iter().map(|tree| below(tree, row, known, 0)).sum::<f64>() * trees.scale()
    }

    /// Shapley's sum over all subsets.
    fn shapley(trees: &Trees, row: &[f32], feature: usize) -> f64 {
        let factorial = |n: usize| (1..=n).product::<usize>() as f64;
        let others = (0..1 << WIDTH).filter(|known: &usize| known >> feature & 1 == 0);
        let part = |known: usize| {
            let size = known.count_ones() as usize;
            let share = factorial(size) * factorial(WIDTH - size - 1) / factorial(WIDTH);
            share * (worth(trees, row, known | 1 << feature) - worth(trees, row, known))
        };
        others.map(part).sum()
    }

    proptest! {
        #[test]
        fn values_are_those_of_the_sum_over_subsets(seed: u64, count in 1..4usize, depth in 0..7usize, mean: bool) {
            let mut random = Random::new(seed);
            let link = if mean { Link::Mean } else { Link::LogOdds };
            let trees = made::trees(link, WIDTH, count, depth, &mut random);
            let row = made::row(WIDTH, &mut random);
            let mut values = [0.0; WIDTH];
            trees.shap(&row, &mut values);
            for (feature, value) in values.iter().enumerate() {
                let expected = shapley(&trees, &row, feature);
                prop_assert!((value - expected).abs() < 1e-9, "feature {}: {} and {}", feature, value, expected);
            }
        }

        #[test]
        fn all_explanations_sum_to_the_score(seed: u64, count in 1..40usize, mean: bool) {
            let mut random = Random::new(seed);
            let (link, depth) = if mean { (Link::Mean, MEAN_DEPTH_MAX) } else { (Link::LogOdds, 6) };
            // Deep trees take a while; a few of them say as much.
            let trees = made::trees(link, 6, if mean { count.min(2) } else { count }, depth.min(9), &mut random);
            let row = made::row(6, &mut random);
            let whole = trees.raw(&row) - trees.expected();
            let mut values = [1.0; 6];
            trees.shap(&row, &mut values);
            prop_assert!((values.iter().sum::<f64>() - whole).abs() < 1e-9, "by Shapley");
            trees.path_contributions(&row, &mut values);
            prop_assert!((values.iter().sum::<f64>() - whole).abs() < 1e-9, "by path");
        }
    }

    #[test]
    fn a_path_as_deep_as_allowed_has_room() {
        let mut chain = super::super::TreeDocument::default();
        (0..=2 * MEAN_DEPTH_MAX).for_each(|at| _ = chain.push_leaf(at as f32 / 100.0, 1.0));
        for at in 0..MEAN_DEPTH_MAX {
            (chain.left[2 * at], chain.feature[2 * at], chain.threshold[2 * at]) =
                (2 * at as u16 + 1, at as u16, 0.5);
        }
        let document =
            super::super::Document { link: Link::Mean, width: MEAN_DEPTH_MAX, base: 0.0, trees: vec![chain] };
        let trees = Trees::try_from(document).unwrap();
        let (row, mut values) = ([1.0; MEAN_DEPTH_MAX], [0.0; MEAN_DEPTH_MAX]);
        trees.shap(&row, &mut values);
        assert!((values.iter().sum::<f64>() - trees.raw(&row) + trees.expected()).abs() < 1e-9);
        assert_eq!(trees.raw(&row), f64::from(2.0 * MEAN_DEPTH_MAX as f32 / 100.0));
    }

    #[test]
    fn what_does_not_fit_is_not_explained() {
        let trees = made::trees(Link::LogOdds, 3, 2, 2, &mut Random::new(1));
        let (mut short, mut values) = ([0.0; 2], [0.0; 3]);
        trees.shap(&[0.0; 3], &mut short);
        trees.path_contributions(&[0.0; 2], &mut values);
        assert!(short.iter().chain(&values).all(|value| value.is_nan()));
    }
}
