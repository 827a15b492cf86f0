//! A score in sentences that a customer-service person can read out.

use super::{Classifier, FraudScore, Subject};

/// Subjects below this many log odds are not worth a sentence.
const WORTH_SAYING: f64 = 0.2;
const MINUTE: f64 = 60.0;

/// Features by name: what sentences are made of.
pub(super) struct Facts<'a> {
    pub(super) names: &'a [String],
    pub(super) vector: &'a [f32],
    pub(super) model: &'a Classifier,
}

impl Facts<'_> {
    /// A feature's value; `None` where it is missing, or no feature of this model.
    fn get(&self, name: &str) -> Option<f64> {
        let at = self.names.iter().position(|known| known == name)?;
        self.vector.get(at).map(|&value| f64::from(value)).filter(|value| !value.is_nan())
    }

    /// A count that is kept as ln(1 + n).
    fn count(&self, name: &str) -> Option<u64> {
        self.get(name).map(|log| log.exp_m1().round().max(0.0) as u64)
    }

    fn is(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value > 0.5)
    }
}

/// Why an event looks like fraud, strongest reason first; empty where nothing speaks for it. Each sentence is a fact of
/// this event, said only where its subject as a whole raises the score.
pub(super) fn sentences(score: &FraudScore, facts: &Facts<'_>) -> Vec<String> {
    let mut subjects: Vec<(f64, Subject)> = score.subjects.into_iter().zip(Subject::ALL).collect();
    subjects.sort_by(|a, b| b.0.total_cmp(&a.0));
    let telling = subjects.into_iter().filter(|(log_odds, _)| *log_odds >= WORTH_SAYING);
    telling.filter_map(|(_, subject)| sentence(subject, score, facts)).collect()
}

fn sentence(subject: Subject, score: &FraudScore, facts: &Facts<'_>) -> Option<String> {
    match subject {
        Subject::Amount => amount(facts),
        Subject::Payee => payee(facts),
        Subject::Hour => hour(facts),
        Subject::Session => session(facts),
        Subject::Device => match facts.get("device.new") {
            Some(new) if new > 0.5 => Some("first transfer from this device".to_owned()),
            Some(_) => None,
            None => Some("the device is not known".to_owned()),
        },
        Subject::Activity => activity(facts),
        Subject::Attempts => attempts(facts),
        Subject::Place => place(facts),
        Subject::Other => other(score, facts),
        Subject::Pattern => {
            let inputs = facts.vector.get(facts.model.plain_width()..)?;
            facts.model.derived.as_ref().map(|derived| derived.sentence(inputs))
        }
    }
}

fn amount(facts: &Facts<'_>) -> Option<String> {
    let Some(ratio) = facts.get("amount_to_norm_log").map(f64::exp) else {
        let known = facts.get("history").is_some();
        return known.then(|| "too few transfers of this customer to compare the amount with".to_owned());
    };
    match ratio {
        ratio if ratio >= 10.0 => Some(format!("amount is {ratio:.0} times this customer's usual")),
        ratio if ratio >= 1.5 => Some(format!("amount is {ratio:.1} times this customer's usual")),
        ratio if ratio <= 0.3 => Some("amount is unusually small for this customer".to_owned()),
        _ => None,
    }
}

fn payee(facts: &Facts<'_>) -> Option<String> {
    if let Some(streak) = facts.count("payee_streak").filter(|streak| *streak > 0) {
        return Some(format!(
            "the last {streak} known payment{} to this payee turned out fraud",
            plural(streak)
        ));
    }
    if let Some(frauds) = facts.count("payee_frauds_30d").filter(|frauds| *frauds > 0) {
        return Some(format!("{frauds} payment{} to this payee turned out fraud lately", plural(frauds)));
    }
    let crowd = facts.count("payee_fan_in_1d").unwrap_or(0);
    match (facts.count("times_paid"), facts.get("payee_age")) {
        (Some(0), None) => Some("payee never paid before, by anybody here".to_owned()),
        (Some(0), Some(_)) if crowd >= 3 => {
            Some(format!("payee never paid before by this customer, and paid by {crowd} others within a day"))
        }
        (Some(0), Some(_)) => Some("payee never paid before by this customer".to_owned()),
        (Some(times @ 1..=3), _) => Some(format!("payee paid only {times} time{} before", plural(times))),
        _ => None,
    }
}

