//! Population stability: how far the vectors of a window lie from those that a model was trained on.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bins of one feature, each with about the same share of the training part.
const BINS: usize = 10;
/// Slots of a sliding window: it moves on by one at a time.
const SLOTS: i64 = 24;
/// A window with fewer rows says nothing: by chance alone the index would be about bins over rows.
pub const ROWS_MIN: u64 = 500;
/// Shares below this count as this, as a logarithm of nothing is none.
const SHARE_MIN: f64 = 1e-4;

/// Bins of one number, with the share of the training part in each: below every edge, above the last, and missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bins {
    /// Upper edges, rising; a value equal to an edge lies below it.
    pub(super) edges: Vec<f32>,
    /// Shares of the training part, one more than edges, and one for missing values.
    pub(super) expected: Vec<f64>,
}

impl Bins {
    /// From the values of the training part; `NaN` is missing.
    pub fn learn(values: impl IntoIterator<Item = f32>) -> Self {
        let values: Vec<f32> = values.into_iter().collect();
        let mut present: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        present.sort_by(f32::total_cmp);
        let quantile = |at: usize| present.get(present.len() * at / BINS).copied();
        let mut edges: Vec<f32> = (1..BINS).filter_map(quantile).collect();
        edges.dedup();
        let mut counts = vec![0_u32; edges.len() + 2];
        let mut bins = Self { expected: Vec::new(), edges };
        for &value in &values {
            if let Some(count) = counts.get_mut(bins.place(value)) {
                *count += 1;
            }
        }
        let rows = values.len().max(1) as f64;
        // To four digits: smaller shares count as nothing (SHARE_MIN), and artifacts do not grow by them.
        let share = |count| (f64::from(count) / rows * 1e4).round() / 1e4;
        bins.expected = counts.into_iter().map(share).collect();
        bins
    }

    /// The bin of a value.
    fn place(&self, value: f32) -> usize {
        if value.is_nan() { self.edges.len() + 1 } else { self.edges.partition_point(|&edge| edge < value) }
    }

    fn is_sound(&self) -> bool {
        let sum = self.expected.iter().sum::<f64>();
        self.expected.len() == self.edges.len() + 2
            && ((sum - 1.0).abs() < 1e-2 || sum == 0.0)
            && self.expected.iter().all(|share| (0.0..=1.0).contains(share))
            && self.edges.iter().all(|edge| !edge.is_nan())
    }
}

/// The population stability index of counts against shares: the sum of (actual - expected) * ln(actual / expected) over
/// bins. By custom under 0.1 is little, over 0.25 is another population (Siddiqi, Credit Risk Scorecards, 2006).
pub fn psi(expected: &[f64], counts: &[u32]) -> f64 {
    let rows = counts.iter().map(|&count| f64::from(count)).sum::<f64>();
    if rows == 0.0 {
        return 0.0;
    }
    let part = |(&expected, &count): (&f64, &u32)| {
        let (expected, actual) = (expected.max(SHARE_MIN), (f64::from(count) / rows).max(SHARE_MIN));
        (actual - expected) * (actual / expected).ln()
    };
    expected.iter().zip(counts).map(part).sum()
}

/// What a model was trained on, as bins of every feature and of its own probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Names of the features.
    pub names: Vec<String>,
    /// Bins of each.
    pub(super) features: Vec<Bins>,
    /// Bins of the probability.
    pub(super) score: Bins,
    /// Rows it was learnt from.
    pub rows: usize,
}

impl Baseline {
    /// From vectors of the training part with the probabilities that the model gives them. Vectors are `names.len()` long.
    pub fn learn(names: Vec<String>, rows: &[(&[f32], f64)]) -> Self {
        let column = |at: usize| rows.iter().map(move |(row, _)| row.get(at).copied().unwrap_or(f32::NAN));
        let features = (0..names.len()).map(|at| Bins::learn(column(at))).collect();
        let score = Bins::learn(rows.iter().map(|(_, probability)| *probability as f32));
        Self { names, features, score, rows: rows.len() }
    }

