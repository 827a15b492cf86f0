//! Trees as they score: flat, checked once when they are made, walked without branches.

#![deny(clippy::indexing_slicing)]

use super::document::{Document, TreesError};
use serde::{Deserialize, Serialize};

/// Trees that are walked side by side: a step of one does not wait for the step of another.
const LANES: usize = 8;
/// Set in a node's feature where a missing value goes right.
pub(super) const MISSING_RIGHT: u16 = 1 << 15;

/// How the leaves of all trees become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Boosted trees: leaves are log odds and are summed.
    LogOdds,
    /// A forest or a single tree: leaves are probabilities, their mean is taken.
    Mean,
}

/// A question, or a leaf: eight bytes, so that a tree of depth 6 takes a kilobyte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    /// Values up to and including this go left. A leaf has infinity here and leads to itself.
    pub(super) threshold: f32,
    /// The feature asked about, and [`MISSING_RIGHT`].
    pub(super) feature: u16,
    /// Place of the left child in the tree; the right one is next to it.
    pub(super) left: u16,
}

impl Node {
    pub(super) fn leaf(at: u16) -> Self {
        Self { threshold: f32::INFINITY, feature: 0, left: at }
    }

    /// Column of the feature.
    pub(super) fn column(self) -> usize {
        usize::from(self.feature & !MISSING_RIGHT)
    }

    /// Where this value goes on: 1 is right.
    #[inline]
    fn turn(self, value: f32) -> u16 {
        u16::from((value > self.threshold) | (value.is_nan() & (self.feature >= MISSING_RIGHT)))
    }
}

/// One tree; every vector has an entry a node, children stand behind their parent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// What a leaf says; 0 elsewhere.
    pub(super) values: Vec<f32>,
    /// Weight of the training rows that reached the node; above zero.
    pub(super) covers: Vec<f64>,
    /// Mean of the leaves below, by cover.
    pub(super) means: Vec<f64>,
    /// Questions on the longest way down.
    pub(super) depth: usize,
}

impl Tree {
    #[inline]
    fn step(&self, at: u16, row: &[f32]) -> u16 {
        let Some(node) = self.nodes.get(usize::from(at)) else { return at };
        let value = row.get(node.column()).copied().unwrap_or(f32::NAN);
        node.left.wrapping_add(node.turn(value))
    }

    /// The child that this row goes to and the column asked about; `None` at a leaf.
    pub(super) fn descend(&self, at: u16, row: &[f32]) -> Option<(u16, usize)> {
        let node = self.nodes.get(usize::from(at)).filter(|node| node.left != at)?;
        Some((self.step(at, row), node.column()))
    }

    fn value(&self, at: u16) -> f64 {
        self.values.get(usize::from(at)).map_or(f64::NAN, |value| f64::from(*value))
    }

    /// Mean of the leaves below a node, by cover.
    pub(super) fn mean(&self, at: u16) -> f64 {
        self.means.get(usize::from(at)).copied().unwrap_or(f64::NAN)
    }

    /// The leaf's value for a row.
    fn score(&self, row: &[f32]) -> f64 {
        self.value((0..self.depth).fold(0, |at, _| self.step(at, row)))
    }
}

/// A tree model that can score: it is made from a [`Document`] that was found sound, or by training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Trees {
    pub(super) link: Link,
    pub(super) width: usize,
    pub(super) base: f64,
    pub(super) trees: Vec<Tree>,
}

impl Trees {
    /// Features of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of trees.
    pub fn count(&self) -> usize {
        self.trees.len()
    }

    /// How leaves become the score.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Log odds (boosted) or probability (forest, single tree) of a row of shape `[width]`, in which `NaN` is a missing
    /// value; `NaN` for a shorter row. The same bits for the same row on every machine.
    pub fn raw(&self, row: &[f32]) -> f64 {
        let Some(row) = row.get(..self.width) else { return f64::NAN };
        let (groups, rest) = self.trees.as_chunks::<LANES>();
        let mut sum = 0.0;
        for group in groups {
            let depth = group.iter().map(|tree| tree.depth).max().unwrap_or(0);
            let mut at = [0; LANES];
            for _ in 0..depth {
                at.iter_mut().zip(group).for_each(|(at, tree)| *at = tree.step(*at, row));
            }
            sum += at.iter().zip(group).map(|(at, tree)| tree.value(*at)).sum::<f64>();
        }
        sum += rest.iter().map(|tree| tree.score(row)).sum::<f64>();
        self.base + self.scale() * sum
    }

    /// Probability that [`Trees::raw`] stands for, without calibration.
    pub fn probability(&self, raw: f64) -> f64 {
        match self.link {
            Link::LogOdds => 1.0 / (1.0 + (-raw).exp()),
            Link::Mean => raw,
        }
    }

    /// Expectation of [`Trees::raw`] over the rows that the covers count.
    pub fn expected(&self) -> f64 {
        self.base + self.scale() * self.trees.iter().map(|tree| tree.mean(0)).sum::<f64>()
    }

    /// Factor on the sum of leaves.
    pub(super) fn scale(&self) -> f64 {
        match self.link {
            Link::LogOdds => 1.0,
            Link::Mean => 1.0 / self.trees.len().max(1) as f64,
        }
    }

    /// Makes sure that the model can score; see [`TreesError`] for what is refused.
    pub fn check(&self) -> Result<(), TreesError> {
        Self::try_from(Document::from(self.clone())).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;
    use crate::simulate::Random;
    use proptest::prelude::*;

    /// The score by the document alone, one question after the other.
    fn plain(document: &Document, row: &[f32]) -> f64 {
        let mut sum = 0.0;
        for tree in &document.trees {
            let mut at = 0;
            while tree.left[at] != 0 {
                let value = row[usize::from(tree.feature[at])];
                let right = if value.is_nan() { tree.missing_right[at] } else { value > tree.threshold[at] };
                at = usize::from(tree.left[at]) + usize::from(right);
            }
            sum += f64::from(tree.value[at]);
        }
        match document.link {
            Link::LogOdds => f64::from(document.base) + sum,
            Link::Mean => sum / document.trees.len() as f64,
        }
    }

    proptest! {
        #[test]
        fn trees_side_by_side_score_as_one_after_the_other(
            seed: u64, count in 1..30usize, depth in 0..7usize, mean: bool
        ) {
            let mut random = Random::new(seed);
            let link = if mean { Link::Mean } else { Link::LogOdds };
            let model = made::trees(link, 5, count, depth, &mut random);
            let row = made::row(5, &mut random);
            let expected = plain(&Document::from(model.clone()), &row);
            prop_assert!((model.raw(&row) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn probabilities_follow_the_link() {
        let mut random = Random::new(1);
        let boosted = made::trees(Link::LogOdds, 2, 1, 1, &mut random);
        let forest = made::trees(Link::Mean, 2, 1, 1, &mut random);
        assert_eq!((boosted.probability(0.0), forest.probability(0.25)), (0.5, 0.25));
    }
}
