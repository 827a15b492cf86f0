//! A pool's capacity settings as they stand in the gateway's configuration file.

use serde::{Deserialize, Serialize};

use super::aimd::{Aimd, AimdSettings};
use super::allocation::{Allocation, Rails};
use super::class::PerClass;
use super::controller::Controller;
use super::fixed::Static;
use super::gradient2::{Gradient2, GradientSettings};
use super::plane::PlaneConfig;
use super::q_learning::{Artifact, Learning, QLearning, QSettings};

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

/// The names that may stand in the configuration.
pub const CONTROLLERS: [&str; 4] = ["static", "aimd", "gradient2", "q-learning"];

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

    /// The controller of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
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

    /// A fresh controller of the configured kind. The learner starts with what `table` knows and goes on
    /// learning; without a table it is the gradient controller until it has seen enough by itself.
    #[must_use]
    pub fn controller(&self, table: Option<Artifact>) -> Box<dyn Controller> {
        let initial = self.initial();
        match self.controller {
            ControllerKind::Static => Box::new(Static(initial)),
            ControllerKind::Aimd => Box::new(Aimd::new(AimdSettings::default(), initial.limit)),
            ControllerKind::Gradient2 => Box::new(Gradient2::new(GradientSettings::default(), initial.limit)),
            ControllerKind::QLearning => {
                let table = table.unwrap_or_else(Artifact::empty);
                Box::new(QLearning::new(QSettings::default(), initial, table, Learning::Online, self.seed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_makes_the_controller_of_that_name() {
        for name in CONTROLLERS {
            let controller = ControllerKind::from_name(name).unwrap();
            let config = CapacityConfig { controller, ..CapacityConfig::default() };
            assert_eq!(config.controller(None).name(), name);
        }
        assert_eq!(CONTROLLERS.len(), ControllerKind::ALL.len());
        assert_eq!(ControllerKind::from_name("magic"), None);
    }

    #[test]
    fn settings_are_read_strictly() {
        let config: CapacityConfig = toml::from_str("controller = \"gradient2\"\nlimit = 20.0").unwrap();
        assert_eq!((config.controller, config.limit), (ControllerKind::Gradient2, 20.0));
        assert!(toml::from_str::<CapacityConfig>("limits = 20.0").is_err(), "a misspelt key");
    }
}
