//! Trees as an artifact keeps them, and what is refused.

#![deny(clippy::indexing_slicing)]

use super::model::{Link, MISSING_RIGHT, Node, Tree, Trees};
use super::{BOOSTED_DEPTH_MAX, BOOSTED_TREES_MAX, MEAN_DEPTH_MAX, MEAN_TREES_MAX, NODES_MAX, WIDTH_MAX};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why trees cannot score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TreesError {
    /// None, or more than a score has time for.
    #[error("there are {0} trees")]
    TreeCount(usize),
    /// No feature, or more than a node can name.
    #[error("there are {0} features")]
    Width(usize),
    /// The base value is not finite.
    #[error("the base value is not finite")]
    Base,
    /// A tree without nodes, or more nodes than allowed.
    #[error("tree {0} has no nodes, or too many")]
    NodeCount(usize),
    /// The arrays of a tree are not equally long.
    #[error("tree {0} has arrays of different lengths")]
    Lengths(usize),
    /// A child is missing, stands before its parent, or has two parents.
    #[error("tree {0}, node {1}: the children are not where they can be")]
    Children(usize, usize),
    /// The feature does not exist.
    #[error("tree {0}, node {1}: no such feature")]
    Feature(usize, usize),
    /// Too many questions before a leaf.
    #[error("tree {0} is too deep")]
    Depth(usize),
    /// A threshold or a leaf is not finite, or a leaf of a mean is no probability.
    #[error("tree {0}, node {1}: the threshold or the value is out of range")]
    Number(usize, usize),
    /// A leaf without training rows.
    #[error("tree {0}, node {1}: the cover is not above zero")]
    Cover(usize, usize),
}

/// A tree as flat arrays, one entry a node; the root is node 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeDocument {
    /// Column of the row that is asked about; 0 at a leaf.
    pub feature: Vec<u16>,
    /// Values up to and including this go left; 0 at a leaf.
    pub threshold: Vec<f32>,
    /// The left child, behind its parent; the right child is next to it. 0 says that the node is a leaf.
    pub left: Vec<u16>,
    /// Whether missing values go right.
    pub missing_right: Vec<bool>,
    /// What a leaf says: log odds, or a probability; 0 elsewhere.
    pub value: Vec<f32>,
    /// Weight of the training rows that reached the node. What counts are the leaves: the rest is summed from them.
    pub cover: Vec<f32>,
}

impl TreeDocument {
    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.left.len()
    }

    /// Adds a leaf and returns its place.
    pub(super) fn push_leaf(&mut self, value: f32, cover: f32) -> usize {
        self.feature.push(0);
        self.threshold.push(0.0);
        self.left.push(0);
        self.missing_right.push(false);
        self.value.push(value);
        self.cover.push(cover);
        self.nodes() - 1
    }
}

/// A tree model as an artifact keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// How leaves become the score.
    pub link: Link,
    /// Features of a row.
    pub width: usize,
    /// Added to the leaves: log odds before any tree; 0 for a mean. 32 bits, because text gives these back exactly.
    pub base: f32,
    /// The trees.
    pub trees: Vec<TreeDocument>,
}

impl TryFrom<Document> for Trees {
    type Error = TreesError;

    fn try_from(document: Document) -> Result<Self, TreesError> {
        let Document { link, width, base, trees } = document;
        let (trees_max, depth_max) = match link {
            Link::LogOdds => (BOOSTED_TREES_MAX, BOOSTED_DEPTH_MAX),
            Link::Mean => (MEAN_TREES_MAX, MEAN_DEPTH_MAX),
        };
        if trees.is_empty() || trees.len() > trees_max {
            return Err(TreesError::TreeCount(trees.len()));
        }
        if width == 0 || width > WIDTH_MAX {
            return Err(TreesError::Width(width));
        }
        if !base.is_finite() {
            return Err(TreesError::Base);
        }
        let mut room = NODES_MAX;
        let mut sound = Vec::with_capacity(trees.len());
        for (at, tree) in trees.iter().enumerate() {
            room = room.checked_sub(tree.nodes()).ok_or(TreesError::NodeCount(at))?;
            let tree = compile(at, tree, link, width)?;
            if tree.depth > depth_max {
                return Err(TreesError::Depth(at));
            }
            sound.push(tree);
        }
        Ok(Self { link, width, base: f64::from(base), trees: sound })
    }
}

