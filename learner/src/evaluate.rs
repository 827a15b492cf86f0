//! Figures for scores with known labels. Accuracy is not among them: with one fraud in a hundred, saying "never" has 99 %.

use crate::train::rounded;
use serde::Serialize;

/// A score with its label; higher is more suspicious.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The score.
    pub score: f64,
    /// Whether it is what is looked for.
    pub positive: bool,
}

/// Counts at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Confusion {
    /// Positives at or above the threshold.
    pub true_positives: usize,
    /// Negatives at or above it.
    pub false_positives: usize,
    /// Positives below it.
    pub false_negatives: usize,
    /// Negatives below it.
    pub true_negatives: usize,
}

impl Confusion {
    /// Share of alerts that are right, 0 without alerts.
    pub fn precision(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_positives)
    }
    /// Share of positives found, 0 without positives.
    pub fn recall(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }
    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        share(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }
    /// Share of negatives with an alert.
    pub fn false_positive_rate(&self) -> f64 {
        share(self.false_positives, self.false_positives + self.true_negatives)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Counts at a threshold; a score equal to it is an alert.
pub fn confusion(scored: &[Scored], threshold: f64) -> Confusion {
    let mut counts = Confusion::default();
    for row in scored {
        match (row.score >= threshold, row.positive) {
            (true, true) => counts.true_positives += 1,
            (true, false) => counts.false_positives += 1,
            (false, true) => counts.false_negatives += 1,
            (false, false) => counts.true_negatives += 1,
        }
    }
    counts
}

/// Confusions at every distinct score, from the highest threshold to the lowest.
pub fn curve(scored: &[Scored]) -> Vec<(f64, Confusion)> {
    let mut sorted: Vec<Scored> = scored.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let positives = sorted.iter().filter(|row| row.positive).count();
    let mut counts = Confusion {
        false_negatives: positives,
        true_negatives: sorted.len() - positives,
        ..Confusion::default()
    };
    let mut points = Vec::new();
    for (at, row) in sorted.iter().enumerate() {
        if row.positive {
            counts.true_positives += 1;
            counts.false_negatives -= 1;
        } else {
            counts.false_positives += 1;
            counts.true_negatives -= 1;
        }
        if sorted.get(at + 1).is_none_or(|next| next.score < row.score) {
            points.push((row.score, counts));
        }
    }
    points
}

/// Area under the ROC curve: how often a positive scores above a negative, ties half.
pub fn auroc(scored: &[Scored]) -> f64 {
    let (mut area, mut last) = (0.0, (0.0, 0.0));
    for (_, counts) in curve(scored) {
        let point = (counts.false_positive_rate(), counts.recall());
        area += (point.0 - last.0) * (point.1 + last.1) / 2.0;
        last = point;
    }
    area
}

/// Average precision: the sum over thresholds of precision times the recall gained (no interpolation).
pub fn auprc(scored: &[Scored]) -> f64 {
    let (mut area, mut recall) = (0.0, 0.0);
    for (_, counts) in curve(scored) {
        area += (counts.recall() - recall) * counts.precision();
        recall = counts.recall();
    }
    area
}

/// Highest recall with at most this share of false positives.
pub fn recall_at_fpr(scored: &[Scored], fpr_max: f64) -> f64 {
    let within = curve(scored).into_iter().filter(|(_, counts)| counts.false_positive_rate() <= fpr_max);
    within.map(|(_, counts)| counts.recall()).fold(0.0, f64::max)
}

/// Threshold with the best F1.
pub fn best_f1_threshold(scored: &[Scored]) -> f64 {
    let best = curve(scored).into_iter().max_by(|a, b| a.1.f1().total_cmp(&b.1.f1()));
    best.map_or(1.0, |(threshold, _)| threshold)
}

/// Mean squared difference between probability and label.
pub fn brier(scored: &[Scored]) -> f64 {
    let square = |row: &Scored| (row.score - f64::from(u8::from(row.positive))).powi(2);
    scored.iter().map(square).sum::<f64>() / scored.len().max(1) as f64
}

/// One group of a calibration plot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reliability {
    /// Mean probability said.
    pub said: f64,
    /// Share of positives that came true.
    pub came: f64,
    /// Rows.
    pub rows: usize,
}

/// Probability said against frequency that came, in groups bounded by the probabilities a bank acts on.
pub fn reliability(scored: &[Scored]) -> Vec<Reliability> {
    const BOUNDS: [f64; 9] = [0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 1.000_001];
    let group = |bounds: &[f64]| {
        let rows: Vec<_> = scored.iter().filter(|row| (bounds[0]..bounds[1]).contains(&row.score)).collect();
        let positives = rows.iter().filter(|row| row.positive).count();
        let said = rows.iter().map(|row| row.score).sum::<f64>() / rows.len().max(1) as f64;
        Reliability { said: rounded(said), came: rounded(share(positives, rows.len())), rows: rows.len() }
    };
    BOUNDS.windows(2).map(group).filter(|group| group.rows > 0).collect()
}

