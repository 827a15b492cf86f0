//! What a feature speaks of.

use crate::features::transfer::{COUNT, FEATURES};
use serde::Serialize;

/// What features speak of, as a customer-service person would say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The amount, by itself and against the customer's norm.
    Amount,
    /// The payee: newness, age, who else pays it.
    Payee,
    /// The time of day.
    Hour,
    /// The session and the login.
    Session,
    /// The device.
    Device,
    /// How much and how often the customer pays lately.
    Activity,
    /// Attempts and refusals.
    Attempts,
}

impl Subject {
    /// All subjects, in the order of a score's sums.
    pub const ALL: [Self; 7] =
        [Self::Amount, Self::Payee, Self::Hour, Self::Session, Self::Device, Self::Activity, Self::Attempts];

    /// The subject of a feature.
    pub fn of(feature: &str) -> Self {
        match feature {
            "amount_log" | "amount_to_norm_log" | "amount_z" | "amount_to_max_log" | "day_to_month_log" => {
                Self::Amount
            }
            "hour_unusual" | "night" => Self::Hour,
            "session_age" | "auth_age" | "fresh_session_new_payee" => Self::Session,
            "new_device" | "new_device_new_payee" => Self::Device,
            "attempts_10m" | "unaccepted_1d" => Self::Attempts,
            "new_payee_excess" => Self::Amount,
            "times_paid" => Self::Payee,
            name if name.starts_with("new_payee") || name.starts_with("payee_") => Self::Payee,
            _ => Self::Activity,
        }
    }

    /// Subjects of all features, in table order.
    pub(super) fn table() -> [Self; COUNT] {
        FEATURES.map(|spec| Self::of(spec.name))
    }
}
