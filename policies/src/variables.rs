//! The variables of rule conditions: one table that documents them, drives the check when a document is loaded, and reads
//! them when a request is decided.
//!
//! A value that a request does not have is never an error: it has a documented neutral value, and a flag beside it
//! (`identity.present`, `transfer.present`, `fraud.available`, `anomaly.available`, `behaviour.known`) says so.

use std::cell::OnceCell;
use std::net::IpAddr;

use crate::evidence::{AttackKind, Behaviour, Evidence, Finding, Scored};
use crate::facts::{Credential, Facts};
use crate::outcome::Outcome;
use crate::record::{DecisionRecord, RecordedScore};

/// Neutral value of ages that are not known, seconds: ten years, so that nothing unknown passes for fresh.
pub const UNKNOWN_AGE_S: i64 = 315_360_000;

/// One variable of the language.
#[derive(Debug)]
pub struct Variable {
    /// Dotted name.
    pub name: &'static str,
    /// How it is read, and so its type.
    pub(crate) read: Read,
    /// What a decision record keeps of it.
    pub kept: Kept,
    /// What it says, its unit or range, and its neutral value.
    pub meaning: &'static str,
}

/// What a decision record keeps of a variable: whether a verdict can be recomputed from the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The value itself.
    Value,
    /// A keyed hash of an account: `==` and `in` can be recomputed, nothing else.
    Account,
    /// A keyed hash of an address: `==` and `in` can be recomputed, nothing else.
    Address,
    /// Nothing.
    Nothing,
}

/// Reads a variable from a request's view; the variant is the variable's type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    Bool(fn(&View<'_>) -> bool),
    Int(fn(&View<'_>) -> i64),
    Double(fn(&View<'_>) -> f64),
    Text(for<'v> fn(&'v View<'_>) -> &'v str),
    Texts(for<'v> fn(&'v View<'_>) -> &'v [String]),
}

impl Read {
    /// CEL's name of the type.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Texts(_) => "list of strings",
        }
    }
}

impl Variable {
    /// The variable called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        VARIABLES.iter().find(|variable| variable.name == name)
    }

    /// CEL's name of its type: `bool`, `int`, `double`, `string` or `list of strings`.
    pub fn type_name(&self) -> &'static str {
        self.read.type_name()
    }
}

macro_rules! variables {
    ($($name:literal $kept:ident $read:ident($body:expr) $meaning:literal)*) => {
        /// Every variable there is, beside the document's own `thresholds.*` and `lists.*`.
        pub static VARIABLES: &[Variable] = &[$(
            Variable { name: $name, read: Read::$read($body), kept: Kept::$kept, meaning: $meaning },
        )*];
    };
}

