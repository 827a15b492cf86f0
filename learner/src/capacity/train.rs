//! Trains the learner in the simulator.

use std::ops::Range;

use super::allocation::{Allocation, Rails};
use super::control_loop::ControlLoop;
use super::q_learning::{Artifact, Learning, Origin, QLearning, QSettings};
use super::sim::{Control, Family, PlaneMode, Scenario, run};

/// What to train, and for how long.
#[derive(Clone, Debug)]
pub struct TrainSettings {
    /// The learner.
    pub agent: QSettings,
    /// Episodes, taken from the scenarios in turn.
    pub episodes: u32,
    /// Seed of the first episode; every episode has the next one.
    pub seed: u64,
    /// Knees of the training upstreams are drawn from here. The learner's signals do not depend on the size,
    /// and small upstreams cost less time.
    pub knee: [f64; 2],
    /// Share of random actions in the first and in the last episode.
    pub exploration: [f64; 2],
    /// The command that makes the same table again, for the record.
    pub command: String,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            agent: QSettings::default(),
            episodes: 900,
            seed: 1,
            knee: [8.0, 32.0],
            exploration: [0.5, 0.05],
            command: "gatehouse train capacity --data configs/scenarios --out configs/models/capacity"
                .to_owned(),
        }
    }
}

/// One episode of the learning curve.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Lesson {
    /// Number of the episode, from 0.
    pub episode: u32,
    /// Which scenario.
    pub scenario: String,
    /// Mean reward of its decisions.
    pub reward: f64,
    /// Weighted goodput of its customers.
    pub goodput_weighted: f64,
}

/// Plays the episodes and returns the tables with the learning curve. `progress` is told after each episode.
///
/// Only scenarios of the trained family are played. The same settings and scenarios give the same tables.
pub fn train(
    scenarios: &[Scenario],
    settings: &TrainSettings,
    mut progress: impl FnMut(&Lesson),
) -> (Artifact, Vec<Lesson>) {
    let trained: Vec<Scenario> = scenarios
        .iter()
        .filter(|scenario| scenario.family == Family::Trained)
        .map(|scenario| scenario.clone().with_knee(settings.knee))
        .collect();
    let mut learnt = Artifact::empty();
    let mut lessons = Vec::new();
    for (episode, scenario) in (0..settings.episodes).zip(trained.iter().cycle()) {
        let progress_share = f64::from(episode) / f64::from(settings.episodes.max(1));
        let [first, last] = settings.exploration;
        let learning = Learning::Training { exploration: first + (last - first) * progress_share };
        let seed = settings.seed.wrapping_add(u64::from(episode));
        let (next, lesson) = lesson(scenario, settings, learnt, learning, episode, seed);
        learnt = next;
        progress(&lesson);
        lessons.push(lesson);
    }
    learnt.origin = Origin {
        command: settings.command.clone(),
        episodes: settings.episodes,
        seed: settings.seed,
        scenarios: trained.iter().map(|scenario| scenario.name.clone()).collect(),
    };
    (learnt, lessons)
}

fn lesson(
    scenario: &Scenario,
    settings: &TrainSettings,
    learnt: Artifact,
    learning: Learning,
    number: u32,
    seed: u64,
) -> (Artifact, Lesson) {
    let episode = scenario.draw(seed);
    let initial = Allocation::of_limit(episode.guess());
    let agent = QLearning::new(settings.agent, initial, learnt, learning, seed);
    let control_loop = ControlLoop::new(Box::new(agent), Rails::default(), initial);
    let run = run(&episode, Control::Loop(Box::new(control_loop)), PlaneMode::Own);
    let lesson = Lesson {
        episode: number,
        scenario: scenario.name.clone(),
        reward: run.reward.unwrap_or(0.0),
        goodput_weighted: run.figures.goodput_weighted,
    };
    let learnt = match run.control {
        Control::Loop(control_loop) => control_loop.into_controller().into_learnt(),
        Control::None | Control::Oracle => None,
    };
    (learnt.unwrap_or_else(Artifact::empty), lesson)
}

/// A contiguous range of seeds that no training run with `settings` has seen.
#[must_use]
pub fn unseen_seeds(settings: &TrainSettings, count: u64) -> Range<u64> {
    let first = settings.seed.saturating_add(1_000_000);
    first..first.saturating_add(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::sim::load_scenarios;

    fn scenarios() -> Vec<Scenario> {
        load_scenarios(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/scenarios").as_ref()).unwrap()
    }

    #[test]
    fn the_same_seed_trains_the_same_table() {
        let settings =
            |seed| TrainSettings { episodes: 9, seed, knee: [8.0, 9.0], ..TrainSettings::default() };
        let table = |seed| train(&scenarios(), &settings(seed), |_| {}).0.to_text();
        assert_eq!(table(1), table(1));
        assert_ne!(table(1), table(2));
    }

    #[test]
    fn what_is_only_for_testing_is_not_trained_on() {
        let settings = TrainSettings { episodes: 18, knee: [8.0, 9.0], ..TrainSettings::default() };
        let (artifact, lessons) = train(&scenarios(), &settings, |_| {});
        let unseen: Vec<String> =
            scenarios().into_iter().filter(|s| s.family == Family::Unseen).map(|s| s.name).collect();
        assert_eq!(lessons.len(), 18);
        assert!(lessons.iter().all(|lesson| !unseen.contains(&lesson.scenario)));
        assert!(artifact.limit.rows().any(|row| row.visits() > 0));
    }

    /// `cargo test --release -p learner -- --ignored the_shipped_table_is_what_training_makes`
    #[test]
    #[ignore = "needs a minute or two; remakes the shipped table"]
    fn the_shipped_table_is_what_training_makes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/capacity");
        let path = std::path::Path::new(folder).join(super::super::train_report::TABLE_FILE);
        let (artifact, _) = train(&scenarios(), &TrainSettings::default(), |_| {});
        assert!(
            std::fs::read_to_string(path).unwrap() == artifact.to_text(),
            "train again and ship the result"
        );
    }
}
