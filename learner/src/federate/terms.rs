//! What coordinator and parties agree on before anything is summed: the schema, which everybody holds as a file, and the
//! terms, which the coordinator proposes and every party checks.

use serde::{Deserialize, Serialize};

use super::wire::{Bytes, Digest, Real};
use super::{PARTIES_MAX, PARTIES_MIN, PROTOCOL, privacy};

/// A clip that suits standardised features: of a party's difference without noise, and of a unit's gradient with noise.
/// Chosen on validation rows of the handbook's payments (`learner/examples/federated.rs` with `choose`).
pub const CLIPS: (f64, f64) = (2.0, 2.0);
/// Most features of a schema.
pub const FEATURES_MAX: usize = 1024;
/// Longest name of a column, bytes: a whole schema fits an entry of the decision log.
pub const COLUMN_BYTES_MAX: usize = 128;
/// The sum for standardisation counts as so many releases: it has that much less noise, as everything rests on it.
pub const STATISTICS_RELEASES: u32 = 8;

/// A feature, with the bounds that its values are clipped to before anything is made of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name of its column.
    pub name: String,
    /// Values below count as this.
    pub low: Real,
    /// Values above count as this.
    pub high: Real,
    /// Whether values may be missing. They count as the mean, and the model gets a flag.
    pub missing: bool,
}

/// The agreed table: names, bounds and order of the features, the label, and whose rows belong together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Name of the label's column; 1 is positive.
    pub label: String,
    /// Name of the column that says whose row it is; its rows are protected together. Without it each row is by itself.
    pub unit: Option<String>,
    /// Features in order.
    pub features: Vec<Feature>,
}

/// A schema as its file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSchema {
    label: String,
    unit: Option<String>,
    features: Vec<RawFeature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFeature {
    name: String,
    low: f64,
    high: f64,
    #[serde(default)]
    missing: bool,
}

/// Why a schema or terms cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// The file is not TOML of that form.
    #[error("schema: {0}")]
    Toml(String),
    /// It has no or too many features, or a name twice.
    #[error("schema: {0}")]
    Features(String),
    /// A feature without an interval.
    #[error("schema: feature {0}: `low` must be below `high`, both finite")]
    Bounds(String),
    /// A party will not train like this.
    #[error("terms: {0}")]
    Terms(String),
}

impl Schema {
    /// Reads and checks a schema file.
    ///
    /// # Errors
    /// [`TermsError`].
    pub fn from_toml(text: &str) -> Result<Self, TermsError> {
        let raw: RawSchema = toml::from_str(text).map_err(|error| TermsError::Toml(error.to_string()))?;
        let features = raw.features.into_iter().map(|f| Feature {
            name: f.name,
            low: Real(f.low),
            high: Real(f.high),
            missing: f.missing,
        });
        let schema = Self { label: raw.label, unit: raw.unit, features: features.collect() };
        schema.check()?;
        Ok(schema)
    }

    fn check(&self) -> Result<(), TermsError> {
        if self.features.is_empty() || self.features.len() > FEATURES_MAX {
            let problem = format!("{} features, not 1 to {FEATURES_MAX}", self.features.len());
            return Err(TermsError::Features(problem));
        }
        let mut seen = std::collections::HashSet::from([self.label.as_str()]);
        seen.extend(self.unit.as_deref());
        for feature in &self.features {
            if !seen.insert(&feature.name) {
                return Err(TermsError::Features(format!("column {} stands there twice", feature.name)));
            }
            if feature.name.len() > COLUMN_BYTES_MAX {
                return Err(TermsError::Features(format!("the name {} is too long", feature.name)));
            }
            let (low, high) = (feature.low.0, feature.high.0);
            if !(low.is_finite() && high.is_finite() && low < high) {
                return Err(TermsError::Bounds(feature.name.clone()));
            }
        }
        Ok(())
    }

    /// The schema as a file.
    pub fn to_toml(&self) -> String {
        let mut text = format!("label = {:?}\n", self.label);
        if let Some(unit) = &self.unit {
            text.push_str(&format!("unit = {unit:?}\n"));
        }
        for Feature { name, low, high, missing } in &self.features {
            let (low, high) = (low.0, high.0);
            text.push_str(&format!("\n[[features]]\nname = {name:?}\nlow = {low:?}\nhigh = {high:?}\n"));
            if *missing {
                text.push_str("missing = true\n");
            }
        }
        text
    }

    /// What two parties compare to know that they mean the same table.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// Names of the features.
    pub fn names(&self) -> Vec<String> {
        self.features.iter().map(|feature| feature.name.clone()).collect()
    }

    /// Coefficients of a model: one a feature, one a flag, the intercept last.
    pub fn width(&self) -> usize {
        self.features.len() + self.features.iter().filter(|feature| feature.missing).count() + 1
    }
}

