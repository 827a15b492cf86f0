//! Overload scenarios as data: TOML files in `configs/scenarios/`, and one concrete episode drawn from each
//! seed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::random::Draws;
use super::upstream::Upstream;
use crate::capacity::class::Class;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Moves money: 60 ms of work, 300 ms at most.
    Transfer,
    /// Reads an account: 10 ms of work, 80 ms at most.
    Read,
    /// Logs in: 40 ms of work, 200 ms at most.
    Login,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Transfer, Self::Read, Self::Login];

    /// Mean work in seconds at speed 1, and sigma of its logarithm.
    pub(super) const fn work(self) -> (f64, f64) {
        match self {
            Self::Transfer => (0.060, 0.5),
            Self::Read => (0.010, 0.5),
            Self::Login => (0.040, 0.4),
        }
    }

    /// The latency within which the answer is worth its work, in milliseconds.
    #[must_use]
    pub const fn target_ms(self) -> f64 {
        match self {
            Self::Transfer => 300.0,
            Self::Read => 80.0,
            Self::Login => 200.0,
        }
    }

    /// What an answer in time is worth.
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::Transfer => 3.0,
            Self::Read => 1.0,
            Self::Login => 1.5,
        }
    }

    /// The class of an honest request of this kind.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Transfer => Class::MoneyMoving,
            Self::Read => Class::AuthenticatedRead,
            Self::Login => Class::Anonymous,
        }
    }

    /// The name in figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Read => "read",
            Self::Login => "login",
        }
    }
}

/// Whether controllers may be trained on a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Trained and tuned on.
    Trained,
    /// Only ever tested on.
    Unseen,
}

/// A range that each seed draws from evenly.
type Range = [f64; 2];

/// One scenario file. Times are in seconds from the start, ranges are `[least, greatest]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name in figures.
    pub name: String,
    /// What happens, in a sentence.
    pub about: String,
    /// Trained on, or only tested on.
    pub family: Family,
    /// How long it lasts.
    pub duration_s: f64,
    /// When the trouble begins and ends, for the times until mitigated and recovered.
    pub trouble_s: Range,
    #[serde(default)]
    upstream: UpstreamSpec,
    #[serde(default)]
    clients: ClientSpec,
    #[serde(default)]
    surge: Vec<Surge>,
    #[serde(default)]
    attack: Vec<AttackSpec>,
    #[serde(default)]
    change: Vec<ChangeSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UpstreamSpec {
    /// Drawn log-uniformly.
    knee: Range,
    speed: Range,
    /// Sigma of the logarithm of the operator's error about the knee.
    guess_sigma: f64,
}

impl Default for UpstreamSpec {
    fn default() -> Self {
        Self { knee: [8.0, 128.0], speed: [0.75, 1.33], guess_sigma: 0.35 }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClientSpec {
    /// Work offered by customers as a share of the capacity.
    load: Range,
    /// Shares of transfers, reads and log-ins.
    mix: [f64; 3],
    /// Share of honest requests scored suspicious.
    suspicious: Range,
    /// Probability that a failed request is tried again.
    retry: f64,
    /// Tries after the first.
    retries_max: u8,
    /// Depth of a slow wave over the whole duration, 0 to 1.
    wave: f64,
}

impl Default for ClientSpec {
    fn default() -> Self {
        Self {
            load: [0.25, 0.45],
            mix: [0.1, 0.7, 0.2],
            suspicious: [0.01, 0.03],
            retry: 0.5,
            retries_max: 2,
            wave: 0.0,
        }
    }
}

/// Honest demand multiplied for a while.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Surge {
    from_s: f64,
    to_s: f64,
    factor: Range,
}

/// Requests of attackers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttackSpec {
    from_s: f64,
    to_s: f64,
    /// Rate as a multiple of the customers' rate of the kinds in `of`.
    times: Range,
    /// Which customers' rate is multiplied; all kinds when empty.
    #[serde(default)]
    of: Vec<Kind>,
    /// Shares of transfers, reads and log-ins among the attackers' requests.
    mix: [f64; 3],
    /// Share that the scores recognise as suspicious.
    recognised: Range,
    /// Share of the rest that comes with real accounts, and so in the class of its kind.
    #[serde(default)]
    authenticated: f64,
    /// Whether the rate grows from nothing over the whole attack.
    #[serde(default)]
    ramp: bool,
    /// Length of one pulse and its pause; always on when absent.
    #[serde(default)]
    period_s: Option<Range>,
    /// How many addresses or accounts the attackers use.
    #[serde(default = "default_sources")]
    sources: u64,
}