variables! {
    "request.app"       Value   Text(|v| v.app)       "configured application"
    "request.route"     Value   Text(|v| v.route)     "configured route"
    "request.method"    Value   Text(|v| v.method)    "request method, upper case"
    "request.path"      Nothing Text(|v| v.path)      "canonical path without the query"
    "request.hour"      Value   Int(|v| v.hour)       "local hour at the bank, 0..=23"
    "request.source"    Address Text(|v| v.source())  "client address as text"

    "identity.present"    Value   Bool(|v| v.identity.present)      "somebody is identified"
    "identity.subject"    Nothing Text(|v| v.identity.subject)      "`sub`; neutral \"\""
    "identity.client"     Value   Text(|v| v.identity.client)       "client id; neutral \"\""
    "identity.scopes"     Value   Texts(|v| v.identity.scopes)      "granted scopes; neutral []"
    "identity.roles"      Nothing Texts(|v| v.identity.roles)       "roles of staff; neutral []"
    "identity.acr"        Value   Text(|v| v.identity.acr)          "authentication context class; neutral \"\""
    "identity.credential" Value   Text(|v| v.identity.credential)   "session, bearer, dpop, mtls_bound, introspected; neutral \"\""
    "identity.auth_age_s" Value   Int(|v| v.identity.auth_age_s)    "seconds since authentication; neutral ten years"
    "identity.age_s"      Value   Int(|v| v.identity.age_s)         "seconds since the token or session began; neutral ten years"

    "transfer.present"      Value   Bool(|v| v.transfer.present)      "the request asks for a transfer"
    "transfer.amount_minor" Value   Int(|v| v.transfer.amount_minor)  "minor units; neutral 0"
    "transfer.currency"     Value   Text(|v| v.transfer.currency)     "ISO 4217; neutral \"\""
    "transfer.to"           Account Text(|v| v.transfer.to)           "payee; neutral \"\""
    "transfer.from"         Account Text(|v| v.transfer.from)         "paying account; neutral \"\""

    "fraud.available"   Value Bool(|v| v.fraud.is_some())             "the transfer has a fraud score"
    "fraud.score"       Value Double(|v| v.fraud.unwrap_or(0.0))      "calibrated probability 0..=1; neutral 0"
    "anomaly.available" Value Bool(|v| v.anomaly.is_some())           "the request has an anomaly score"
    "anomaly.score"     Value Double(|v| v.anomaly.unwrap_or(0.0))    "percentile of normal traffic 0..=1; neutral 0"

    "inspection.sqli"      Value Double(|v| v.finding(AttackKind::Sqli))      "SQL injection 0..=1; neutral 0"
    "inspection.xss"       Value Double(|v| v.finding(AttackKind::Xss))       "cross-site scripting 0..=1; neutral 0"
    "inspection.traversal" Value Double(|v| v.finding(AttackKind::Traversal)) "path traversal 0..=1; neutral 0"
    "inspection.command"   Value Double(|v| v.finding(AttackKind::Command))   "command injection 0..=1; neutral 0"
    "inspection.probe"     Value Double(|v| v.finding(AttackKind::Probe))     "scanners and probes 0..=1; neutral 0"
    "inspection.max"       Value Double(|v| v.strongest_finding())            "the strongest of all findings; neutral 0"

    "behaviour.known"           Value Bool(|v| v.behaviour.is_some())                             "the customer's profile was asked"
    "behaviour.new_payee"       Value Bool(|v| v.behaviour.is_some_and(|b| b.new_payee))          "never paid before; neutral false"
    "behaviour.known_transfers" Value Int(|v| v.behaviour.map_or(0, |b| count(b.known_transfers))) "accepted transfers known; neutral 0"
    "behaviour.amount_ratio"    Value Double(|v| ratio(v.behaviour))                              "amount over the customer's usual; neutral 1"
    "behaviour.count_1d"        Value Int(|v| v.behaviour.map_or(0, |b| count(b.count_1d)))       "transfers of 24 hours; neutral 0"
    "behaviour.sum_1d_minor"    Value Int(|v| v.behaviour.map_or(0, |b| b.sum_1d_minor))          "minor units of 24 hours; neutral 0"
    "behaviour.refused_1h"      Value Int(|v| v.behaviour.map_or(0, |b| count(b.refused_1h)))     "refused attempts of one hour; neutral 0"
    "behaviour.hour_share"      Value Double(|v| hour_share(v.behaviour))                         "share of transfers around this hour 0..=1; neutral 1"

    "limits.exceeded" Value Bool(|v| v.limits_exceeded) "some limit was exceeded"
    "review.released" Value Bool(|v| v.released)        "a reviewer released this very transfer"
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A ratio that is not a number counts as the largest there is: a broken profile must not pass for a usual amount.
fn ratio(behaviour: Option<&Behaviour>) -> f64 {
    match behaviour.and_then(|b| b.amount_ratio) {
        None => 1.0,
        Some(ratio) if ratio.is_finite() => ratio,
        Some(_) => f64::MAX,
    }
}

fn hour_share(behaviour: Option<&Behaviour>) -> f64 {
    match behaviour.and_then(|b| b.hour_share) {
        None => 1.0,
        Some(share) if share.is_finite() => share,
        Some(_) => 0.0,
    }
}

/// What the rules see of one request: borrowed, and the same whether it comes from live facts or from a record.
pub(crate) struct View<'a> {
    pub(crate) at_ms: i64,
    pub(crate) route: &'a str,
    app: &'a str,
    method: &'a str,
    path: &'a str,
    hour: i64,
    source: Source<'a>,
    identity: IdentityView<'a>,
    transfer: TransferView<'a>,
    fraud: Option<f64>,
    anomaly: Option<f64>,
    inspection: &'a [Finding],
    behaviour: Option<&'a Behaviour>,
    limits_exceeded: bool,
    released: bool,
}

enum Source<'a> {
    /// Written as text only if a rule asks for it.
    Live(IpAddr, OnceCell<String>),
    Recorded(&'a str),
}

#[derive(Clone, Copy)]
struct IdentityView<'a> {
    present: bool,
    subject: &'a str,
    client: &'a str,
    scopes: &'a [String],
    roles: &'a [String],
    acr: &'a str,
    credential: &'static str,
    auth_age_s: i64,
    age_s: i64,
}

impl IdentityView<'_> {
    const NOBODY: Self = IdentityView {
        present: false,
        subject: "",
        client: "",
        scopes: &[],
        roles: &[],
        acr: "",
        credential: "",
        auth_age_s: UNKNOWN_AGE_S,
        age_s: UNKNOWN_AGE_S,
    };
}

#[derive(Clone, Copy)]
struct TransferView<'a> {
    present: bool,
    amount_minor: i64,
    currency: &'a str,
    to: &'a str,
    from: &'a str,
}

impl TransferView<'_> {
    const NONE: Self = TransferView { present: false, amount_minor: 0, currency: "", to: "", from: "" };
}

