//! Learns calibrations from scores of rows that the model was not fitted on.

use crate::evaluate::Scored;
use crate::fraud::Calibrator;

/// Below so many positives a step function follows noise.
const ISOTONIC_POSITIVES: usize = 400;

/// Isotonic where there are positives enough, else Platt.
pub(super) fn calibrator(scored: &[Scored]) -> Calibrator {
    let positives = scored.iter().filter(|row| row.positive).count();
    let isotonic = if positives >= ISOTONIC_POSITIVES { isotonic(scored) } else { None };
    isotonic.unwrap_or_else(|| platt(scored))
}

/// Platt scaling by Newton's method (Platt 1999, with the targets of Lin, Lin and Weng 2007, which keep a perfect
/// separation finite).
pub(super) fn platt(scored: &[Scored]) -> Calibrator {
    let positives = scored.iter().filter(|row| row.positive).count() as f64;
    let negatives = scored.len() as f64 - positives;
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    // Scores of any scale become comparable ones.
    let scale = scored.iter().map(|row| row.score.abs()).fold(1e-9, f64::max) / 10.0;
    let target = |row: &Scored| if row.positive { high } else { low };
    let loss = |[slope, intercept]: [f64; 2]| -> f64 {
        let of = |row: &Scored| {
            let log_odds = slope * row.score / scale + intercept;
            // ln(1 + e^x) without overflow.
            log_odds.max(0.0) + (-log_odds.abs()).exp().ln_1p() - target(row) * log_odds
        };
        scored.iter().map(of).sum()
    };
    let mut found = [0.0, ((positives + 1.0) / (negatives + 1.0)).ln()];
    let mut lowest = loss(found);
    for _ in 0..100 {
        let Some(step) = newton_step(scored, scale, found, target) else { break };
        // Halved until the loss falls: far from the optimum a whole step may overshoot.
        let tried = (0..30).map(|halvings| 0.5f64.powi(halvings)).find_map(|part| {
            let next = [found[0] - part * step[0], found[1] - part * step[1]];
            let loss = loss(next);
            (loss < lowest).then_some((next, loss))
        });
        let Some((next, loss)) = tried else { break };
        let gained = lowest - loss;
        (found, lowest) = (next, loss);
        if gained < 1e-9 * lowest.abs() {
            break;
        }
    }
    // A slope of nothing would tie all scores.
    Calibrator::Platt { slope: found[0].max(1e-3) / scale, intercept: found[1] }
}

/// The Newton step of slope and intercept; `None` where the curvature is not to be trusted.
fn newton_step(
    scored: &[Scored],
    scale: f64,
    [slope, intercept]: [f64; 2],
    target: impl Fn(&Scored) -> f64,
) -> Option<[f64; 2]> {
    let (mut g, mut h) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
    for row in scored {
        let x = row.score / scale;
        let p = 1.0 / (1.0 + (-(slope * x + intercept)).exp());
        let (error, weight) = (p - target(row), p * (1.0 - p));
        g = [g[0] + error * x, g[1] + error];
        h = [h[0] + weight * x * x, h[1] + weight * x, h[2] + weight];
    }
    let determinant = h[0] * h[2] - h[1] * h[1];
    let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
    step.iter().all(|change| change.is_finite()).then_some(step)
}

