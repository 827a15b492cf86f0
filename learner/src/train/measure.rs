//! What a classifier is worth on rows that it never saw.

use super::{Part, rounded};
use crate::evaluate::{self, AtThreshold, Ranking, Reliability, Scored};
use crate::fraud::Classifier;
use crate::simulate::Random;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

const DAY_MS: i64 = 86_400_000;
/// Resamples behind an interval.
const RESAMPLES: usize = 200;
/// Customers that can be looked into a day.
const CARDS_A_DAY: usize = 100;

/// Everything measured on one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Rank figures of the model.
    pub ranking: Ranking,
    /// 95 % bootstrap intervals of AUROC and AUPRC.
    pub intervals: Intervals,
    /// At the threshold with the best F1 on validation rows.
    pub chosen: AtThreshold,
    /// At the threshold from which a challenge costs less than the fraud it stops.
    pub step_up: AtThreshold,
    /// At the threshold from which a hold does.
    pub hold: AtThreshold,
    /// Mean squared error of the probabilities.
    pub brier: f64,
    /// Probability said against frequency that came.
    pub calibration: Vec<Reliability>,
    /// Money at stake and saved, where the table has amounts.
    pub money: Option<Money>,
    /// Share of the 100 riskiest customers of each day who had fraud that day, found customers left out afterwards.
    pub card_precision_at_100: Option<f64>,
    /// Share found at the chosen threshold, by kind.
    pub recall_by_scenario: BTreeMap<String, f64>,
    /// Rank figures week by week, where the table has times.
    pub weeks: Vec<Week>,
    /// The same rows ranked by simpler means.
    pub baselines: BTreeMap<String, Ranking>,
}

/// Lower and upper ends of intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Intervals {
    /// Of the AUROC.
    pub auroc: [f64; 2],
    /// Of the AUPRC.
    pub auprc: [f64; 2],
}

/// Hundredths of a major unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Money {
    /// Fraud in the rows.
    pub fraud_cents: i64,
    /// Fraud stopped by step-up or hold, less the cost of false alarms.
    pub saved_cents: i64,
}

/// One week.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Week {
    /// First moment, unix milliseconds.
    pub from_ms: i64,
    /// Rows.
    pub rows: usize,
    /// Positives among them.
    pub positives: usize,
    /// Area under the precision-recall curve.
    pub auprc: f64,
    /// Area under the ROC curve.
    pub auroc: f64,
    /// 95 % bootstrap intervals of both.
    pub intervals: Intervals,
}

/// What a missed fraud is taken to cost where the table has no amounts, hundredths of a major unit.
pub(crate) const LOSS_CENTS: f64 = 10_000.0;

/// What an alarm costs a bank, hundredths of a major unit; missed fraud costs its amount.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Costs {
    /// A challenge annoys a customer, who may give the payment up or call.
    pub challenge_cents: f64,
    /// A hold takes an analyst's time as well.
    pub hold_cents: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Self { challenge_cents: 1_000.0, hold_cents: 2_500.0 }
    }
}

/// Raw scores of a part.
pub(super) fn raw(part: &Part, classifier: &Classifier) -> Vec<Scored> {
    let score = |at: usize| {
        let mut row = vec![0.0; part.frame.width()];
        part.frame.row(at, &mut row);
        Scored { score: classifier.raw(&row), positive: part.labels[at] }
    };
    (0..part.rows()).into_par_iter().map(score).collect()
}

/// Probabilities exactly as serving gives them, from raw scores.
pub(super) fn probabilities(raw: &[Scored], classifier: &Classifier) -> Vec<Scored> {
    let said = |row: &Scored| Scored { score: classifier.calibrator.probability(row.score), ..*row };
    raw.iter().map(said).collect()
}

/// Measures a classifier on a part. `single` names features to compare with, each by itself.
pub(super) fn measure(
    part: &Part,
    classifier: &Classifier,
    costs: Costs,
    single: &[String],
    scenarios: &BTreeMap<u64, String>,
) -> Measured {
    let raw = raw(part, classifier);
    let said = probabilities(&raw, classifier);
    let (thresholds, chosen) = (classifier.thresholds, classifier.best_f1);
    Measured {
        ranking: evaluate::ranking(&raw),
        intervals: intervals(&raw),
        chosen: evaluate::at_threshold(&said, chosen),
        step_up: evaluate::at_threshold(&said, thresholds.step_up),
        hold: evaluate::at_threshold(&said, thresholds.hold),
        brier: rounded(evaluate::brier(&said)),
        calibration: evaluate::reliability(&said),
        money: (!part.cents.is_empty()).then(|| money(part, &said, classifier, costs)),
        card_precision_at_100: part
            .customers
            .iter()
            .any(Option::is_some)
            .then(|| rounded(card_precision(part, &raw, CARDS_A_DAY))),
        recall_by_scenario: by_scenario(part, &said, chosen, scenarios),
        weeks: weeks(part, &raw),
        baselines: baselines(part, single),
    }
}

