//! A policy in force: checked rules, and the decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compile::{Condition, Threshold};
use crate::document::{self, DocumentError};
use crate::evidence::Evidence;
use crate::expression::Failure;
use crate::facts::Facts;
use crate::name::Name;
use crate::outcome::Outcome;
use crate::pseudonym::Pseudonymizer;
use crate::record::{DecisionRecord, Pseudonym};
use crate::variables::View;
use crate::verdict::{Reason, Verdict};

/// A checked policy document: immutable, shared by `Arc`. A request sees one from start to end.
#[derive(Debug)]
pub struct Policy {
    pub(crate) version: Name,
    pub(crate) hash: Name,
    pub(crate) text: Arc<str>,
    pub(crate) thresholds: BTreeMap<String, Threshold>,
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) pseudonyms: Option<Pseudonymizer>,
}

/// What is done with a rule's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It counts.
    Enforce,
    /// It is recorded and counts for nothing.
    Shadow,
    /// The rule is not evaluated.
    Off,
}

/// One rule of a policy.
#[derive(Debug)]
pub struct Rule {
    /// Unique in its document.
    pub id: Name,
    /// For whoever reads or tunes the policy.
    pub description: Name,
    /// The condition as written (CEL).
    pub when: Name,
    /// Asked for where the condition holds.
    pub outcome: Outcome,
    /// Whether it counts.
    pub mode: Mode,
    /// Routes it is for; empty for all. `*` stands for any run of characters.
    pub routes: Vec<Name>,
    /// Percent of the customers for whom the rule is enforced, 0..=100; for the others it runs in shadow.
    pub ramp: u8,
    /// The rule is over from this moment, Unix milliseconds: the end of its last day, UTC.
    pub expires_ms: Option<i64>,
    /// Stable reason code.
    pub reason: Name,
    /// A sentence for the customer.
    pub message: Name,
    /// Among reasons of one outcome the highest precedence leads.
    pub precedence: u16,
    /// Asked for where the condition cannot be evaluated.
    pub on_error: Outcome,
    pub(crate) condition: Condition,
}

impl Rule {
    /// Whether the rule is for `route`.
    pub fn covers(&self, route: &str) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|pattern| matches(pattern, route))
    }

    /// Names of the variables that the condition reads.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> {
        self.condition.variables.iter().map(|variable| variable.name)
    }

    fn asks(&self, result: Result<bool, Failure>) -> Option<Outcome> {
        match result {
            Ok(true) => Some(self.outcome),
            Ok(false) => None,
            Err(_) => Some(self.on_error),
        }
    }

    fn reason(&self, outcome: Outcome) -> Reason {
        Reason {
            code: self.reason.clone(),
            source: self.id.clone(),
            outcome,
            precedence: self.precedence,
            message: self.message.clone(),
        }
    }
}

impl Policy {
    /// The document's `version`.
    pub fn version(&self) -> &Name {
        &self.version
    }

    /// SHA-256 of the document's text, hex: the policy's identity.
    pub fn hash(&self) -> &Name {
        &self.hash
    }

    /// The document as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rules, in the document's order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The numbers that rules compare with.
    pub fn thresholds(&self) -> &BTreeMap<String, Threshold> {
        &self.thresholds
    }

    /// The lists of texts that rules look up.
    pub fn lists(&self) -> &BTreeMap<String, Vec<String>> {
        &self.lists
    }

    /// Cuts ramps by the installation's own key. Without one, ramps are cut by a known key.
    pub fn keyed(mut self, pseudonyms: Pseudonymizer) -> Self {
        self.pseudonyms = Some(pseudonyms);
        self
    }

