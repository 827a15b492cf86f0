//! Whether the model ranks as well later as at first.

use super::Evidence;
use crate::report::blocks::{between, count, decimal, percent};
use crate::report::chart::{Axis, Chart, Dot, Ink, Mark};
use crate::report::page::{Figure, Page, Table};
use crate::train::Week;

/// Labels below a plot of weeks, at most.
const LABELS: usize = 7;

pub(super) fn write(page: &mut Page, evidence: &Evidence<'_>) -> Result<(), String> {
    if !evidence.classifier.schema.inputs().time {
        page.text("The table has no times: there are no weeks to compare.");
        return Ok(());
    }
    let weeks = &evidence.trained.test.weeks;
    if weeks.len() < 2 {
        page.text("All test rows are of one week: whether the model keeps is not known yet.");
    } else {
        page.figures(&[figure(weeks)?]);
    }
    let head = ["week from", "rows", "fraud", "share", "AUPRC", "95 % interval", "AUROC", "95 % interval"];
    let mut table = Table::new("Test rows week by week", &head);
    for week in weeks {
        let mut cells = vec![date(week.from_ms), count(week.rows), count(week.positives)];
        cells.push(percent(week.positives as f64 / week.rows.max(1) as f64));
        if measures(week) {
            let Week { auprc, auroc, intervals, .. } = week;
            cells.extend([
                decimal(*auprc),
                between(intervals.auprc),
                decimal(*auroc),
                between(intervals.auroc),
            ]);
        } else {
            cells.extend(["–"; 4].map(str::to_owned));
        }
        table.row(cells);
    }
    page.table(&table);
    page.note("Weeks with little fraud have wide intervals; a trend is one only where it leaves them.");
    Ok(())
}

/// Whether a week has rows of both kinds.
fn measures(week: &Week) -> bool {
    week.positives > 0 && week.positives < week.rows
}

fn figure(weeks: &[Week]) -> Result<Figure, String> {
    let dots = weeks.iter().enumerate().filter(|(_, week)| measures(week)).map(|(at, week)| Dot {
        at: (at as f64, week.auprc),
        between: week.intervals.auprc,
        label: String::new(),
    });
    let guess = weeks.iter().enumerate();
    let guess = guess.map(|(at, week)| (at as f64, week.positives as f64 / week.rows.max(1) as f64));
    let marks = vec![Mark::Line(Ink::Guess, guess.collect()), Mark::Dots(Ink::Model, dots.collect())];
    let step = weeks.len().div_ceil(LABELS).max(1);
    let ticks = weeks.iter().enumerate().step_by(step).map(|(at, week)| (at as f64, day(week.from_ms)));
    let x = Axis::linear("week from", -0.5, weeks.len() as f64 - 0.5).with_ticks(ticks.collect());
    let chart = Chart { x, y: Axis::share("AUPRC"), marks };
    let note = "Each week's test rows by themselves; whiskers are 95 % bootstrap intervals.";
    let figure = Figure::new("AUPRC week by week", note, &chart)?;
    Ok(figure.key(Ink::Model, "this model").key(Ink::Guess, "guessing"))
}

/// The day of a moment, UTC: `2018-08-29`.
pub(in crate::report) fn date(unix_ms: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000));
    moment.map_or_else(|_| "?".to_owned(), |moment| moment.date().to_string())
}

/// The same without the year.
fn day(unix_ms: i64) -> String {
    let date = date(unix_ms);
    date.rsplit_once('-')
        .and_then(|(rest, day)| Some(format!("{}-{day}", rest.rsplit_once('-')?.1)))
        .unwrap_or(date)
}
