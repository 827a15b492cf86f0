//! Gradient-boosted trees with logistic loss on histograms (Friedman 2001; Chen and Guestrin, "XGBoost", 2016; Ke et
//! al., "LightGBM", 2017). The same rows, settings and seed give the same trees, whatever the number of threads.

use super::binning::{Binned, Cuts};
use super::examples::within;
use super::grow::{Grown, Limits};
use super::histogram::{Field, Sample};
use super::{BOOSTED_DEPTH_MAX, BOOSTED_TREES_MAX, Document, Examples, FitError, Link, Trees};
use crate::evaluate::{Scored, auprc};
use crate::simulate::Random;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows that a thread takes at a time; sums over them are added in their order.
const CHUNK: usize = 8_192;

/// What validation rows are judged by after each tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopBy {
    /// Mean logistic loss, lower is better.
    LogLoss,
    /// Area under the precision-recall curve, higher is better.
    Auprc,
}

/// How trees are boosted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// At most this many trees, 1 to 100.
    pub trees: usize,
    /// Questions before a leaf, 1 to 6.
    pub depth: usize,
    /// Factor on every leaf, above 0 and up to 1.
    pub learning_rate: f64,
    /// Added to a leaf's sum of hessians, 0 to 10,000.
    pub l2: f64,
    /// Lowest sum of hessians of a leaf, 0 to 1,000,000.
    pub child_weight_min: f64,
    /// A split must lower the loss by more than this, 0 to 1,000,000.
    pub gain_min: f64,
    /// Share of rows that a tree sees, above 0 and up to 1.
    pub row_share: f64,
    /// Share of columns that a tree may ask about, above 0 and up to 1.
    pub column_share: f64,
    /// Factor on the weight of positives, 0.001 to 10,000.
    pub positive_weight: f64,
    /// Trees without a better validation before training stops, 1 or more; only where there are validation rows.
    pub patience: usize,
    /// What validation is judged by.
    pub stop_by: StopBy,
    /// Seed of all that is random.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trees: BOOSTED_TREES_MAX,
            depth: BOOSTED_DEPTH_MAX,
            learning_rate: 0.1,
            l2: 1.0,
            child_weight_min: 1.0,
            gain_min: 0.0,
            row_share: 1.0,
            column_share: 1.0,
            positive_weight: 1.0,
            patience: 20,
            stop_by: StopBy::LogLoss,
            seed: 1,
        }
    }
}

