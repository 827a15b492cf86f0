//! What is found out now and then by walking the log of vectors: calibration where the truth is known, the challenger on
//! the same transfers, and what drift is measured against.

use std::ops::ControlFlow;

use learner::lifecycle::{Answer, Baseline, CalibrationDrift, Comparison, Pair, Window, answer, compare};

use super::labels::Labels;
use super::log::Reader;
use super::record::{Entry, Judged};
use super::watch::Watch;
use parking_lot::Mutex;

/// Transfers that stand for the training part of a model that came without its bins.
pub const REFERENCE_ROWS: usize = 1_000;
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
        pairs: Vec::new(),
        period_ms: [i64::MAX, i64::MIN],
        sample: Vec::new(),
        window: window.map(|baseline| Watch::window(baseline, window_ms)),
        last: None,
    };
    let from_ms = now_ms.saturating_sub(CALIBRATED_MS + delay_ms).min(now_ms.saturating_sub(window_ms));
    let read = reader.visit(from_ms, now_ms, &mut |entry| {
        match entry {
            Entry::Judged(judged) if judged.model == champion && judged.at_ms >= from_ms => {
                let label = labels.lock().get(judged.decision).map(|label| (label.fraud, label.known_ms));
                let known = match answer(judged.at_ms, judged.accepted, label, delay_ms, now_ms) {
                    Answer::Labelled(fraud) => Some(fraud),
                    Answer::Presumed => Some(false),
                    Answer::Unripe | Answer::Unknown => None,
                };
                walk.judged(judged, known, reference.is_some());
            }
            Entry::Shadow(shadow) if Some(shadow.model) == challenger => {
                walk.shadow(shadow.decision, shadow.probability);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    let Walk { mut survey, calibrated, pairs, period_ms, sample, window, .. } = walk;
    survey.damaged_files = read.damaged;
    survey.calibration = CalibrationDrift::of(calibrated);
    survey.shadow = compare(&pairs, period_ms, SEED);
    let sample: Vec<(&[f32], f64)> = sample.iter().map(|(row, said)| (row.as_slice(), *said)).collect();
    let enough = sample.len() >= REFERENCE_ROWS;
    let reference = reference.filter(|_| enough).map(|names| Baseline::learn(names, &sample));
    Ok(Found { survey, reference, window })
}

struct Walk {
    survey: Survey,
    calibrated: Vec<(f64, bool)>,
    pairs: Vec<Pair>,
    period_ms: [i64; 2],
    sample: Vec<(Vec<f32>, f64)>,
    window: Option<Window>,
    /// The last judged transfer of which the truth is known; a shadow stands right behind it.
    last: Option<(u128, i64, f64, bool)>,
}

impl Walk {
    fn judged(&mut self, judged: Judged, known: Option<bool>, sampled: bool) {
        self.survey.vectors += 1;
        if let Some(window) = &mut self.window {
            window.add(judged.at_ms, &judged.vector, judged.probability);
        }
        if let Some(fraud) = known {
            self.calibrated.push((judged.probability, fraud));
        }
        self.last = known.map(|fraud| (judged.decision, judged.at_ms, judged.probability, fraud));
        if sampled && self.sample.len() < REFERENCE_ROWS {
            self.sample.push((judged.vector, judged.probability));
        }
    }

    fn shadow(&mut self, decision: u128, challenger: f64) {
        let Some((_, at_ms, champion, fraud)) = self.last.filter(|(of, ..)| *of == decision) else { return };
        self.pairs.push(Pair { champion, challenger, fraud });
        let [from_ms, to_ms] = self.period_ms;
        self.period_ms = [from_ms.min(at_ms), to_ms.max(at_ms)];
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
        let mut labels = Labels::open(&folder.path().join("labels"), 10_000, 0).unwrap();
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
        // Of another model, and too young to be known.
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
        assert_eq!((survey.vectors, calibration.rows, calibration.frauds), (1_201, 1_200, 120));
        assert!(calibration.drift.abs() < 1e-9, "{calibration:?}");
        let shadow = survey.shadow.unwrap();
        assert!(shadow.gain > 0.8 && shadow.rows == 1_200, "{shadow:?}");
        assert_eq!(shadow.period_ms, [NOW - 60 * DAY, NOW - 60 * DAY + 1_199]);
        assert!(reference.unwrap().is_sound() && window.is_none());
    }
}
