//! Explains a decision in sentences, from its record alone.

use policies::Outcome;
use policies::evidence::{AttackKind, Behaviour, Unavailability};
use policies::facts::Credential;
use policies::record::{DecisionRecord, RecordedIdentity, RecordedScore, RecordedTransfer};
use serde::Serialize;
use utoipa::ToSchema;

/// The stages in the order of the request's way.
const STAGES: [&str; 10] = [
    "admission",
    "normalize",
    "identity",
    "limits",
    "inspection",
    "transfer",
    "decision",
    "upstream",
    "respond",
    "audit",
];

/// A decision told to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explanation {
    /// The decision in a sentence.
    pub headline: String,
    /// What happened, stage after stage.
    pub story: Vec<Step>,
}

/// What one stage found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Step {
    /// Stage.
    pub stage: &'static str,
    /// How it looks.
    pub tone: Tone,
    /// Findings, in sentences.
    pub sentences: Vec<String>,
    /// Whether this stage settled the request.
    pub settled: bool,
}

/// How a finding looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Fine,
    /// Worth a look.
    Noted,
    /// It stopped the request, or helped to.
    Stopped,
}

/// Explains `record`.
pub fn explain(record: &DecisionRecord) -> Explanation {
    let settled_at = position(&record.stage).unwrap_or(STAGES.len());
    let told = STAGES.into_iter().enumerate().take_while(|(at, _)| *at <= settled_at.max(1));
    let story = told
        .filter_map(|(at, stage)| {
            let settled = at == settled_at;
            let (mut tone, mut sentences) = findings(stage, record);
            if settled && !record.outcome.forwards() {
                tone = Tone::Stopped;
                sentences.extend(leading_sentence(record));
                sentences.dedup();
            }
            (!sentences.is_empty()).then_some(Step { stage, tone, sentences, settled })
        })
        .collect();
    Explanation { headline: headline(record), story }
}

fn position(stage: &str) -> Option<usize> {
    STAGES.iter().position(|known| *known == stage)
}

fn headline(record: &DecisionRecord) -> String {
    let what = match &record.transfer {
        Some(transfer) => format!("A transfer of {}", money(transfer)),
        None => format!("{} on {}", record.method, record.route),
    };
    let done = match record.outcome {
        Outcome::Allow => "was forwarded",
        Outcome::Observe => "was forwarded and marked",
        Outcome::Throttle => "was sent back to wait",
        Outcome::StepUp => "was stopped until the customer authenticates again",
        Outcome::Hold => "is held for review",
        Outcome::Deny => "was refused",
    };
    match leading_sentence(record).filter(|_| record.outcome != Outcome::Allow) {
        Some(reason) => format!("{what} {done}: {}", lower_first(&reason)),
        None => format!("{what} {done}."),
    }
}

fn leading_sentence(record: &DecisionRecord) -> Option<String> {
    record.reasons.first().map(|reason| sentence(&reason.message))
}

fn findings(stage: &str, record: &DecisionRecord) -> (Tone, Vec<String>) {
    match stage {
        "admission" => (Tone::Fine, vec![admission(record)]),
        "identity" => (Tone::Fine, vec![identity(record.identity.as_ref())]),
        "limits" => limits(record),
        "inspection" => inspection(record),
        "transfer" => transfer(record),
        "decision" => decision(record),
        "upstream" => upstream(record),
        _ => (Tone::Fine, Vec::new()),
    }
}

fn admission(record: &DecisionRecord) -> String {
    let class = match record.class {
        0 => "money-moving",
        1 => "authenticated reads",
        2 => "anonymous and login",
        _ => "suspicious",
    };
    format!("Entered as class {} ({class}) for application {}.", record.class, record.app)
}

fn identity(identity: Option<&RecordedIdentity>) -> String {
    let Some(identity) = identity else { return "Nobody was signed in.".to_owned() };
    let proved = match identity.credential {
        Credential::Session => "a browser session",
        Credential::Bearer => "a bearer token",
        Credential::Dpop => "a DPoP-bound token",
        Credential::MtlsBound => "a certificate-bound token",
        Credential::Introspected => "an introspected token",
    };
    let age = identity.auth_age_s.map(|s| format!(", authenticated {} ago", duration(s))).unwrap_or_default();
    let acr = identity.acr.as_deref().map(|acr| format!(" at level {acr}")).unwrap_or_default();
    format!("Signed in by {proved} of client {}{age}{acr}.", identity.client_id)
}

fn limits(record: &DecisionRecord) -> (Tone, Vec<String>) {
    if record.limits_exceeded.is_empty() {
        return (Tone::Fine, vec!["Within every limit.".to_owned()]);
    }
    let over = record.limits_exceeded.iter();
    let told = over.map(|one| {
        format!("Over the limit \"{}\"; room again in {}.", one.limit, seconds(one.retry_after_s))
    });
    (Tone::Stopped, told.collect())
}