impl Settings {
    /// Makes sure that every setting is in its range; [`FitError::Setting`] names the first that is not.
    pub fn check(&self) -> Result<(), FitError> {
        let share = f64::MIN_POSITIVE..=1.0;
        within("trees", self.trees as f64, 1.0..=BOOSTED_TREES_MAX as f64, "1 to 100")?;
        within("depth", self.depth as f64, 1.0..=BOOSTED_DEPTH_MAX as f64, "1 to 6")?;
        within("learning_rate", self.learning_rate, share.clone(), "above 0 and up to 1")?;
        within("l2", self.l2, 0.0..=1e4, "0 to 10000")?;
        within("child_weight_min", self.child_weight_min, 0.0..=1e6, "0 to 1000000")?;
        within("gain_min", self.gain_min, 0.0..=1e6, "0 to 1000000")?;
        within("row_share", self.row_share, share.clone(), "above 0 and up to 1")?;
        within("column_share", self.column_share, share, "above 0 and up to 1")?;
        within("positive_weight", self.positive_weight, 1e-3..=1e4, "0.001 to 10000")?;
        within("patience", self.patience as f64, 1.0.., "1 or more")
    }
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Boosted {
    /// Its trees, up to the best of the validation.
    pub trees: Trees,
    /// What [`Settings::stop_by`] was on the validation rows after each tree that was grown; empty without them.
    pub validation: Vec<f64>,
}

/// Fits trees on examples. With validation rows, which should be later ones, training stops when they are no longer judged
/// better, and the trees after the best are left out. Missing values are `NaN` and go where training found best.
pub fn fit(
    examples: &Examples<'_>,
    validation: Option<&Examples<'_>>,
    settings: &Settings,
) -> Result<Boosted, FitError> {
    settings.check()?;
    examples.check_classes()?;
    let width = examples.frame.width();
    if let Some(other) = validation {
        other.check_classes()?;
        if other.frame.width() != width {
            return Err(FitError::Columns { training: width, validation: other.frame.width() });
        }
    }
    let mut random = Random::new(settings.seed);
    let cuts = Cuts::learn(examples.frame, random.identifier());
    let [negatives, positives] = examples.totals();
    let base = (positives * settings.positive_weight / negatives).ln() as f32;
    let mut training = Boosting::new(examples, &cuts, base, settings);
    let mut watched =
        validation.map(|rows| (Boosting::new(rows, &cuts, base, settings), Watch::new(settings)));
    let mut grown = Vec::with_capacity(settings.trees);
    while grown.len() < settings.trees {
        let columns = choose(width, settings.column_share, &mut random);
        let field =
            Field { binned: &training.binned, cuts: &cuts, columns: &columns, limits: limits(settings) };
        let mut samples = training.samples(settings, &mut random);
        let tree = Grown::new(field, &mut samples);
        training.add(&tree);
        grown.push(tree);
        if let (Some((rows, watch)), Some(tree)) = (&mut watched, grown.last()) {
            rows.add(tree);
            if watch.is_over(rows.judge(settings.stop_by)) {
                break;
            }
        }
    }
    let (best, judged) = watched.map_or((grown.len(), Vec::new()), |(_, watch)| (watch.best, watch.judged));
    let trees = grown.iter().take(best).map(|tree| tree.document(&cuts)).collect();
    let trees = Trees::try_from(Document { link: Link::LogOdds, width, base, trees })?;
    Ok(Boosted { trees, validation: judged })
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        depth: settings.depth,
        l2: settings.l2,
        child_weight_min: settings.child_weight_min,
        gain_min: settings.gain_min,
        learning_rate: settings.learning_rate,
    }
}

/// Which of `count` columns a tree may ask about; at least one.
fn choose(count: usize, share: f64, random: &mut Random) -> Vec<bool> {
    let wanted = ((count as f64 * share).ceil() as usize).clamp(1, count);
    let all: Vec<usize> = (0..count).collect();
    let mut columns = vec![false; count];
    super::examples::sample(&all, wanted, random).into_iter().for_each(|column| columns[column] = true);
    columns
}

/// Rows with the log odds that the trees so far give them.
struct Boosting<'a> {
    examples: Examples<'a>,
    positive_weight: f64,
    binned: Binned,
    log_odds: Vec<f64>,
}

impl<'a> Boosting<'a> {
    fn new(examples: &Examples<'a>, cuts: &Cuts, base: f32, settings: &Settings) -> Self {
        let binned = Binned::new(examples.frame, cuts);
        let log_odds = vec![f64::from(base); examples.frame.rows()];
        Self { examples: *examples, positive_weight: settings.positive_weight, binned, log_odds }
    }

    fn weight(&self, row: usize) -> f64 {
        let factor = if self.examples.labels[row] { self.positive_weight } else { 1.0 };
        f64::from(self.examples.weight(row)) * factor
    }

    /// The rows that the next tree sees, with the derivatives of the loss by their log odds.
    fn samples(&self, settings: &Settings, random: &mut Random) -> Vec<Sample> {
        let rows = 0..self.log_odds.len() as u32;
        let chosen: Vec<u32> = match settings.row_share < 1.0 {
            true => rows.filter(|_| random.chance(settings.row_share)).collect(),
            false => rows.collect(),
        };
        let derive = |&row: &u32| {
            let at = row as usize;
            let (weight, probability) = (self.weight(at), sigmoid(self.log_odds[at]));
            let gradient = weight * (probability - f64::from(u8::from(self.examples.labels[at])));
            let hessian = weight * probability * (1.0 - probability);
            Sample { row, gradient: gradient as f32, hessian: hessian as f32 }
        };
        chosen.par_iter().with_min_len(CHUNK).map(derive).collect()
    }

