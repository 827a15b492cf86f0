//! A single decision tree (CART, Gini impurity): its questions are those of linfa-trees or of our histograms, its
//! probabilities are ours.
//!
//! linfa's trees answer with a class and not with a probability, join leaves that answer alike, and cannot tell values
//! closer than 1e-5 apart. So they are grown on quantile bins instead of values, with classes that weigh the same, which
//! makes an answer say whether a leaf is above or below the prevalence; then all training rows are sent through the tree,
//! and a leaf's probability is the share of positives among those that reach it.

use super::binning::{Binned, Cuts, MISSING};
use super::examples::{sample, shares, within};
use super::grow::{Grown, Limits, Node};
use super::histogram::{Field, Sample};
use super::{Document, Examples, FitError, Link, MEAN_DEPTH_MAX, Trees};
use crate::simulate::Random;
use linfa::prelude::*;
use linfa_trees::{DecisionTree, TreeNode};
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Weighs the positives a trifle more, because linfa settles a tie between classes by chance.
const NO_TIE: f32 = 1.000_173;

/// What finds a tree's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grower {
    /// linfa-trees.
    Linfa,
    /// The histograms of [`super::boosted`]: quicker, and leaves of a side stay apart.
    Histogram,
}

/// How a tree is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What finds the questions.
    pub grower: Grower,
    /// Questions before a leaf, 1 to 16.
    pub depth: usize,
    /// Lowest share of the weight that the questions are learned from in a leaf, 0 to 0.5; both classes weigh the same.
    pub leaf_share_min: f64,
    /// Rows that the questions are learned from, 100 to 1,000,000: all positives up to half of it, and negatives.
    pub rows_max: usize,
    /// Rows of the prevalence that are added to every leaf, above 0 and up to 10,000.
    pub smoothing: f64,
    /// Seed of all that is random.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grower: Grower::Linfa,
            depth: 8,
            leaf_share_min: 0.002,
            rows_max: 20_000,
            smoothing: 5.0,
            seed: 1,
        }
    }
}

impl Settings {
    /// Makes sure that every setting is in its range; [`FitError::Setting`] names the first that is not.
    pub fn check(&self) -> Result<(), FitError> {
        within("depth", self.depth as f64, 1.0..=MEAN_DEPTH_MAX as f64, "1 to 16")?;
        within("leaf_share_min", self.leaf_share_min, 0.0..=0.5, "0 to 0.5")?;
        within("rows_max", self.rows_max as f64, 100.0..=1e6, "100 to 1000000")?;
        within("smoothing", self.smoothing, f64::MIN_POSITIVE..=1e4, "above 0 and up to 10000")
    }
}

/// Fits a tree on examples, the questions on a sample of them; `NaN` is a missing value.
pub fn fit(examples: &Examples<'_>, settings: &Settings) -> Result<Trees, FitError> {
    settings.check()?;
    let ground = Ground::new(examples, settings.seed)?;
    let mut random = Random::new(settings.seed);
    let wanted = shares(ground.counts(), settings.rows_max);
    let rows: Vec<usize> = ground
        .classes
        .iter()
        .zip(wanted)
        .flat_map(|(class, wanted)| sample(class, wanted, &mut random))
        .collect();
    let columns: Vec<usize> = (0..examples.frame.width()).collect();
    let mut tree = ground.grow(&rows, &columns, settings)?;
    ground.fill(&mut tree, settings.smoothing);
    ground.trees(&[tree])
}

/// Examples prepared for trees.
pub(super) struct Ground<'a> {
    examples: &'a Examples<'a>,
    cuts: Cuts,
    binned: Binned,
    /// Rows that count, negatives first.
    pub(super) classes: [Vec<usize>; 2],
}

impl<'a> Ground<'a> {
    pub(super) fn new(examples: &'a Examples<'a>, seed: u64) -> Result<Self, FitError> {
        examples.check_classes()?;
        let cuts = Cuts::learn(examples.frame, seed);
        let binned = Binned::new(examples.frame, &cuts);
        Ok(Self { examples, cuts, binned, classes: examples.by_class() })
    }

    pub(super) fn counts(&self) -> [usize; 2] {
        [self.classes[0].len(), self.classes[1].len()]
    }

