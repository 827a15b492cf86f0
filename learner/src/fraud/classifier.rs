//! A fraud model over any schema: what an artifact keeps, and how it scores.

use super::calibrator::Calibrator;
use super::derived::Derived;
use super::encoder::Encoder;
use super::scorecard::Scorecard;
use crate::behaviour::{Column, Event, Profiles, Schema};
use crate::trees::Trees;
use serde::{Deserialize, Serialize};

/// Longest vector that is scored.
pub const WIDTH_MAX: usize = 512;

/// Where a bank acts on the probability, learned on validation data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// From here on a challenge to the customer costs less than the fraud it stops.
    pub step_up: f64,
    /// From here on holding for review costs less; never below `step_up`.
    pub hold: f64,
}

/// The part that turns a vector into a raw score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Logistic regression or a linear support vector machine.
    Scorecard(Scorecard),
    /// A decision tree, a random forest or boosted trees.
    Trees(Trees),
}

impl Method {
    /// Raw score of a vector: the higher, the riskier.
    pub fn raw(&self, vector: &[f32]) -> f64 {
        match self {
            Self::Scorecard(card) => card.raw(vector),
            Self::Trees(trees) => trees.raw(vector),
        }
    }
}

/// A model with everything that its scores depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classifier {
    /// The features that come of behaviour.
    pub schema: Schema,
    /// The columns for levels that follow them.
    pub encoder: Encoder,
    /// What makes further inputs of both, where the model has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
    /// From a vector to a raw score.
    pub method: Method,
    /// From a raw score to a probability.
    pub calibrator: Calibrator,
    /// Where to act.
    pub thresholds: Thresholds,
    /// The probability with the best F1 on validation rows.
    pub best_f1: f64,
}

impl Classifier {
    /// Length of a vector.
    pub fn width(&self) -> usize {
        self.plain_width() + self.derived.as_ref().map_or(0, Derived::width)
    }

    /// How many columns come of the event alone: all but the derived ones, which follow them.
    pub fn plain_width(&self) -> usize {
        self.schema.columns().len() + self.encoder.levels().len()
    }

    /// What is made of the other columns.
    pub fn derived_columns(&self) -> Vec<Column> {
        self.derived.as_ref().map_or_else(Vec::new, Derived::columns)
    }

    /// Names of a vector's columns.
    pub fn names(&self) -> Vec<String> {
        let behaviour = self.schema.columns().iter().map(|column| column.name.clone());
        let derived = self.derived_columns().into_iter().map(|column| column.name);
        behaviour.chain(self.encoder.names(&self.schema)).chain(derived).collect()
    }

    /// The vector of an event against what is known before it, put into `out`.
    pub fn vector(&self, profiles: &Profiles, event: &Event<'_>, out: &mut Vec<f32>) {
        profiles.describe(&self.schema, event, out);
        self.complete(event, out);
    }

    /// Adds to the features of an event, as [`Profiles::describe`] gives them, every other column of its vector.
    pub fn complete(&self, event: &Event<'_>, vector: &mut Vec<f32>) {
        self.encoder.extend(event.categories, vector);
        if let Some(derived) = &self.derived {
            derived.extend(vector);
        }
    }

    /// Raw score of a vector.
    pub fn raw(&self, vector: &[f32]) -> f64 {
        self.method.raw(vector)
    }

    /// Calibrated probability of fraud, strictly between 0 and 1.
    pub fn probability(&self, vector: &[f32]) -> f64 {
        self.calibrator.probability(self.raw(vector))
    }

    /// Raw score of a vector, and each feature's share in it, put into `out` (shape `[width]`): exact for a scorecard,
    /// along the paths for trees.
    pub fn contributions(&self, vector: &[f32], out: &mut [f64]) -> f64 {
        match &self.method {
            Method::Scorecard(card) => card.contributions(vector, out),
            Method::Trees(trees) => {
                trees.path_contributions(vector, out);
                trees.raw(vector)
            }
        }
    }

    /// Whether the parts fit together and the numbers can score.
    pub(crate) fn check(&self) -> Result<(), String> {
        let width = self.width();
        if width > WIDTH_MAX {
            return Err(format!("{width} features, of at most {WIDTH_MAX}"));
        }
        if self.encoder.levels().iter().any(|level| level.category >= self.schema.inputs().categorical.len())
        {
            return Err("a column for a category that the schema does not have".to_owned());
        }
        self.derived.as_ref().map_or(Ok(()), |derived| derived.check(self.plain_width()))?;
        match &self.method {
            Method::Scorecard(card) => card.check(width)?,
            Method::Trees(trees) => {
                trees.check().map_err(|error| error.to_string())?;
                if trees.width() != width {
                    return Err(format!("trees over {} features, of {width}", trees.width()));
                }
            }
        }
        self.calibrator.check()?;
        let Thresholds { step_up, hold } = self.thresholds;
        let sound = (0.0..=1.0).contains(&step_up)
            && (step_up..=1.0).contains(&hold)
            && (0.0..=1.0).contains(&self.best_f1);
        if sound { Ok(()) } else { Err("the thresholds are out of range".to_owned()) }
    }
}