fn money(part: &Part, said: &[Scored], classifier: &Classifier, costs: Costs) -> Money {
    let thresholds = classifier.thresholds;
    let (mut fraud_cents, mut saved) = (0i64, 0.0);
    for (row, &cents) in said.iter().zip(&part.cents) {
        fraud_cents = fraud_cents.saturating_add(if row.positive { cents } else { 0 });
        let cost = match row.score {
            score if score >= thresholds.hold => costs.hold_cents,
            score if score >= thresholds.step_up => costs.challenge_cents,
            _ => continue,
        };
        saved += if row.positive { cents as f64 } else { -cost };
    }
    Money { fraud_cents, saved_cents: saved as i64 }
}

/// Card precision at `most` (Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, section
/// 4.3): each day the riskiest customers by their highest score; those found are not looked into again.
fn card_precision(part: &Part, raw: &[Scored], most: usize) -> f64 {
    let mut days: BTreeMap<i64, HashMap<u64, Scored>> = BTreeMap::new();
    for ((row, customer), &at_ms) in raw.iter().zip(&part.customers).zip(&part.at_ms) {
        let Some(customer) = *customer else { continue };
        let day = days.entry(at_ms.div_euclid(DAY_MS)).or_default();
        let known = day.entry(customer).or_insert(*row);
        known.score = known.score.max(row.score);
        known.positive |= row.positive;
    }
    let mut found: HashSet<u64> = HashSet::new();
    let mut precision = 0.0;
    for day in days.values() {
        let mut cards: Vec<(&u64, &Scored)> =
            day.iter().filter(|(customer, _)| !found.contains(customer)).collect();
        cards.sort_by(|a, b| b.1.score.total_cmp(&a.1.score).then(a.0.cmp(b.0)));
        let hits: Vec<u64> =
            cards.iter().take(most).filter(|(_, row)| row.positive).map(|(customer, _)| **customer).collect();
        precision += hits.len() as f64 / most as f64;
        found.extend(hits);
    }
    precision / days.len().max(1) as f64
}

fn by_scenario(
    part: &Part,
    said: &[Scored],
    threshold: f64,
    scenarios: &BTreeMap<u64, String>,
) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (row, scenario) in said.iter().zip(&part.scenarios).filter(|(row, _)| row.positive) {
        if let Some(name) = scenarios.get(scenario) {
            let (found, all) = counts.entry(name.clone()).or_default();
            *found += usize::from(row.score >= threshold);
            *all += 1;
        }
    }
    counts.into_iter().map(|(name, (found, all))| (name, rounded(found as f64 / all as f64))).collect()
}

fn weeks(part: &Part, raw: &[Scored]) -> Vec<Week> {
    let mut weeks: BTreeMap<i64, Vec<Scored>> = BTreeMap::new();
    let Some(&first_ms) = part.at_ms.iter().min() else { return Vec::new() };
    let start_ms = first_ms - first_ms.rem_euclid(DAY_MS);
    for (row, at_ms) in raw.iter().zip(&part.at_ms) {
        weeks.entry((at_ms - start_ms).div_euclid(7 * DAY_MS)).or_default().push(*row);
    }
    let week = |(number, rows): (i64, Vec<Scored>)| Week {
        from_ms: start_ms + number * 7 * DAY_MS,
        rows: rows.len(),
        positives: rows.iter().filter(|row| row.positive).count(),
        auprc: rounded(evaluate::auprc(&rows)),
        auroc: rounded(evaluate::auroc(&rows)),
        intervals: intervals(&rows),
    };
    weeks.into_iter().map(week).collect()
}

fn baselines(part: &Part, single: &[String]) -> BTreeMap<String, Ranking> {
    let alone = single.iter().filter_map(|feature| alone(part, feature));
    let signs = signs(part).map(|scored| ("count of classic signs".to_owned(), scored));
    alone.chain(signs).map(|(name, scored)| (name, evaluate::ranking(&scored))).collect()
}

/// The rows ranked by one feature, with what that is called. A minus sign before the feature's name means that low
/// values are the risky ones; `None` for a feature that the part does not have.
pub(crate) fn alone(part: &Part, feature: &str) -> Option<(String, Vec<Scored>)> {
    let (feature, sign) = match feature.strip_prefix('-') {
        Some(feature) => (feature, -1.0),
        None => (feature, 1.0),
    };
    let at = part.frame.names().iter().position(|known| known == feature)?;
    let values = part.frame.column(at).iter().zip(&part.labels);
    let scored = values.map(|(&value, &positive)| {
        let score = if value.is_nan() { f64::MIN } else { sign * f64::from(value) };
        Scored { score, positive }
    });
    let name = if sign < 0.0 { format!("{feature} (low) alone") } else { format!("{feature} alone") };
    Some((name, scored.collect()))
}

