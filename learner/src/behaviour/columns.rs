//! The features of behaviour, block by block: names, meanings and the rows that fill them.
//!
//! A block is part of a schema where its inputs exist. To add a feature, add its line here and its value in `vector.rs`.

use crate::features::{FeatureSpec, feature_row};

/// Features that need nothing but an amount.
pub(super) mod amount {
    use super::*;
    feature_row!(Row of f32 {
        amount_log 2 sometimes "ln(1 + major units)" "size of the amount";
    });
}

/// Features that need nothing but a time.
pub(super) mod time {
    use super::*;
    feature_row!(Row of f32 {
        hour_sin 1 always "-1 to 1" "time of day, sine of its angle on a 24-hour dial";
        hour_cos 1 always "-1 to 1" "time of day, cosine of its angle on a 24-hour dial";
        night 1 always "0 or 1" "between midnight and 6 o'clock, local time";
        weekend 1 always "0 or 1" "Saturday or Sunday";
    });
}

/// What the customer did lately.
pub(super) mod activity {
    use super::*;
    feature_row!(Row of f32 {
        history 1 always "ln(1 + n)" "how many events this customer's norm rests on";
        count_1h 1 always "ln(1 + n)" "events of this customer in the last hour";
        count_1d 1 always "ln(1 + n)" "events of this customer in the last day";
        count_7d 1 always "ln(1 + n)" "events of this customer in the last 7 days";
        count_30d 1 always "ln(1 + n)" "events of this customer in the last 30 days";
        since_last 1 sometimes "ln(1 + minutes)" "time since this customer's last event";
        gap_to_usual_log 1 sometimes "ln ratio" "time since the last event against this customer's usual pause";
        hour_unusual 1 sometimes "0 to 1" "share of this customer's events at other hours of the day";
        customer_frauds_7d 1 always "ln(1 + n)" "known fraud against this customer in the last 7 days that can be known";
        customer_frauds_30d 1 always "ln(1 + n)" "known fraud against this customer in the last 30 days that can be known";
        customer_risk_30d 1 always "ln odds ratio" "share of known fraud among this customer's events of 30 days, against the usual share";
        customer_risk 1 always "ln odds ratio" "share of known fraud among all this customer's events, against the usual share";
        customer_first_fraud_age 1 sometimes "days" "time since the first known fraud against this customer in the last 30 days that can be known";
        customer_fraud_age 1 sometimes "ln(1 + days)" "time since the last known fraud against this customer";
    });
}

/// The amount against the customer's own norm.
pub(super) mod norm {
    use super::*;
    feature_row!(Row of f32 {
        amount_to_norm_log 1 sometimes "ln ratio" "amount against this customer's usual amount";
        amount_z_log 1 sometimes "standard deviations, -10 to 10" "amount against the spread of this customer's amounts, log scale";
        amount_z 1 sometimes "standard deviations, -30 to 30" "amount against the spread of this customer's amounts";
        amount_z_7d 1 sometimes "standard deviations, -30 to 30" "amount against the spread of this customer's last 7 days";
        amount_z_30d 1 sometimes "standard deviations, -30 to 30" "amount against the spread of this customer's last 30 days";
        amount_to_median_log 1 sometimes "ln ratio" "amount against this customer's median of 30 days";
        amount_z_robust 1 sometimes "median distances, -30 to 30" "amount against the median distance of this customer's amounts";
        amount_to_max_log 1 sometimes "ln ratio" "amount against the largest of this customer in 30 days";
        sum_1h 1 always "ln(1 + major units)" "this customer's amounts in the last hour";
        sum_1d 1 always "ln(1 + major units)" "this customer's amounts in the last day";
        sum_7d 1 always "ln(1 + major units)" "this customer's amounts in the last 7 days";
        sum_30d 1 always "ln(1 + major units)" "this customer's amounts in the last 30 days";
        mean_1d 1 sometimes "ln(1 + major units)" "this customer's mean amount in the last day";
        mean_7d 1 sometimes "ln(1 + major units)" "this customer's mean amount in the last 7 days";
        mean_30d 1 sometimes "ln(1 + major units)" "this customer's mean amount in the last 30 days";
        day_to_month_log 1 sometimes "ln ratio" "today's total with this amount against this customer's usual day";
        week_to_month_log 1 sometimes "ln ratio" "mean amount of the last 7 days against the median of 30 days";
        large_1d 1 always "ln(1 + n)" "amounts of at least 2.5 medians in the last day";
        large_7d 1 always "ln(1 + n)" "amounts of at least 2.5 medians in the last 7 days";
        large_30d 1 always "ln(1 + n)" "amounts of at least 2.5 medians in the last 30 days";
        very_large_30d 1 always "ln(1 + n)" "amounts of at least 4 medians in the last 30 days";
        first_large_age 1 sometimes "days" "time since the first amount of at least 2.5 medians in the last 30 days";
        last_large_age 1 sometimes "days" "time since the last amount of at least 2.5 medians";
        large_share_7d 1 sometimes "0 to 1" "share of amounts of at least 2.5 medians in the last 7 days";
        max_7d_to_median_log 1 sometimes "ln ratio" "largest amount of the last 7 days against this customer's median";
    });
}

