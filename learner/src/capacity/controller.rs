//! The one trait behind which every controller stands, and the list of them.

use serde::{Deserialize, Serialize};

use super::allocation::Allocation;
use super::observation::Observation;
use super::q_learning::Artifact;

/// Decides, once a tick, how much the upstream gets and who gets it.
///
/// The proxy and the simulator drive the very same implementations. What a controller returns is confined by
/// [`Rails`](super::allocation::Rails) before it takes effect, so it need not defend the bounds itself.
pub trait Controller: Send {
    /// The name in configuration, metrics and records.
    fn name(&self) -> &'static str;

    /// Takes in the last tick and returns the allocation for the next one. Must survive any observation.
    fn tick(&mut self, seen: &Observation) -> Allocation;

    /// Why the last tick decided as it did.
    fn explain(&self) -> Explanation;

    /// The reward of the tick that just ended, for controllers that reckon one.
    fn reward(&self) -> Option<f64> {
        None
    }

    /// What the controller has learnt, if it learns, as the text of an [`Artifact`].
    fn save(&self) -> Option<String> {
        None
    }

    /// What the controller has learnt, moved out, for training to go on with.
    fn into_learnt(self: Box<Self>) -> Option<Artifact> {
        None
    }

    /// Puts the controller into another mode of operation; `false` when it has only one.
    fn set_mode(&mut self, _mode: Mode) -> bool {
        false
    }

    /// The mode of operation, for controllers that have several.
    fn mode(&self) -> Option<Mode> {
        None
    }
}

/// What the operator lets the controller do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The allocation stays as it is.
    Freeze,
    /// The configured allocation applies.
    Static,
    /// The gradient controller decides; the learner stands still.
    Gradient,
    /// The learner decides, with the gradient controller as its fall-back.
    #[default]
    QLearning,
}

/// The last decision in words and figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What the controller took the situation to be.
    pub state: String,
    /// What it did.
    pub action: String,
    /// Why, in a sentence an operator understands.
    pub reason: String,
    /// The values of the actions it chose among, by table; empty for controllers without any.
    pub q_values: Vec<ActionValues>,
    /// The reward of the tick that just ended.
    pub reward: Option<f64>,
    /// Whether the fall-back decided.
    pub fallback: bool,
}

/// The values of all actions of one table in the present state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionValues {
    /// Which table.
    pub table: String,
    /// The action that was taken.
    pub chosen: String,
    /// How often the present state had been visited.
    pub visits: u32,
    /// Every action with its value.
    pub values: Vec<(String, f64)>,
}
