//! What each feature adds to a score, along the path that the row takes: exact, and quick enough to be told inline.
//!
//! Every question changes what the model expects of the row, from the mean of the leaves below a node to that of the
//! leaves below the child; the change is the feature's (Saabas, "Interpreting random forests", 2014). Unlike Shapley
//! values it credits the questions in their order; [`Trees::shap`] does not, and takes longer.

#![deny(clippy::indexing_slicing)]

use super::model::Trees;

impl Trees {
    /// Writes what each feature adds to `raw(row) - expected()`, shape `[width]`; the sum is the whole of it. All are
    /// `NaN` when `row` is shorter than [`Trees::width`] or `out` has another length.
    pub fn path_contributions(&self, row: &[f32], out: &mut [f64]) {
        if row.len() < self.width || out.len() != self.width {
            return out.fill(f64::NAN);
        }
        out.fill(0.0);
        let scale = self.scale();
        for tree in &self.trees {
            let (mut at, mut mean) = (0, tree.mean(0));
            while let Some((child, column)) = tree.descend(at, row) {
                let below = tree.mean(child);
                out.get_mut(column).into_iter().for_each(|slot| *slot += scale * (below - mean));
                (at, mean) = (child, below);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Link, TreeDocument, Trees};

    #[test]
    fn a_question_credits_its_feature_with_what_it_changes() {
        let tree = TreeDocument {
            feature: vec![0, 0, 1, 0, 0],
            threshold: vec![0.5, 0.0, 0.5, 0.0, 0.0],
            left: vec![1, 0, 3, 0, 0],
            missing_right: vec![false; 5],
            value: vec![0.0, -1.0, 0.0, 1.0, 3.0],
            cover: vec![4.0, 2.0, 2.0, 1.0, 1.0],
        };
        let document = Document { link: Link::LogOdds, width: 3, base: 7.0, trees: vec![tree] };
        let trees = Trees::try_from(document).unwrap();
        let mut values = [f64::NAN; 3];
        // From 0.5 to 2 by the first question, to 3 by the second.
        trees.path_contributions(&[1.0, 1.0, 0.0], &mut values);
        assert_eq!((values, trees.expected()), ([1.5, 1.0, 0.0], 7.5));
    }
}