/// What a bank without models does: count the classic signs. `None` where the table has fewer than three of them.
fn signs(part: &Part) -> Option<Vec<Scored>> {
    let above = |name: &str, least: f32| {
        let at = part.frame.names().iter().position(|known| known == name)?;
        Some((part.frame.column(at), least))
    };
    let signs: Vec<(&[f32], f32)> = [
        above("new_payee", 0.5),
        above("amount_to_norm_log", 5f32.ln()),
        above("night", 0.5),
        above("device.new", 0.5),
        above("attempts_10m", 4f32.ln()),
        above("large_1d", 2f32.ln()),
        above("speed_log", 300f32.ln()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let count = |row: usize| signs.iter().filter(|(column, least)| column[row] >= *least).count();
    let scored = |row: usize| Scored { score: count(row) as f64, positive: part.labels[row] };
    (signs.len() >= 3).then(|| (0..part.rows()).map(scored).collect())
}

/// Percentile intervals over resamples of the rows (Efron 1979), by Poisson counts on rows sorted once.
fn intervals(raw: &[Scored]) -> Intervals {
    let mut sorted: Vec<Scored> = raw.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let areas: Vec<[f64; 2]> = (0..RESAMPLES as u64).into_par_iter().map(|n| resampled(&sorted, n)).collect();
    let ends = |which: usize| {
        let mut values: Vec<f64> = areas.iter().map(|pair| pair[which]).collect();
        values.sort_by(f64::total_cmp);
        [values[RESAMPLES / 40], values[RESAMPLES - 1 - RESAMPLES / 40]].map(rounded)
    };
    Intervals { auroc: ends(0), auprc: ends(1) }
}

/// AUROC and AUPRC of one resample; ties are taken together.
fn resampled(sorted: &[Scored], seed: u64) -> [f64; 2] {
    let mut random = Random::new(seed);
    let counts: Vec<f64> = sorted.iter().map(|_| poisson(random.uniform())).collect();
    let sum = |positive: bool| {
        let rows = sorted.iter().zip(&counts).filter(|(row, _)| row.positive == positive);
        rows.map(|(_, count)| count).sum::<f64>().max(1.0)
    };
    let (positives, negatives) = (sum(true), sum(false));
    let (mut hits, mut alarms, mut auroc, mut auprc) = (0.0, 0.0, 0.0, 0.0);
    let mut at = 0;
    while at < sorted.len() {
        let (before, false_before) = (hits, alarms);
        let score = sorted[at].score;
        while let Some(row) = sorted.get(at).filter(|row| row.score == score) {
            if row.positive {
                hits += counts[at];
            } else {
                alarms += counts[at];
            }
            at += 1;
        }
        auroc += (alarms - false_before) / negatives * (hits + before) / (2.0 * positives);
        if hits > before {
            auprc += (hits - before) / positives * hits / (hits + alarms);
        }
    }
    [auroc, auprc]
}

/// A Poisson count of mean 1 from a uniform draw.
fn poisson(uniform: f64) -> f64 {
    let (mut count, mut term, mut below) = (0.0, (-1.0f64).exp(), (-1.0f64).exp());
    while uniform > below && count < 12.0 {
        count += 1.0;
        term /= count;
        below += term;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_counts_have_mean_and_variance_one() {
        let draws: Vec<f64> = (0..100_000).map(|n| poisson((f64::from(n) + 0.5) / 100_000.0)).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.01 && (variance - 1.0).abs() < 0.01, "{mean} {variance}");
    }

    #[test]
    fn intervals_hold_the_area_and_shrink_with_rows() {
        let rows = |n: usize| -> Vec<Scored> {
            let mut random = Random::new(3);
            (0..n)
                .map(|_| {
                    let positive = random.chance(0.1);
                    Scored { score: random.normal() + if positive { 1.5 } else { 0.0 }, positive }
                })
                .collect()
        };
        let width = |n: usize| {
            let rows = rows(n);
            let Intervals { auroc: [low, high], .. } = intervals(&rows);
            let found = evaluate::auroc(&rows);
            assert!(low < found && found < high, "{low} {found} {high}");
            high - low
        };
        assert!(width(20_000) < 0.6 * width(2_000));
    }

    #[test]
    fn found_customers_are_not_looked_into_again() {
        let mut part = Part::default();
        // Two days, two looks a day: customer 1 is found on the first day and no longer in the way on the second.
        let rows = [
            (1, 0, 0.9, true),
            (2, 0, 0.8, false),
            (3, 0, 0.1, true),
            (1, 1, 0.9, true),
            (2, 1, 0.8, false),
            (3, 1, 0.7, true),
        ];
        let mut raw = Vec::new();
        for (customer, day, score, positive) in rows {
            part.customers.push(Some(customer));
            part.at_ms.push(day * DAY_MS);
            raw.push(Scored { score, positive });
        }
        assert!((card_precision(&part, &raw, 2) - (0.5 + 0.5) / 2.0).abs() < 1e-12);
        assert!((card_precision(&part, &raw, 3) - (2.0 / 3.0 + 0.0) / 2.0).abs() < 1e-12);
    }
}
