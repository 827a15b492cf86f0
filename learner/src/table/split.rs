//! Which rows are trained on, which are validated on, and which are only tested on.

use serde::Serialize;

/// Shares of train, validate and test where the mapping says nothing.
pub const FRACTIONS_DEFAULT: [f64; 3] = [0.6, 0.1, 0.3];
/// The same where the test part is a file of its own.
pub const FRACTIONS_BESIDE_A_TEST_FILE: [f64; 3] = [0.85, 0.15, 0.0];

/// A half-open time, unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// First moment that belongs to it.
    pub from_ms: i64,
    /// First moment after it, later than `from_ms`.
    pub until_ms: i64,
}

impl Period {
    /// Whether the moment belongs to it.
    pub fn contains(&self, at_ms: i64) -> bool {
        (self.from_ms..self.until_ms).contains(&at_ms)
    }
}

/// Periods to choose hyper-parameters with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fold {
    /// Trained on.
    pub train: Period,
    /// Judged on, later.
    pub validate: Period,
}

/// A part of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Models are fitted on it.
    Train,
    /// Thresholds and stopping are chosen on it.
    Validate,
    /// Nothing is chosen on it.
    Test,
}

/// How a mapping splits.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// By what.
    pub plan: Plan,
    /// Test rows of customers with a positive label known by then do not count (the handbook's own protocol: their
    /// cards would be blocked).
    pub leave_out_known_customers: bool,
}

/// What decides a row's part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plan {
    /// Its time. What is in no period belongs to no part.
    Periods {
        /// To train.
        train: Period,
        /// To validate, if at all.
        validate: Option<Period>,
        /// To test; may be absent where the test part is a file of its own, which is then tested whole.
        test: Option<Period>,
    },
    /// Shares of train, validate and test that sum to 1: of the time, or of the rows of a table without time.
    Fractions([f64; 3]),
    /// [`FRACTIONS_DEFAULT`], or [`FRACTIONS_BESIDE_A_TEST_FILE`].
    Default,
}

/// Why a split cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Nothing would be tested.
    #[error("there is no test part: say `test` in [split], or give a file to test on")]
    NoTest,
    /// Nothing would be trained on.
    #[error("there is nothing to train on: the fractions of train and validate are none beside a test file")]
    NoTrain,
}

impl Split {
    /// The cut for a table. `span_ms` is the first and the last time of the (first) file, `None` for a table without
    /// time; `test_file` says whether the test part is a file of its own; `gap_ms` (0 or more) is left out at the end of
    /// the train and validate parts of fractions in time, as rows whose label is not known yet when the next part begins;
    /// `seed` shuffles the rows of a table without time.
    ///
    /// # Errors
    /// Where a part is missing.
    pub fn cut(
        &self,
        span_ms: Option<(i64, i64)>,
        test_file: bool,
        gap_ms: i64,
        seed: u64,
    ) -> Result<Cut, SplitError> {
        let shares = match (self.plan, test_file) {
            (Plan::Periods { test: None, .. }, false) => return Err(SplitError::NoTest),
            (Plan::Periods { train, validate, test }, _) => {
                return Ok(Cut { by: By::Time { train, validate, test }, test_file });
            }
            (Plan::Fractions([_, _, test]), false) if test <= 0.0 => return Err(SplitError::NoTest),
            (Plan::Fractions(shares), false) => shares,
            (Plan::Fractions([train, validate, _]), true) => {
                let both = train + validate;
                if both <= 0.0 {
                    return Err(SplitError::NoTrain);
                }
                [train / both, validate / both, 0.0]
            }
            (Plan::Default, false) => FRACTIONS_DEFAULT,
            (Plan::Default, true) => FRACTIONS_BESIDE_A_TEST_FILE,
        };
        let by = match span_ms {
            Some(span) => in_time(shares, span, gap_ms),
            None => By::Row { shares, seed },
        };
        Ok(Cut { by, test_file })
    }
}

/// Fractions of a span of time to periods.
fn in_time([train, validate, test]: [f64; 3], (first_ms, last_ms): (i64, i64), gap_ms: i64) -> By {
    let end_ms = last_ms.saturating_add(1);
    let length = (end_ms as f64 - first_ms as f64).max(0.0);
    let at = |share: f64| first_ms.saturating_add((share * length).round() as i64).min(end_ms);
    // Without a test share the last period reaches the end, whatever rounding says.
    let train_end_ms = if validate <= 0.0 && test <= 0.0 { end_ms } else { at(train) };
    let validate_end_ms = if test <= 0.0 { end_ms } else { at(train + validate) };
    let until = |end_ms: i64, is_last: bool| if is_last { end_ms } else { end_ms.saturating_sub(gap_ms) };
    let period = |from_ms, until_ms| (from_ms < until_ms).then_some(Period { from_ms, until_ms });
    By::Time {
        train: Period { from_ms: first_ms, until_ms: until(train_end_ms, train_end_ms == end_ms) },
        validate: period(train_end_ms, until(validate_end_ms, validate_end_ms == end_ms)),
        test: period(validate_end_ms, end_ms),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Time { train: Period, validate: Option<Period>, test: Option<Period> },
    Row { shares: [f64; 3], seed: u64 },
}

/// Says which part a row belongs to. Streams: it knows nothing of other rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    by: By,
    test_file: bool,
}