/// Figures at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AtThreshold {
    /// The threshold.
    pub threshold: f64,
    /// Share of alerts that are right.
    pub precision: f64,
    /// Share of positives found.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Share of negatives with an alert.
    pub false_positive_rate: f64,
    /// Counts.
    pub confusion: Confusion,
}

/// Figures at a threshold.
pub fn at_threshold(scored: &[Scored], threshold: f64) -> AtThreshold {
    let confusion = confusion(scored, threshold);
    AtThreshold {
        threshold: rounded(threshold),
        precision: rounded(confusion.precision()),
        recall: rounded(confusion.recall()),
        f1: rounded(confusion.f1()),
        false_positive_rate: rounded(confusion.false_positive_rate()),
        confusion,
    }
}

/// Figures that need no threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// Rows.
    pub rows: usize,
    /// Positives among them.
    pub positives: usize,
    /// Share of positives: the AUPRC of guessing.
    pub prevalence: f64,
    /// Area under the precision-recall curve.
    pub auprc: f64,
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Recall at 0.1, 1 and 5 % false positives.
    pub recall_at_fpr: [f64; 3],
}

/// Figures that need no threshold.
pub fn ranking(scored: &[Scored]) -> Ranking {
    let positives = scored.iter().filter(|row| row.positive).count();
    Ranking {
        rows: scored.len(),
        positives,
        prevalence: rounded(share(positives, scored.len())),
        auprc: rounded(auprc(scored)),
        auroc: rounded(auroc(scored)),
        recall_at_fpr: [0.001, 0.01, 0.05].map(|fpr| rounded(recall_at_fpr(scored, fpr))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scored(rows: &[(f64, u8)]) -> Vec<Scored> {
        rows.iter().map(|&(score, positive)| Scored { score, positive: positive == 1 }).collect()
    }

    /// Worked by hand: scores 0.9+ 0.8- 0.7+ 0.6- 0.2-.
    const FIVE: [(f64, u8); 5] = [(0.6, 0), (0.9, 1), (0.2, 0), (0.7, 1), (0.8, 0)];

    #[test]
    fn areas_by_hand() {
        let rows = scored(&FIVE);
        // Positives beat 3 + 2 of 2 x 3 pairs; precision 1/1 and 2/3 at the two positives.
        assert!((auroc(&rows) - 5.0 / 6.0).abs() < 1e-12);
        assert!((auprc(&rows) - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        let tied = scored(&[(0.5, 1), (0.5, 0), (0.5, 0), (0.5, 0)]);
        assert!((auroc(&tied) - 0.5).abs() < 1e-12);
        assert!((auprc(&tied) - 0.25).abs() < 1e-12);
        assert_eq!((auroc(&[]), auprc(&[])), (0.0, 0.0));
    }

    #[test]
    fn counts_by_hand() {
        let counts = confusion(&scored(&FIVE), 0.7);
        assert_eq!(
            counts,
            Confusion { true_positives: 2, false_positives: 1, false_negatives: 0, true_negatives: 2 }
        );
        assert!((counts.precision() - 2.0 / 3.0).abs() < 1e-12);
        assert!((counts.f1() - 0.8).abs() < 1e-12);
        assert_eq!(best_f1_threshold(&scored(&FIVE)), 0.7);
        for (fpr, recall) in [(0.0, 0.5), (0.3, 0.5), (0.34, 1.0)] {
            assert_eq!(recall_at_fpr(&scored(&FIVE), fpr), recall, "at {fpr}");
        }
    }

    #[test]
    fn calibration_by_hand() {
        let rows = scored(&[(0.5, 1), (0.5, 0), (0.05, 0), (1.0, 1)]);
        assert!((brier(&rows) - (0.25 + 0.25 + 0.0025) / 4.0).abs() < 1e-12);
        let groups = reliability(&rows);
        assert_eq!(groups.iter().map(|group| group.rows).sum::<usize>(), 4);
        assert!(groups.contains(&Reliability { said: 0.5, came: 0.5, rows: 2 }));
    }

    proptest! {
        #[test]
        fn auroc_is_the_share_of_pairs_in_order(rows in prop::collection::vec((0..20u8, any::<bool>()), 2..60)) {
            let rows: Vec<_> = rows.iter().map(|&(score, positive)| Scored { score: f64::from(score), positive }).collect();
            let (mut right, mut pairs) = (0.0, 0.0);
            for a in rows.iter().filter(|row| row.positive) {
                for b in rows.iter().filter(|row| !row.positive) {
                    pairs += 1.0;
                    right += if a.score > b.score { 1.0 } else if a.score == b.score { 0.5 } else { 0.0 };
                }
            }
            if pairs > 0.0 {
                prop_assert!((auroc(&rows) - right / pairs).abs() < 1e-9);
            }
        }
    }
}
