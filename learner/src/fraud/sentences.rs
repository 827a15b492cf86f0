//! A score in sentences that a customer-service person can read out.

use super::{FraudScore, Subject};
use crate::features::transfer::TransferEvent;
use crate::profiles::ProfileView;

/// Subjects below this many log odds are not worth a sentence.
const WORTH_SAYING: f64 = 0.2;
/// Fewer accepted transfers than this are no habit to compare with.
const HABIT_MIN: u32 = 4;

/// Why a transfer looks like fraud, strongest reason first; empty where nothing speaks for it. Each sentence is a fact
/// of this transfer, said only where its subject as a whole raises the score.
pub fn sentences(score: &FraudScore, event: &TransferEvent, view: &ProfileView) -> Vec<String> {
    let mut subjects: Vec<(f64, Subject)> = score.subjects.into_iter().zip(Subject::ALL).collect();
    subjects.sort_by(|a, b| b.0.total_cmp(&a.0));
    let telling = subjects.into_iter().filter(|(log_odds, _)| *log_odds >= WORTH_SAYING);
    telling.filter_map(|(_, subject)| sentence(subject, event, view)).collect()
}

fn sentence(subject: Subject, event: &TransferEvent, view: &ProfileView) -> Option<String> {
    match subject {
        Subject::Amount => amount(event, view),
        Subject::Payee => payee(view),
        Subject::Hour => hour(event, view),
        Subject::Session => session(event),
        Subject::Device => match view.device_known {
            Some(true) => None,
            Some(false) => Some("first transfer from this device".to_owned()),
            None => Some("the device is not known".to_owned()),
        },
        Subject::Activity => activity(view),
        Subject::Attempts => attempts(view),
    }
}

fn amount(event: &TransferEvent, view: &ProfileView) -> Option<String> {
    if view.accepted_total < HABIT_MIN {
        return Some("too few transfers of this customer to compare the amount with".to_owned());
    }
    let ratio = (1.0 + event.amount_cents().max(0) as f64) / view.log_cents_mean.exp();
    match ratio {
        ratio if ratio >= 10.0 => Some(format!("amount is {ratio:.0} times this customer's usual")),
        ratio if ratio >= 1.5 => Some(format!("amount is {ratio:.1} times this customer's usual")),
        ratio if ratio <= 0.3 => Some("amount is unusually small for this customer".to_owned()),
        _ => None,
    }
}

fn payee(view: &ProfileView) -> Option<String> {
    let crowd = view.payee_fan_in_1d;
    match (view.times_paid, view.payee_age_ms) {
        (0, None) => Some("payee never paid before, by anybody here".to_owned()),
        (0, Some(_)) if crowd >= 3 => {
            Some(format!("payee never paid before by this customer, and paid by {crowd} others within a day"))
        }
        (0, Some(_)) => Some("payee never paid before by this customer".to_owned()),
        (times @ 1..=3, _) => Some(format!("payee paid only {times} time{} before", plural(times))),
        _ => None,
    }
}

fn hour(event: &TransferEvent, view: &ProfileView) -> Option<String> {
    let unusual = view.accepted_total >= HABIT_MIN && view.hour_share < 0.1;
    let night = event.local_hour() < 5;
    match (unusual, night) {
        (true, true) => Some("at night, an unusual hour for this customer".to_owned()),
        (true, false) => Some("unusual hour for this customer".to_owned()),
        (false, true) => Some("at night".to_owned()),
        _ => None,
    }
}

fn session(event: &TransferEvent) -> Option<String> {
    match event.session_age_s {
        Some(age_s @ 0..600) => Some(format!("session only {} old", duration(age_s))),
        Some(age_s) => Some(format!("session {} old", duration(age_s))),
        None => Some("no session is known".to_owned()),
    }
}

fn activity(view: &ProfileView) -> Option<String> {
    let [hour, day, ..] = view.counts;
    let minutes = view.since_last_ms.map(|gap_ms| gap_ms / 60_000);
    match (hour, day, minutes) {
        (_, _, None) => Some("first transfer of this customer".to_owned()),
        (2.., _, _) => Some(format!("{hour} transfers already within the hour")),
        (_, 3.., _) => Some(format!("{day} transfers already within a day")),
        (_, _, Some(0..60)) => Some("quickly after the transfer before".to_owned()),
        (_, _, Some(20_160..)) => Some("customer made no transfer for more than two weeks".to_owned()),
        _ => None,
    }
}

fn attempts(view: &ProfileView) -> Option<String> {
    match (view.attempts_10m, view.unaccepted_1d) {
        (asked @ 3.., _) => Some(format!("{asked} transfers asked for within ten minutes")),
        (_, refused @ 1..) => {
            Some(format!("{refused} transfer{} refused or unfinished within a day", plural(refused)))
        }
        _ => None,
    }
}

fn plural(n: u32) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn duration(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