fn inspection(record: &DecisionRecord) -> (Tone, Vec<String>) {
    let mut tone = Tone::Fine;
    let mut told = Vec::new();
    for finding in &record.inspection {
        tone = Tone::Noted;
        let kind = match finding.kind {
            AttackKind::Sqli => "SQL injection",
            AttackKind::Xss => "cross-site scripting",
            AttackKind::Traversal => "path traversal",
            AttackKind::Command => "command injection",
            AttackKind::Probe => "a probe",
        };
        told.push(format!(
            "Looks like {kind} in {} ({:.2}): {}",
            finding.location,
            finding.score,
            sentence(&finding.why)
        ));
    }
    if let Some(score) = &record.anomaly {
        match score.value {
            Some(value) => told.push(format!("Stranger than {:.1} % of normal traffic.", value * 100.0)),
            None => tone = tone.max(Tone::Noted),
        }
        told.extend(score_words(score, "anomaly"));
    }
    (tone, told)
}

fn transfer(record: &DecisionRecord) -> (Tone, Vec<String>) {
    let Some(transfer) = &record.transfer else { return (Tone::Fine, Vec::new()) };
    let mut told = vec![format!("Asks to move {}.", money(transfer))];
    let mut tone = Tone::Fine;
    if let Some(behaviour) = &record.behaviour {
        told.extend(habits(behaviour));
    }
    if let Some(score) = &record.fraud {
        match score.value {
            Some(value) => told.push(format!("Fraud probability {:.1} %.", value * 100.0)),
            None => tone = Tone::Noted,
        }
        told.extend(score_words(score, "fraud"));
    }
    (tone, told)
}

fn habits(behaviour: &Behaviour) -> Vec<String> {
    let mut told = Vec::new();
    if behaviour.new_payee {
        told.push("The customer never paid this payee before.".to_owned());
    }
    match behaviour.amount_ratio {
        Some(ratio) if ratio >= 2.0 => {
            told.push(format!("The amount is {ratio:.1} times the customer's usual."))
        }
        Some(_) => {}
        None => told.push("There is no history to compare the amount with.".to_owned()),
    }
    if let Some(share) = behaviour.hour_share.filter(|share| *share < 0.05) {
        told.push(format!(
            "Only {:.0} % of the customer's transfers happen around this hour.",
            share * 100.0
        ));
    }
    if behaviour.refused_1h > 0 {
        told.push(format!("Refused attempts in the last hour: {}.", behaviour.refused_1h));
    }
    told
}

/// The model's own sentences, or why there are none.
fn score_words(score: &RecordedScore, name: &str) -> Vec<String> {
    let missing = score.unavailable.filter(|_| score.value.is_none()).map(|why| {
        let why = match why {
            Unavailability::NoModel => "no model is loaded",
            Unavailability::TooSlow => "the scorer took too long",
            Unavailability::Failed => "the scorer failed",
        };
        format!("No {name} score: {why}.")
    });
    score.sentences.iter().map(|text| sentence(text)).chain(missing).collect()
}

fn decision(record: &DecisionRecord) -> (Tone, Vec<String>) {
    let tone = if record.outcome == Outcome::Allow { Tone::Fine } else { Tone::Noted };
    let said = |reason: &policies::Reason| {
        format!(
            "{} asks for {} ({}): {}",
            reason.source,
            outcome_words(reason.outcome),
            reason.code,
            sentence(&reason.message)
        )
    };
    let mut told: Vec<String> = record.reasons.iter().map(said).collect();
    if told.is_empty() {
        told.push("No rule objected.".to_owned());
    }
    told.extend(record.shadow.iter().map(|reason| format!("In shadow, without effect: {}", said(reason))));
    if let Some(case) = &record.case {
        told.push(format!("Case {case}."));
    }
    (tone, told)
}

fn upstream(record: &DecisionRecord) -> (Tone, Vec<String>) {
    match record.upstream_status {
        Some(status) if status >= 500 => {
            (Tone::Noted, vec![format!("The application failed with {status}.")])
        }
        Some(status) => (Tone::Fine, vec![format!("The application answered {status}.")]),
        None => (Tone::Noted, vec!["The application did not answer.".to_owned()]),
    }
}

fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Observe => "observe",
        Outcome::Throttle => "throttle",
        Outcome::StepUp => "step-up",
        Outcome::Hold => "hold",
        Outcome::Deny => "deny",
    }
}

/// Minor units as a person writes them; currencies without minor units (ISO 4217) keep none.
fn money(transfer: &RecordedTransfer) -> String {
    let digits: usize = match transfer.currency.as_str() {
        "JPY" | "KRW" | "ISK" | "CLP" | "VND" | "XAF" | "XOF" => 0,
        "BHD" | "KWD" | "OMR" | "JOD" | "TND" => 3,
        _ => 2,
    };
    let minor = transfer.amount_minor.unsigned_abs();
    let unit = 10_u64.pow(digits as u32);
    let major = grouped(minor / unit);
    let sign = if transfer.amount_minor < 0 { "-" } else { "" };
    match digits {
        0 => format!("{sign}{major} {}", transfer.currency),
        _ => format!("{sign}{major}.{:0digits$} {}", minor % unit, transfer.currency),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn duration(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

fn seconds(count: u64) -> String {
    if count == 1 { "1 second".to_owned() } else { format!("{count} seconds") }
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An abbreviation such as SQL stays as it is.
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}
