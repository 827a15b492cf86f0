//! The curves of a score with known labels.

use super::blocks::{decimal, percent};
use super::chart::{Axis, Chart, Dot, Ink, Mark, compact};
use super::page::Figure;
use crate::evaluate::{Confusion, Reliability, Scored, curve};

/// Bars of a histogram.
const BARS: usize = 40;
/// The lowest rate of false positives that is drawn on a log scale.
const RATE_MIN: f64 = 1e-4;
/// The lowest probability that is drawn on a log scale.
pub(super) const PROBABILITY_MIN: f64 = 1e-4;

/// One way to rank rows, as it is drawn.
#[derive(Debug)]
pub(super) struct Ranked {
    name: String,
    ink: Ink,
    points: Vec<(f64, Confusion)>,
}

impl Ranked {
    pub(super) fn new(name: impl Into<String>, ink: Ink, scored: &[Scored]) -> Self {
        Self { name: name.into(), ink, points: curve(scored) }
    }

    fn line(&self, start: Option<(f64, f64)>, point: impl Fn(&Confusion) -> (f64, f64)) -> Mark {
        let points = self.points.iter().map(|(_, counts)| point(counts));
        Mark::Line(self.ink, start.into_iter().chain(points).collect())
    }
}

/// Legend of lines, the first one first.
fn keyed(figure: Figure, lines: &[Ranked]) -> Figure {
    lines.iter().fold(figure, |figure, line| figure.key(line.ink, line.name.as_str()))
}

/// Precision against recall; the first line is the model and drawn last.
pub(super) fn precision_recall(lines: &[Ranked], prevalence: f64) -> Result<Figure, String> {
    let mut marks = vec![Mark::Line(Ink::Guess, vec![(0.0, prevalence), (1.0, prevalence)])];
    marks.extend(
        lines.iter().rev().map(|line| line.line(None, |counts| (counts.recall(), counts.precision()))),
    );
    let chart = Chart { x: Axis::share("recall"), y: Axis::share("precision"), marks };
    let note =
        "Of all alarms, how many are right (precision), the more of the fraud is to be found (recall).";
    let figure = keyed(Figure::new("Precision against recall", note, &chart)?, lines);
    Ok(figure.key(Ink::Guess, format!("guessing ({})", percent(prevalence))))
}

/// Recall against false positives, as usually drawn, and with its low end, where a bank works, spread out.
pub(super) fn roc(lines: &[Ranked]) -> Result<[Figure; 2], String> {
    let name = "false positives, of all that is no fraud";
    let axes = [Axis::share(name), Axis::log_share(name, RATE_MIN)];
    let notes = [
        "Fraud found against alarms on what is none.",
        "The same with few false positives spread out: this is where alarms are affordable.",
    ];
    let titles = ["ROC", "ROC, low end"];
    let guesses = [
        vec![(0.0, 0.0), (1.0, 1.0)],
        (0..=80).map(|n| 10f64.powf(f64::from(n) / 20.0 - 4.0)).map(|at| (at, at)).collect(),
    ];
    let mut figures = Vec::new();
    for (((x, note), title), guess) in axes.into_iter().zip(notes).zip(titles).zip(guesses) {
        let mut marks = vec![Mark::Line(Ink::Guess, guess)];
        let point = |counts: &Confusion| (counts.false_positive_rate(), counts.recall());
        marks.extend(lines.iter().rev().map(|line| line.line(Some((0.0, 0.0)), point)));
        let chart = Chart { x, y: Axis::share("recall"), marks };
        figures.push(keyed(Figure::new(title, note, &chart)?, lines).key(Ink::Guess, "guessing"));
    }
    figures.try_into().map_err(|_| "two figures".to_owned())
}

