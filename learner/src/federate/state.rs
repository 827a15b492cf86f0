//! The shared state of a training, and how a sum changes it: the same function for coordinator and parties, so that nobody
//! has to believe what the coordinator made of a sum. That its numbers are the sum of the vectors is the coordinator's word.

use serde::{Deserialize, Serialize};

use super::fixed;
use super::terms::{Method, Purpose, Schema, Terms, threshold};
use super::wire::{Digest, Real};

/// Means and spreads in units of the agreed bounds, where `low` is -1 and `high` is 1.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Mean of each feature where it is present.
    pub means: Vec<Real>,
    /// Standard deviation of each, at least [`SPREAD_MIN`].
    pub spreads: Vec<Real>,
    /// Units that were summed; with noise, about.
    pub units: Real,
}

/// A feature that varies less within its bounds is scaled as if it varied so much: noise would drown its spread.
pub const SPREAD_MIN: f64 = 0.05;

/// Bound of coefficients; far above what the steps of all rounds that terms allow add up to, and far below what overflows.
const WEIGHT_MAX: f64 = 1e10;
/// Bound of a mean gradient with its penalty, as the largest sum in fixed point gives it, for one unit.
const GRADIENT_MAX: f64 = 1e12;

/// What all parties train from.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Standardisation, once it is known.
    pub scaling: Option<Scaling>,
    /// Coefficients in the order of [`Schema::width`].
    pub weights: Vec<Real>,
    /// First and second moments of the optimiser (Adam).
    first: Vec<Real>,
    second: Vec<Real>,
    /// Rounds accepted.
    pub rounds: u32,
}

/// Why a sum cannot be taken: somebody put into it what no honest party can.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Void {
    /// Not as many numbers as the sum has.
    #[error("{found} numbers where the sum has {expected}")]
    Length {
        /// Numbers of that sum.
        expected: usize,
        /// Numbers there.
        found: usize,
    },
    /// The update is larger than honest ones can be together.
    #[error("update of norm {norm:.4} where honest parties stay below {bound:.4}")]
    Norm {
        /// Euclidean norm.
        norm: f64,
        /// What it may be.
        bound: f64,
    },
    /// Parties' weights do not add up to at most one.
    #[error("parties' weights add up to {0:.4}")]
    Weights(f64),
    /// Means or counts that no data have.
    #[error("statistics that no data have: {0}")]
    Statistics(String),
    /// A round before there is a standardisation.
    #[error("there is no standardisation yet")]
    Early,
}

impl State {
    /// What names it.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// Whether it can be a state of this schema, with numbers that training comes to; checked when it comes from outside.
    pub fn fits(&self, schema: &Schema) -> bool {
        let (features, width) = (schema.features.len(), schema.width());
        match &self.scaling {
            None => self.weights.is_empty() && self.first.is_empty() && self.second.is_empty(),
            Some(scaling) => {
                // So many, each within: NaN is within nothing.
                let within = |values: &[Real], length, low: f64, high: f64| {
                    values.len() == length && values.iter().all(|value| (low..=high).contains(&value.0))
                };
                scaling.units.0 >= 1.0
                    && within(&scaling.means, features, -1.0, 1.0)
                    && within(&scaling.spreads, features, SPREAD_MIN, 1.0)
                    && within(&self.weights, width, -WEIGHT_MAX, WEIGHT_MAX)
                    && within(&self.first, width, -GRADIENT_MAX, GRADIENT_MAX)
                    && within(&self.second, width, 0.0, GRADIENT_MAX * GRADIENT_MAX)
            }
        }
    }

    /// The state after a sum of these parties' vectors, with the norm of the update.
    ///
    /// # Errors
    /// [`Void`]: the sum cannot come from honest parties.
    pub fn after(
        &self,
        terms: &Terms,
        schema: &Schema,
        purpose: Purpose,
        parties: usize,
        sum: &[u64],
    ) -> Result<(Self, f64), Void> {
        let expected = terms.length(purpose, schema);
        if sum.len() != expected {
            return Err(Void::Length { expected, found: sum.len() });
        }
        let sum = fixed::decode(sum);
        let deviation = noise_of_sum(terms, schema, purpose, parties);
        match purpose {
            Purpose::Statistics => standardised(schema, &sum, 6.0 * deviation).map(|after| (after, 0.0)),
            Purpose::Round(_) => {
                let scaling = self.scaling.as_ref().ok_or(Void::Early)?;
                match terms.method {
                    Method::Averaging { .. } => self.averaged(terms, &sum),
                    Method::Private { .. } => self.stepped(terms, scaling.units.0, &sum, deviation),
                }
            }
        }
    }

    fn averaged(&self, terms: &Terms, sum: &[f64]) -> Result<(Self, f64), Void> {
        let (total, differences) = sum.split_last().ok_or(Void::Length { expected: 1, found: 0 })?;
        if !(*total > 0.0 && *total <= 1.001) {
            return Err(Void::Weights(*total));
        }
        let mean: Vec<f64> = differences.iter().map(|difference| difference / total).collect();
        let norm = within(&mean, terms.clip.0 * 1.001)?;
        let weights = self.weights.iter().zip(&mean).map(|(weight, step)| Real(weight.0 + step)).collect();
        Ok((Self { weights, rounds: self.rounds + 1, ..self.clone() }, norm))
    }

