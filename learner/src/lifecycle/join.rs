//! Vectors and labels joined: what is known of a transfer, and since when.

/// A recorded vector with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedVector {
    /// When it was judged, unix milliseconds.
    pub at_ms: i64,
    /// Features, in the order of the schema; `NaN` is missing.
    pub vector: Vec<f32>,
    /// Amount, hundredths of a major unit.
    pub cents: i64,
    /// Whether the upstream carried it out.
    pub accepted: bool,
    /// A label, and since when it is known, unix milliseconds.
    pub label: Option<(bool, i64)>,
}

/// A vector that can teach.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledVector {
    /// When it was judged, unix milliseconds.
    pub at_ms: i64,
    /// Features, in the order of the schema; `NaN` is missing.
    pub vector: Vec<f32>,
    /// Amount, hundredths of a major unit.
    pub cents: i64,
    /// Whether it was fraud.
    pub fraud: bool,
}

/// What is known of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Somebody said so.
    Labelled(bool),
    /// It was carried out, and nobody complained within the delay.
    Presumed,
    /// Too recent: of a period whose frauds are not all known yet, those that are known would say too much.
    Unripe,
    /// It was not carried out, and nobody said what it would have been.
    Unknown,
}

/// What is known at `now_ms` of a transfer of `at_ms`, where labels come within `delay_ms`.
///
/// A label counts from when it was known. A transfer that is younger than the delay counts for nothing even where its label
/// is known: frauds are reported and the others are not, so recent labels alone are nearly all fraud.
pub fn answer(at_ms: i64, accepted: bool, label: Option<(bool, i64)>, delay_ms: i64, now_ms: i64) -> Answer {
    if at_ms.saturating_add(delay_ms) > now_ms {
        return Answer::Unripe;
    }
    match label {
        Some((fraud, known_ms)) if known_ms <= now_ms => Answer::Labelled(fraud),
        _ if accepted => Answer::Presumed,
        _ => Answer::Unknown,
    }
}

/// What came of joining.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Joined {
    /// Vectors that can teach, in time order.
    pub rows: Vec<LabelledVector>,
    /// Of these, labelled by somebody.
    pub labelled: usize,
    /// Of these, without a complaint within the delay.
    pub presumed: usize,
    /// Left out because they are too recent.
    pub unripe: usize,
    /// Left out because nobody knows.
    pub unknown: usize,
}

/// Joins vectors with what is known of them at `now_ms`.
pub fn join(vectors: impl IntoIterator<Item = JudgedVector>, delay_ms: i64, now_ms: i64) -> Joined {
    let mut joined = Joined::default();
    for judged in vectors {
        let JudgedVector { at_ms, vector, cents, accepted, label } = judged;
        let fraud = match answer(at_ms, accepted, label, delay_ms, now_ms) {
            Answer::Labelled(fraud) => {
                joined.labelled += 1;
                fraud
            }
            Answer::Presumed => {
                joined.presumed += 1;
                false
            }
            Answer::Unripe => {
                joined.unripe += 1;
                continue;
            }
            Answer::Unknown => {
                joined.unknown += 1;
                continue;
            }
        };
        joined.rows.push(LabelledVector { at_ms, vector, cents, fraud });
    }
    // Stable: what was judged in the same millisecond stays in the order of the log.
    joined.rows.sort_by_key(|row| row.at_ms);
    joined
}

/// Three periods that follow one another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Periods {
    /// To fit on.
    pub train: Vec<LabelledVector>,
    /// To choose and to calibrate on.
    pub validate: Vec<LabelledVector>,
    /// Seen by neither champion nor challenger.
    pub newest: Vec<LabelledVector>,
}

/// Shares of the rows that train and validate; the rest is the newest period.
const TRAIN: f64 = 0.6;
const VALIDATE: f64 = 0.2;

