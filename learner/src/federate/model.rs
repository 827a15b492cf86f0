//! The model that training ends with: a logistic regression over the agreed features.

use serde::{Deserialize, Serialize};

use super::state::{Scaling, State};
use super::terms::{Feature, Schema};
use crate::fraud::{REACH, Scorecard, Term};

/// A logistic regression with its schema and standardisation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The agreed table.
    pub schema: Schema,
    /// State that was accepted last.
    pub state: State,
}

impl Model {
    /// `None` where training ended before there was a model, or the state is of another schema.
    pub fn of(schema: Schema, state: State) -> Option<Self> {
        (state.scaling.is_some() && state.fits(&schema)).then_some(Self { schema, state })
    }

    /// Probability of a positive; `row` has the schema's features in order, NaN is missing.
    pub fn score(&self, row: &[f32]) -> f64 {
        probability(self.log_odds(row))
    }

    /// Natural-log odds of a positive; `row` as for [`Model::score`].
    pub fn log_odds(&self, row: &[f32]) -> f64 {
        let mut design = vec![0.0; self.schema.width()];
        if let Some(scaling) = &self.state.scaling {
            design_row(&self.schema, scaling, row, &mut design);
        }
        design.iter().zip(&self.state.weights).map(|(x, weight)| f64::from(*x) * weight.0).sum()
    }

    /// The same model in the form that the gateway serves, over vectors with these columns. Columns that were not agreed on
    /// count nothing.
    ///
    /// # Errors
    /// The name of an agreed feature that is no column.
    pub fn scorecard(&self, columns: &[String]) -> Result<Scorecard, String> {
        let nothing = Term {
            imputed: 0.0,
            mean: 0.0,
            spread: 1.0,
            weight: 0.0,
            ends: Vec::new(),
            points: vec![0.0],
            missing: 0.0,
        };
        let mut terms = vec![nothing; columns.len()];
        let scales = self.state.scaling.iter().flat_map(|scaling| scaling.means.iter().zip(&scaling.spreads));
        let mut weights = self.state.weights.iter().map(|weight| weight.0);
        let slopes: Vec<f64> = weights.by_ref().take(self.schema.features.len()).collect();
        for ((feature, slope), (mean, spread)) in self.schema.features.iter().zip(slopes).zip(scales) {
            let flag = if feature.missing { weights.next().unwrap_or_default() } else { 0.0 };
            let column = columns.iter().zip(&mut terms).find(|(name, _)| **name == feature.name);
            let (_, term) = column.ok_or_else(|| feature.name.clone())?;
            *term = straight(feature, slope / spread.0, mean.0, flag);
        }
        Ok(Scorecard { intercept: weights.next().unwrap_or_default(), terms, crosses: Vec::new() })
    }
}

/// A feature's term, which gives `slope` times what the value within its bounds, as -1 to 1, is above `mean`, and `flag` where
/// it is missing. A straight term reaches [`REACH`] spreads to both sides of its mean: with the middle of the bounds for the
/// mean and their width over twice the reach for the spread, just to the bounds.
fn straight(feature: &Feature, slope: f64, mean: f64, flag: f64) -> Term {
    let (low, high, reach) = (feature.low.0, feature.high.0, f64::from(REACH));
    let level = -slope * mean;
    Term {
        imputed: (low + (mean + 1.0) / 2.0 * (high - low)) as f32,
        mean: ((low + high) / 2.0) as f32,
        spread: ((high - low) / (2.0 * reach)) as f32,
        weight: slope / reach,
        ends: Vec::new(),
        points: vec![level],
        missing: level + flag,
    }
}

/// Logistic function.
pub(super) fn probability(raw: f64) -> f64 {
    1.0 / (1.0 + (-raw).exp())
}

/// Cross entropy of a label given raw log odds, natural logarithm.
pub(super) fn loss(raw: f64, positive: bool) -> f64 {
    let margin = if positive { raw } else { -raw };
    // ln(1 + e^-margin) without overflow.
    (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
}

/// A value within its bounds, as -1 to 1; `None` where it is missing.
pub(super) fn bounded(low: f64, high: f64, value: f32) -> Option<f64> {
    (!value.is_nan()).then(|| (f64::from(value).clamp(low, high) - low) / (high - low) * 2.0 - 1.0)
}

/// Standardised features, then flags of what is missing, then 1; `out` has [`Schema::width`] places.
pub(super) fn design_row(schema: &Schema, scaling: &Scaling, row: &[f32], out: &mut [f32]) {
    let (values, flags) = out.split_at_mut(schema.features.len().min(out.len()));
    let mut flags = flags.iter_mut();
    let scales = scaling.means.iter().zip(&scaling.spreads);
    for (((slot, feature), value), (mean, spread)) in
        values.iter_mut().zip(&schema.features).zip(row).zip(scales)
    {
        let value = bounded(feature.low.0, feature.high.0, *value);
        *slot = value.map_or(0.0, |value| ((value - mean.0) / spread.0) as f32);
        if feature.missing
            && let Some(flag) = flags.next()
        {
            *flag = f32::from(u8::from(value.is_none()));
        }
    }
    flags.for_each(|slot| *slot = 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federate::wire::Real;

    #[test]
    fn rows_are_clipped_standardised_and_flagged() {
        let text = "label = \"y\"\n[[features]]\nname = \"a\"\nlow = 0\nhigh = 10\n\
                    [[features]]\nname = \"b\"\nlow = 0\nhigh = 4\nmissing = true\n";
        let schema = Schema::from_toml(text).unwrap();
        let scaling =
            Scaling { means: vec![Real(0.5), Real(0.0)], spreads: vec![Real(0.25); 2], units: Real(1.0) };
        for (row, expected) in [
            ([10.0, 2.0], [2.0, 0.0, 0.0, 1.0]),
            ([1e9, -5.0], [2.0, -4.0, 0.0, 1.0]),
            ([7.5, f32::NAN], [0.0, 0.0, 1.0, 1.0]),
            ([f32::NAN, f32::INFINITY], [0.0, 4.0, 0.0, 1.0]),
        ] {
            let mut out = [0.0; 4];
            design_row(&schema, &scaling, &row, &mut out);
            assert_eq!(out, expected, "{row:?}");
        }
    }

    #[test]
    fn losses_do_not_overflow() {
        assert!((loss(0.0, true) - 2f64.ln()).abs() < 1e-12);
        assert!((loss(2.0, true) + probability(2.0).ln()).abs() < 1e-12);
        assert_eq!(loss(-1e4, true), 1e4);
        assert_eq!(loss(1e4, true), 0.0);
    }
}