    fn add(&mut self, tree: &Grown) {
        let binned = &self.binned;
        self.log_odds.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, scores)| {
            let first = chunk * CHUNK;
            scores.iter_mut().enumerate().for_each(|(at, score)| *score += tree.score(binned, first + at));
        });
    }

    fn judge(&self, by: StopBy) -> f64 {
        match by {
            StopBy::Auprc => {
                let pairs = self.log_odds.iter().zip(self.examples.labels);
                auprc(&pairs.map(|(&score, &positive)| Scored { score, positive }).collect::<Vec<_>>())
            }
            StopBy::LogLoss => {
                let loss = |row: usize| {
                    let signed =
                        if self.examples.labels[row] { -self.log_odds[row] } else { self.log_odds[row] };
                    // ln(1 + e^x) that does not overflow.
                    self.weight(row) * (signed.max(0.0) + (-signed.abs()).exp().ln_1p())
                };
                let rows = 0..self.log_odds.len();
                rows.clone().map(loss).sum::<f64>() / rows.map(|row| self.weight(row)).sum::<f64>()
            }
        }
    }
}

fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Keeps how validation went, and when to stop.
struct Watch {
    by: StopBy,
    patience: usize,
    judged: Vec<f64>,
    /// Trees up to the best.
    best: usize,
}

impl Watch {
    fn new(settings: &Settings) -> Self {
        Self { by: settings.stop_by, patience: settings.patience, judged: Vec::new(), best: 1 }
    }