const fn default_sources() -> u64 {
    400
}

/// The upstream changes for a while.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeSpec {
    from_s: f64,
    to_s: f64,
    #[serde(default = "unchanged")]
    knee_factor: Range,
    #[serde(default = "unchanged")]
    speed_factor: Range,
}

const fn unchanged() -> Range {
    [1.0, 1.0]
}

/// What is wrong with a scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML of the expected shape; the message has line and column.
    #[error("{file}: {message}")]
    Parse {
        /// Which file.
        file: String,
        /// What the parser says.
        message: String,
    },
    /// A value makes no sense.
    #[error("scenario {name}: {what}")]
    Value {
        /// Which scenario.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// The scenarios of a folder, or of one file, in the order of their file names.
///
/// # Errors
/// The first [`ScenarioError`] met.
pub fn load_scenarios(path: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let unreadable = |source| ScenarioError::Read { file: path.display().to_string(), source };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if file.extension().is_some_and(|extension| extension == "toml") {
                files.push(file);
            }
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    files.iter().map(|file| Scenario::load(file)).collect()
}

impl Scenario {
    /// Reads one file.
    ///
    /// # Errors
    /// [`ScenarioError`] when it is unreadable, malformed or makes no sense.
    pub fn load(file: &Path) -> Result<Self, ScenarioError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|source| ScenarioError::Read { file: name.clone(), source })?;
        Self::parse(&text, &name)
    }

    /// Reads the text of the file called `file`.
    ///
    /// # Errors
    /// [`ScenarioError`] when it is malformed or makes no sense.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)
            .map_err(|error| ScenarioError::Parse { file: file.to_owned(), message: error.to_string() })?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let ordered = |[low, high]: Range, least: f64, most: f64| low >= least && low <= high && high <= most;
        let shares = |mix: [f64; 3]| {
            mix.iter().all(|share| (0.0..=1.0).contains(share)) && mix.iter().sum::<f64>() > 0.0
        };
        let checks = [
            (ordered([1.0, self.duration_s], 1.0, 3_600.0), "duration_s must be 1 to 3600"),
            (ordered(self.trouble_s, 0.0, self.duration_s), "trouble_s must lie within the duration"),
            (ordered(self.upstream.knee, 1.0, 2_048.0), "upstream.knee must be ordered, 1 to 2048"),
            (ordered(self.upstream.speed, 0.01, 100.0), "upstream.speed must be ordered, 0.01 to 100"),
            (ordered([0.0, self.upstream.guess_sigma], 0.0, 2.0), "upstream.guess_sigma must be 0 to 2"),
            (ordered(self.clients.load, 0.001, 5.0), "clients.load must be ordered, 0.001 to 5"),
            (ordered(self.clients.suspicious, 0.0, 1.0), "clients.suspicious must be ordered, 0 to 1"),
            (ordered([0.0, self.clients.retry], 0.0, 1.0), "clients.retry must be 0 to 1"),
            (ordered([0.0, self.clients.wave], 0.0, 1.0), "clients.wave must be 0 to 1"),
            (shares(self.clients.mix), "clients.mix must be three shares"),
            (
                self.surge.iter().all(|s| ordered(s.factor, 0.0, 100.0)),
                "surge.factor must be ordered, 0 to 100",
            ),
            (
                self.attack.iter().all(|a| ordered(a.times, 0.0, 100.0)),
                "attack.times must be ordered, 0 to 100",
            ),
            (self.attack.iter().all(|a| ordered(a.recognised, 0.0, 1.0)), "attack.recognised must be 0 to 1"),
            (
                self.attack.iter().all(|a| ordered([0.0, a.authenticated], 0.0, 1.0)),
                "attack.authenticated must be 0 to 1",
            ),
            (self.attack.iter().all(|a| shares(a.mix)), "attack.mix must be three shares"),
            (
                self.attack.iter().filter_map(|a| a.period_s).all(|period| ordered(period, 0.1, 3_600.0)),
                "attack.period_s must be ordered, 0.1 to 3600",
            ),
            (
                self.change.iter().all(|c| ordered(c.knee_factor, 0.01, 100.0)),
                "change.knee_factor must be 0.01 to 100",
            ),
            (
                self.change.iter().all(|c| ordered(c.speed_factor, 0.01, 100.0)),
                "change.speed_factor must be 0.01 to 100",
            ),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(ScenarioError::Value { name: self.name.clone(), what }),
            None => Ok(()),
        }
    }

    /// The same scenario with upstreams of other sizes.
    #[must_use]
    pub fn with_knee(mut self, knee: [f64; 2]) -> Self {
        self.upstream.knee = knee;
        self
    }

    /// The episode of `seed`.
    #[must_use]
    pub fn draw(&self, seed: u64) -> Episode {
        let mut draws = Draws::new(seed, 0);
        let knee = draws.log_between(self.upstream.knee);
        let speed = draws.between(self.upstream.speed);
        let guess = (knee * (self.upstream.guess_sigma * draws.normal()).exp()).max(1.0);
        let mix = normalised(self.clients.mix);
        let mean_work: f64 = Kind::ALL.iter().zip(mix).map(|(kind, share)| kind.work().0 * share).sum();
        let load = draws.between(self.clients.load);
        let rate = load * Upstream::capacity(knee, speed) / mean_work;
        let customers = Demand {
            rate,
            mix,
            suspicious: draws.between(self.clients.suspicious),
            authenticated: 1.0,
            honest: true,
            sources: 5_000,
            window_s: [0.0, self.duration_s],
            ramp: false,
            period_s: None,
        };
        let surges = self.surge.iter().map(|s| ([s.from_s, s.to_s], draws.between(s.factor))).collect();
        let attackers = self.attack.iter().map(|attack| attack.demand(rate, mix, &mut draws));
        let demands = std::iter::once(customers).chain(attackers).collect();
        let changes = self.change.iter().map(|change| change.draw(&mut draws)).collect();
        Episode {
            seed,
            duration_s: self.duration_s,
            trouble_s: self.trouble_s,
            knee,
            speed,
            guess,
            retry: self.clients.retry,
            retries_max: self.clients.retries_max,
            wave: self.clients.wave,
            surges,
            demands,
            changes,
        }
    }
}

