//! Explains a decision in sentences, from its record alone.

use policies::Outcome;
use policies::evidence::{AttackKind, Behaviour, Unavailability};
use policies::facts::Credential;
use policies::record::{DecisionRecord, RecordedIdentity, RecordedScore};
use serde::Serialize;
use utoipa::ToSchema;

use crate::wording::{duration, lower_first, money, seconds, sentence};

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

/// From here on an anomaly score is marked in the story; what is done about it is the policy's to say.
const ODD: f64 = 0.95;
/// The same for a fraud probability.
const LIKELY: f64 = 0.5;

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
    let because = if record.outcome == Outcome::Allow { None } else { cause(record) };
    match because {
        Some(cause) => format!("{what} {done}: {}", lower_first(&cause)),
        None => format!("{what} {done}."),
    }
}

/// Why, for staff: the strongest finding behind the leading reason, else what the customer was told.
fn cause(record: &DecisionRecord) -> Option<String> {
    let leading = record.reasons.first()?;
    let model = |score: &Option<RecordedScore>| score.as_ref()?.sentences.first().cloned();
    let found = match leading.code.split('.').next().unwrap_or_default() {
        "fraud" => model(&record.fraud),
        "anomaly" => model(&record.anomaly),
        "inspection" => record
            .inspection
            .first()
            .map(|one| format!("it looks like {} in {}", attack(one.kind), one.location)),
        _ => None,
    };
    Some(sentence(&found.unwrap_or_else(|| leading.message.to_string())))
}

fn attack(kind: AttackKind) -> &'static str {
    match kind {
        AttackKind::Sqli => "SQL injection",
        AttackKind::Xss => "cross-site scripting",
        AttackKind::Traversal => "path traversal",
        AttackKind::Command => "command injection",
        AttackKind::Probe => "a probe",
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
        let kind = attack(finding.kind);
        told.push(format!(
            "Looks like {kind} in {} ({:.2}): {}",
            finding.location,
            finding.score,
            sentence(&finding.why)
        ));
    }
    if let Some(score) = &record.anomaly {
        match score.value {
            Some(value) => {
                tone = if value >= ODD { Tone::Noted } else { tone };
                told.push(format!("Stranger than {:.1} % of normal traffic.", value * 100.0));
            }
            None => tone = tone.max(Tone::Noted),
        }
        told.extend(score_words(score, "anomaly"));
    }
    (tone, told)
}

fn transfer(record: &DecisionRecord) -> (Tone, Vec<String>) {
    let Some(transfer) = &record.transfer else { return (Tone::Fine, Vec::new()) };
    let mut told = vec![format!("Asks to move {}.", money(transfer))];
    if let Some(first) = &record.repeat_of {
        told.push(format!(
            "Repeats a request with the same idempotency key; decision {first} judged the transfer."
        ));
    }
    let mut tone = Tone::Fine;
    // The model's sentences speak of the same habits: they are told once.
    let told_by_model = record.fraud.as_ref().is_some_and(|score| !score.sentences.is_empty());
    if let Some(behaviour) = record.behaviour.as_ref().filter(|_| !told_by_model) {
        told.extend(habits(behaviour));
        tone = if told.len() > 1 { Tone::Noted } else { tone };
    }
    if let Some(score) = &record.fraud {
        match score.value {
            Some(value) => {
                tone = if value >= LIKELY { Tone::Noted } else { tone };
                told.push(format!("Fraud probability {:.1} %.", value * 100.0));
            }
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
        let share =
            if share < 0.01 { "Less than 1 %".to_owned() } else { format!("Only {:.0} %", share * 100.0) };
        told.push(format!("{share} of the customer's transfers happen around this hour."));
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
