//! Champion against challenger on rows that neither has seen.

use crate::evaluate::{self, Scored};
use crate::train::rounded;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// Bootstrap resamples behind an interval.
const RESAMPLES: usize = 1_000;
/// Fewer frauds or others than this measure nothing.
const EACH_MIN: usize = 10;

/// A row as both models see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Probability of the champion, 0 to 1.
    pub champion: f64,
    /// Probability of the challenger, 0 to 1.
    pub challenger: f64,
    /// Whether it was fraud.
    pub fraud: bool,
}

/// How one model does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Area under the precision-recall curve.
    pub auprc: f64,
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Frauds found among the riskiest rows, with one in a hundred of the others alarmed.
    pub recall_at_1pct: f64,
    /// Mean squared error of the probabilities.
    pub brier: f64,
}

/// What the interval says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The whole interval lies above zero.
    Better,
    /// The whole interval lies below zero.
    Worse,
    /// It holds zero: these rows cannot tell.
    Undecided,
}

/// Champion against challenger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Rows compared on.
    pub rows: usize,
    /// Frauds among them.
    pub frauds: usize,
    /// First and last of them, unix milliseconds.
    pub period_ms: [i64; 2],
    /// The champion.
    pub champion: Figures,
    /// The challenger.
    pub challenger: Figures,
    /// AUPRC of the challenger less that of the champion.
    pub gain: f64,
    /// Its 95 % interval: percentiles of paired bootstrap resamples, frauds and others drawn apart (Efron and Tibshirani
    /// 1993, chapter 13).
    pub interval: [f64; 2],
    /// What the interval says.
    pub standing: Standing,
}

/// Compares; `None` with fewer than ten frauds or ten others. The same rows and seed give the same figures.
pub fn compare(pairs: &[Pair], period_ms: [i64; 2], seed: u64) -> Option<Comparison> {
    let frauds = pairs.iter().filter(|pair| pair.fraud).count();
    if frauds < EACH_MIN || pairs.len() - frauds < EACH_MIN {
        return None;
    }
    let of = |score: fn(&Pair) -> f64| -> Vec<Scored> {
        pairs.iter().map(|pair| Scored { score: score(pair), positive: pair.fraud }).collect()
    };
    let (champion, challenger) = (of(|pair| pair.champion), of(|pair| pair.challenger));
    let [low, high] = interval(pairs, [&champion, &challenger], seed);
    let (champion, challenger) = (figures(&champion), figures(&challenger));
    Some(Comparison {
        rows: pairs.len(),
        frauds,
        period_ms,
        champion,
        challenger,
        gain: rounded(challenger.auprc - champion.auprc),
        interval: [rounded(low), rounded(high)],
        standing: match (low > 0.0, high < 0.0) {
            (true, _) => Standing::Better,
            (_, true) => Standing::Worse,
            _ => Standing::Undecided,
        },
    })
}

fn figures(scored: &[Scored]) -> Figures {
    Figures {
        auprc: rounded(evaluate::auprc(scored)),
        auroc: rounded(evaluate::auroc(scored)),
        recall_at_1pct: rounded(evaluate::recall_at_fpr(scored, 0.01)),
        brier: rounded(evaluate::brier(scored)),
    }
}

/// The 2.5th and the 97.5th percentile of the gain over resamples.
fn interval(pairs: &[Pair], scored: [&[Scored]; 2], seed: u64) -> [f64; 2] {
    let ranked = scored.map(Ranked::of);
    let places = |fraud: bool| -> Vec<usize> {
        let kept = pairs.iter().enumerate().filter(|(_, pair)| pair.fraud == fraud);
        kept.map(|(at, _)| at).collect()
    };
    let strata = [places(true), places(false)];
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut weights = vec![0_u32; pairs.len()];
    let mut gains: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            weights.fill(0);
            for stratum in &strata {
                for _ in stratum {
                    let drawn = stratum.get(random.gen_range(0..stratum.len().max(1)));
                    if let Some(weight) = drawn.and_then(|&at| weights.get_mut(at)) {
                        *weight += 1;
                    }
                }
            }
            let [champion, challenger] = ranked.each_ref().map(|ranked| ranked.auprc(&weights));
            challenger - champion
        })
        .collect();
    gains.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share| gains.get((RESAMPLES as f64 * share) as usize).copied().unwrap_or(0.0))
}