/// Splits rows in time order into three periods. The champion saw rows up to `champion_seen_ms`: of the newest period, what
/// is not later is left out. Rows of one moment stay in one period.
pub fn periods(mut rows: Vec<LabelledVector>, champion_seen_ms: Option<i64>) -> Periods {
    let cut = |share: f64, rows: &[LabelledVector]| {
        let place = (rows.len() as f64 * share) as usize;
        let at_ms = rows.get(place).map_or(i64::MAX, |row| row.at_ms);
        rows.partition_point(|row| row.at_ms < at_ms)
    };
    let (first, second) = (cut(TRAIN, &rows), cut(TRAIN + VALIDATE, &rows));
    let mut newest = rows.split_off(second);
    let validate = rows.split_off(first.min(rows.len()));
    if let Some(seen_ms) = champion_seen_ms {
        newest.retain(|row| row.at_ms > seen_ms);
    }
    Periods { train: rows, validate, newest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn what_is_known_depends_on_label_acceptance_and_delay() {
        let now = 100 * DAY;
        let old = now - 30 * DAY;
        for (at_ms, accepted, label, wanted) in [
            (old, true, None, Answer::Presumed),
            (old + 1, true, None, Answer::Unripe),
            (old, false, None, Answer::Unknown),
            (old, true, Some((true, now)), Answer::Labelled(true)),
            (old, false, Some((true, now)), Answer::Labelled(true)),
            (old, false, Some((false, old)), Answer::Labelled(false)),
            // Not known yet: as if it were not there.
            (old, true, Some((true, now + 1)), Answer::Presumed),
            (old, false, Some((true, now + 1)), Answer::Unknown),
            // A fraud of yesterday that was reported at once says nothing about yesterday.
            (now - DAY, true, Some((true, now)), Answer::Unripe),
            (i64::MAX, true, None, Answer::Unripe),
        ] {
            let found = answer(at_ms, accepted, label, 30 * DAY, now);
            assert_eq!(found, wanted, "{at_ms} {accepted} {label:?}");
        }
        assert_eq!(answer(now, true, None, 0, now), Answer::Presumed, "without a delay at once");
    }

    fn judged(at_ms: i64, accepted: bool, label: Option<(bool, i64)>) -> JudgedVector {
        JudgedVector { at_ms, vector: vec![at_ms as f32], cents: 5, accepted, label }
    }

    #[test]
    fn joining_counts_what_it_leaves_out_and_puts_the_rest_in_order() {
        let rows = [
            judged(30, true, None),
            judged(10, true, Some((true, 50))),
            judged(20, false, None),
            judged(95, true, None),
            judged(20, false, Some((true, 60))),
        ];
        let joined = join(rows, 10, 100);
        assert_eq!((joined.labelled, joined.presumed, joined.unripe, joined.unknown), (2, 1, 1, 1));
        let order: Vec<_> = joined.rows.iter().map(|row| (row.at_ms, row.fraud)).collect();
        assert_eq!(order, [(10, true), (20, true), (30, false)]);
    }

    #[test]
    fn periods_follow_one_another_and_share_no_moment() {
        let row = |at_ms| LabelledVector { at_ms, vector: vec![], cents: 0, fraud: false };
        let rows: Vec<_> = (0..100).map(|n| row(n / 2)).collect();
        let Periods { train, validate, newest } = periods(rows.clone(), None);
        assert_eq!((train.len(), validate.len(), newest.len()), (60, 20, 20));
        assert!(train.last().unwrap().at_ms < validate[0].at_ms);
        assert!(validate.last().unwrap().at_ms < newest[0].at_ms);
        let odd: Vec<_> = (0..99).map(|n| row(n / 2)).collect();
        let cut = periods(odd, None);
        assert!(cut.train.last().unwrap().at_ms < cut.validate[0].at_ms, "a moment is not torn apart");
        let newer = periods(rows, Some(44)).newest;
        assert_eq!(newer.first().map(|row| row.at_ms), Some(45), "the champion saw the earlier ones");
        assert_eq!(periods(Vec::new(), None), Periods::default());
        let one_moment = periods((0..9).map(|_| row(7)).collect(), None);
        assert_eq!((one_moment.train.len(), one_moment.newest.len()), (0, 9));
    }
}
