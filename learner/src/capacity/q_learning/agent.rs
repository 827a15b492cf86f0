//! The learner at work: reads the situation, chooses, learns from what came of it, and says why.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::actions::{LIMIT_ACTIONS, SPLIT_ACTIONS, USUAL_LIMIT_ACTION, USUAL_SPLIT_ACTION};
use super::artifact::Artifact;
use super::reward::Stretch;
use super::signals::{Signals, Situation};
use super::table::{Rate, Table};
use crate::capacity::allocation::{Allocation, DEFAULT_QUEUE_DEADLINE_MS, DEFAULT_SPLIT};
use crate::capacity::controller::{Controller, Explanation, Mode};
use crate::capacity::gradient2::{GradientLimiter, GradientSettings};
use crate::capacity::observation::Observation;

/// How it learns and explores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    /// Not at all.
    Off,
    /// In the simulator: any action with this probability.
    Training {
        /// Probability of a random action, 0 to 1.
        exploration: f64,
    },
    /// In production: seldom, only actions beside the best one and nearly as good, on a leash.
    Online,
}

/// The learner's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QSettings {
    /// The inner limiter.
    pub gradient: GradientSettings,
    /// Ticks from one choice to the next.
    pub hold_ticks: u32,
    /// Weight of what comes after, 0 to 1.
    pub discount: f64,
    /// A choice other than the gradient controller's must be worth this much more.
    pub margin: f64,
    /// Visits that a state needs before its values count.
    pub state_visits_min: u32,
    /// Visits that an action needs before its value counts.
    pub action_visits_min: u32,
    /// Probability of an exploring choice in production.
    pub exploration: f64,
    /// Exploring in production gives up at most this much value.
    pub safe_band: f64,
    /// In production no value moves further than this from the shipped one.
    pub leash: f64,
    /// Mean shortfall of the reward against its long-run mean at which the fall-back takes over.
    pub shortfall_max: f64,
    /// Choices for which it then stays.
    pub suspension: u32,
}

impl Default for QSettings {
    fn default() -> Self {
        Self {
            gradient: GradientSettings::default(),
            hold_ticks: 2,
            discount: 0.8,
            margin: 0.02,
            state_visits_min: 40,
            action_visits_min: 12,
            exploration: 0.02,
            safe_band: 0.1,
            leash: 0.5,
            shortfall_max: 0.25,
            suspension: 50,
        }
    }
}

/// The tabular learner.
#[derive(Clone, Debug)]
pub struct QLearning {
    settings: QSettings,
    learning: Learning,
    pub(super) mode: Mode,
    initial: Allocation,
    current: Allocation,
    signals: Signals,
    limiter: GradientLimiter,
    pub(super) learnt: Artifact,
    shipped: Artifact,
    random: Xoshiro256PlusPlus,
    stretch: Stretch,
    choice: Option<Choice>,
    situation: Situation,
    pub(super) reward: Option<f64>,
    shortfall: f64,
    suspended: u32,
}

/// What was chosen, where, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub situation: Situation,
    pub limit: Picked,
    pub split: Picked,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Picked {
    pub action: usize,
    pub why: Why,
}

/// Why an action was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The best one known.
    Best,
    /// To learn.
    Exploring,
    /// Too few visits of the state: the fall-back's.
    TooSeldom,
    /// Rewards fell away: the fall-back's.
    Suspended,
    /// The operator's mode.
    Mode,
}

impl QLearning {
    /// A learner that starts with `initial` and what `shipped` knows.
    #[must_use]
    pub fn new(
        settings: QSettings,
        initial: Allocation,
        shipped: Artifact,
        learning: Learning,
        seed: u64,
    ) -> Self {
        Self {
            settings,
            learning,
            mode: Mode::QLearning,
            initial,
            current: initial,
            signals: Signals::new(settings.gradient.base),
            limiter: GradientLimiter::new(settings.gradient, initial.limit),
            learnt: shipped.clone(),
            shipped,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            stretch: Stretch::default(),
            choice: None,
            situation: Situation::default(),
            reward: None,
            shortfall: 0.0,
            suspended: 0,
        }
    }

    /// What it knows now.
    #[must_use]
    pub const fn learnt(&self) -> &Artifact {
        &self.learnt
    }

    /// Learns from the stretch that just ended, and chooses for the next one.
    fn decide(&mut self) {
        self.reward = self.stretch.reward();
        self.stretch = Stretch::default();
        if let (Some(choice), Some(reward)) = (self.choice, self.reward) {
            self.watch(&choice, reward);
            if self.mode == Mode::QLearning {
                self.learn(&choice, reward);
            }
        }
        self.suspended = self.suspended.saturating_sub(1);
        let situation = self.situation;
        let limit = self.pick(&self.learnt.limit, situation.limit_state, USUAL_LIMIT_ACTION);
        let split = self.pick(&self.learnt.split, situation.split_state, USUAL_SPLIT_ACTION);
        let (limit, split) = (self.explore_limit(limit), self.explore_split(split));
        self.choice = Some(Choice { situation, limit, split });
    }