/// How the parties' updates come about.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    /// Federated averaging (McMahan et al. 2017): each party trains for some epochs from the shared weights, and the
    /// differences are averaged by rows. Nothing but secure aggregation protects a party's difference.
    Averaging {
        /// Epochs a round.
        epochs: u32,
        /// Rows a step.
        batch: u32,
    },
    /// One step a round on all rows: each party adds up its units' gradients, each clipped, and all add noise
    /// (differentially private gradient descent, Abadi et al. 2016, with the unit as the example and without sampling).
    /// Several local steps would make a unit's part in the sum unbounded.
    Private {
        /// Standard deviation of the sum's noise in units of the clip.
        noise_multiplier: Real,
        /// Bound of the privacy loss of all sums that the terms allow.
        epsilon: Real,
        /// Its delta.
        delta: Real,
    },
}

/// The terms of a training.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Drawn by the coordinator.
    pub session: Bytes<16>,
    /// Digest of the schema.
    pub schema: Digest,
    /// No sum is opened of fewer parties.
    pub parties_min: u32,
    /// Rounds that are to be accepted.
    pub rounds: u32,
    /// Rounds that may be summed for that, those that are rolled back included.
    pub rounds_summed_max: u32,
    /// How updates come about.
    pub method: Method,
    /// Bound of the Euclidean norm: of a party's difference, or of a unit's gradient.
    pub clip: Real,
    /// Step length of the optimiser in the first round; it falls evenly to a tenth.
    pub learning_rate: Real,
    /// Weight of the L2 penalty on mean loss.
    pub l2: Real,
    /// After rounds that failed, parties are left out in turn to find the one that spoils them. Two sums over different
    /// parties from the same weights tell something about the one left out, unless there is noise.
    pub leave_out: bool,
    /// How long the coordinator waits for answers, milliseconds.
    pub deadline_ms: u64,
}

/// What a sum is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Means and spreads of features.
    Statistics,
    /// A round of training, from 1.
    Round(u32),
}

