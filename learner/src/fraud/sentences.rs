//! A score in sentences that a customer-service person can read out.

use super::{Contribution, FraudScore};
use crate::features::transfer::{FEATURES, TransferEvent};
use crate::profiles::ProfileView;

/// Contributions below this many log odds are not worth a sentence.
const WORTH_SAYING: f64 = 0.15;

/// Why a transfer looks like fraud, strongest reason first; empty where nothing speaks for it.
///
/// Features that say the same thing in other units make one sentence.
pub fn sentences(score: &FraudScore, event: &TransferEvent, view: &ProfileView) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for contribution in
        score.contributions.iter().filter(|contribution| contribution.log_odds >= WORTH_SAYING)
    {
        let Some(sentence) = sentence(contribution, event, view) else { continue };
        if !said.contains(&sentence) {
            said.push(sentence);
        }
    }
    said
}

fn sentence(contribution: &Contribution, event: &TransferEvent, view: &ProfileView) -> Option<String> {
    let name = FEATURES.get(contribution.feature)?.name;
    let ratio = (1.0 + event.amount_cents().max(0) as f64) / view.log_cents_mean.exp();
    Some(match name {
        "amount_to_norm_log" | "amount_z" | "new_payee_excess" | "amount_log" | "amount_to_max_log"
        | "history"
            if view.accepted_total == 0 =>
        {
            "first transfer of this customer".to_owned()
        }
        "amount_to_norm_log" | "amount_z" | "new_payee_excess" => times_the_usual(ratio),
        "amount_to_max_log" if event.amount_cents() > view.max_30d_cents => {
            "amount is the largest this customer sent in 30 days".to_owned()
        }
        "amount_log" | "amount_to_max_log" => times_the_usual(ratio),
        "history" => format!("customer has only {} earlier transfers", view.accepted_total),
        "count_1h" | "sum_1h" => format!("{} transfers already accepted within the hour", first(view.counts)),
        "count_1d" | "sum_1d" => format!("{} transfers already accepted within a day", second(view.counts)),
        "count_7d" | "sum_7d" | "count_30d" | "sum_30d" => {
            "number or total of recent transfers is unusual among customers".to_owned()
        }
        "day_to_month_log" => "today's total is far above this customer's usual day".to_owned(),
        "new_payee" => new_payee(view),
        "times_paid" if view.times_paid == 0 => new_payee(view),
        "times_paid" => format!("payee paid only {} times before", view.times_paid),
        "new_payees_1d" => format!("{} new payees within a day", view.new_payees_1d),
        "payee_age" if view.payee_age_ms.is_none() => "payee never paid by anybody here before".to_owned(),
        "payee_age" => "payee is known here only for a short time".to_owned(),
        "payee_fan_in_1d" | "payee_rush" => {
            format!("payee was paid by {} customers within a day", view.payee_fan_in_1d)
        }
        "payee_fan_in_30d" => format!("payee was paid by {} customers within 30 days", view.payee_fan_in_30d),
        "hour_unusual" | "night" => "unusual hour for this customer".to_owned(),
        "session_age" | "fresh_session_new_payee" => match event.session_age_s {
            Some(age_s) if age_s < 3_600 => format!("session only {} old", duration(age_s)),
            Some(age_s) => format!("session already {} old", duration(age_s)),
            None => "no session is known".to_owned(),
        },
        "auth_age" => match event.auth_age_s {
            Some(age_s) => format!("last login {} ago", duration(age_s)),
            None => "no login is known".to_owned(),
        },
        "new_device" | "new_device_new_payee" if event.device.is_none() => "device is not known".to_owned(),
        "new_device" | "new_device_new_payee" => "first transfer from this device".to_owned(),
        "since_last" => match view.since_last_ms {
            None => "first transfer of this customer".to_owned(),
            Some(gap_ms) if gap_ms < 3_600_000 => "quickly after the transfer before".to_owned(),
            Some(_) => "time since the last transfer is unusual".to_owned(),
        },
        "attempts_10m" => format!("{} transfers asked for within ten minutes", view.attempts_10m),
        "unaccepted_1d" => format!("{} transfers refused or unfinished within a day", view.unaccepted_1d),
        _ => return None,
    })
}

fn new_payee(view: &ProfileView) -> String {
    match view.payee_age_ms {
        None => "payee never paid before, by anybody here".to_owned(),
        Some(_) => "payee never paid before by this customer".to_owned(),
    }
}

fn times_the_usual(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 10.0 => format!("amount is {ratio:.0} times this customer's usual"),
        ratio if ratio >= 1.5 => format!("amount is {ratio:.1} times this customer's usual"),
        ratio if ratio > 0.67 => "amount is about this customer's usual".to_owned(),
        _ => "amount is unusually small for this customer".to_owned(),
    }
}

fn duration(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn first(counts: [u32; 4]) -> u32 {
    let [hour, ..] = counts;
    hour
}

fn second(counts: [u32; 4]) -> u32 {
    let [_, day, ..] = counts;
    day
}