    /// Falls back for a while when the reward stays below what such states have paid in the long run.
    fn watch(&mut self, choice: &Choice, reward: f64) {
        let state = choice.situation.limit_state;
        let Some(row) = self.shipped.limit.row(state) else { return };
        if row.visits() < self.settings.state_visits_min || self.suspended > 0 {
            return;
        }
        self.shortfall += 0.1 * (row.reward - reward - self.shortfall);
        if self.shortfall > self.settings.shortfall_max && self.learning == Learning::Online {
            self.suspended = self.settings.suspension;
            self.shortfall = 0.0;
        }
    }

    fn learn(&mut self, choice: &Choice, reward: f64) {
        let rate = match self.learning {
            Learning::Off => return,
            Learning::Training { .. } => {
                Rate { least: 0.01, decay: 0.5, most: 1.0, discount: self.settings.discount }
            }
            Learning::Online => {
                Rate { least: 0.001, decay: 0.5, most: 0.02, discount: self.settings.discount }
            }
        };
        let Situation { limit_state, split_state, .. } = self.situation;
        let (from, limit, split) = (choice.situation, choice.limit.action, choice.split.action);
        self.learnt.limit.learn(from.limit_state, limit, reward, limit_state, &rate);
        self.learnt.split.learn(from.split_state, split, reward, split_state, &rate);
        if self.learning == Learning::Online {
            self.learnt.limit.leash(from.limit_state, limit, &self.shipped.limit, self.settings.leash);
            self.learnt.split.leash(from.split_state, split, &self.shipped.split, self.settings.leash);
        }
    }

    fn pick(&self, table: &Table, state: usize, usual: usize) -> Picked {
        let QSettings { margin, state_visits_min, action_visits_min, .. } = self.settings;
        if self.mode != Mode::QLearning {
            return Picked { action: usual, why: Why::Mode };
        }
        if self.suspended > 0 {
            return Picked { action: usual, why: Why::Suspended };
        }
        if table.visits(state) < state_visits_min {
            return Picked { action: usual, why: Why::TooSeldom };
        }
        match table.choose(state, usual, margin, action_visits_min) {
            Some(action) => Picked { action, why: Why::Best },
            None => Picked { action: usual, why: Why::TooSeldom },
        }
    }

    fn explore_limit(&mut self, picked: Picked) -> Picked {
        let row = self.learnt.limit.row(self.situation.limit_state).map(|row| row.values.clone());
        self.explore(picked, &row.unwrap_or_default())
    }

    fn explore_split(&mut self, picked: Picked) -> Picked {
        let row = self.learnt.split.row(self.situation.split_state).map(|row| row.values.clone());
        self.explore(picked, &row.unwrap_or_default())
    }

    fn explore(&mut self, picked: Picked, values: &[f64]) -> Picked {
        match self.learning {
            Learning::Training { exploration } if self.random.r#gen::<f64>() < exploration => {
                Picked { action: self.random.gen_range(0..values.len().max(1)), why: Why::Exploring }
            }
            Learning::Online
                if picked.why == Why::Best && self.random.r#gen::<f64>() < self.settings.exploration =>
            {
                let up = self.random.r#gen::<bool>();
                let action = if up { picked.action + 1 } else { picked.action.saturating_sub(1) };
                let value = |action: usize| values.get(action).copied();
                let safe = value(action)
                    .zip(value(picked.action))
                    .is_some_and(|(other, best)| other >= best - self.settings.safe_band);
                if safe { Picked { action, why: Why::Exploring } } else { picked }
            }
            _ => picked,
        }
    }

    fn allocation(&mut self, seen: &Observation) -> Allocation {
        let choice = self.choice.filter(|_| self.mode == Mode::QLearning);
        let tolerance = choice
            .and_then(|choice| LIMIT_ACTIONS.get(choice.limit.action))
            .map_or(self.settings.gradient.tolerance, |action| action.tolerance);
        let split = choice.and_then(|choice| SPLIT_ACTIONS.get(choice.split.action));
        Allocation {
            limit: self.limiter.step(seen, self.situation.ratio, tolerance),
            split: split.map_or(DEFAULT_SPLIT, |action| action.split),
            queue_deadline_ms: split.map_or(DEFAULT_QUEUE_DEADLINE_MS, |action| action.queue_deadline_ms),
        }
    }
}

impl Controller for QLearning {
    fn name(&self) -> &'static str {
        "q-learning"
    }

    fn tick(&mut self, seen: &Observation) -> Allocation {
        self.situation = self.signals.read(seen);
        self.stretch.add(seen, self.situation.ratio);
        if self.choice.is_none() || self.stretch.ticks() >= self.settings.hold_ticks {
            self.decide();
        }
        self.current = match self.mode {
            Mode::Freeze => self.current,
            Mode::Static => self.initial,
            Mode::Gradient | Mode::QLearning => self.allocation(seen),
        };
        self.current
    }

    fn explain(&self) -> Explanation {
        self.choice.as_ref().map(|choice| self.explanation(choice)).unwrap_or_default()
    }

    fn reward(&self) -> Option<f64> {
        self.reward
    }

    fn save(&self) -> Option<String> {
        Some(self.learnt.to_text())
    }

    fn into_learnt(self: Box<Self>) -> Option<Artifact> {
        Some(self.learnt)
    }

    fn set_mode(&mut self, mode: Mode) -> bool {
        self.mode = mode;
        self.choice = None;
        self.stretch = Stretch::default();
        true
    }

    fn mode(&self) -> Option<Mode> {
        Some(self.mode)
    }
}
