//! What is found out now and then by walking the log of vectors: calibration where the truth is known, the challenger on
//! the same transfers, and what drift is measured against.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use learner::lifecycle::{Answer, Baseline, CalibrationDrift, Comparison, Pair, Window, answer, compare};

use super::labels::Labels;
use super::log::Reader;
use super::record::{Entry, Judged};
use super::watch::Watch;
use parking_lot::Mutex;

/// Transfers that stand for the training part of a model that came without its bins: so many at least, of so many
/// milliseconds. A busy bank has the one within an hour, and a week has every day in it; a small one has the other with
/// hardly any transfers.
const REFERENCE_ROWS: usize = 10_000;
const REFERENCE_MS: i64 = 7 * 86_400_000;
/// Champion and challenger are compared on the newest transfers, so many at most: they are resampled a thousand times.
const PAIRS_MAX: usize = 20_000;
/// Calibration is that of transfers so young, beyond the delay of labels, milliseconds.
const CALIBRATED_MS: i64 = 90 * 86_400_000;
/// The bootstrap's seed: the same transfers give the same interval.
const SEED: u64 = 1;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Vectors of the champion in the log.
    pub vectors: u64,
    /// Files of the log of which a rest cannot be read.
    pub damaged_files: u64,
    /// Expected and observed fraud of the champion.
    pub calibration: Option<CalibrationDrift>,
    /// Champion and challenger on transfers that both scored as they happened.
    pub shadow: Option<Comparison>,
    /// Of the transfers that both scored and that are old enough, the share that the comparison leaves out because nobody
    /// knows what they were, 0 to 1. The champion stopped them: the challenger gets no credit for letting honest ones pass.
    pub shadow_unknown: Option<f64>,
}

/// What is asked for.
pub struct Question<'a> {
    /// Hash of the champion.
    pub champion: [u8; 32],
    /// Hash of the challenger.
    pub challenger: Option<[u8; 32]>,
    /// Whether bins must be learnt, for want of others, of features of these names.
    pub reference: Option<Vec<String>>,
    /// A window of drift to fill.
    pub window: Option<&'a Baseline>,
    /// Its length, milliseconds.
    pub window_ms: i64,
    /// How long labels take, milliseconds.
    pub delay_ms: i64,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
}

/// What there is to be said.
pub struct Found {
    /// The figures.
    pub survey: Survey,
    /// Bins that were learnt.
    pub reference: Option<Baseline>,
    /// The window, filled.
    pub window: Option<Window>,
}

