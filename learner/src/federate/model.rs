//! The model that training ends with: a logistic regression over the agreed features.

use serde::{Deserialize, Serialize};

use super::state::{Scaling, State};
use super::terms::Schema;

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
        let mut design = vec![0.0; self.schema.width()];
        if let Some(scaling) = &self.state.scaling {
            design_row(&self.schema, scaling, row, &mut design);
        }
        let raw = design.iter().zip(&self.state.weights).map(|(x, weight)| f64::from(*x) * weight.0).sum();
        probability(raw)
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
