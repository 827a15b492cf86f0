//! The record of every decision of one pool, as the API and the console show it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::allocation::Allocation;
use super::class::PerClass;
use super::controller::{ActionValues, Explanation, Mode};
use super::observation::{ClassObservation, Observation};

/// How far back the record goes, in milliseconds.
pub const HISTORY_MS: i64 = 15 * 60 * 1_000;
/// How many ticks are kept at most, however fast they come.
pub const HISTORY_LEN_MAX: usize = 9_000;
/// How many points the history in a snapshot has at most.
const POINTS_MAX: usize = 300;
/// How many full records a snapshot ends with.
const LATEST: usize = 25;

/// One tick: what was seen, what was decided, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TickRecord {
    /// Unix time of the tick in milliseconds.
    pub at_ms: i64,
    /// Name of the controller that decided.
    pub controller: String,
    /// Permits held over all classes.
    pub in_flight: u32,
    /// Requests waiting over all classes.
    pub queued: u32,
    /// The classes during the tick.
    pub classes: PerClass<ClassObservation>,
    /// What applies from now on, after the rails.
    pub allocation: Allocation,
    /// State, action, values, reward and reason.
    pub explanation: Explanation,
}

/// One point of the history that a chart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// Unix time in milliseconds.
    pub at_ms: i64,
    /// The limit decided.
    pub limit: f64,
    /// Permits held.
    pub in_flight: u32,
    /// Requests waiting.
    pub queued: u32,
    /// The split decided.
    pub split: PerClass<f64>,
    /// Requests admitted in the tick, by class.
    pub admitted: PerClass<u32>,
    /// Requests shed in the tick, by class.
    pub shed: PerClass<u32>,
    /// The reward of the tick, from controllers that have one.
    pub reward: Option<f64>,
    /// Whether the fall-back decided.
    pub fallback: bool,
}

/// All there is to know about a pool at one moment: the body of `GET /api/v1/capacity`, one for each pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolSnapshot {
    /// The pool's name.
    pub pool: String,
    /// The controller in force.
    pub controller: String,
    /// Its mode of operation, for controllers that have several.
    pub mode: Option<Mode>,
    /// Limit on requests in flight.
    pub limit: f64,
    /// Permits held over all classes.
    pub in_flight: u32,
    /// Requests waiting over all classes.
    pub queued: u32,
    /// The share of the limit under which each class is admitted.
    pub split: PerClass<f64>,
    /// How long a request of each class may wait, in milliseconds.
    pub queue_deadline_ms: PerClass<u16>,
    /// The classes now.
    pub classes: PerClass<ClassFigures>,
    /// What the controller took the situation to be.
    pub state: String,
    /// What it did.
    pub action: String,
    /// Why, in words.
    pub reason: String,
    /// The values it chose by.
    pub q_values: Vec<ActionValues>,
    /// The reward of the last tick.
    pub reward: Option<f64>,
    /// Whether the fall-back decided.
    pub fallback: bool,
    /// The last 15 minutes, thinned to at most 300 points.
    pub history: Vec<HistoryPoint>,
    /// The last few ticks in full.
    pub latest: Vec<TickRecord>,
}

/// One class now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Permits held.
    pub in_flight: u16,
    /// Requests waiting.
    pub queued: u16,
    /// The in-flight count of the pool under which the class is admitted.
    pub threshold: u16,
    /// Permits it has for itself even when the pool is full.
    pub floor: u16,
    /// Requests admitted since the start.
    pub admitted_total: u64,
    /// Requests shed since the start.
    pub shed_total: u64,
}

impl TickRecord {
    fn point(&self) -> HistoryPoint {
        HistoryPoint {
            at_ms: self.at_ms,
            limit: self.allocation.limit,
            in_flight: self.in_flight,
            queued: self.queued,
            split: self.allocation.split,
            admitted: PerClass::from_fn(|class| self.classes[class].admitted),
            shed: PerClass::from_fn(|class| self.classes[class].shed),
            reward: self.explanation.reward,
            fallback: self.explanation.fallback,
        }
    }
}

/// The last 15 minutes of ticks.
#[derive(Debug, Default)]
pub struct History(VecDeque<TickRecord>);

impl History {
    /// Adds a tick and forgets those that are too old. A clock that jumps empties nothing but what is older.
    pub fn push(&mut self, record: TickRecord) {
        let oldest = record.at_ms.saturating_sub(HISTORY_MS);
        self.0.push_back(record);
        while self.0.len() > HISTORY_LEN_MAX || self.0.front().is_some_and(|first| first.at_ms < oldest) {
            self.0.pop_front();
        }
    }

    /// The newest tick.
    #[must_use]
    pub fn last(&self) -> Option<&TickRecord> {
        self.0.back()
    }

    /// The whole history, thinned evenly.
    #[must_use]
    pub fn points(&self) -> Vec<HistoryPoint> {
        let step = self.0.len().div_ceil(POINTS_MAX).max(1);
        let newest_first = self.0.iter().rev().step_by(step).map(TickRecord::point);
        let mut points: Vec<HistoryPoint> = newest_first.collect();
        points.reverse();
        points
    }

    /// The newest ticks in full, oldest first.
    #[must_use]
    pub fn latest(&self) -> Vec<TickRecord> {
        self.0.iter().skip(self.0.len().saturating_sub(LATEST)).cloned().collect()
    }
}

/// A record of one decision.
#[must_use]
pub fn record_of(
    at_ms: i64,
    controller: &str,
    seen: &Observation,
    allocation: Allocation,
    explanation: Explanation,
) -> TickRecord {
    TickRecord {
        at_ms,
        controller: controller.to_owned(),
        in_flight: seen.in_flight(),
        queued: seen.queued(),
        classes: seen.classes,
        allocation,
        explanation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(ticks: i64, step_ms: i64) -> History {
        let mut history = History::default();
        for tick in 0..ticks {
            history.push(record_of(
                tick * step_ms,
                "static",
                &Observation::default(),
                Allocation::of_limit(1.0),
                Explanation::default(),
            ));
        }
        history
    }

    #[test]
    fn fifteen_minutes_are_kept_and_shown_in_a_bounded_number_of_points() {
        let history = history(10_000, 200);
        let points = history.points();
        assert!(points.len() <= POINTS_MAX && points.len() > POINTS_MAX / 2, "{}", points.len());
        let (first, last) = (points.first().unwrap().at_ms, points.last().unwrap().at_ms);
        assert_eq!(last, 9_999 * 200);
        assert!((last - first - HISTORY_MS).abs() < 10_000, "{}", last - first);
        assert_eq!(history.latest().len(), LATEST);
    }

    #[test]
    fn ticks_that_come_too_fast_or_from_a_jumping_clock_do_not_grow_it() {
        assert_eq!(history(HISTORY_LEN_MAX as i64 + 50, 0).0.len(), HISTORY_LEN_MAX);
        assert!(history(50, -3_600_000).0.len() <= 50);
        assert_eq!(history(50, 3_600_000).0.len(), 1);
    }
}