/// Checks a tree and brings it into the form that scores.
fn compile(at: usize, tree: &TreeDocument, link: Link, width: usize) -> Result<Tree, TreesError> {
    let count = tree.nodes();
    if count == 0 || count > usize::from(u16::MAX) {
        return Err(TreesError::NodeCount(at));
    }
    let lengths = [tree.feature.len(), tree.threshold.len(), tree.missing_right.len(), tree.value.len()];
    if lengths.iter().chain(&[tree.cover.len()]).any(|length| *length != count) {
        return Err(TreesError::Lengths(at));
    }
    let depth = depth(&tree.left).map_err(|node| TreesError::Children(at, node))?;
    let mut nodes = Vec::with_capacity(count);
    let (features, turns) = (tree.feature.iter().zip(&tree.missing_right), tree.threshold.iter());
    for (node, (((&feature, &missing_right), &threshold), &left)) in
        features.zip(turns).zip(&tree.left).enumerate()
    {
        if usize::from(feature) >= width {
            return Err(TreesError::Feature(at, node));
        }
        if !threshold.is_finite() {
            return Err(TreesError::Number(at, node));
        }
        let missing = if missing_right { MISSING_RIGHT } else { 0 };
        nodes.push(match left {
            0 => Node::leaf(node as u16),
            left => Node { threshold, feature: feature | missing, left },
        });
    }
    let (values, covers, means) = leaves(at, tree, link)?;
    Ok(Tree { nodes, values, covers, means, depth })
}

/// Depth of a tree in which every child stands behind its parent and has no other; or the node where that fails.
fn depth(left: &[u16]) -> Result<usize, usize> {
    let mut depths: Vec<Option<usize>> = vec![None; left.len()];
    depths.iter_mut().take(1).for_each(|root| *root = Some(0));
    for (node, &left) in left.iter().enumerate() {
        // A node that no earlier one leads to has no parent, or one behind it.
        let depth = depths.get(node).copied().flatten().ok_or(node)?;
        for child in [usize::from(left), usize::from(left) + 1].into_iter().filter(|_| left != 0) {
            match depths.get_mut(child) {
                Some(slot) if slot.is_none() => *slot = Some(depth + 1),
                _ => return Err(node),
            }
        }
    }
    Ok(depths.into_iter().flatten().max().unwrap_or(0))
}

/// Values, covers and means of all nodes, from the leaves up.
type Leaves = (Vec<f32>, Vec<f64>, Vec<f64>);

fn leaves(at: usize, tree: &TreeDocument, link: Link) -> Result<Leaves, TreesError> {
    let mut values = vec![0.0; tree.nodes()];
    let (mut covers, mut means) = (vec![0.0; tree.nodes()], vec![0.0; tree.nodes()]);
    let given = tree.left.iter().zip(&tree.value).zip(&tree.cover);
    let slots = values.iter_mut().zip(&mut covers).zip(&mut means);
    for (node, (((left, &value), &cover), ((said, weight), mean))) in given.zip(slots).enumerate() {
        let allowed = link == Link::LogOdds || (0.0..=1.0).contains(&value);
        if !value.is_finite() || (*left == 0 && !allowed) {
            return Err(TreesError::Number(at, node));
        }
        if !(cover.is_finite() && cover > 0.0) {
            return Err(TreesError::Cover(at, node));
        }
        if *left == 0 {
            (*said, *weight, *mean) = (value, f64::from(cover), f64::from(value));
        }
    }
    for (node, left) in tree.left.iter().enumerate().rev().filter(|(_, left)| **left != 0) {
        let child =
            |list: &[f64], right: usize| list.get(usize::from(*left) + right).copied().unwrap_or(f64::NAN);
        let (a, b) = (child(&covers, 0), child(&covers, 1));
        let mean = (a * child(&means, 0) + b * child(&means, 1)) / (a + b);
        covers.get_mut(node).into_iter().for_each(|slot| *slot = a + b);
        means.get_mut(node).into_iter().for_each(|slot| *slot = mean);
    }
    Ok((values, covers, means))
}

impl From<Trees> for Document {
    fn from(model: Trees) -> Self {
        let Trees { link, width, base, trees } = model;
        Self { link, width, base: base as f32, trees: trees.iter().map(document_of).collect() }
    }
}