fn hour(facts: &Facts<'_>) -> Option<String> {
    let unusual = facts.get("hour_unusual").is_some_and(|share| share > 0.9);
    match (unusual, facts.is("night"), facts.is("weekend")) {
        (true, true, _) => Some("at night, an unusual hour for this customer".to_owned()),
        (true, false, _) => Some("unusual hour for this customer".to_owned()),
        (false, true, _) => Some("at night".to_owned()),
        (false, false, true) => Some("at the weekend".to_owned()),
        _ => None,
    }
}

fn session(facts: &Facts<'_>) -> Option<String> {
    match facts.get("session_age_s") {
        Some(age_s) if age_s < 10.0 * MINUTE => Some(format!("session only {} old", duration(age_s))),
        Some(age_s) => Some(format!("session {} old", duration(age_s))),
        None => Some("no session is known".to_owned()),
    }
}

fn activity(facts: &Facts<'_>) -> Option<String> {
    if let Some(frauds) = facts.count("customer_frauds_30d").filter(|frauds| *frauds > 0) {
        let them = if frauds == 1 { "one payment" } else { "payments" };
        return Some(format!("{them} of this customer turned out fraud lately"));
    }
    let minutes = facts.get("since_last").map(f64::exp_m1);
    match (facts.count("count_1h"), facts.count("count_1d"), minutes) {
        (_, _, None) => Some("first transfer of this customer".to_owned()),
        (Some(hour @ 2..), _, _) => Some(format!("{hour} transfers already within the hour")),
        (_, Some(day @ 3..), _) => Some(format!("{day} transfers already within a day")),
        (_, _, Some(minutes)) if minutes < 60.0 => Some("quickly after the transfer before".to_owned()),
        (_, _, Some(minutes)) if minutes >= 20_160.0 => {
            Some("customer made no transfer for more than two weeks".to_owned())
        }
        _ => match facts.count("large_7d") {
            Some(large @ 1..) => {
                Some(format!("{large} unusually large amount{} within 7 days", plural(large)))
            }
            _ => None,
        },
    }
}

fn attempts(facts: &Facts<'_>) -> Option<String> {
    match (facts.count("attempts_10m"), facts.count("unaccepted_1d")) {
        (Some(asked @ 3..), _) => Some(format!("{asked} transfers asked for within ten minutes")),
        (_, Some(refused @ 1..)) => {
            Some(format!("{refused} transfer{} refused or unfinished within a day", plural(refused)))
        }
        _ => None,
    }
}

fn place(facts: &Facts<'_>) -> Option<String> {
    let kilometres = |name: &str| facts.get(name).map(|log| log.exp_m1());
    match (kilometres("speed_log"), kilometres("distance_log"), facts.get("distance_z")) {
        (Some(speed), ..) if speed >= 300.0 => {
            Some(format!("it takes {speed:.0} km/h to come here from the place of the transfer before"))
        }
        (_, Some(km), Some(z)) if z >= 1.0 => Some(format!("{km:.0} km away, further than usual")),
        (_, Some(km), _) => Some(format!("{km:.0} km away")),
        _ => None,
    }
}

/// The feature without a subject of its own that speaks loudest.
fn other(score: &FraudScore, facts: &Facts<'_>) -> Option<String> {
    let loudest = score.contributions.iter().filter(|contribution| contribution.log_odds > 0.0);
    let name = loudest
        .filter_map(|contribution| facts.names.get(contribution.feature))
        .find(|name| Subject::of(name) == Subject::Other)?;
    Some(match name.rsplit_once('.') {
        Some((category, "new")) => format!("{category} never seen with this customer before"),
        Some((category, "share")) => format!("unusual {category} for this customer"),
        Some((category, "odds" | "odds_30d")) => format!("{category} that fraud is often seen with"),
        Some((category, "amount_z")) => format!("unusual amount for this {category}"),
        Some((category, "frequency")) => format!("rare {category}"),
        _ => match name.split_once('=') {
            Some((category, level)) => format!("{category} is {level}"),
            None => format!("unusual {name}"),
        },
    })
}

fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn duration(seconds: f64) -> String {
    let (n, unit) = match seconds {
        s if s < 2.0 * MINUTE => (s, "second"),
        s if s < 120.0 * MINUTE => (s / MINUTE, "minute"),
        s if s < 2_880.0 * MINUTE => (s / (60.0 * MINUTE), "hour"),
        s => (s / (1_440.0 * MINUTE), "day"),
    };
    let n = n as u64;
    format!("{n} {unit}{}", plural(n))
}