/// What is known of the counterparty over all customers.
pub(super) mod counterparty {
    use super::*;
    feature_row!(Row of f32 {
        payee_count_1h 1 always "ln(1 + n)" "events at this counterparty in the last hour";
        payee_count_1d 1 always "ln(1 + n)" "events at this counterparty in the last day";
        payee_count_7d 1 always "ln(1 + n)" "events at this counterparty in the last 7 days";
        payee_count_30d 1 always "ln(1 + n)" "events at this counterparty in the last 30 days";
        payee_age 1 sometimes "ln(1 + days)" "time since anybody here first met this counterparty";
        payee_fan_in_1d 1 always "ln(1 + n)" "customers of this counterparty within a day";
        payee_fan_in_30d 1 always "ln(1 + n)" "customers of this counterparty within 30 days";
        payee_rush 1 always "0 to 1" "share of this counterparty's customers of 30 days who came within the last day, from three on";
        payee_risk_1d 1 always "0 to 1" "share of known fraud at this counterparty in the last day that can be known";
        payee_risk_7d 1 always "0 to 1" "share of known fraud at this counterparty in the last 7 days that can be known";
        payee_risk_30d 1 always "0 to 1" "share of known fraud at this counterparty in the last 30 days that can be known";
        payee_known_7d 1 always "ln(1 + n)" "events at this counterparty in the last 7 days that can be known";
        payee_frauds_7d 1 always "ln(1 + n)" "known fraud at this counterparty in the last 7 days that can be known";
        payee_frauds_30d 1 always "ln(1 + n)" "known fraud at this counterparty in the last 30 days that can be known";
        payee_odds 1 always "ln odds ratio" "share of known fraud among all events at this counterparty, against the usual share";
        payee_streak 1 always "ln(1 + n)" "how many of the newest known events at this counterparty are fraud without a break";
        payee_streak_age 1 sometimes "days" "time since the first of these";
        payee_fraud_age 1 sometimes "days" "time since the last known fraud at this counterparty";
        payee_fraud_surprise 1 sometimes "ln ratio" "how unusual the amounts of known fraud at this counterparty were for its customers";
        payee_honest_age 1 sometimes "days" "time since the last event at this counterparty that is known as none";
    });
}

/// The amount at this counterparty.
pub(super) mod price {
    use super::*;
    feature_row!(Row of f32 {
        amount_to_payee_log 1 sometimes "ln ratio" "amount against the usual at this counterparty";
        amount_z_payee 1 sometimes "standard deviations, -10 to 10" "amount against the spread at this counterparty, log scale";
        amount_z_payee_7d 1 sometimes "standard deviations, -30 to 30" "amount against those at this counterparty in the last 7 days";
        amount_z_payee_30d 1 sometimes "standard deviations, -30 to 30" "amount against those at this counterparty in the last 30 days";
        payee_sum_1h 1 always "ln(1 + major units)" "amounts at this counterparty in the last hour";
        payee_sum_1d 1 always "ln(1 + major units)" "amounts at this counterparty in the last day";
        payee_sum_7d 1 always "ln(1 + major units)" "amounts at this counterparty in the last 7 days";
        payee_sum_30d 1 always "ln(1 + major units)" "amounts at this counterparty in the last 30 days";
        payee_mean_1d 1 sometimes "ln(1 + major units)" "mean amount at this counterparty in the last day";
        payee_mean_7d 1 sometimes "ln(1 + major units)" "mean amount at this counterparty in the last 7 days";
        payee_mean_30d 1 sometimes "ln(1 + major units)" "mean amount at this counterparty in the last 30 days";
    });
}

/// Customer and counterparty together.
pub(super) mod relation {
    use super::*;
    feature_row!(Row of f32 {
        new_payee 1 always "0 or 1" "this customer never met this counterparty";
        times_paid 1 always "ln(1 + n)" "events of this customer with this counterparty";
        new_payees_1d 1 always "ln(1 + n)" "counterparties this customer met for the first time within the last day";
    });
}

/// Amount, customer and counterparty together.
pub(super) mod excess {
    use super::*;
    feature_row!(Row of f32 {
        new_payee_excess 1 always "ln ratio, 0 or more" "amount above the usual, to a new counterparty";
    });
}

/// Where it happens.
pub(super) mod place {
    use super::*;
    feature_row!(Row of f32 {
        distance_log 1 sometimes "ln(1 + km)" "distance between both sides";
    });
}

/// Where it happens against the customer's own norm.
pub(super) mod travel {
    use super::*;
    feature_row!(Row of f32 {
        distance_z 1 sometimes "standard deviations, -10 to 10" "distance against this customer's usual";
        from_last_log 1 sometimes "ln(1 + km)" "distance from this customer's last event";
        speed_log 1 sometimes "ln(1 + km/h)" "speed it takes to come here from this customer's last event";
    });
}

/// Attempts, where the recorder counts them.
pub(super) mod attempts {
    use super::*;
    feature_row!(Row of f32 {
        attempts_10m 1 always "ln(1 + n)" "events asked for in the last 10 minutes";
        unaccepted_1h 1 always "ln(1 + n)" "events of the last hour that were asked for and not accepted";
        unaccepted_1d 1 always "ln(1 + n)" "events of the last day that were asked for and not accepted";
    });
}

/// One level of a category, over all customers.
pub(super) mod level {
    use super::*;
    feature_row!(Row of f32 {
        odds 1 sometimes "ln odds ratio" "share of known fraud with this value, against the usual share";
        odds_30d 1 sometimes "ln odds ratio" "share of known fraud with this value in the last 30 days that can be known, against the usual share";
        frequency 1 sometimes "ln(1 + n)" "how often this value was seen";
    });
}

/// The amount with this level.
pub(super) mod level_price {
    use super::*;
    feature_row!(Row of f32 {
        amount_z 1 sometimes "standard deviations, -10 to 10" "amount against the spread with this value, log scale";
    });
}

/// A level of a category with this customer.
pub(super) mod habit {
    use super::*;
    feature_row!(Row of f32 {
        new 1 sometimes "0 or 1" "this customer was never seen with this value";
        share 1 sometimes "0 to 1" "share of this customer's events with this value";
    });
}
