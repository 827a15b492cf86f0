//! What a feature speaks of.

use serde::Serialize;

/// What features speak of, as a customer-service person would say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The amount, by itself and against the customer's norm.
    Amount,
    /// The payee: newness, age, who else pays it, known fraud there.
    Payee,
    /// The time of day.
    Hour,
    /// The session and the login.
    Session,
    /// The device.
    Device,
    /// How much and how often the customer pays lately, and known fraud against the customer.
    Activity,
    /// Attempts and refusals.
    Attempts,
    /// Where it happens.
    Place,
    /// Whatever else was recorded.
    Other,
    /// The event as a whole: what the model derives of all its features together.
    Pattern,
}

impl Subject {
    /// All subjects, in the order of a score's sums.
    pub const ALL: [Self; 10] = [
        Self::Amount,
        Self::Payee,
        Self::Hour,
        Self::Session,
        Self::Device,
        Self::Activity,
        Self::Attempts,
        Self::Place,
        Self::Other,
        Self::Pattern,
    ];

    /// The subject of a feature of behaviour or a level.
    pub fn of(feature: &str) -> Self {
        match feature {
            "hour_unusual" | "hour_sin" | "hour_cos" | "night" | "weekend" => Self::Hour,
            "session_age_s" | "auth_age_s" => Self::Session,
            "attempts_10m" | "unaccepted_1h" | "unaccepted_1d" => Self::Attempts,
            "new_payee_excess" | "day_to_month_log" => Self::Amount,
            "times_paid" => Self::Payee,
            "distance_log" | "distance_z" | "from_last_log" | "speed_log" => Self::Place,
            "history" | "since_last" | "gap_to_usual_log" | "week_to_month_log" | "max_7d_to_median_log" => {
                Self::Activity
            }
            name if name.starts_with("device.") => Self::Device,
            name if name.starts_with("amount_") => Self::Amount,
            name if name.starts_with("new_payee") || name.starts_with("payee_") => Self::Payee,
            name if [
                "count_",
                "sum_",
                "mean_",
                "large_",
                "very_large_",
                "first_large_",
                "last_large_",
                "customer_",
            ]
            .iter()
            .any(|start| name.starts_with(start)) =>
            {
                Self::Activity
            }
            _ => Self::Other,
        }
    }
}