/// Walks the log once.
///
/// # Errors
/// It cannot be read.
pub fn survey(reader: &Reader, labels: &Mutex<Labels>, question: Question<'_>) -> std::io::Result<Found> {
    let Question { champion, challenger, reference, window, window_ms, delay_ms, now_ms } = question;
    let mut walk = Walk {
        survey: Survey { at_ms: now_ms, ..Survey::default() },
        calibrated: Vec::new(),
        scored: VecDeque::new(),
        sample: reference.is_some().then(Sample::default),
        window: window.map(|baseline| Watch::window(baseline, window_ms)),
        last: None,
    };
    let from_ms = now_ms.saturating_sub(CALIBRATED_MS + delay_ms).min(now_ms.saturating_sub(window_ms));
    let read = reader.visit(from_ms, now_ms, &mut |entry| {
        match entry {
            // A row of the future is one of a clock that was ahead.
            Entry::Judged(judged)
                if judged.model == champion && (from_ms..=now_ms).contains(&judged.at_ms) =>
            {
                let label = labels.lock().get(judged.decision).map(|label| (label.fraud, label.known_ms));
                let known = answer(judged.at_ms, judged.accepted, label, delay_ms, now_ms);
                walk.judged(judged, known);
            }
            Entry::Shadow(shadow) if Some(shadow.model) == challenger => {
                walk.shadow(shadow.decision, shadow.probability);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    let Walk { mut survey, calibrated, scored, sample, window, .. } = walk;
    survey.damaged_files = read.damaged;
    survey.calibration = CalibrationDrift::of(calibrated);
    let known = scored.iter().filter_map(|one| Some((one.at_ms, one.pair(one.fraud?))));
    let (times, pairs): (Vec<i64>, Vec<Pair>) = known.unzip();
    let end_ms = |end: Option<&i64>| end.copied().unwrap_or(now_ms);
    survey.shadow = compare(&pairs, [end_ms(times.iter().min()), end_ms(times.iter().max())], SEED);
    let unknown = (scored.len() - pairs.len()) as f64;
    survey.shadow_unknown = (!scored.is_empty()).then(|| unknown / scored.len() as f64);
    let reference = reference.zip(sample).and_then(|(names, sample)| sample.bins(names));
    Ok(Found { survey, reference, window })
}

/// A transfer that both models scored, old enough that the truth could be known.
#[derive(Clone, Copy)]
struct Scored {
    at_ms: i64,
    champion: f64,
    challenger: f64,
    fraud: Option<bool>,
}

impl Scored {
    fn pair(&self, fraud: bool) -> Pair {
        Pair { champion: self.champion, challenger: self.challenger, fraud }
    }
}

struct Walk {
    survey: Survey,
    calibrated: Vec<(f64, bool)>,
    scored: VecDeque<Scored>,
    sample: Option<Sample>,
    window: Option<Window>,
    /// The last judged transfer that is old enough; a shadow stands right behind it.
    last: Option<(u128, Scored)>,
}

impl Walk {
    fn judged(&mut self, judged: Judged, known: Answer) {
        self.survey.vectors += 1;
        if let Some(window) = &mut self.window {
            window.add(judged.at_ms, &judged.vector, judged.probability);
        }
        let fraud = match known {
            Answer::Labelled(fraud) => Some(fraud),
            Answer::Presumed => Some(false),
            Answer::Unripe | Answer::Unknown => None,
        };
        self.calibrated.extend(fraud.map(|fraud| (judged.probability, fraud)));
        let Judged { decision, at_ms, probability, vector, .. } = judged;
        let scored = Scored { at_ms, champion: probability, challenger: f64::NAN, fraud };
        self.last = (known != Answer::Unripe).then_some((decision, scored));
        if let Some(sample) = &mut self.sample {
            sample.add(at_ms, vector, probability);
        }
    }

    fn shadow(&mut self, decision: u128, challenger: f64) {
        let Some((_, scored)) = self.last.filter(|(of, _)| *of == decision) else { return };
        self.scored.push_back(Scored { challenger, ..scored });
        if self.scored.len() > PAIRS_MAX {
            self.scored.pop_front();
        }
    }
}

/// The first transfers, until there are enough: each one, then every second, every fourth and so on, so that the sample is
/// even over all of them and stays under twice the rows that are wanted.
struct Sample {
    rows: Vec<(Vec<f32>, f64)>,
    seen: usize,
    every: usize,
    period_ms: [i64; 2],
}

impl Default for Sample {
    fn default() -> Self {
        Self { rows: Vec::new(), seen: 0, every: 1, period_ms: [i64::MAX, i64::MIN] }
    }
}

impl Sample {
    fn is_enough(&self) -> bool {
        let [from_ms, to_ms] = self.period_ms;
        self.seen >= REFERENCE_ROWS && to_ms.saturating_sub(from_ms) >= REFERENCE_MS
    }

    fn add(&mut self, at_ms: i64, vector: Vec<f32>, probability: f64) {
        if self.is_enough() {
            return;
        }
        let [from_ms, to_ms] = self.period_ms;
        self.period_ms = [from_ms.min(at_ms), to_ms.max(at_ms)];
        if self.seen.is_multiple_of(self.every) {
            self.rows.push((vector, probability));
        }
        self.seen += 1;
        if self.rows.len() >= 2 * REFERENCE_ROWS {
            let mut place = 0_usize;
            self.rows.retain(|_| {
                place += 1;
                !place.is_multiple_of(2)
            });
            self.every *= 2;
        }
    }

    /// Bins of it, where there is enough.
    fn bins(&self, names: Vec<String>) -> Option<Baseline> {
        let rows: Vec<(&[f32], f64)> = self.rows.iter().map(|(row, said)| (row.as_slice(), *said)).collect();
        self.is_enough().then(|| Baseline::learn(names, &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::labels::{Label, Source};
    use super::super::log::{Bounds, Writer};
    use super::super::record::tests::judged;
    use super::super::record::{self, Shadow};
    use super::*;

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 200 * DAY;

    #[test]
    fn the_truth_meets_what_both_models_said() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { bytes_max: 1 << 24, age_max_ms: i64::MAX };
        let mut writer = Writer::open(&folder.path().join("vectors"), bounds).unwrap();
        let mut labels = Labels::open(&folder.path().join("labels"), 10_000, 0, 0).unwrap();
        let id = |n: i64| (u128::try_from(NOW - 60 * DAY + n).unwrap() << 80) | 1;
        let mut frames = Vec::new();
        for n in 0..1_200 {
            let one = Judged { model: [1; 32], probability: 0.1, ..judged(id(n)) };
            record::write(&Entry::Judged(one), &mut frames);
            let fraud = n % 10 == 0;
            let probability = if fraud { 0.9 } else { 0.1 };
            let shadow = Shadow { decision: id(n), at_ms: 0, model: [2; 32], probability };
            record::write(&Entry::Shadow(shadow), &mut frames);
            if fraud {
                let label =
                    Label { fraud, known_ms: NOW, source: Source::Upload, by: "ana".into(), taught: false };
                labels.put(vec![(id(n), label)]).unwrap();
            }
        }
        // Stopped, so that nobody knows; and what stands behind nothing that the champion judged.
        for n in 0..300 {
            let at = (u128::try_from(NOW - 50 * DAY + n).unwrap() << 80) | 1;
            let one = Judged { model: [1; 32], accepted: false, ..judged(at) };
            record::write(&Entry::Judged(one), &mut frames);
            let shadow = Shadow { decision: at, at_ms: 0, model: [2; 32], probability: 0.5 };
            record::write(&Entry::Shadow(shadow), &mut frames);
            record::write(&Entry::Shadow(Shadow { decision: 1, ..shadow }), &mut frames);
        }
        // Of another model, of a clock that was ahead, and too young to be known.
        let ahead = (u128::try_from(NOW + DAY).unwrap() << 80) | 1;
        record::write(&Entry::Judged(Judged { model: [1; 32], ..judged(ahead) }), &mut frames);
        record::write(&Entry::Judged(Judged { model: [3; 32], ..judged(id(1)) }), &mut frames);
        let young = (u128::try_from(NOW - DAY).unwrap() << 80) | 1;
        record::write(&Entry::Judged(Judged { model: [1; 32], ..judged(young) }), &mut frames);
        writer.append(&frames, NOW).unwrap();

        let question = Question {
            champion: [1; 32],
            challenger: Some([2; 32]),
            reference: Some(vec!["a".into(), "b".into(), "c".into()]),
            window: None,
            window_ms: DAY,
            delay_ms: 30 * DAY,
            now_ms: NOW,
        };
        let reader = Reader::new(&folder.path().join("vectors"));
        let Found { survey, reference, window } = survey(&reader, &Mutex::new(labels), question).unwrap();
        let calibration = survey.calibration.unwrap();
        assert_eq!((survey.vectors, calibration.rows, calibration.frauds), (1_501, 1_200, 120));
        assert!(calibration.drift.abs() < 1e-9, "{calibration:?}");
        let shadow = survey.shadow.unwrap();
        assert!(shadow.gain > 0.8 && shadow.rows == 1_200, "{shadow:?}");
        assert_eq!(shadow.period_ms, [NOW - 60 * DAY, NOW - 60 * DAY + 1_199]);
        assert_eq!(survey.shadow_unknown, Some(0.2), "300 of 1,500");
        assert!(reference.is_none() && window.is_none(), "1,501 transfers are no reference");
    }

    #[test]
    fn the_comparison_is_on_the_newest_and_bounded() {
        let mut walk = Walk {
            survey: Survey::default(),
            calibrated: Vec::new(),
            scored: VecDeque::new(),
            sample: None,
            window: None,
            last: None,
        };
        let count = PAIRS_MAX as u128 + 500;
        for n in 0..count {
            walk.judged(Judged { vector: Vec::new(), ..judged(n << 80) }, Answer::Presumed);
            walk.shadow(n << 80, 0.5);
        }
        assert_eq!((walk.scored.len(), walk.scored[0].at_ms), (PAIRS_MAX, 500));
    }

    #[test]
    fn a_reference_is_even_over_a_week_and_ten_thousand_transfers() {
        let names = || vec!["n".to_owned()];
        let mut busy = Sample::default();
        let minute = 60_000;
        let count = 100_000_i64;
        for n in 0..count {
            busy.add(n * minute / 20, vec![n as f32], 0.5);
        }
        assert!(busy.bins(names()).is_none(), "many, of three days and a half");
        busy.add(7 * DAY, vec![count as f32], 0.5);
        let rows = busy.bins(names()).unwrap().rows;
        assert!((REFERENCE_ROWS..2 * REFERENCE_ROWS).contains(&rows), "{rows}");
        let gaps = busy.rows.windows(2).map(|pair| pair[1].0[0] - pair[0].0[0]);
        assert!(gaps.into_iter().all(|gap| gap == busy.every as f32), "every part of the week alike");
        busy.add(8 * DAY, vec![0.0], 0.5);
        assert_eq!(busy.seen, 100_001, "the first ones, and no more");

        let mut quiet = Sample::default();
        for n in 0..9_999 {
            quiet.add(n * 20 * minute, vec![0.0], 0.5);
        }
        assert!(quiet.bins(names()).is_none(), "months of few");
        quiet.add(9_999 * 20 * minute, vec![0.0], 0.5);
        assert_eq!(quiet.bins(names()).unwrap().rows, REFERENCE_ROWS);
    }
}