impl AttackSpec {
    fn demand(&self, rate: f64, mix: [f64; 3], draws: &mut Draws) -> Demand {
        let of: f64 = Kind::ALL
            .iter()
            .zip(mix)
            .filter(|(kind, _)| self.of.is_empty() || self.of.contains(kind))
            .map(|(_, share)| share)
            .sum();
        Demand {
            rate: rate * of * draws.between(self.times),
            mix: normalised(self.mix),
            suspicious: draws.between(self.recognised),
            authenticated: self.authenticated,
            honest: false,
            sources: self.sources,
            window_s: [self.from_s, self.to_s],
            ramp: self.ramp,
            period_s: self.period_s.map(|period| draws.between(period)),
        }
    }
}

impl ChangeSpec {
    fn draw(&self, draws: &mut Draws) -> Change {
        Change {
            window_s: [self.from_s, self.to_s],
            knee_factor: draws.between(self.knee_factor),
            speed_factor: draws.between(self.speed_factor),
        }
    }
}

fn normalised(mix: [f64; 3]) -> [f64; 3] {
    let sum: f64 = mix.iter().sum();
    mix.map(|share| share / sum)
}

/// Everything that is decided before the first request of a run.
#[derive(Clone, Debug)]
pub struct Episode {
    pub(super) seed: u64,
    pub(super) duration_s: f64,
    pub(super) trouble_s: Range,
    pub(super) knee: f64,
    pub(super) speed: f64,
    pub(super) guess: f64,
    pub(super) retry: f64,
    pub(super) retries_max: u8,
    pub(super) wave: f64,
    pub(super) surges: Vec<(Range, f64)>,
    pub(super) demands: Vec<Demand>,
    pub(super) changes: Vec<Change>,
}

impl Episode {
    /// The operator's guess of the knee, where every controller starts.
    #[must_use]
    pub const fn guess(&self) -> f64 {
        self.guess
    }

    /// The knee and the speed at a time.
    pub(super) fn upstream_at(&self, now_s: f64) -> (f64, f64) {
        self.changes
            .iter()
            .filter(|change| within(change.window_s, now_s))
            .fold((self.knee, self.speed), |(knee, speed), change| {
                ((knee * change.knee_factor).max(1.0), speed * change.speed_factor)
            })
    }
}

/// One population of clients.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub rate: f64,
    pub mix: [f64; 3],
    pub suspicious: f64,
    pub authenticated: f64,
    pub honest: bool,
    pub sources: u64,
    pub window_s: Range,
    pub ramp: bool,
    pub period_s: Option<f64>,
}

#[derive(Clone, Debug)]
pub(super) struct Change {
    pub window_s: Range,
    pub knee_factor: f64,
    pub speed_factor: f64,
}

pub(super) fn within([from, to]: Range, now_s: f64) -> bool {
    now_s >= from && now_s < to
}