    /// From columns of features, and the probabilities that the model gives their rows.
    pub fn of_columns<'a>(
        names: Vec<String>,
        columns: impl Iterator<Item = &'a [f32]>,
        scores: &[f32],
    ) -> Self {
        let features = columns.map(|column| Bins::learn(column.iter().copied())).collect();
        let score = Bins::learn(scores.iter().copied());
        Self { names, features, score, rows: scores.len() }
    }

    /// Whether its parts fit together.
    pub fn is_sound(&self) -> bool {
        self.names.len() == self.features.len()
            && self.features.iter().all(Bins::is_sound)
            && self.score.is_sound()
    }
}

/// How far one feature has drifted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// Its name.
    pub feature: String,
    /// Its population stability index.
    pub psi: f64,
}

/// How far a window lies from the training part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Vectors in the window.
    pub rows: u64,
    /// Index of the probability.
    pub score: f64,
    /// Index of every feature, the worst first.
    pub features: Vec<FeatureDrift>,
}

/// Counts of a part of the window.
#[derive(Debug, Clone)]
struct Slot {
    number: i64,
    rows: u64,
    /// Counts by bin, one list a feature, the probability's last.
    counts: Vec<Vec<u32>>,
}

/// The vectors of the last hours or days against a baseline. Bounded: some slots of counts, whatever comes.
#[derive(Debug, Clone)]
pub struct Window {
    baseline: Baseline,
    slot_ms: i64,
    slots: VecDeque<Slot>,
}

impl Window {
    /// Empty, of `window_ms`.
    pub fn new(baseline: Baseline, window_ms: i64) -> Self {
        Self { baseline, slot_ms: (window_ms / SLOTS).max(1), slots: VecDeque::new() }
    }

    /// Names of the features.
    pub fn names(&self) -> &[String] {
        &self.baseline.names
    }