/// Rows in the order of their scores, riskiest first: sorted once, weighted a thousand times.
struct Ranked {
    /// Row, whether it is positive, and whether the next row has another score.
    rows: Vec<(usize, bool, bool)>,
}

impl Ranked {
    fn of(scored: &[Scored]) -> Self {
        let mut order: Vec<(usize, &Scored)> = scored.iter().enumerate().collect();
        order.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
        let rows = order.iter().enumerate().map(|(place, (at, row))| {
            let next = order.get(place + 1);
            (*at, row.positive, next.is_none_or(|(_, next)| next.score < row.score))
        });
        Self { rows: rows.collect() }
    }

    /// Average precision where each row counts as often as its weight says.
    fn auprc(&self, weights: &[u32]) -> f64 {
        let (mut found, mut alarms, mut area, mut gained) = (0.0, 0.0, 0.0, 0.0);
        for &(at, positive, last_of_its_score) in &self.rows {
            let weight = weights.get(at).map_or(0.0, |&weight| f64::from(weight));
            alarms += weight;
            if positive {
                found += weight;
                gained += weight;
            }
            if last_of_its_score && gained > 0.0 {
                area += gained * found / alarms;
                gained = 0.0;
            }
        }
        if found > 0.0 { area / found } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of which one in ten is fraud; models rank it above the others by so much.
    fn rows(champion: f64, challenger: f64, count: usize) -> Vec<Pair> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        (0..count)
            .map(|n| {
                let fraud = n % 10 == 0;
                let edge = if fraud { 1.0 } else { 0.0 };
                let mut noise = || (random.r#gen::<f64>() * 50.0).round() / 50.0;
                Pair {
                    champion: (noise() + edge * champion) / 3.0,
                    challenger: (noise() + edge * challenger) / 3.0,
                    fraud,
                }
            })
            .collect()
    }

    #[test]
    fn the_weighted_figure_is_the_plain_one_where_each_row_counts_once() {
        let scored: Vec<Scored> = rows(0.4, 0.0, 500)
            .iter()
            .map(|pair| Scored { score: pair.champion, positive: pair.fraud })
            .collect();
        let plain = evaluate::auprc(&scored);
        let ranked = Ranked::of(&scored);
        assert!((ranked.auprc(&vec![1; 500]) - plain).abs() < 1e-12, "with ties");
        assert!((ranked.auprc(&vec![3; 500]) - plain).abs() < 1e-12);
        assert_eq!(ranked.auprc(&vec![0; 500]), 0.0);
    }

    #[test]
    fn a_better_a_worse_and_an_equal_challenger_are_told_apart() {
        for (champion, challenger, standing) in
            [(0.2, 0.8, Standing::Better), (0.8, 0.2, Standing::Worse), (0.5, 0.5, Standing::Undecided)]
        {
            let found = compare(&rows(champion, challenger, 1_000), [0, 9], 7).unwrap();
            assert_eq!(found.standing, standing, "{found:?}");
            assert!(found.interval[0] <= found.gain && found.gain <= found.interval[1], "{found:?}");
            assert_eq!((found.rows, found.frauds), (1_000, 100));
        }
        let again = || compare(&rows(0.2, 0.8, 1_000), [0, 9], 7);
        assert_eq!(again(), again(), "the same rows and seed give the same figures");
    }

    #[test]
    fn too_few_frauds_measure_nothing() {
        assert_eq!(compare(&rows(0.2, 0.8, 90), [0, 9], 7), None);
        let all_fraud: Vec<Pair> =
            rows(0.2, 0.8, 400).into_iter().map(|pair| Pair { fraud: true, ..pair }).collect();
        assert_eq!(compare(&all_fraud, [0, 9], 7), None);
    }
}