    /// One step of Adam (Kingma and Ba 2015) along the mean gradient. However large the gradient, a coefficient moves by
    /// no more than about the step length.
    fn stepped(&self, terms: &Terms, units: f64, sum: &[f64], deviation: f64) -> Result<(Self, f64), Void> {
        let mean: Vec<f64> = sum.iter().map(|value| value / units).collect();
        let tail = 6.0 * deviation * (sum.len() as f64).sqrt() / units;
        let norm = within(&mean, terms.clip.0 + tail)?;
        let mut after = Self { rounds: self.rounds + 1, ..self.clone() };
        let intercept = after.weights.len().saturating_sub(1);
        let rate = learning_rate(terms, self.rounds);
        let slots = after.weights.iter_mut().zip(after.first.iter_mut().zip(&mut after.second));
        for (at, ((weight, (first, second)), gradient)) in slots.zip(&mean).enumerate() {
            let penalty = if at == intercept { 0.0 } else { terms.l2.0 * weight.0 };
            let step = adam(&mut first.0, &mut second.0, gradient + penalty, after.rounds);
            weight.0 -= rate * step;
        }
        Ok((after, norm))
    }
}

/// Standard deviation of the noise that is in a sum at most, when no party leaves its part out.
fn noise_of_sum(terms: &Terms, schema: &Schema, purpose: Purpose, parties: usize) -> f64 {
    noise_share(terms, schema, purpose, parties) * (parties as f64).sqrt()
}

/// Standard deviation of the noise that each of `parties` adds. As many as must last, but for one, make up the whole: one
/// party may drop its part, or know it.
pub(super) fn noise_share(terms: &Terms, schema: &Schema, purpose: Purpose, parties: usize) -> f64 {
    let sensitivity = terms.sensitivity(purpose, schema) + fixed::rounding(terms.length(purpose, schema));
    terms.noise(purpose) * sensitivity / (threshold(parties).saturating_sub(1).max(1) as f64).sqrt()
}

/// Step length in the round after so many.
pub(super) fn learning_rate(terms: &Terms, rounds: u32) -> f64 {
    terms.learning_rate.0 * (1.0 - 0.9 * f64::from(rounds) / f64::from(terms.rounds.max(1)))
}

/// The direction of Adam's step number `step`, from 1; updates the moments.
pub(super) fn adam(first: &mut f64, second: &mut f64, gradient: f64, step: u32) -> f64 {
    const DECAY: (f64, f64) = (0.9, 0.99);
    *first = DECAY.0 * *first + (1.0 - DECAY.0) * gradient;
    *second = DECAY.1 * *second + (1.0 - DECAY.1) * gradient * gradient;
    let step = step.min(100_000).cast_signed();
    let unbiased = (*first / (1.0 - DECAY.0.powi(step)), *second / (1.0 - DECAY.1.powi(step)));
    unbiased.0 / (unbiased.1.sqrt() + 1e-10)
}

fn within(update: &[f64], bound: f64) -> Result<f64, Void> {
    let norm = update.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm <= bound { Ok(norm) } else { Err(Void::Norm { norm, bound }) }
}

/// From sums of means, mean squares and missing shares of each feature, of positive shares, and of ones.
fn standardised(schema: &Schema, sum: &[f64], tail: f64) -> Result<State, Void> {
    let odd = |what: &str| Void::Statistics(what.to_owned());
    let (features, last) = sum.split_at_checked(3 * schema.features.len()).ok_or_else(|| odd("length"))?;
    let &[positive, units] = last else { return Err(odd("length")) };
    if units < 1.0 || positive < -tail || positive > units + tail {
        return Err(odd(&format!("{positive:.3} positives among {units:.3}")));
    }
    let (mut means, mut spreads) = (Vec::new(), Vec::new());
    for (feature, three) in schema.features.iter().zip(features.chunks_exact(3)) {
        let &[total, squares, missing] = three else { return Err(odd("length")) };
        let present = units - missing;
        if missing < -tail
            || present < -tail
            || total.abs() > present + 2.0 * tail
            || squares > present + 2.0 * tail
        {
            return Err(odd(&feature.name));
        }
        // A feature that hardly anybody has is left as it is.
        let known = present > 0.01 * units && present > tail;
        let mean = if known { (total / present).clamp(-1.0, 1.0) } else { 0.0 };
        let variance = if known { squares / present - mean * mean } else { 1.0 };
        means.push(Real(mean));
        spreads.push(Real(variance.max(0.0).sqrt().clamp(SPREAD_MIN, 1.0)));
    }
    let mut weights = vec![Real(0.0); schema.width()];
    if let Some(intercept) = weights.last_mut() {
        let share = (positive / units).clamp(1e-4, 0.5);
        intercept.0 = (share / (1.0 - share)).ln();
    }
    let moments = vec![Real(0.0); schema.width()];
    let scaling = Some(Scaling { means, spreads, units: Real(units) });
    Ok(State { scaling, weights, first: moments.clone(), second: moments, rounds: 0 })
}