impl Terms {
    /// Checks what cannot be sensible for anybody, and that the privacy loss is as stated.
    ///
    /// # Errors
    /// [`TermsError::Terms`].
    pub fn check(&self) -> Result<(), TermsError> {
        let refuse = |why: String| Err(TermsError::Terms(why));
        if self.protocol != PROTOCOL {
            return refuse(format!("protocol {}, this program speaks {PROTOCOL}", self.protocol));
        }
        let parties_min = self.parties_min as usize;
        if !(PARTIES_MIN..=PARTIES_MAX).contains(&parties_min) {
            return refuse(format!("at least {parties_min} parties, not {PARTIES_MIN} to {PARTIES_MAX}"));
        }
        if self.rounds == 0 || self.rounds > self.rounds_summed_max || self.rounds_summed_max > 100_000 {
            return refuse(format!("{} rounds, {} summed", self.rounds, self.rounds_summed_max));
        }
        let within = |value: Real, low: f64, high: f64| value.0 > low && value.0 <= high;
        if !within(self.clip, 0.0, 1e4) || !within(self.learning_rate, 0.0, 10.0) {
            return refuse(format!("clip {}, learning rate {}", self.clip.0, self.learning_rate.0));
        }
        if !(0.0..=10.0).contains(&self.l2.0) || !(1..=3_600_000).contains(&self.deadline_ms) {
            return refuse(format!("L2 {}, deadline {} ms", self.l2.0, self.deadline_ms));
        }
        match &self.method {
            Method::Averaging { epochs, batch } => {
                if !(1..=1000).contains(epochs) || *batch == 0 {
                    return refuse(format!("{epochs} epochs of batches of {batch}"));
                }
            }
            Method::Private { noise_multiplier, epsilon, delta } => {
                let spent = privacy::epsilon(noise_multiplier.0, f64::from(self.releases_max()), delta.0);
                if !(delta.0 > 0.0 && delta.0 <= 1e-3 && spent <= epsilon.0) {
                    let (stated, delta) = (epsilon.0, delta.0);
                    return refuse(format!(
                        "epsilon {stated} at delta {delta} is stated, it would be {spent}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Releases that all sums come to, with that for standardisation.
    pub fn releases_max(&self) -> u32 {
        self.rounds_summed_max + STATISTICS_RELEASES
    }

    /// What one sum counts as.
    pub fn releases(purpose: Purpose) -> u32 {
        match purpose {
            Purpose::Statistics => STATISTICS_RELEASES,
            Purpose::Round(_) => 1,
        }
    }

    /// Noise multiplier of a sum; 0 without privacy.
    pub fn noise(&self, purpose: Purpose) -> f64 {
        match &self.method {
            Method::Averaging { .. } => 0.0,
            Method::Private { noise_multiplier, .. } => {
                noise_multiplier.0 / f64::from(Self::releases(purpose)).sqrt()
            }
        }
    }

    /// The most that one unit can change a sum by, Euclidean norm.
    pub fn sensitivity(&self, purpose: Purpose, schema: &Schema) -> f64 {
        match purpose {
            // Mean and mean square of a feature are within 1 where it is present, and its missing flag is 1 where not.
            Purpose::Statistics => (2.0 * schema.features.len() as f64 + 2.0).sqrt(),
            Purpose::Round(_) => self.clip.0,
        }
    }

    /// Numbers in a sum.
    pub fn length(&self, purpose: Purpose, schema: &Schema) -> usize {
        match (purpose, &self.method) {
            (Purpose::Statistics, _) => 3 * schema.features.len() + 2,
            (Purpose::Round(_), Method::Averaging { .. }) => schema.width() + 1,
            (Purpose::Round(_), Method::Private { .. }) => schema.width(),
        }
    }

    /// Privacy loss of so many releases; `None` without noise.
    pub fn spent(&self, releases: u32) -> Option<f64> {
        match &self.method {
            Method::Averaging { .. } => None,
            Method::Private { noise_multiplier, delta, .. } => {
                Some(privacy::epsilon(noise_multiplier.0, f64::from(releases), delta.0))
            }
        }
    }
}

/// Parties of a sum that must last to its end: more than two thirds. With fewer, a coordinator that tells two halves of the
/// parties different things could get both secrets of one (Bonawitz et al. 2017, section 6.2).
pub fn threshold(parties: usize) -> usize {
    2 * parties / 3 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
        label = "fraud"
        unit = "customer"
        [[features]]
        name = "amount"
        low = 0
        high = 500.5
        [[features]]
        name = "age"
        low = -1.5
        high = 99
        missing = true
    "#;

    fn terms() -> Terms {
        Terms {
            protocol: PROTOCOL,
            session: Bytes([0; 16]),
            schema: Digest::of(&[]),
            parties_min: 3,
            rounds: 40,
            rounds_summed_max: 52,
            method: Method::Private { noise_multiplier: Real(13.0), epsilon: Real(3.0), delta: Real(1e-6) },
            clip: Real(1.0),
            learning_rate: Real(0.1),
            l2: Real(0.0),
            leave_out: true,
            deadline_ms: 1000,
        }
    }

    #[test]
    fn a_schema_reads_back() {
        let schema = Schema::from_toml(TOML).unwrap();
        assert_eq!((schema.width(), schema.names()), (4, vec!["amount".to_owned(), "age".to_owned()]));
        assert_eq!(Schema::from_toml(&schema.to_toml()).unwrap(), schema);
        let other = Schema::from_toml(&TOML.replace("500.5", "500")).unwrap();
        assert_ne!(other.digest(), schema.digest(), "bounds are part of it");
    }

    #[test]
    fn schemas_that_cannot_be_used_are_refused() {
        for (from, to, because) in [
            ("high = 500.5", "high = 0", "amount"),
            ("high = 500.5", "high = inf", "amount"),
            ("\"age\"", "\"amount\"", "twice"),
            ("\"age\"", "\"fraud\"", "twice"),
            ("missing", "absent", "absent"),
            ("name = \"age\"", "", "name"),
        ] {
            let error = Schema::from_toml(&TOML.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(because), "{to}: {error}");
        }
        assert!(Schema::from_toml("label = \"a\"\nfeatures = []").is_err());
    }

    #[test]
    fn terms_that_state_too_little_privacy_loss_are_refused() {
        terms().check().unwrap();
        let with = |change: &dyn Fn(&mut Terms)| {
            let mut terms = terms();
            change(&mut terms);
            terms.check()
        };
        let noise = |sigma, epsilon, delta| Method::Private {
            noise_multiplier: Real(sigma),
            epsilon: Real(epsilon),
            delta: Real(delta),
        };
        assert!(with(&|t| t.method = noise(12.0, 3.0, 1e-6)).is_err(), "less noise");
        let spent = terms().spent(terms().releases_max()).unwrap();
        assert!(with(&|t| t.method = noise(13.0, spent, 1e-6)).is_ok());
        assert!(with(&|t| t.method = noise(13.0, spent.next_down(), 1e-6)).is_err(), "the least bit less");
        assert!(with(&|t| t.method = noise(13.0, 3.0, 0.5)).is_err(), "a delta that is no promise");
        assert!(with(&|t| t.rounds_summed_max = 80).is_err(), "more sums");
        assert!(with(&|t| t.parties_min = 2).is_err(), "two parties know each other's part");
        assert!(with(&|t| t.clip = Real(0.0)).is_err());
        assert!(with(&|t| t.rounds = 0).is_err());
    }

    #[test]
    fn more_than_two_thirds_must_last() {
        for (parties, least) in [(3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7), (10, 7)] {
            assert_eq!(threshold(parties), least, "of {parties}");
            assert!(3 * threshold(parties) > 2 * parties);
        }
    }
}