    /// Counts a vector with its probability. One that is older than the window, or of another length, counts for nothing.
    pub fn add(&mut self, at_ms: i64, vector: &[f32], probability: f64) {
        let number = at_ms.div_euclid(self.slot_ms);
        let newest = self.slots.back().map_or(number, |slot| slot.number.max(number));
        if vector.len() != self.baseline.features.len() || number <= newest - SLOTS {
            return;
        }
        self.slots.retain(|slot| slot.number > newest - SLOTS);
        let place = self.slots.partition_point(|slot| slot.number < number);
        if self.slots.get(place).is_none_or(|slot| slot.number != number) {
            let all = self.baseline.features.iter().chain([&self.baseline.score]);
            let counts = all.map(|bins| vec![0; bins.expected.len()]).collect();
            self.slots.insert(place, Slot { number, rows: 0, counts });
        }
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.rows += 1;
        let bins = self.baseline.features.iter().chain([&self.baseline.score]);
        let values = vector.iter().copied().chain([probability as f32]);
        for ((bins, value), counts) in bins.zip(values).zip(&mut slot.counts) {
            if let Some(count) = counts.get_mut(bins.place(value)) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// The drift of the window that ends at `now_ms`; `None` under [`ROWS_MIN`] rows.
    pub fn drift(&self, now_ms: i64) -> Option<Drift> {
        let now = now_ms.div_euclid(self.slot_ms);
        let slots: Vec<&Slot> = self.slots.iter().filter(|slot| slot.number > now - SLOTS).collect();
        let rows = slots.iter().map(|slot| slot.rows).sum();
        if rows < ROWS_MIN {
            return None;
        }
        let index = |at: usize, bins: &Bins| {
            let mut sums = vec![0_u32; bins.expected.len()];
            for counts in slots.iter().filter_map(|slot| slot.counts.get(at)) {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
            }
            psi(&bins.expected, &sums)
        };
        let Baseline { names, features, score, .. } = &self.baseline;
        let named = names.iter().zip(features).enumerate();
        let mut drifted: Vec<FeatureDrift> = named
            .map(|(at, (name, bins))| FeatureDrift { feature: name.clone(), psi: index(at, bins) })
            .collect();
        drifted.sort_by(|a, b| b.psi.total_cmp(&a.psi));
        Some(Drift { rows, score: index(features.len(), score), features: drifted })
    }

    /// Vectors in the window, whether or not they are enough.
    pub fn rows(&self) -> u64 {
        self.slots.iter().map(|slot| slot.rows).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn the_index_agrees_with_the_formula_worked_by_hand() {
        // Shares 0.5, 0.5 against 0.8, 0.2: 0.3 ln 1.6 + -0.3 ln 0.4.
        let wanted = 0.3 * 1.6_f64.ln() - 0.3 * 0.4_f64.ln();
        assert!((psi(&[0.5, 0.5], &[80, 20]) - wanted).abs() < 1e-12);
        assert_eq!(psi(&[0.5, 0.5], &[70, 70]), 0.0);
        assert_eq!(psi(&[0.5, 0.5], &[0, 0]), 0.0, "nothing came");
        assert!(psi(&[1.0, 0.0], &[0, 10]).is_finite(), "an empty bin is no infinity");
    }

    #[test]
    fn bins_share_the_training_part_and_know_missing_values() {
        let bins = Bins::learn((0..1_000).map(|n| if n < 100 { f32::NAN } else { n as f32 }));
        assert!(bins.is_sound() && bins.edges.len() == 9, "{bins:?}");
        assert!((bins.expected.last().unwrap() - 0.1).abs() < 1e-9, "missing");
        assert!(bins.expected.iter().take(10).all(|share| (share - 0.09).abs() < 0.002), "{bins:?}");
        for (value, place) in [(f32::NEG_INFINITY, 0), (f32::MAX, 9), (f32::INFINITY, 9), (f32::NAN, 10)] {
            assert_eq!(bins.place(value), place, "{value}");
        }
        let constant = Bins::learn([3.0; 50]);
        assert!(constant.is_sound() && constant.edges == [3.0], "{constant:?}");
        assert!(Bins::learn([]).edges.is_empty());
    }

    fn baseline() -> Baseline {
        let rows: Vec<Vec<f32>> = (0..2_000).map(|n| vec![(n % 100) as f32, (n % 7) as f32]).collect();
        let rows: Vec<(&[f32], f64)> =
            rows.iter().map(|row| (row.as_slice(), f64::from(row[0]) / 100.0)).collect();
        Baseline::learn(vec!["amount".into(), "day".into()], &rows)
    }

    #[test]
    fn the_same_population_does_not_drift_and_another_does() {
        let mut window = Window::new(baseline(), 24 * HOUR);
        for n in 0..499 {
            window.add(HOUR, &[(n % 100) as f32, (n % 7) as f32], f64::from(n % 100) / 100.0);
        }
        assert_eq!(window.drift(HOUR), None, "too few to say anything");
        for n in 0..501 {
            window.add(2 * HOUR, &[(n % 100) as f32, (n % 7) as f32], f64::from(n % 100) / 100.0);
        }
        let calm = window.drift(2 * HOUR).unwrap();
        assert!(calm.rows == 1_000 && calm.score < 0.01 && calm.features[0].psi < 0.01, "{calm:?}");
        for n in 0..3_000 {
            window.add(3 * HOUR, &[90.0, (n % 7) as f32], 0.9);
        }
        let moved = window.drift(3 * HOUR).unwrap();
        assert!(moved.score > 0.5, "{moved:?}");
        assert_eq!(moved.features[0].feature, "amount", "the worst first");
        assert!(moved.features[0].psi > 0.5 && moved.features[1].psi < 0.05, "{moved:?}");
    }

    #[test]
    fn the_window_slides_and_stays_bounded() {
        let mut window = Window::new(baseline(), 24 * HOUR);
        for hour in 0..1_000 {
            for _ in 0..50 {
                window.add(hour * HOUR, &[1.0, 1.0], 0.5);
            }
        }
        assert_eq!((window.slots.len(), window.rows()), (24, 24 * 50));
        window.add(10 * HOUR, &[1.0, 1.0], 0.5);
        window.add(999 * HOUR, &[1.0], 0.5);
        assert_eq!(window.rows(), 24 * 50, "what is too old or of another shape counts for nothing");
        assert!(window.drift(999 * HOUR).is_some());
        assert_eq!(window.drift(1_030 * HOUR), None, "nothing came for a day");
        window.add(998 * HOUR, &[1.0, 1.0], 0.5);
        assert_eq!(window.rows(), 24 * 50 + 1, "a latecomer has its slot");
    }
}