    /// Grows a tree on rows, of which some may stand there several times, and columns.
    pub(super) fn grow(
        &self,
        rows: &[usize],
        columns: &[usize],
        settings: &Settings,
    ) -> Result<Grown, FitError> {
        let mut totals = [0.0; 2];
        let label = |row: usize| self.examples.labels[row];
        rows.iter().for_each(|&row| totals[usize::from(label(row))] += self.examples.weight(row));
        // Both classes weigh the same, and together as much as there are rows.
        let factors = [0.5 / totals[0], 0.5 * NO_TIE / totals[1]].map(|factor| factor * rows.len() as f32);
        let weights: Vec<f32> =
            rows.iter().map(|&row| self.examples.weight(row) * factors[usize::from(label(row))]).collect();
        let leaf_min = (settings.leaf_share_min * rows.len() as f64).max(f64::from(f32::EPSILON));
        match settings.grower {
            Grower::Linfa => self.grow_by_linfa(rows, columns, weights, settings.depth, leaf_min),
            Grower::Histogram => {
                Ok(self.grow_by_histogram(rows, columns, &weights, settings.depth, leaf_min))
            }
        }
    }

    fn grow_by_linfa(
        &self,
        rows: &[usize],
        columns: &[usize],
        weights: Vec<f32>,
        depth: usize,
        leaf_min: f64,
    ) -> Result<Grown, FitError> {
        let value = |(row, column): (usize, usize)| f32::from(self.binned.bin(rows[row], columns[column]));
        let records = Array2::from_shape_fn((rows.len(), columns.len()), value);
        let targets: Array1<bool> = rows.iter().map(|&row| self.examples.labels[row]).collect();
        let fitted = DecisionTree::params()
            .max_depth(Some(depth))
            .min_weight_leaf(leaf_min as f32)
            .min_weight_split(2.0)
            .fit(&Dataset::new(records, targets).with_weights(Array1::from(weights)))
            .map_err(|error| FitError::Library(error.to_string()))?;
        Ok(taken_over(fitted.root_node(), columns))
    }

    /// With the weight as hessian and the weight of positives as gradient, the gain of a split is what it takes from the
    /// Gini impurity.
    fn grow_by_histogram(
        &self,
        rows: &[usize],
        columns: &[usize],
        weights: &[f32],
        depth: usize,
        leaf_min: f64,
    ) -> Grown {
        let mut asked = vec![false; self.binned.width()];
        columns.iter().for_each(|column| asked[*column] = true);
        let sample = |(&row, &weight): (&usize, &f32)| {
            let gradient = if self.examples.labels[row] { -weight } else { 0.0 };
            Sample { row: row as u32, gradient, hessian: weight }
        };
        let mut samples: Vec<Sample> = rows.iter().zip(weights).map(sample).collect();
        let gain_min = 1e-6 * rows.len() as f64;
        let limits = Limits { depth, l2: 0.0, child_weight_min: leaf_min, gain_min, learning_rate: 1.0 };
        let field = Field { binned: &self.binned, cuts: &self.cuts, columns: &asked, limits };
        Grown::new(field, &mut samples)
    }

    /// Sends all rows through a tree, and gives each leaf its share of positives.
    pub(super) fn fill(&self, tree: &mut Grown, smoothing: f64) {
        let mut sums = vec![[0.0; 2]; tree.0.len()];
        for (class, rows) in self.classes.iter().enumerate() {
            for &row in rows {
                sums[tree.leaf(&self.binned, row)][class] += f64::from(self.examples.weight(row));
            }
        }
        let [negatives, positives] = self.examples.totals();
        let prevalence = positives / (negatives + positives);
        for (node, [negatives, positives]) in tree.0.iter_mut().zip(sums) {
            let cover = negatives + positives + smoothing;
            (node.value, node.cover) = (((positives + smoothing * prevalence) / cover) as f32, cover as f32);
        }
    }

    /// The served form.
    pub(super) fn trees(&self, grown: &[Grown]) -> Result<Trees, FitError> {
        let trees = grown.par_iter().map(|tree| tree.document(&self.cuts)).collect();
        Ok(Trees::try_from(Document { link: Link::Mean, width: self.binned.width(), base: 0.0, trees })?)
    }
}

