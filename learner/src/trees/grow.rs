//! Growing one tree on binned rows, by derivatives of the loss of second order.

use super::TreeDocument;
use super::binning::{Binned, Cuts, MISSING};
use super::histogram::{Field, Histogram, Sample, Split, Sums};

/// When a node is no longer split, and how bold its leaf is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) depth: usize,
    /// Added to the sum of hessians.
    pub(super) l2: f64,
    /// Lowest sum of hessians of a child.
    pub(super) child_weight_min: f64,
    /// A split must lower the loss by more than this.
    pub(super) gain_min: f64,
    /// Factor on every leaf.
    pub(super) learning_rate: f64,
}

/// A node over bins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Node {
    pub(super) column: usize,
    /// Bins up to and including this go left.
    pub(super) bin: u8,
    pub(super) missing_right: bool,
    /// The left child, 0 at a leaf; the right one is next to it.
    pub(super) left: usize,
    pub(super) value: f32,
    /// Weight of the training rows that reached it.
    pub(super) cover: f32,
}

/// A tree over bins; children stand behind their parent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grown(pub(super) Vec<Node>);

impl Grown {
    /// Grows a tree; reorders `samples`.
    pub(super) fn new(field: Field<'_>, samples: &mut [Sample]) -> Self {
        let mut growth = Growth { field, nodes: Vec::new(), spare: Vec::with_capacity(samples.len()) };
        growth.push(Sums::of(samples), samples.len());
        let (histogram, split) = field.root(samples);
        growth.split(0, samples, Some(histogram), split, field.limits.depth);
        Self(growth.nodes)
    }

    /// Place of the leaf that a binned row reaches.
    #[inline]
    pub(super) fn leaf(&self, binned: &Binned, row: usize) -> usize {
        let mut at = 0;
        loop {
            let node = &self.0[at];
            if node.left == 0 {
                return at;
            }
            let bin = binned.bin(row, node.column);
            at = node.left + usize::from(goes_right(bin, node.bin, node.missing_right));
        }
    }

    /// The leaf's value for a binned row.
    #[inline]
    pub(super) fn score(&self, binned: &Binned, row: usize) -> f64 {
        f64::from(self.0[self.leaf(binned, row)].value)
    }

    /// The tree over values instead of bins.
    pub(super) fn document(&self, cuts: &Cuts) -> TreeDocument {
        let mut document = TreeDocument::default();
        for node in &self.0 {
            let at = document.push_leaf(node.value, node.cover);
            if node.left != 0 {
                document.feature[at] = node.column as u16;
                document.threshold[at] = cuts.end(node.column, node.bin);
                document.left[at] = node.left as u16;
                document.missing_right[at] = node.missing_right;
                document.value[at] = 0.0;
            }
        }
        document
    }
}

#[inline]
fn goes_right(bin: u8, last_left: u8, missing_right: bool) -> bool {
    if bin == MISSING { missing_right } else { bin > last_left }
}

struct Growth<'a> {
    field: Field<'a>,
    nodes: Vec<Node>,
    spare: Vec<Sample>,
}

impl Growth<'_> {
    /// Adds a leaf with the value that lowers the loss most.
    fn push(&mut self, sums: Sums, rows: usize) {
        let Limits { l2, learning_rate, .. } = self.field.limits;
        let value = -learning_rate * sums.gradient / (sums.hessian + l2).max(f64::MIN_POSITIVE);
        let value = value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        self.nodes.push(Node { value, cover: rows as f32, ..Node::default() });
    }

    /// Splits a node and what comes below it, `levels` deep. A node at the bottom has no histogram.
    fn split(
        &mut self,
        at: usize,
        samples: &mut [Sample],
        histogram: Option<Histogram>,
        split: Option<Split>,
        levels: usize,
    ) {
        let (Some(histogram), Some(split)) = (histogram, split.filter(|_| levels > 0)) else { return };
        let total = Sums::of(samples);
        let (left, right) = self.part(samples, split);
        // Rounding in a histogram that was found by subtraction can show a split that no row agrees with.
        if left.is_empty() || right.is_empty() {
            return;
        }
        let first = self.nodes.len();
        let sums = [split.left, total.less(split.left)];
        self.push(sums[0], left.len());
        self.push(sums[1], right.len());
        let Split { column, bin, missing_right, .. } = split;
        self.nodes[at] = Node { column, bin, missing_right, left: first, ..self.nodes[at] };
        if levels == 1 {
            return;
        }
        let left_is_smaller = left.len() <= right.len();
        let (smaller, totals) = if left_is_smaller { (&*left, sums) } else { (&*right, [sums[1], sums[0]]) };
        let [smaller, larger] = self.field.children(histogram, smaller, totals);
        let [for_left, for_right] = if left_is_smaller { [smaller, larger] } else { [larger, smaller] };
        self.split(first, left, Some(for_left.0), for_left.1, levels - 1);
        self.split(first + 1, right, Some(for_right.0), for_right.1, levels - 1);
    }

    /// Brings the samples that go left to the front; both sides stay in the order of rows.
    fn part<'s>(&mut self, samples: &'s mut [Sample], split: Split) -> (&'s mut [Sample], &'s mut [Sample]) {
        let binned = self.field.binned;
        self.spare.clear();
        let mut kept = 0;
        for at in 0..samples.len() {
            let sample = samples[at];
            if goes_right(binned.bin(sample.row as usize, split.column), split.bin, split.missing_right) {
                self.spare.push(sample);
            } else {
                samples[kept] = sample;
                kept += 1;
            }
        }
        samples[kept..].copy_from_slice(&self.spare);
        samples.split_at_mut(kept)
    }
}