    /// Patterns in `routes` that none of `names` matches: most likely misspelt.
    pub fn idle_routes<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a Rule, &'a Name)> {
        self.rules.iter().flat_map(move |rule| {
            rule.routes
                .iter()
                .filter(move |pattern| !names.iter().any(|name| matches(pattern, name)))
                .map(move |pattern| (rule, pattern))
        })
    }

    /// Decides one request. Pure; never fails: a rule that cannot be evaluated asks for its `on_error` outcome and is
    /// counted in [`Verdict::failures`].
    pub fn decide(&self, facts: &Facts, evidence: &Evidence) -> Verdict {
        let customer = || {
            let known = self.ramp_key();
            facts.identity.as_ref().map_or_else(
                || known.address(facts.source),
                |identity| known.subject(&identity.issuer, &identity.subject),
            )
        };
        self.evaluate(&View::live(facts, evidence), customer, |_| true)
    }

    /// This policy compiled to be run against decision records instead of live requests, where accounts and addresses
    /// are keyed hashes: constants that they are compared with are hashed alike.
    ///
    /// # Errors
    /// None for a policy that [`document::parse`] made; kept in the type because it compiles the same text again.
    pub fn on_records(&self, pseudonyms: &Pseudonymizer) -> Result<Recomputer, Vec<DocumentError>> {
        let policy = document::parse_for_records(&self.text, pseudonyms)?.keyed(pseudonyms.clone());
        Ok(Recomputer { policy })
    }

    fn ramp_key(&self) -> Pseudonymizer {
        self.pseudonyms.clone().unwrap_or_else(|| Pseudonymizer::new(&[0; 32]))
    }

    fn evaluate(
        &self,
        view: &View<'_>,
        customer: impl Fn() -> Pseudonym,
        considered: impl Fn(&Rule) -> bool,
    ) -> Verdict {
        let (mut reasons, mut shadow, mut failures) = (Vec::new(), Vec::new(), 0_u16);
        for rule in &self.rules {
            let over = rule.expires_ms.is_some_and(|end| view.at_ms >= end);
            if rule.mode == Mode::Off || over || !rule.covers(view.route) || !considered(rule) {
                continue;
            }
            let result = rule.condition.expression.eval(view);
            failures += u16::from(result.is_err());
            let Some(outcome) = rule.asks(result) else { continue };
            let enforced = rule.mode == Mode::Enforce && self.in_ramp(rule, &customer);
            if enforced { &mut reasons } else { &mut shadow }.push(rule.reason(outcome));
        }
        Verdict { failures, ..Verdict::from_reasons(reasons, shadow) }
    }

    /// A customer stays in a ramp while its percentage grows, and stays the same across document versions.
    fn in_ramp(&self, rule: &Rule, customer: &impl Fn() -> Pseudonym) -> bool {
        rule.ramp >= 100 || self.ramp_key().share(&rule.id, &customer()) < u16::from(rule.ramp) * 100
    }
}

/// A policy to run against records; see [`Policy::on_records`].
#[derive(Debug)]
pub struct Recomputer {
    policy: Policy,
}

/// A verdict made from a record alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recomputed {
    /// What the rules say that a record has everything for.
    pub verdict: Verdict,
    /// Rules left out: they read what no record keeps ([`crate::variables::Kept`]).
    pub left_out: Vec<Name>,
}

impl Recomputer {
    /// The policy that is run.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The verdict that the rules give on `record`. Reasons that stages other than the rules gave are not repeated.
    pub fn recompute(&self, record: &DecisionRecord) -> Recomputed {
        let customer =
            || record.identity.as_ref().map_or_else(|| record.source.clone(), |who| who.subject.clone());
        let verdict =
            self.policy.evaluate(&View::recorded(record), customer, |rule| rule.condition.recomputable);
        let left_out = self
            .policy
            .rules
            .iter()
            .filter(|rule| rule.mode != Mode::Off && rule.covers(&record.route))
            .filter(|rule| !rule.condition.recomputable)
            .map(|rule| rule.id.clone())
            .collect();
        Recomputed { verdict, left_out }
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any run of characters. Takes time linear in the longer one for
/// each `*`; patterns are bounded when the document is read.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((part, after)) = rest.split_once('*') {
        let Some((_, behind)) = text.split_once(part) else { return false };
        text = behind;
        rest = after;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs() {
        let cases = [
            ("api-transfers", "api-transfers", true),
            ("api-transfers", "api-transfer", false),
            ("api-*", "api-transfers", true),
            ("api-*", "web-transfer", false),
            ("*-transfer*", "web-transfer", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("*aa", "a", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