/// Pool adjacent violators (Ayer et al. 1955) over rows of equal scores, then straight lines between the pools' mean
/// scores. Each pool leans on the overall share of positives as if half a row more had been seen with it: no pool is ever
/// quite sure.
fn isotonic(scored: &[Scored]) -> Option<Calibrator> {
    let mut sorted: Vec<&Scored> = scored.iter().collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let share = scored.iter().filter(|row| row.positive).count() as f64 / scored.len().max(1) as f64;
    // Sum of scores, positives, rows.
    let mut pools: Vec<[f64; 3]> = Vec::new();
    for alike in sorted.chunk_by(|a, b| a.score == b.score) {
        let rows = alike.len() as f64;
        let positives = alike.iter().filter(|row| row.positive).count() as f64;
        let mut pool = [alike.iter().map(|row| row.score).sum(), positives, rows];
        while let Some(last) = pools.pop_if(|last| last[1] / last[2] >= pool[1] / pool[2]) {
            pool = [last[0] + pool[0], last[1] + pool[1], last[2] + pool[2]];
        }
        pools.push(pool);
    }
    let (mut raw, mut probability): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for [scores, positives, rows] in pools {
        let mean = scores / rows;
        let leaning = (positives + 0.5 * share) / (rows + 0.5);
        if raw.last().is_none_or(|last| mean > *last) {
            raw.push(mean);
            // A small pool leans far enough to pass the one below it: order stays.
            probability.push(probability.last().map_or(leaning, |below| leaning.max(*below)));
        }
    }
    let calibrator = Calibrator::Isotonic { raw, probability };
    calibrator.check().is_ok().then_some(calibrator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use crate::simulate::Random;

    fn drawn(rows: usize, truth: impl Fn(f64) -> f64) -> Vec<Scored> {
        let mut random = Random::new(5);
        (0..rows)
            .map(|_| {
                let score = random.normal() * 3.0;
                Scored { score, positive: random.chance(truth(score)) }
            })
            .collect()
    }

    fn calibrated(scored: &[Scored], calibrator: &Calibrator) -> Vec<Scored> {
        let probability = |row: &Scored| Scored { score: calibrator.probability(row.score), ..*row };
        scored.iter().map(probability).collect()
    }

    #[test]
    fn a_logistic_truth_is_found_again() {
        let scored = drawn(40_000, |score| 1.0 / (1.0 + (3.0 - 0.5 * score).exp()));
        let Calibrator::Platt { slope, intercept } = platt(&scored) else { panic!("not Platt's") };
        assert!((slope - 0.5).abs() < 0.03 && (intercept + 3.0).abs() < 0.08, "{slope} {intercept}");
    }

    #[test]
    fn isotonic_follows_a_truth_that_is_not_logistic() {
        let scored = drawn(40_000, |score| if score > 1.0 { 0.6 } else { 0.02 });
        let isotonic = calibrator(&scored);
        assert!(matches!(isotonic, Calibrator::Isotonic { .. }));
        let brier = |calibrator: &Calibrator| evaluate::brier(&calibrated(&scored, calibrator));
        assert!(brier(&isotonic) < brier(&platt(&scored)));
        for group in evaluate::reliability(&calibrated(&scored, &isotonic)) {
            assert!(group.rows < 200 || (group.said - group.came).abs() < 0.05, "{group:?}");
        }
    }

    #[test]
    fn rows_of_one_score_have_one_probability_which_is_their_share() {
        let leaves = [(0.1, 4_000, 9), (0.2, 2_000, 44), (0.4, 700, 202), (0.9, 400, 263)];
        let scored: Vec<Scored> = leaves
            .iter()
            .flat_map(|&(score, rows, positives)| {
                (0..rows).map(move |n| Scored { score, positive: n < positives })
            })
            .collect();
        let found = calibrator(&scored);
        assert!(matches!(found, Calibrator::Isotonic { .. }));
        for (score, rows, positives) in leaves {
            let (said, came) = (found.probability(score), f64::from(positives) / f64::from(rows));
            assert!((said - came).abs() < 0.001, "{said} for {came}");
        }
    }

    #[test]
    fn few_positives_and_perfect_separation_stay_finite() {
        let scored: Vec<Scored> =
            (0..100).map(|n| Scored { score: f64::from(n) * 1e4, positive: n >= 90 }).collect();
        let calibrator = calibrator(&scored);
        assert_eq!(calibrator.check(), Ok(()));
        assert!(calibrator.probability(99e4) > 0.7 && calibrator.probability(0.0) < 0.1);
    }
}