fn document_of(tree: &Tree) -> TreeDocument {
    let mut document = TreeDocument::default();
    for (at, (node, (&value, &cover))) in
        tree.nodes.iter().zip(tree.values.iter().zip(&tree.covers)).enumerate()
    {
        let place = document.push_leaf(value, cover as f32);
        if usize::from(node.left) != at {
            document.feature.get_mut(place).into_iter().for_each(|slot| *slot = node.column() as u16);
            document.threshold.get_mut(place).into_iter().for_each(|slot| *slot = node.threshold);
            document.left.get_mut(place).into_iter().for_each(|slot| *slot = node.left);
            let missing_right = node.feature >= MISSING_RIGHT;
            document.missing_right.get_mut(place).into_iter().for_each(|slot| *slot = missing_right);
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;
    use crate::simulate::Random;

    /// `x0 <= 0.5` (missing: right), then `x1 <= -1` on the right.
    fn document() -> Document {
        let tree = TreeDocument {
            feature: vec![0, 0, 1, 0, 0],
            threshold: vec![0.5, 0.0, -1.0, 0.0, 0.0],
            left: vec![1, 0, 3, 0, 0],
            missing_right: vec![true, false, false, false, false],
            value: vec![0.0, -1.0, 0.0, 0.25, 2.0],
            cover: vec![10.0, 4.0, 6.0, 2.0, 4.0],
        };
        Document { link: Link::LogOdds, width: 2, base: 0.5, trees: vec![tree] }
    }

    fn check(change: impl Fn(&mut Document, &mut TreeDocument), expected: TreesError) {
        let mut document = document();
        let mut tree = document.trees.remove(0);
        change(&mut document, &mut tree);
        document.trees.insert(0, tree);
        assert_eq!(Trees::try_from(document), Err(expected));
    }

    #[test]
    fn what_cannot_score_is_refused() {
        check(
            |document, _| document.trees.extend(vec![TreeDocument::default(); 100]),
            TreesError::TreeCount(101),
        );
        check(|document, _| document.width = 0, TreesError::Width(0));
        check(|document, _| document.base = f32::INFINITY, TreesError::Base);
        check(|_, tree| *tree = TreeDocument::default(), TreesError::NodeCount(0));
        check(|_, tree| _ = tree.value.pop(), TreesError::Lengths(0));
        check(|_, tree| tree.left[2] = 4, TreesError::Children(0, 2));
        check(|_, tree| tree.left[2] = 1, TreesError::Children(0, 2));
        check(|_, tree| tree.left[2] = u16::MAX, TreesError::Children(0, 2));
        check(|_, tree| tree.left[2] = 2, TreesError::Children(0, 2));
        check(|_, tree| tree.left[2] = 0, TreesError::Children(0, 3));
        check(|_, tree| tree.feature[2] = 2, TreesError::Feature(0, 2));
        check(|_, tree| tree.threshold[0] = f32::NAN, TreesError::Number(0, 0));
        check(|_, tree| tree.value[1] = f32::INFINITY, TreesError::Number(0, 1));
        check(|document, _| document.link = Link::Mean, TreesError::Number(0, 1));
        check(|_, tree| tree.cover[4] = 0.0, TreesError::Cover(0, 4));
        let chain = |_: &mut Document, tree: &mut TreeDocument| {
            *tree = TreeDocument::default();
            (0..15).for_each(|_| _ = tree.push_leaf(0.0, 1.0));
            (0..7).for_each(|at| tree.left[2 * at] = 2 * at as u16 + 1);
        };
        check(chain, TreesError::Depth(0));
        let many = TreeDocument { left: vec![0; usize::from(u16::MAX) + 1], ..TreeDocument::default() };
        check(|_, tree| *tree = many.clone(), TreesError::NodeCount(0));
    }

    #[test]
    fn a_sound_document_comes_back_the_same_and_json_keeps_every_bit() {
        assert_eq!(Document::from(Trees::try_from(document()).unwrap()), document());
        let mut random = Random::new(5);
        for link in [Link::LogOdds, Link::Mean] {
            let model = made::trees(link, 7, 20, 6, &mut random);
            let text = serde_json::to_string(&model).unwrap();
            assert_eq!(serde_json::from_str::<Trees>(&text).unwrap(), model);
            assert_eq!(model.check(), Ok(()));
        }
        let refused = serde_json::from_str::<Trees>(r#"{"link":"mean","width":1,"base":0.0,"trees":[]}"#);
        assert!(refused.unwrap_err().to_string().contains("there are 0 trees"));
    }

    #[test]
    fn a_row_goes_where_the_document_says() {
        let trees = Trees::try_from(document()).unwrap();
        let cases = [
            ([0.5, 9.0], -0.5),
            ([0.6, -1.0], 0.75),
            ([0.6, f32::NAN], 0.75),
            ([f32::NAN, 0.0], 2.5),
            ([f32::INFINITY, f32::INFINITY], 2.5),
            ([f32::NEG_INFINITY, 0.0], -0.5),
        ];
        for (row, expected) in cases {
            assert_eq!(trees.raw(&row), expected, "of {row:?}");
        }
        assert!(trees.raw(&[0.0]).is_nan());
        // (4 x -1 + 2 x 0.25 + 4 x 2) / 10 + 0.5
        assert!((trees.expected() - 0.95).abs() < 1e-12);
    }
}
