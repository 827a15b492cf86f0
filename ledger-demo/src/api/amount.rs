//! Amounts in JSON: whole numbers of minor units, and nothing that only looks like one.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// An amount as sent. Whole numbers beyond 64 bits become the nearest that fits, which the ledger refuses with the code for
/// amounts that are too large or negative; fractions and texts are refused here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount(pub(super) i64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of minor units, such as 1250 for 12.50")
    }

    fn visit_i64<E>(self, amount: i64) -> Result<Amount, E> {
        Ok(Amount(amount))
    }

    fn visit_u64<E>(self, amount: u64) -> Result<Amount, E> {
        Ok(Amount(i64::try_from(amount).unwrap_or(i64::MAX)))
    }

    /// serde_json hands whole numbers of more than 64 bits over as floats. Below 2^63 a float was written as one: `12.5`,
    /// but also `12.0` and `1e2`, which are refused alike.
    fn visit_f64<E: de::Error>(self, amount: f64) -> Result<Amount, E> {
        const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
        if amount >= TWO_TO_63 {
            Ok(Amount(i64::MAX))
        } else if amount <= -TWO_TO_63 {
            Ok(Amount(i64::MIN))
        } else {
            Err(E::invalid_type(de::Unexpected::Float(amount), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_are_amounts() {
        for (text, expected) in [
            ("1250", Some(1250)),
            ("-1", Some(-1)),
            ("0", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", Some(i64::MAX)),
            ("340282366920938463463374607431768211456", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("1e300", Some(i64::MAX)),
            ("12.5", None),
            ("12.0", None),
            ("1e2", None),
            ("\"12\"", None),
            ("null", None),
            ("[12]", None),
            ("0x10", None),
            ("NaN", None),
        ] {
            let told = serde_json::from_str::<Amount>(text).ok().map(|amount| amount.0);
            assert_eq!(told, expected, "{text}");
        }
    }
}
