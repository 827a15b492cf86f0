//! A pool's capacity settings as they stand in the gateway's configuration file.

use serde::{Deserialize, Serialize};

use super::allocation::{Allocation, Rails};
use super::class::PerClass;
use super::plane::PlaneConfig;

/// Which controller decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControllerKind {
    /// The configured limit.
    Static,
    /// Additive increase, multiplicative decrease on failures and late answers.
    Aimd,
    /// The gradient of latency against its long-run mean.
    Gradient2,
    /// The tabular learner with `gradient2` as its fall-back.
    #[default]
    QLearning,
}

impl ControllerKind {
    /// Every controller that can be configured.
    pub const ALL: [Self; 4] = [Self::Static, Self::Aimd, Self::Gradient2, Self::QLearning];

    /// The name in configuration and figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Aimd => "aimd",
            Self::Gradient2 => "gradient2",
            Self::QLearning => "q-learning",
        }
    }
}

/// The settings of one upstream pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapacityConfig {
    /// Which controller decides.
    pub controller: ControllerKind,
    /// The operator's guess of how many requests the upstream serves at once: where every controller starts,
    /// and what the static one keeps.
    pub limit: f64,
    /// Milliseconds between two decisions, 100 to 250.
    pub tick_ms: u64,
    /// The latency within which an answer of each class is worth its work, in milliseconds.
    pub target_ms: PerClass<f64>,
    /// Bounds that hold whatever the controller asks for.
    pub rails: Rails,
    /// Queues and fair shares.
    pub plane: PlaneConfig,
    /// Seed of the learner's exploration.
    pub seed: u64,
}

impl Default for CapacityConfig {
    fn default() -> Self {
        Self {
            controller: ControllerKind::default(),
            limit: 64.0,
            tick_ms: 200,
            target_ms: PerClass([300.0, 80.0, 200.0, 200.0]),
            rails: Rails::default(),
            plane: PlaneConfig::default(),
            seed: 1,
        }
    }
}

impl CapacityConfig {
    /// The first allocation.
    #[must_use]
    pub const fn initial(&self) -> Allocation {
        Allocation::of_limit(self.limit)
    }
}
