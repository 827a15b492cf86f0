//! What the learner may do.

use crate::capacity::allocation::{DEFAULT_QUEUE_DEADLINE_MS, DEFAULT_SPLIT};
use crate::capacity::class::PerClass;

/// How far above normal latency may stand before the limiter shrinks the limit.
#[derive(Debug)]
pub struct LimitAction {
    /// What it is called.
    pub name: &'static str,
    /// Present latency over the normal one.
    pub tolerance: f64,
}

/// The limit table's actions, from cautious to generous.
pub const LIMIT_ACTIONS: [LimitAction; 5] = [
    LimitAction { name: "tolerate 1.2x", tolerance: 1.2 },
    LimitAction { name: "tolerate 1.5x", tolerance: 1.5 },
    LimitAction { name: "tolerate 2.2x", tolerance: 2.2 },
    LimitAction { name: "tolerate 3.5x", tolerance: 3.5 },
    LimitAction { name: "tolerate 6x", tolerance: 6.0 },
];

/// What the gradient controller does always.
pub const USUAL_LIMIT_ACTION: usize = 1;

/// How the limit is split among the classes.
#[derive(Debug)]
pub struct SplitAction {
    /// What it is called.
    pub name: &'static str,
    /// Share of the limit under which each class is admitted.
    pub split: PerClass<f64>,
    /// How long each class may wait, in milliseconds.
    pub queue_deadline_ms: PerClass<u16>,
}

/// The split table's actions, from open to closed.
pub const SPLIT_ACTIONS: [SplitAction; 5] = [
    SplitAction {
        name: "open to all",
        split: PerClass([1.0, 1.0, 0.97, 0.7]),
        queue_deadline_ms: DEFAULT_QUEUE_DEADLINE_MS,
    },
    SplitAction { name: "usual", split: DEFAULT_SPLIT, queue_deadline_ms: DEFAULT_QUEUE_DEADLINE_MS },
    SplitAction {
        name: "suspicious held back",
        split: PerClass([1.0, 0.95, 0.85, 0.05]),
        queue_deadline_ms: PerClass([80, 40, 40, 0]),
    },
    SplitAction {
        name: "customers first",
        split: PerClass([1.0, 0.95, 0.55, 0.05]),
        queue_deadline_ms: PerClass([80, 40, 20, 0]),
    },
    SplitAction {
        name: "transfers first",
        split: PerClass([1.0, 0.75, 0.55, 0.05]),
        queue_deadline_ms: PerClass([100, 30, 20, 0]),
    },
];

/// What the gradient controller does always.
pub const USUAL_SPLIT_ACTION: usize = 1;
