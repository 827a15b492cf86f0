//! One pool's control loop: observation in, confined allocation out, everything on record.

use super::allocation::{Allocation, Rails};
use super::controller::{Controller, Mode};
use super::observation::Observation;
use super::record::{History, TickRecord, record_of};

/// Drives one controller. The proxy calls it from a timer and the simulator from its virtual clock.
pub struct ControlLoop {
    controller: Box<dyn Controller>,
    rails: Rails,
    allocation: Allocation,
    history: History,
}

impl ControlLoop {
    /// A loop that starts with `initial`, brought within the rails.
    #[must_use]
    pub fn new(controller: Box<dyn Controller>, rails: Rails, initial: Allocation) -> Self {
        let rails = rails.checked();
        let limit = if initial.limit.is_finite() { initial.limit } else { rails.limit_min };
        let within = Allocation { limit: limit.clamp(rails.limit_min, rails.limit_max), ..initial };
        Self { controller, rails, allocation: rails.confine(&within, &within), history: History::default() }
    }

    /// Decides and returns what applies from now on.
    pub fn decide(&mut self, seen: &Observation) -> Allocation {
        let wanted = self.controller.tick(seen);
        self.allocation = self.rails.confine(&self.allocation, &wanted);
        self.allocation
    }

    /// [`Self::decide`], put on record with the unix time `at_ms`.
    pub fn decide_on_record(&mut self, seen: &Observation, at_ms: i64) -> Allocation {
        let allocation = self.decide(seen);
        let explanation = self.controller.explain();
        self.history.push(record_of(at_ms, self.controller.name(), seen, allocation, explanation));
        allocation
    }

    /// What applies now.
    #[must_use]
    pub const fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    /// The rails in force, after their own check.
    #[must_use]
    pub const fn rails(&self) -> &Rails {
        &self.rails
    }

    /// The last 15 minutes.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The last decision, if any was put on record.
    #[must_use]
    pub fn last(&self) -> Option<&TickRecord> {
        self.history.last()
    }

    /// The controller's name.
    #[must_use]
    pub fn controller_name(&self) -> &'static str {
        self.controller.name()
    }

    /// The controller's mode of operation.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.controller.mode()
    }

    /// The reward of the tick that just ended, if the controller reckons one.
    #[must_use]
    pub fn reward(&self) -> Option<f64> {
        self.controller.reward()
    }

    /// Puts the controller into another mode; `false` when it has only one.
    pub fn set_mode(&mut self, mode: Mode) -> bool {
        self.controller.set_mode(mode)
    }

    /// What the controller has learnt, if it learns.
    #[must_use]
    pub fn save(&self) -> Option<String> {
        self.controller.save()
    }

    /// The controller itself, for training.
    pub fn into_controller(self) -> Box<dyn Controller> {
        self.controller
    }
}

impl std::fmt::Debug for ControlLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlLoop")
            .field("controller", &self.controller.name())
            .field("allocation", &self.allocation)
            .finish_non_exhaustive()
    }
}