/// linfa's tree over bins as ours; a missing value is the highest bin, so it goes right.
fn taken_over(root: &TreeNode<f32, bool>, columns: &[usize]) -> Grown {
    let mut nodes = vec![Node::default()];
    let mut open = vec![(0, root)];
    while let Some((at, node)) = open.pop() {
        let children: Vec<_> = node.children().into_iter().flatten().collect();
        let (false, [left, right]) = (node.is_leaf(), &children[..]) else { continue };
        let (column, threshold, _) = node.split();
        let bin = (threshold.floor() as u8).min(MISSING - 1);
        nodes[at] =
            Node { column: columns[column], bin, missing_right: true, left: nodes.len(), ..nodes[at] };
        open.extend([(nodes.len(), &***left), (nodes.len() + 1, &***right)]);
        nodes.extend([Node::default(); 2]);
    }
    Grown(nodes)
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;
    use crate::frame::Frame;

    /// Positive where `x` is in (2, 3] or missing; `y` says nothing.
    fn steps(rows: usize) -> (Frame, Vec<bool>) {
        let mut random = Random::new(3);
        let mut frame = Frame::new(vec!["y".into(), "x".into()]);
        let mut labels = Vec::new();
        for _ in 0..rows {
            let x = if random.chance(0.1) { f32::NAN } else { random.below(100) as f32 / 10.0 };
            frame.push(&[random.uniform() as f32, x]);
            labels.push(x.is_nan() || (x > 2.0 && x <= 3.0));
        }
        (frame, labels)
    }

    #[test]
    fn leaves_are_shares_of_positives_and_missing_values_have_a_way() {
        let (frame, labels) = steps(2_000);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let prevalence = labels.iter().filter(|label| **label).count() as f64 / 2_000.0;
        let cases =
            [(1.0, 0.0), (2.04, 0.0), (2.06, 1.0), (3.0, 1.0), (3.1, 0.0), (99.0, 0.0), (f32::NAN, 1.0)];
        for grower in [Grower::Linfa, Grower::Histogram] {
            let trees = fit(&examples, &Settings { grower, ..Settings::default() }).unwrap();
            for (x, expected) in cases {
                let said = trees.raw(&[0.5, x]);
                assert!((said - expected).abs() < 0.05, "{said} at {x} by {grower:?}");
            }
            assert!((trees.expected() - prevalence).abs() < 0.01, "leaves together have the prevalence");
        }
    }

    #[test]
    fn both_growers_ask_the_same_where_no_leaves_are_joined() {
        let (frame, labels) = made::labelled(3_000, 4);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let ground = Ground::new(&examples, 1).unwrap();
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..3_000).collect(), (0..10).collect());
        let [linfa, ours] = [Grower::Linfa, Grower::Histogram].map(|grower| {
            let settings = Settings { grower, depth: 1, ..Settings::default() };
            let tree = ground.grow(&rows, &columns, &settings).unwrap();
            rows.iter().map(|row| tree.leaf(&ground.binned, *row)).collect::<Vec<_>>()
        });
        assert!(linfa.contains(&1) && linfa.contains(&2));
        assert_eq!(linfa, ours);
    }

    #[test]
    fn probabilities_count_all_rows_where_questions_saw_a_sample() {
        let (frame, labels) = made::labelled(8_000, 1);
        let weights: Vec<f32> = (0..8_000).map(|row| if row % 2 == 0 { 2.0 } else { 0.5 }).collect();
        let examples = Examples { frame: &frame, labels: &labels, weights: Some(&weights) };
        let settings = Settings { rows_max: 1_000, depth: 4, ..Settings::default() };
        let trees = fit(&examples, &settings).unwrap();
        let [negatives, positives] = examples.totals();
        let prevalence = positives / (negatives + positives);
        assert!((trees.expected() - prevalence).abs() < 1e-4, "{} and {prevalence}", trees.expected());
        assert_eq!(fit(&examples, &settings).unwrap(), trees, "the same seed gives the same tree");
        assert_ne!(fit(&examples, &Settings { seed: 2, ..settings }).unwrap(), trees);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let (frame, labels) = steps(200);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let refused = fit(&examples, &Settings { depth: 17, ..Settings::default() }).unwrap_err();
        assert_eq!(refused.to_string(), "depth is 17, but must be 1 to 16");
        let one = Examples { labels: &[false; 200], ..examples };
        assert_eq!(fit(&one, &Settings::default()), Err(FitError::OneClass));
    }
}
