//! What is watched beside the traffic: the challenger's opinion of every transfer, and how far the champion's transfers have
//! drifted from what it was trained on. Fed by the recorder's thread, after the answer.

use learner::lifecycle::{Baseline, Drift, Model, Window};
use parking_lot::{Mutex, RwLock};

use super::metrics::ModelMetrics;
use super::record::{Judged, Shadow, hash_bytes};

/// Features that say when it is. A window of a day has other days of the week than the training part, and one of an hour
/// other hours: that is no drift.
const CALENDAR: [&str; 4] = ["hour_sin", "hour_cos", "night", "weekend"];

/// The champion, as far as it is watched.
struct Champion {
    digest: [u8; 32],
    /// Where it asks for a step-up and for a hold.
    acts_at: [f64; 2],
}

/// The challenger.
struct Challenger {
    model: Model,
    digest: [u8; 32],
    schema: [u8; 32],
}

/// How the challenger's opinions differ from what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShadowFigures {
    /// Transfers it scored.
    pub scored: u64,
    /// Those on which it would have acted more strictly than the champion.
    pub stricter: u64,
    /// Those on which it would have acted more mildly.
    pub milder: u64,
    /// Sum of the differences of the probabilities, without sign.
    pub difference: f64,
}

/// The watch.
pub struct Watch {
    champion: RwLock<Option<Champion>>,
    challenger: RwLock<Option<Challenger>>,
    window: Mutex<Option<Window>>,
    shadow: Mutex<ShadowFigures>,
    metrics: ModelMetrics,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new(metrics: ModelMetrics) -> Self {
        Self {
            champion: RwLock::default(),
            challenger: RwLock::default(),
            window: Mutex::default(),
            shadow: Mutex::default(),
            metrics,
        }
    }

    /// Another champion is in force: its window begins empty.
    pub fn crown(&self, model: &Model) {
        let thresholds = model.thresholds();
        *self.champion.write() = Some(Champion {
            digest: hash_bytes(model.digest()),
            acts_at: [thresholds.step_up, thresholds.hold],
        });
        *self.window.lock() = None;
        *self.shadow.lock() = ShadowFigures::default();
    }

    /// Another challenger scores in shadow, or none does.
    pub fn challenge(&self, model: Option<Model>) {
        *self.challenger.write() = model.map(|model| Challenger {
            digest: hash_bytes(model.digest()),
            schema: hash_bytes(&model.manifest().schema_hash),
            model,
        });
        *self.shadow.lock() = ShadowFigures::default();
    }

    /// Whether `digest` is that of the champion in force.
    pub fn crowned(&self, digest: &str) -> bool {
        self.champion.read().as_ref().is_some_and(|champion| champion.digest == hash_bytes(digest))
    }

    /// Measures drift in `window` from now on.
    pub fn measure(&self, window: Window) {
        *self.window.lock() = Some(window);
    }

    /// Counts a transfer, and says what the challenger would have said of it.
    pub fn saw(&self, judged: &Judged) -> Option<Shadow> {
        let acts_at = {
            let champion = self.champion.read();
            let champion = champion.as_ref().filter(|champion| champion.digest == judged.model)?;
            champion.acts_at
        };
        if let Some(window) = self.window.lock().as_mut() {
            window.add(judged.at_ms, &judged.vector, judged.probability);
        }
        let challenger = self.challenger.read();
        let challenger = challenger.as_ref().filter(|challenger| challenger.schema == judged.schema)?;
        let probability = challenger.model.probability(&judged.vector)?;
        let thresholds = challenger.model.thresholds();
        let would = level(probability, [thresholds.step_up, thresholds.hold]);
        let did = level(judged.probability, acts_at);
        self.count(would.cmp(&did), probability, (probability - judged.probability).abs());
        let Judged { decision, at_ms, .. } = *judged;
        Some(Shadow { decision, at_ms, model: challenger.digest, probability })
    }

    fn count(&self, order: std::cmp::Ordering, probability: f64, difference: f64) {
        let mut figures = self.shadow.lock();
        figures.scored += 1;
        figures.difference += difference;
        let verdict = match order {
            std::cmp::Ordering::Greater => {
                figures.stricter += 1;
                "stricter"
            }
            std::cmp::Ordering::Less => {
                figures.milder += 1;
                "milder"
            }
            std::cmp::Ordering::Equal => "agrees",
        };
        self.metrics.shadow.with_label_values(&[verdict]).inc();
        self.metrics.shadow_score.observe(probability);
    }

    /// How the challenger's opinions differ.
    pub fn shadow(&self) -> ShadowFigures {
        *self.shadow.lock()
    }

    /// Drift of the window that ends now, without the features of the calendar; `None` while it holds too little.
    pub fn drift(&self, now_ms: i64) -> Option<Drift> {
        let mut drift = self.window.lock().as_ref()?.drift(now_ms)?;
        drift.features.retain(|one| !CALENDAR.contains(&one.feature.as_str()));
        Some(drift)
    }