impl Cut {
    /// The part of a row of the first file, `row` being its number; `None` for a row that belongs to none. Rows of a
    /// table without time fall by a hash of seed and row, so that the shares are met on average.
    pub fn part(&self, at_ms: Option<i64>, row: u64) -> Option<Part> {
        match self.by {
            By::Time { train, validate, test } => {
                let at_ms = at_ms?;
                let within = |period: Option<Period>| period.is_some_and(|period| period.contains(at_ms));
                if train.contains(at_ms) {
                    Some(Part::Train)
                } else if within(validate) {
                    Some(Part::Validate)
                } else {
                    (within(test) && !self.test_file).then_some(Part::Test)
                }
            }
            By::Row { shares: [train, validate, _], seed } => {
                let draw = unit(seed, row);
                Some(match draw {
                    draw if draw < train => Part::Train,
                    // Rounding must not leave a row to a test part that is another file.
                    draw if draw < train + validate || self.test_file => Part::Validate,
                    _ => Part::Test,
                })
            }
        }
    }

    /// The part of a row of the test file: all of it is tested, or what lies in the mapping's test period.
    pub fn part_of_test_file(&self, at_ms: Option<i64>) -> Option<Part> {
        match (self.by, at_ms) {
            (By::Time { test: Some(test), .. }, Some(at_ms)) => test.contains(at_ms).then_some(Part::Test),
            _ => Some(Part::Test),
        }
    }

    /// The periods of train, validate and test, where time decides.
    pub fn periods(&self) -> Option<(Period, Option<Period>, Option<Period>)> {
        match self.by {
            By::Time { train, validate, test } => Some((train, validate, test)),
            By::Row { .. } => None,
        }
    }
}

/// A number in [0, 1) that seed and row decide: the finaliser of SplitMix64 (Steele, Lea and Flood 2014) over both.
fn unit(seed: u64, row: u64) -> f64 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let golden = 0x9e37_79b9_7f4a_7c15_u64;
    let bits = mix(mix(seed.wrapping_add(golden)).wrapping_add(row.wrapping_mul(golden)));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(plan: Plan) -> Split {
        Split { plan, leave_out_known_customers: false }
    }

    const fn period(from_ms: i64, until_ms: i64) -> Period {
        Period { from_ms, until_ms }
    }

    #[test]
    fn periods_are_half_open_and_gaps_belong_to_nobody() {
        let plan = Plan::Periods {
            train: period(10, 20),
            validate: Some(period(25, 30)),
            test: Some(period(35, 40)),
        };
        let cut = split(plan).cut(Some((0, 100)), false, 5, 0).unwrap();
        let parts = [9, 10, 19, 20, 25, 29, 30, 35, 39, 40].map(|at_ms| cut.part(Some(at_ms), 1));
        use Part::{Test, Train, Validate};
        let expected = [
            None,
            Some(Train),
            Some(Train),
            None,
            Some(Validate),
            Some(Validate),
            None,
            Some(Test),
            Some(Test),
            None,
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn fractions_are_of_the_time_and_leave_a_gap() {
        let cut = split(Plan::Fractions([0.5, 0.2, 0.3])).cut(Some((1_000, 1_999)), false, 10, 0).unwrap();
        let (train, validate, test) = cut.periods().unwrap();
        assert_eq!(
            (train, validate, test),
            (period(1_000, 1_490), Some(period(1_500, 1_690)), Some(period(1_700, 2_000)))
        );
        let whole = split(Plan::Default).cut(Some((0, 999)), true, 10, 0).unwrap();
        assert_eq!(whole.periods().unwrap(), (period(0, 840), Some(period(850, 1_000)), None));
    }

    #[test]
    fn rows_without_time_fall_by_seed_and_number() {
        let cut = |seed| split(Plan::Default).cut(None, false, 0, seed).unwrap();
        let parts = |seed| (1..=10_000).map(|row| cut(seed).part(None, row).unwrap()).collect::<Vec<_>>();
        let count = |part| parts(1).iter().filter(|found| **found == part).count();
        assert!((5_800..6_200).contains(&count(Part::Train)), "{}", count(Part::Train));
        assert!((850..1_150).contains(&count(Part::Validate)), "{}", count(Part::Validate));
        assert_eq!(parts(1), parts(1));
        assert_ne!(parts(1), parts(2));
    }

    #[test]
    fn beside_a_test_file_the_first_file_is_not_tested() {
        let cut = split(Plan::Fractions([0.6, 0.2, 0.2])).cut(None, true, 0, 7).unwrap();
        let parts: Vec<_> = (1..=4_000).map(|row| cut.part(None, row).unwrap()).collect();
        let train = parts.iter().filter(|part| **part == Part::Train).count();
        assert!((2_850..3_150).contains(&train), "{train} of 4,000 rows, 0.75 wanted");
        assert!(!parts.contains(&Part::Test));
        assert_eq!(cut.part_of_test_file(None), Some(Part::Test));
    }

    #[test]
    fn a_test_period_holds_in_the_test_file_too() {
        let plan = Plan::Periods { train: period(0, 10), validate: None, test: Some(period(10, 20)) };
        let cut = split(plan).cut(None, true, 0, 0).unwrap();
        assert_eq!(cut.part(Some(15), 1), None);
        assert_eq!([15, 25].map(|at_ms| cut.part_of_test_file(Some(at_ms))), [Some(Part::Test), None]);
    }

    #[test]
    fn a_split_without_a_test_part_is_refused() {
        let plan = Plan::Periods { train: period(0, 10), validate: None, test: None };
        assert_eq!(split(plan).cut(None, false, 0, 0), Err(SplitError::NoTest));
        assert!(split(plan).cut(None, true, 0, 0).is_ok());
        assert_eq!(split(Plan::Fractions([0.8, 0.2, 0.0])).cut(None, false, 0, 0), Err(SplitError::NoTest));
    }
}