    fn is_over(&mut self, judged: f64) -> bool {
        let before = self.judged.get(self.best - 1).copied();
        self.judged.push(judged);
        let is_better = |before: f64| match self.by {
            StopBy::LogLoss => judged < before,
            StopBy::Auprc => judged > before,
        };
        if before.is_none_or(is_better) {
            self.best = self.judged.len();
        }
        self.judged.len() - self.best >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;
    use crate::frame::Frame;

    fn scored(trees: &Trees, frame: &Frame, labels: &[bool]) -> Vec<Scored> {
        let mut row = vec![0.0; frame.width()];
        let score = |(at, &positive): (usize, &bool)| {
            frame.row(at, &mut row);
            Scored { score: trees.raw(&row), positive }
        };
        labels.iter().enumerate().map(score).collect()
    }

    fn quick() -> Settings {
        Settings { trees: 40, learning_rate: 0.2, ..Settings::default() }
    }

    #[test]
    fn what_no_single_column_shows_is_learned() {
        let (frame, labels) = made::labelled(6_000, 1);
        let (later, truth) = made::labelled(4_000, 2);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let model = fit(&examples, None, &quick()).unwrap();
        let found = auprc(&scored(&model.trees, &later, &truth));
        // What knows the true log odds has .734, the best column by itself .23.
        assert!(found > 0.62, "{found}");
        assert_eq!((model.trees.count(), model.validation.len()), (40, 0));
    }

    #[test]
    fn served_trees_say_what_training_saw() {
        let (frame, labels) = made::labelled(3_000, 3);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let model = fit(&examples, Some(&examples), &Settings { stop_by: StopBy::Auprc, ..quick() }).unwrap();
        let text = serde_json::to_string(&model.trees).unwrap();
        assert!(serde_json::from_str::<Trees>(&text).unwrap() == model.trees, "an artifact keeps every bit");
        let said = auprc(&scored(&model.trees, &frame, &labels));
        let best = model.validation.iter().copied().fold(0.0, f64::max);
        assert!((said - best).abs() < 1e-9, "{said} and {best}");
        let mean = scored(&model.trees, &frame, &labels).iter().map(|row| sigmoid(row.score)).sum::<f64>();
        let positives = labels.iter().filter(|label| **label).count() as f64;
        assert!((mean / positives - 1.0).abs() < 0.02, "probabilities add up to the positives");
    }

    #[test]
    fn threads_change_nothing_and_the_seed_does() {
        let (frame, labels) = made::labelled(20_000, 4);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let settings = Settings { trees: 5, row_share: 0.7, column_share: 0.6, ..Settings::default() };
        let with = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(&examples, None, &Settings { seed, ..settings.clone() }).unwrap())
        };
        assert_eq!(with(1, 1), with(3, 1));
        assert_ne!(with(1, 1), with(1, 2));
    }

    #[test]
    fn training_stops_when_validation_says_so() {
        let (frame, labels) = made::labelled(1_500, 5);
        let (later, truth) = made::labelled(1_500, 6);
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let validation = Examples { frame: &later, labels: &truth, weights: None };
        for stop_by in [StopBy::LogLoss, StopBy::Auprc] {
            let settings = Settings { learning_rate: 0.5, patience: 5, stop_by, ..Settings::default() };
            let model = fit(&examples, Some(&validation), &settings).unwrap();
            let tried = model.validation.len();
            assert!(tried < 100, "{stop_by:?} stopped after {tried}");
            assert_eq!(model.trees.count(), tried - 5, "{stop_by:?}");
        }
    }

    #[test]
    fn a_row_that_weighs_three_counts_as_three_and_one_that_weighs_nothing_not_at_all() {
        let (made, labels) = made::labelled(2_000, 7);
        // Few values, so that both ways have the same bins.
        let mut frame = Frame::new(made.names().to_vec());
        let mut row = [0.0; 10];
        for at in 0..made.rows() {
            made.row(at, &mut row);
            frame.push(&row.map(|value| value.round().clamp(-1.0, 1.0)));
        }
        let counts: Vec<usize> = (0..2_000).map(|row| [0, 1, 3][row % 3]).collect();
        let rows: Vec<usize> = (0..2_000).flat_map(|row| std::iter::repeat_n(row, counts[row])).collect();
        let weights: Vec<f32> = counts.iter().map(|count| *count as f32).collect();
        let weighted = Examples { frame: &frame, labels: &labels, weights: Some(&weights) };
        let (often, truth) = (frame.select(&rows), rows.iter().map(|row| labels[*row]).collect::<Vec<_>>());
        let repeated = Examples { frame: &often, labels: &truth, weights: None };
        let settings = Settings { trees: 3, ..quick() };
        let [a, b] = [weighted, repeated].map(|examples| fit(&examples, None, &settings).unwrap().trees);
        let [a, b] = [a, b].map(|trees| scored(&trees, &frame, &labels));
        assert!(a.iter().zip(&b).all(|(a, b)| (a.score - b.score).abs() < 1e-4));
    }

    #[test]
    fn whether_a_value_is_missing_can_be_asked() {
        let mut random = Random::new(9);
        let mut frame = Frame::new(vec!["x".into()]);
        let labels: Vec<bool> = (0..1_000).map(|_| random.chance(0.3)).collect();
        labels.iter().for_each(|&label| frame.push(&[if label { f32::NAN } else { random.normal() as f32 }]));
        let examples = Examples { frame: &frame, labels: &labels, weights: None };
        let settings = Settings { trees: 1, depth: 1, learning_rate: 1.0, ..Settings::default() };
        let trees = fit(&examples, None, &settings).unwrap().trees;
        assert_eq!(auprc(&scored(&trees, &frame, &labels)), 1.0);
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused() {
        let (frame, labels) = made::labelled(50, 8);
        let narrow = Frame::new(vec!["x".into()]);
        let good = Examples { frame: &frame, labels: &labels, weights: None };
        let refused =
            |examples: Examples<'_>, settings: Settings| fit(&examples, None, &settings).unwrap_err();
        assert_eq!(refused(Examples { labels: &[true; 50], ..good }, quick()), FitError::OneClass);
        assert_eq!(
            refused(Examples { labels: &labels[1..], ..good }, quick()),
            FitError::Lengths { rows: 50, labels: 49, weights: 50 }
        );
        let mut weights = [1.0; 50];
        weights[7] = -1.0;
        assert_eq!(refused(Examples { weights: Some(&weights), ..good }, quick()), FitError::Weight(7));
        let nothing = Examples { frame: &narrow, labels: &[], weights: None };
        assert_eq!(refused(nothing, quick()), FitError::Shape { rows: 0, columns: 1 });
        let deep = Settings { depth: 7, ..quick() };
        assert_eq!(refused(good, deep).to_string(), "depth is 7, but must be 1 to 6");
        let unknown = Settings { l2: f64::NAN, ..quick() };
        assert!(matches!(refused(good, unknown), FitError::Setting { name: "l2", .. }));
    }
}