    /// An empty window over `baseline`.
    pub fn window(baseline: &Baseline, window_ms: i64) -> Window {
        Window::new(baseline.clone(), window_ms)
    }
}

/// 0 nothing, 1 a step-up, 2 a hold.
fn level(probability: f64, acts_at: [f64; 2]) -> usize {
    acts_at.iter().filter(|&&threshold| probability >= threshold).count()
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::judged;
    use super::*;
    use learner::lifecycle::ROWS_MIN;

    const SHIPPED: &[u8] = include_bytes!("../../../configs/models/fraud/model.artifact");

    fn seen_by(model: &Model, decision: u128) -> Judged {
        Judged {
            model: hash_bytes(model.digest()),
            schema: hash_bytes(&model.manifest().schema_hash),
            vector: vec![0.5; model.names().len()],
            ..judged(decision)
        }
    }

    #[test]
    fn a_challenger_scores_what_the_champion_judged_and_counts_where_it_differs() {
        let model = Model::from_bytes(SHIPPED).unwrap();
        let watch = Watch::new(ModelMetrics::new(&prometheus::Registry::new()).unwrap());
        let alike = seen_by(&model, 7);
        let said = model.probability(&alike.vector).unwrap();
        assert_eq!(watch.saw(&alike), None, "nobody is in force");
        watch.crown(&model);
        assert_eq!(watch.saw(&alike), None, "nobody challenges");
        watch.challenge(Some(model.clone()));
        let shadow = watch.saw(&Judged { probability: said, ..alike.clone() }).unwrap();
        assert_eq!((shadow.decision, shadow.probability), (7, said));
        watch.saw(&Judged { probability: 1.0, ..alike.clone() });
        watch.saw(&Judged { probability: 0.0, ..alike.clone() });
        let figures = watch.shadow();
        assert_eq!(figures.scored, 3);
        assert!(figures.stricter + figures.milder >= 1, "{figures:?}");
        assert!((figures.difference - 1.0).abs() < 1e-9, "{figures:?}");
        for other in [
            Judged { model: [1; 32], ..alike.clone() },
            Judged { schema: [1; 32], ..alike.clone() },
            Judged { vector: vec![0.5], ..alike },
        ] {
            assert_eq!(watch.saw(&other), None);
        }
        assert_eq!(watch.shadow().scored, 3);
        watch.challenge(None);
        assert_eq!(watch.shadow(), ShadowFigures::default());
    }

    #[test]
    fn drift_is_that_of_the_champion_in_force() {
        let model = Model::from_bytes(SHIPPED).unwrap();
        let watch = Watch::new(ModelMetrics::new(&prometheus::Registry::new()).unwrap());
        watch.crown(&model);
        let one = seen_by(&model, 1_000_u128 << 80);
        let rows: Vec<(&[f32], f64)> = (0..900).map(|_| (one.vector.as_slice(), one.probability)).collect();
        watch.measure(Watch::window(&Baseline::learn(model.names().to_vec(), &rows), 1_000_000));
        for _ in 0..ROWS_MIN {
            watch.saw(&one);
            watch.saw(&Judged { model: [1; 32], probability: 0.9, ..one.clone() });
        }
        let calm = watch.drift(1_000).unwrap();
        assert!(calm.rows == ROWS_MIN && calm.score < 1e-6, "{calm:?}");
        for _ in 0..ROWS_MIN {
            watch.saw(&Judged { probability: 0.9, ..one.clone() });
        }
        assert!(watch.drift(1_000).unwrap().score > 0.25);
        watch.crown(&model);
        assert_eq!(watch.drift(1_000), None, "another champion begins afresh");
    }

    #[test]
    fn another_day_of_the_week_is_no_drift() {
        let model = Model::from_bytes(SHIPPED).unwrap();
        let watch = Watch::new(ModelMetrics::new(&prometheus::Registry::new()).unwrap());
        watch.crown(&model);
        let place = |name: &str| model.names().iter().position(|one| one == name);
        let calendar = CALENDAR.map(|name| place(name).unwrap_or_else(|| panic!("{name} is no feature")));
        let weekday = seen_by(&model, 1_000_u128 << 80);
        let rows: Vec<(&[f32], f64)> = (0..900).map(|_| (weekday.vector.as_slice(), 0.25)).collect();
        watch.measure(Watch::window(&Baseline::learn(model.names().to_vec(), &rows), 1_000_000));
        let mut sunday = weekday.clone();
        for at in calendar {
            sunday.vector[at] = 9.0;
        }
        for _ in 0..ROWS_MIN {
            watch.saw(&sunday);
        }
        let drift = watch.drift(1_000).unwrap();
        assert!(drift.features[0].psi < 0.01, "{:?}", &drift.features[..4]);
        assert_eq!(drift.features.len(), model.names().len() - CALENDAR.len());
        sunday.vector[place("amount_log").unwrap()] = 9.0;
        for _ in 0..ROWS_MIN {
            watch.saw(&sunday);
        }
        assert_eq!(watch.drift(1_000).unwrap().features[0].feature, "amount_log");
    }
}