/// Frequency that came against probability said, with rows and 95 % intervals (Wilson 1927).
pub(super) fn calibration(groups: &[Reliability]) -> Result<Figure, String> {
    let dot = |group: &Reliability| Dot {
        at: (group.said, group.came),
        between: wilson(group.came, group.rows),
        label: compact(group.rows as f64),
    };
    let marks = vec![
        Mark::Line(Ink::Guess, vec![(PROBABILITY_MIN, PROBABILITY_MIN), (1.0, 1.0)]),
        Mark::Dots(Ink::Model, groups.iter().map(dot).collect()),
    ];
    let axis = |name| Axis::log_share(name, PROBABILITY_MIN);
    let chart = Chart { x: axis("probability said"), y: axis("share of fraud that came"), marks };
    let note = "Numbers are rows in the group, whiskers 95 % intervals. On the diagonal a probability means what it says.";
    Ok(Figure::new("Calibration", note, &chart)?
        .key(Ink::Model, "this model")
        .key(Ink::Guess, "as it should be"))
}

/// 95 % interval of a share of so many rows (Wilson 1927).
pub(super) fn wilson(share: f64, rows: usize) -> [f64; 2] {
    const Z: f64 = 1.959_964;
    let n = rows.max(1) as f64;
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let reach = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(middle - reach).max(0.0), (middle + reach).min(1.0)]
}

/// How scores are spread over both classes, counts on a log scale; a rule where alarms begin.
pub(super) fn histogram(scored: &[Scored], name: &str, alarm_from: Option<f64>) -> Result<Figure, String> {
    let mut sorted: Vec<f64> = scored.iter().map(|row| row.score).filter(|score| score.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * share) as usize).copied();
    // A few rows far out would squeeze the others into one bar; they are counted in the outermost one.
    let (low, high) = (at(0.0005).unwrap_or(0.0), at(1.0).unwrap_or(1.0));
    let width = if high > low { (high - low) / BARS as f64 } else { 1.0 / BARS as f64 };
    let mut counts = [[0u32; BARS]; 2];
    for row in scored {
        let bar = (((row.score - low) / width).max(0.0) as usize).min(BARS - 1);
        if let Some(count) = counts[usize::from(row.positive)].get_mut(bar) {
            *count += 1;
        }
    }
    let most = f64::from(counts.iter().flatten().copied().max().unwrap_or(0));
    let bars = |class: usize| {
        let bar = |(bar, &count): (usize, &u32)| {
            let from = low + bar as f64 * width;
            [from, from + width, f64::from(count)]
        };
        counts[class].iter().enumerate().map(bar).collect()
    };
    let mut marks = vec![Mark::Bars(Ink::Negative, bars(0)), Mark::Bars(Ink::Positive, bars(1))];
    marks.extend(alarm_from.map(|score| Mark::Rule(Ink::Chosen, score)));
    let x = Axis::linear(name, low, low + width * BARS as f64);
    let chart = Chart { x, y: Axis::counts("rows, log scale", most), marks };
    let note = "The less the two overlap, the better they are told apart.";
    let figure =
        Figure::new("Scores", note, &chart)?.key(Ink::Negative, "no fraud").key(Ink::Positive, "fraud");
    Ok(match alarm_from {
        Some(score) => figure.key(Ink::Chosen, format!("alarms from {}", decimal(score))),
        None => figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals_are_those_of_the_formula() {
        // Worked by hand from the formula with z = 1.959964.
        for (share, rows, [low, high]) in
            [(0.0, 10, [0.0, 0.277_533]), (0.5, 10, [0.236_593, 0.763_407]), (1.0, 100, [0.963_005, 1.0])]
        {
            let found = wilson(share, rows);
            assert!((found[0] - low).abs() < 1e-5 && (found[1] - high).abs() < 1e-5, "{found:?}");
        }
    }

    #[test]
    fn scores_all_alike_or_none_at_all_are_drawn() {
        let alike = [Scored { score: 0.3, positive: true }; 5];
        for scored in [&alike[..], &[]] {
            let ranked = [Ranked::new("model", Ink::Model, scored)];
            for svg in [
                precision_recall(&ranked, 0.1).map(|_| ()),
                roc(&ranked).map(|_| ()),
                histogram(scored, "score", None).map(|_| ()),
                calibration(&crate::evaluate::reliability(scored)).map(|_| ()),
            ] {
                assert_eq!(svg, Ok(()));
            }
        }
    }
}
