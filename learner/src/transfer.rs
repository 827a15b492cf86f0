//! A transfer as the gateway sees it, and the features it has.

use crate::behaviour::{Event, Inputs, Schema};
use serde::{Deserialize, Serialize};

/// Labels of transfers arrive within a week: reviewers decide within days, and customers complain soon or late.
const LABEL_DELAY_S: u32 = 7 * 86_400;

/// A transfer somebody asks for. Identifiers are keyed 64-bit hashes made by the caller, so that nothing here can be
/// turned back into a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferEvent {
    /// When it was asked for, unix milliseconds.
    pub at_ms: i64,
    /// Who pays.
    pub customer: u64,
    /// Who is paid.
    pub payee: u64,
    /// The device or browser it comes from, where one is known.
    pub device: Option<u64>,
    /// Amount in the currency's minor units; never below zero in what is scored.
    pub amount_minor: i64,
    /// ISO 4217 code, such as `*b"EUR"`.
    pub currency: [u8; 3],
    /// Seconds since the session began.
    pub session_age_s: Option<u32>,
    /// Seconds since the customer last proved who they are (`auth_time`).
    pub auth_age_s: Option<u32>,
    /// Offset of the customer's (or the bank's) local time from UTC, for habits by hour of day.
    pub utc_offset_min: i16,
}

/// What a transfer comes with, and the features that follow.
pub fn schema() -> Schema {
    Schema::new(Inputs {
        time: true,
        customer: true,
        counterparty: true,
        amount: true,
        coordinates: false,
        attempts: true,
        label_delay_s: LABEL_DELAY_S,
        categorical: vec!["device".to_owned()],
        numeric: vec!["session_age_s".to_owned(), "auth_age_s".to_owned()],
    })
}

impl TransferEvent {
    /// The amount in hundredths of a major unit, whatever the currency's exponent (ISO 4217: 0 for JPY, 3 for KWD).
    /// Currencies are not converted into one another.
    pub fn amount_cents(&self) -> i64 {
        match &self.currency {
            b"JPY" | b"KRW" | b"VND" | b"CLP" | b"ISK" | b"UGX" | b"XAF" | b"XOF" | b"XPF" | b"PYG"
            | b"RWF" => self.amount_minor.saturating_mul(100),
            b"KWD" | b"BHD" | b"OMR" | b"JOD" | b"TND" | b"IQD" | b"LYD" => self.amount_minor / 10,
            _ => self.amount_minor,
        }
    }

    /// Its category, in the order of [`schema`].
    pub(crate) fn categories(&self) -> [Option<u64>; 1] {
        [self.device]
    }

    /// Its plain numbers, in the order of [`schema`].
    pub(crate) fn numbers(&self) -> [f32; 2] {
        [self.session_age_s, self.auth_age_s].map(|age_s| age_s.map_or(f32::NAN, |age_s| age_s as f32))
    }

    /// Hands the transfer over as behaviour sees it.
    pub fn seen<R>(&self, look: impl FnOnce(&Event<'_>) -> R) -> R {
        look(&Event {
            at_ms: self.at_ms,
            customer: Some(self.customer),
            counterparty: Some(self.payee),
            amount_cents: Some(self.amount_cents()),
            utc_offset_min: self.utc_offset_min,
            coordinates: None,
            categories: &self.categories(),
            numbers: &self.numbers(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_of_currencies_count() {
        for (currency, minor, cents) in [(*b"EUR", 150, 150), (*b"JPY", 150, 15_000), (*b"KWD", 1_500, 150)] {
            let event = TransferEvent {
                at_ms: 0,
                customer: 1,
                payee: 2,
                device: None,
                amount_minor: minor,
                currency,
                session_age_s: None,
                auth_age_s: None,
                utc_offset_min: 0,
            };
            assert_eq!(event.amount_cents(), cents);
        }
    }

    #[test]
    fn inputs_fit_the_schema() {
        let schema = schema();
        let event = TransferEvent {
            at_ms: 1_750_000_000_000,
            customer: 1,
            payee: 2,
            device: Some(3),
            amount_minor: 100,
            currency: *b"EUR",
            session_age_s: Some(40),
            auth_age_s: None,
            utc_offset_min: 0,
        };
        let mut vector = Vec::new();
        let profiles = crate::behaviour::Profiles::new(crate::behaviour::ProfileLimits::default());
        event.seen(|event| profiles.describe(&schema, event, &mut vector));
        assert_eq!(vector.len(), schema.columns().len());
        for (value, column) in vector.iter().zip(schema.columns()) {
            assert!(value.is_finite() || column.may_be_missing, "{} is {value}", column.name);
        }
        assert_eq!(vector[vector.len() - 2], 40.0);
    }
}
