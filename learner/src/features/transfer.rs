//! Features of a transfer against the behaviour known before it.

use super::{FeatureSpec, feature_row};
use crate::profiles::ProfileView;
use serde::{Deserialize, Serialize};

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

    /// Local hour of day, 0 to 23.
    pub fn local_hour(&self) -> usize {
        let local_ms = self.at_ms.saturating_add(i64::from(self.utc_offset_min) * 60_000);
        usize::try_from(local_ms.div_euclid(3_600_000).rem_euclid(24)).unwrap_or(0)
    }
}

feature_row!(Row of f64 {
    amount_log 1 always "ln(1 + major units)" "size of the amount";
    amount_to_norm_log 1 sometimes "ln ratio" "amount against this customer's usual amount";
    amount_z 1 sometimes "standard deviations, -10 to 10" "amount against the spread of this customer's amounts, log scale";
    amount_to_max_log 1 sometimes "ln ratio" "amount against the largest this customer sent in 30 days";
    count_1h 1 always "ln(1 + n)" "transfers accepted in the last hour";
    count_1d 1 always "ln(1 + n)" "transfers accepted in the last day";
    count_7d 1 always "ln(1 + n)" "transfers accepted in the last 7 days";
    count_30d 1 always "ln(1 + n)" "transfers accepted in the last 30 days";
    sum_1h 1 always "ln(1 + major units)" "amount sent in the last hour";
    sum_1d 1 always "ln(1 + major units)" "amount sent in the last day";
    sum_7d 1 always "ln(1 + major units)" "amount sent in the last 7 days";
    sum_30d 1 always "ln(1 + major units)" "amount sent in the last 30 days";
    day_to_month_log 1 sometimes "ln ratio" "today's total with this transfer against this customer's usual day";
    new_payee 1 always "0 or 1" "this customer never paid this payee";
    times_paid 1 always "ln(1 + n)" "times this customer paid this payee";
    new_payees_1d 1 always "ln(1 + n)" "payees this customer paid for the first time within the last day";
    new_payee_excess 1 always "ln ratio, 0 or more" "amount above the usual, to a new payee";
    payee_age 1 sometimes "ln(1 + days)" "time since anybody here first paid this payee";
    payee_fan_in_1d 1 always "ln(1 + n)" "customers who paid this payee within a day";
    payee_fan_in_30d 1 always "ln(1 + n)" "customers who paid this payee within 30 days";
    payee_rush 1 always "0 to 1" "share of this payee's payers of 30 days who came within the last day, from three payers on";
    hour_unusual 1 sometimes "0 to 1" "share of this customer's transfers that were made at other hours of the day";
    night 1 always "0 or 1" "between midnight and 5 o'clock, local time";
    session_age 1 sometimes "ln(1 + s)" "age of the session";
    auth_age 1 sometimes "ln(1 + s)" "time since the last login";
    fresh_session_new_payee 1 always "0 to 1" "new payee from a session that has only begun, 1 at its first second";
    new_device 2 sometimes "0 or 1" "device this customer never used for an accepted transfer";
    new_device_new_payee 2 always "0 or 1" "new device and new payee together";
    since_last 1 sometimes "ln(1 + minutes)" "time since this customer's last accepted transfer";
    attempts_10m 1 always "ln(1 + n)" "transfers asked for in the last 10 minutes";
    unaccepted_1d 1 always "ln(1 + n)" "transfers of the last day that were asked for and not accepted";
    history 1 always "ln(1 + n)" "how many accepted transfers this customer's norm rests on";
});

/// Fewer accepted transfers than this are no habit.
const HABIT_MIN: u32 = 4;
/// A customer who always sends the same amount still has some spread (log scale, about a third).
const SPREAD_MIN: f64 = 0.3;
const NIGHT_ENDS: usize = 5;
/// Sessions younger than this count as only begun, on an exponential scale.
const FRESH_SESSION_S: f64 = 120.0;

/// SHA-256 of this table; a model made for another one is refused.
pub fn schema_hash() -> String {
    super::schema_hash("transfer", &FEATURES)
}