impl<'a> View<'a> {
    /// What the rules see of a request that is being decided.
    pub(crate) fn live(facts: &'a Facts, evidence: &'a Evidence) -> Self {
        let identity = facts.identity.as_deref().map_or(IdentityView::NOBODY, |who| IdentityView {
            present: true,
            subject: &who.subject,
            client: &who.client_id,
            scopes: &who.scopes,
            roles: &who.roles,
            acr: who.acr.as_deref().unwrap_or(""),
            credential: credential_name(who.credential),
            auth_age_s: who.auth_age_s(facts.at_ms).unwrap_or(UNKNOWN_AGE_S),
            age_s: who.age_s(facts.at_ms),
        });
        let transfer = facts.transfer.as_ref().map_or(TransferView::NONE, |t| TransferView {
            present: true,
            amount_minor: t.amount_minor,
            currency: t.currency_code(),
            to: &t.to,
            from: &t.from,
        });
        Self {
            at_ms: facts.at_ms,
            route: &facts.route,
            app: &facts.app,
            method: &facts.method,
            path: &facts.path,
            hour: i64::from(facts.hour),
            source: Source::Live(facts.source, OnceCell::new()),
            identity,
            transfer,
            fraud: scored(evidence.fraud.as_ref()),
            anomaly: scored(evidence.anomaly.as_ref()),
            inspection: &evidence.inspection,
            behaviour: evidence.behaviour.as_ref(),
            limits_exceeded: !evidence.limits_exceeded.is_empty(),
            released: evidence.released_case.is_some(),
        }
    }

    /// What the rules saw of a request that was recorded, as far as the record keeps it ([`Variable::kept`]).
    pub(crate) fn recorded(record: &'a DecisionRecord) -> Self {
        let identity = record.identity.as_ref().map_or(IdentityView::NOBODY, |who| IdentityView {
            present: true,
            subject: "",
            client: &who.client_id,
            scopes: &who.scopes,
            roles: &[],
            acr: who.acr.as_deref().unwrap_or(""),
            credential: credential_name(who.credential),
            auth_age_s: who.auth_age_s.unwrap_or(UNKNOWN_AGE_S),
            age_s: who.age_s,
        });
        let transfer = record.transfer.as_ref().map_or(TransferView::NONE, |t| TransferView {
            present: true,
            amount_minor: t.amount_minor,
            currency: &t.currency,
            to: &t.to.0,
            from: &t.from.0,
        });
        Self {
            at_ms: record.at_ms,
            route: &record.route,
            app: &record.app,
            method: &record.method,
            path: "",
            hour: i64::from(record.hour),
            source: Source::Recorded(&record.source.0),
            identity,
            transfer,
            fraud: recorded_score(record.fraud.as_ref()),
            anomaly: recorded_score(record.anomaly.as_ref()),
            inspection: &record.inspection,
            behaviour: record.behaviour.as_ref(),
            limits_exceeded: !record.limits_exceeded.is_empty(),
            // A case in a record was either opened by this request, which was then held, or released before it.
            released: record.case.is_some() && record.outcome != Outcome::Hold,
        }
    }

    /// The client address as text; a keyed hash where the view comes from a record.
    fn source(&self) -> &str {
        match &self.source {
            Source::Live(address, text) => text.get_or_init(|| address.to_string()),
            Source::Recorded(text) => text,
        }
    }

    fn finding(&self, kind: AttackKind) -> f64 {
        strongest(self.inspection.iter().filter(|f| f.kind == kind))
    }

    fn strongest_finding(&self) -> f64 {
        strongest(self.inspection.iter())
    }
}

/// A finding whose score is not a number counts in full: it was found.
fn strongest<'f>(findings: impl Iterator<Item = &'f Finding>) -> f64 {
    findings.map(|f| if f.score.is_finite() { f.score } else { 1.0 }).fold(0.0, f64::max)
}

/// A score that is not a number is no score: it would compare as false with every threshold and so pass.
fn scored(score: Option<&Scored>) -> Option<f64> {
    score.and_then(Scored::value).filter(|value| value.is_finite())
}

fn recorded_score(score: Option<&RecordedScore>) -> Option<f64> {
    score.and_then(|s| s.value).filter(|value| value.is_finite())
}

fn credential_name(credential: Credential) -> &'static str {
    match credential {
        Credential::Session => "session",
        Credential::Bearer => "bearer",
        Credential::Dpop => "dpop",
        Credential::MtlsBound => "mtls_bound",
        Credential::Introspected => "introspected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_meanings_are_given() {
        let mut seen = HashSet::new();
        for variable in VARIABLES {
            assert!(seen.insert(variable.name), "{} stands twice", variable.name);
            assert!(variable.meaning.len() > 8, "{} needs a meaning", variable.name);
        }
    }
}
