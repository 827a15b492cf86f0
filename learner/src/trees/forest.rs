//! A random forest (Breiman 2001): trees of [`super::tree`], each on a bootstrap sample of rows and some of the columns.
//!
//! The bagging is ours. linfa-ensemble's drops the weights of rows, so that classes cannot weigh the same; it draws
//! columns with repetition, leaves ties between classes to chance, and votes with classes instead of probabilities.

use super::examples::{sample, shares, within};
use super::tree::{self, Ground, Grower};
use super::{Examples, FitError, MEAN_TREES_MAX, Trees};
use crate::simulate::Random;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a forest is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Number of trees, 1 to 500.
    pub trees: usize,
    /// Share of columns that a tree may ask about, above 0 and up to 1.
    pub column_share: f64,
    /// How each tree is fitted; its seed is the forest's.
    pub tree: tree::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        let tree = tree::Settings {
            grower: Grower::Histogram,
            depth: 10,
            leaf_share_min: 0.0005,
            ..tree::Settings::default()
        };
        Self { trees: 100, column_share: 0.5, tree }
    }
}

impl Settings {
    /// Makes sure that every setting is in its range; [`FitError::Setting`] names the first that is not.
    pub fn check(&self) -> Result<(), FitError> {
        within("trees", self.trees as f64, 1.0..=MEAN_TREES_MAX as f64, "1 to 500")?;
        within("column_share", self.column_share, f64::MIN_POSITIVE..=1.0, "above 0 and up to 1")?;
        self.tree.check()
    }
}

/// Fits a forest on examples; `NaN` is a missing value. The same whatever the number of threads.
pub fn fit(examples: &Examples<'_>, settings: &Settings) -> Result<Trees, FitError> {
    settings.check()?;
    let ground = Ground::new(examples, settings.tree.seed)?;
    let wanted = shares(ground.counts(), settings.tree.rows_max);
    let columns: Vec<usize> = (0..examples.frame.width()).collect();
    let asked = ((columns.len() as f64 * settings.column_share).ceil() as usize).clamp(1, columns.len());
    let mut seeds = Random::new(settings.tree.seed);
    let seeds: Vec<u64> = (0..settings.trees).map(|_| seeds.identifier()).collect();
    let grow = |&seed: &u64| {
        let mut random = Random::new(seed);
        let mut rows = Vec::with_capacity(wanted.iter().sum());
        for (class, wanted) in ground.classes.iter().zip(wanted) {
            rows.extend((0..wanted).map(|_| class[random.below(class.len())]));
        }
        let mut tree = ground.grow(&rows, &sample(&columns, asked, &mut random), &settings.tree)?;
        ground.fill(&mut tree, settings.tree.smoothing);
        Ok(tree)
    };
    let grown = seeds.par_iter().map(grow).collect::<Result<Vec<_>, FitError>>()?;
    ground.trees(&grown)
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;
    use crate::evaluate::{Scored, auprc};

    fn quick() -> Settings {
        let tree = tree::Settings { rows_max: 1_500, depth: 8, ..Settings::default().tree };
        Settings { trees: 12, column_share: 0.7, tree }
    }

    #[test]
    fn many_trees_are_better_than_one_and_threads_change_nothing() {
        let (frame, labels) = made::labelled(4_000, 1);
        let (later, truth) = made::labelled(4_000, 2);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let judge = |trees: &Trees| {
            let mut row = [0.0; 10];
            let score = |(at, &positive): (usize, &bool)| {
                later.row(at, &mut row);
                Scored { score: trees.raw(&row), positive }
            };
            auprc(&truth.iter().enumerate().map(score).collect::<Vec<_>>())
        };
        let forest = fit(&examples, &quick()).unwrap();
        let one = fit(&examples, &Settings { trees: 1, ..quick() }).unwrap();
        let (many, single) = (judge(&forest), judge(&one));
        assert!(many > single + 0.05 && many > 0.4, "{many} and {single}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| fit(&examples, &quick()).unwrap()), forest);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let (frame, labels) = made::labelled(200, 1);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let refused = fit(&examples, &Settings { trees: 501, ..quick() }).unwrap_err();
        assert_eq!(refused.to_string(), "trees is 501, but must be 1 to 500");
    }
}