/// The vector of a transfer, `NaN` where a value is unknown; shape `[COUNT]`.
///
/// Values are rounded to single precision, so that models trained on other machines see the very same numbers.
pub fn vector(event: &TransferEvent, view: &ProfileView) -> [f64; COUNT] {
    let cents = event.amount_cents().max(0) as f64;
    let amount_log = (1.0 + cents).ln();
    let habit = view.accepted_total >= HABIT_MIN;
    let to_norm = if habit { amount_log - view.log_cents_mean } else { f64::NAN };
    let new_payee = flag(view.times_paid == 0);
    let new_device = match view.device_known {
        Some(known) if view.accepted_total > 0 => flag(!known),
        _ => f64::NAN,
    };
    let fresh = event.session_age_s.map_or(0.0, |age| (-f64::from(age) / FRESH_SESSION_S).exp());
    let [count_1h, count_1d, count_7d, count_30d] = view.counts.map(|n| f64::from(n).ln_1p());
    let [sum_1h, sum_1d, sum_7d, sum_30d] = view.sums_cents.map(major_log);
    let rush = if view.payee_fan_in_30d >= 3 {
        f64::from(view.payee_fan_in_1d) / f64::from(view.payee_fan_in_30d)
    } else {
        0.0
    };
    let row = Row {
        amount_log: (cents / 100.0).ln_1p(),
        amount_to_norm_log: to_norm,
        amount_z: (to_norm / view.log_cents_sd.max(SPREAD_MIN)).clamp(-10.0, 10.0),
        amount_to_max_log: if habit && view.max_30d_cents > 0 {
            amount_log - (1.0 + view.max_30d_cents as f64).ln()
        } else {
            f64::NAN
        },
        count_1h,
        count_1d,
        count_7d,
        count_30d,
        sum_1h,
        sum_1d,
        sum_7d,
        sum_30d,
        day_to_month_log: day_to_month(cents, view),
        new_payee,
        times_paid: f64::from(view.times_paid).ln_1p(),
        new_payees_1d: f64::from(view.new_payees_1d).ln_1p(),
        new_payee_excess: if to_norm > 0.0 { new_payee * to_norm } else { 0.0 },
        payee_age: view.payee_age_ms.map_or(f64::NAN, |age| (age.max(0) as f64 / 86_400_000.0).ln_1p()),
        payee_fan_in_1d: f64::from(view.payee_fan_in_1d).ln_1p(),
        payee_fan_in_30d: f64::from(view.payee_fan_in_30d).ln_1p(),
        payee_rush: rush,
        hour_unusual: if habit { 1.0 - view.hour_share } else { f64::NAN },
        night: flag(event.local_hour() < NIGHT_ENDS),
        session_age: event.session_age_s.map_or(f64::NAN, |age| f64::from(age).ln_1p()),
        auth_age: event.auth_age_s.map_or(f64::NAN, |age| f64::from(age).ln_1p()),
        fresh_session_new_payee: new_payee * fresh,
        new_device,
        new_device_new_payee: if new_device > 0.5 { new_payee } else { 0.0 },
        since_last: view.since_last_ms.map_or(f64::NAN, |gap| (gap.max(0) as f64 / 60_000.0).ln_1p()),
        attempts_10m: f64::from(view.attempts_10m).ln_1p(),
        unaccepted_1d: f64::from(view.unaccepted_1d).ln_1p(),
        history: f64::from(view.accepted_total).ln_1p(),
    };
    row.into_array().map(|value| f64::from(value as f32))
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

fn major_log(cents: i64) -> f64 {
    (cents.max(0) as f64 / 100.0).ln_1p()
}

/// The last day with this transfer against an average day of the last 30; unknown without any history.
fn day_to_month(cents: f64, view: &ProfileView) -> f64 {
    let [_, day, _, month] = view.sums_cents;
    if month <= 0 {
        return f64::NAN;
    }
    let usual_day = month as f64 / 30.0;
    ((day.max(0) as f64 + cents + 1.0) / (usual_day + 1.0)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(amount_minor: i64) -> TransferEvent {
        TransferEvent {
            at_ms: 1_700_000_000_000,
            customer: 1,
            payee: 2,
            device: None,
            amount_minor,
            currency: *b"EUR",
            session_age_s: None,
            auth_age_s: None,
            utc_offset_min: 0,
        }
    }

    fn named(vector: &[f64; COUNT], name: &str) -> f64 {
        let index = FEATURES.iter().position(|spec| spec.name == name).expect("feature exists");
        vector[index]
    }

    #[test]
    fn names_are_unique_and_the_hash_depends_on_them() {
        let mut names: Vec<_> = FEATURES.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNT);
        let mut other = FEATURES;
        other[3].version += 1;
        assert_ne!(super::super::schema_hash("transfer", &other), schema_hash());
        assert_ne!(super::super::schema_hash("request", &FEATURES), schema_hash());
    }

    #[test]
    fn a_first_transfer_has_no_norm_but_flags_its_newness() {
        let vector = vector(&event(1_000), &ProfileView::default());
        assert!(named(&vector, "amount_to_norm_log").is_nan());
        assert!(named(&vector, "amount_z").is_nan());
        assert!(named(&vector, "new_device").is_nan());
        assert!(named(&vector, "session_age").is_nan());
        assert_eq!(named(&vector, "new_payee"), 1.0);
    }

    #[test]
    fn only_declared_features_are_ever_missing() {
        for view in [ProfileView::default(), ProfileView { accepted_total: 9, ..ProfileView::default() }] {
            for (value, spec) in vector(&event(i64::MAX), &view).iter().zip(FEATURES) {
                assert!(
                    value.is_finite() || (value.is_nan() && spec.may_be_missing),
                    "{} is {value}",
                    spec.name
                );
            }
        }
    }

    #[test]
    fn fourteen_times_the_usual_is_a_log_ratio() {
        let view = ProfileView {
            accepted_total: 10,
            log_cents_mean: 10_001f64.ln(),
            log_cents_sd: 0.5,
            ..ProfileView::default()
        };
        let vector = vector(&event(140_013), &view);
        assert!((named(&vector, "amount_to_norm_log").exp() - 14.0).abs() < 1e-3);
        assert!((named(&vector, "amount_z") - 14f64.ln() / 0.5).abs() < 1e-3);
    }

    #[test]
    fn hours_are_local() {
        for (at_ms, offset, hour) in [(0, 0, 0), (0, -60, 23), (23 * 3_600_000, 120, 1), (-1, 0, 23)] {
            let event = TransferEvent { at_ms, utc_offset_min: offset, ..event(1) };
            assert_eq!(event.local_hour(), hour, "{at_ms} at {offset}");
        }
    }

    #[test]
    fn exponents_of_currencies_count() {
        for (currency, minor, cents) in [(*b"EUR", 150, 150), (*b"JPY", 150, 15_000), (*b"KWD", 1_500, 150)] {
            assert_eq!(TransferEvent { currency, ..event(minor) }.amount_cents(), cents);
        }
    }
}
