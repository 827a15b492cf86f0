//! What a policy document may and may not say, and how it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use policies::evidence::{Behaviour, Score, Scored};
use policies::facts::{Credential, Identity, TransferIntent};
use policies::record::Course;
use policies::{DecisionRecord, Evidence, Facts, Outcome, Policy, Pseudonymizer, document};

const NOW_MS: i64 = 1_790_000_000_000;

fn rule(when: &str, more: &str) -> String {
    format!(
        "version = \"t\"\n[thresholds]\nlarge = 1000\nhigh = 0.9\n[lists]\nblocked = [\"acc-bad\", \"198.51.100.9\"]\n\
         [[rules]]\nid = \"r\"\ndescription = \"d\"\nwhen = {when:?}\noutcome = \"hold\"\nmode = \"enforce\"\n\
         message = \"m\"\n{more}\n"
    )
}

fn accepted(when: &str, more: &str) -> Policy {
    document::parse(&rule(when, more)).unwrap_or_else(|errors| panic!("{when} {more}: {errors:?}"))
}

/// The one error of a document, as it is shown.
fn refused(text: &str) -> String {
    let errors = document::parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

fn facts() -> Facts {
    Facts {
        at_ms: NOW_MS,
        hour: 3,
        app: "bank".into(),
        route: "api-transfers".into(),
        method: "POST".into(),
        path: "/api/transfers".into(),
        source: "198.51.100.9".parse().unwrap(),
        identity: Some(identity("alice")),
        transfer: Some(TransferIntent {
            from: "acc-a".into(),
            to: "acc-bad".into(),
            amount_minor: 5_000,
            currency: *b"EUR",
            idempotency_key: None,
        }),
    }
}

fn identity(subject: &str) -> Arc<Identity> {
    Arc::new(Identity {
        issuer: "https://i.example".into(),
        subject: subject.into(),
        client_id: "cli".into(),
        scopes: vec!["payments:write".into()],
        roles: vec!["teller".into()],
        acr: Some("strong".into()),
        auth_time: Some(NOW_MS / 1000 - 100),
        issued_at: NOW_MS / 1000 - 50,
        expires_at: NOW_MS / 1000 + 50,
        token_id: None,
        session_id: None,
        credential: Credential::Dpop,
        authorization_details: None,
    })
}

fn evidence(fraud: f64) -> Evidence {
    Evidence {
        fraud: Some(Scored::Available(Score {
            value: fraud,
            model: "fraud/1".into(),
            contributions: Vec::new(),
            sentences: Vec::new(),
            features: vec![1.5, f64::NAN],
        })),
        behaviour: Some(Behaviour { new_payee: true, amount_ratio: Some(4.5), ..Behaviour::default() }),
        ..Evidence::default()
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_hint() {
    let place = "10:9"; // the first letter of the condition is behind `when = "`
    let cases = [
        (
            "transfer.amount_minr > 5",
            "there is no variable `transfer.amount_minr` (did you mean `transfer.amount_minor`?)",
        ),
        ("fraud.score > thresholds.hihg", "10:23: "),
        ("transfer.to in lists.blokced", "did you mean `blocked`?"),
        ("transfer.amount_minor", "is of type int, not bool"),
        ("transfer.amount_minor > 'x'", "`>` does not apply to int and string"),
        ("transfer.amount_minor * 1.5 > 3.0", "convert one side with int(…) or double(…)"),
        ("transfer.to == fraud.score", "`==` does not apply to string and double"),
        ("identity.roles.exists(r, r == 'x')", "macros are not part of the rule language"),
        ("transfer.to.matches('^a')", "`matches` does not apply to string and string"),
        ("transfer.present &&", "cannot be read"),
        ("identity.roles == null", "null and bytes"),
        ("1 / behaviour.known_transfers > 0", "division by zero"),
        ("size(identity.subject) / 0 == 1", "division by zero"),
        ("behaviour.sum_1d_minor * 1000000 > 5", "integer overflow"),
        ("", "cannot be read"),
    ];
    for (when, expected) in cases {
        let told = refused(&rule(when, ""));
        assert!(told.contains(expected), "{when}: {told}");
        assert!(told.starts_with("10:"), "{when}: {told}");
    }
    assert!(refused(&rule("trnsfer.present", "")).starts_with(place));
    for (more, expected) in [
        ("outcom = 1", "did you mean `outcome`?"),
        ("on_error = \"denny\"", "did you mean `deny`?"),
        ("ramp = 101", "ramp is 0 to 100"),
        ("precedence = -1", "precedence is 0 to 65535"),
        ("expires = 2026-02-30", ""),
        ("expires = 2026-02-01T00:00:00Z", "`expires` is not a date"),
        ("routes = []", "for no route at all"),
        ("reason = \"Not A Code\"", "cannot be a reason"),
    ] {
        let told = refused(&rule("true", more));
        assert!(told.contains(expected), "{more}: {told}");
    }
    assert!(refused("version = \"1\"\n[thresholds]\na = nan").starts_with("3:5: "));
    assert!(refused("[[rules]]").contains("missing field"));
}

#[test]
fn documents_and_conditions_are_bounded() {
    let deep = format!("{}true{}", "(".repeat(13), ")".repeat(13));
    assert!(refused(&rule(&deep, "")).contains("nested deeper"));
    assert!(refused(&rule(&format!("true{}", " && true".repeat(400)), "")).contains("longer than"));
    assert!(refused(&"#".repeat(300_000)).contains("longer than"));
    // Within the bounds, whatever stands there is answered and not crashed on.
    for hostile in
        ["!".repeat(1_900), "-".repeat(1_900), "a.".repeat(900), "[".repeat(12), "true ? ".repeat(250)]
    {
        assert!(document::parse(&rule(&hostile, "")).is_err(), "{hostile}");
    }
    let one = rule("true", "");
    let body = &one[one.find("[[rules]]").unwrap()..];
    let many: String = (0..257).map(|n| body.replace("\"r\"", &format!("\"r{n}\""))).collect();
    assert!(refused(&format!("version = \"t\"\n{many}")).contains("more than 256 rules"));
    assert!(refused(&format!("version = \"t\"\n{body}{body}")).contains("stands twice"));
}

#[test]
fn conditions_say_what_cel_says() {
    let cases = [
        ("transfer.amount_minor > thresholds.large && fraud.score >= thresholds.high", true),
        ("transfer.amount_minor == 5000.0", true),
        ("transfer.to in lists.blocked", true),
        ("request.source in lists.blocked", true),
        ("transfer.to in ['x', 'y']", false),
        ("request.hour in [1, 2, 3]", true),
        ("'teller' in identity.roles && !('auditor' in identity.roles)", true),
        ("identity.subject == 'alice' ? identity.age_s == 50 : false", true),
        (
            "request.path.startsWith('/api/') && request.path.endsWith('ers') && request.path.contains('/tr')",
            true,
        ),
        ("size(identity.scopes) == 1 && identity.subject.size() == 5", true),
        ("int(behaviour.amount_ratio) == 4 && double(transfer.amount_minor) / 2.0 == 2500.0", true),
        ("transfer.amount_minor % 7 == 5000 - 714 * 7 && -transfer.amount_minor < 0", true),
        ("identity.credential == 'dpop' && identity.auth_age_s == 100", true),
        ("behaviour.new_payee == transfer.present && limits.exceeded != behaviour.new_payee", true),
        ("behaviour.hour_share == 1.0 && anomaly.score == 0.0 && !anomaly.available", true),
    ];
    for (when, expected) in cases {
        let verdict = accepted(when, "").decide(&facts(), &evidence(0.95));
        assert_eq!(verdict.outcome == Outcome::Hold, expected, "{when}");
    }
}

#[test]
fn modes_routes_ramps_and_expiry() {
    let outcome = |more: &str| accepted("true", more).decide(&facts(), &evidence(0.0)).outcome;
    assert_eq!(outcome("routes = [\"api-*\"]"), Outcome::Hold);
    assert_eq!(outcome("routes = [\"web-*\", \"api-reads\"]"), Outcome::Allow);
    assert_eq!(outcome("ramp = 0"), Outcome::Allow);
    // 1,790,000,000 s is 2026-09-21 14:13:20 UTC.
    assert_eq!(outcome("expires = 2026-09-21"), Outcome::Hold);
    assert_eq!(outcome("expires = 2026-09-20"), Outcome::Allow);
    let text = rule("true", "").replace("\"enforce\"", "\"shadow\"");
    let verdict = document::parse(&text).unwrap().decide(&facts(), &evidence(0.0));
    assert_eq!((verdict.outcome, verdict.shadow.len()), (Outcome::Allow, 1));
    let text = rule("true", "").replace("\"enforce\"", "\"off\"");
    let verdict = document::parse(&text).unwrap().decide(&facts(), &evidence(0.0));
    assert_eq!((verdict.outcome, verdict.shadow.len()), (Outcome::Allow, 0));
}

#[test]
fn a_ramp_is_stable_grows_and_is_fair() {
    let at = |percent: u8| accepted("true", &format!("ramp = {percent}")).keyed(Pseudonymizer::new(&[9; 32]));
    let (ten, forty) = (at(10), at(40));
    let mut enforced = [0; 2];
    for customer in 0..2_000 {
        let facts = Facts { identity: Some(identity(&format!("customer-{customer}"))), ..facts() };
        let verdicts = [&ten, &forty].map(|policy| policy.decide(&facts, &evidence(0.0)));
        let held = verdicts.clone().map(|verdict| verdict.outcome == Outcome::Hold);
        assert!(!held[0] || held[1], "customer-{customer} fell out of a growing ramp");
        assert_eq!(held[0], ten.decide(&facts, &evidence(0.0)).outcome == Outcome::Hold, "stable");
        assert_eq!(verdicts[0].reasons.len() + verdicts[0].shadow.len(), 1, "the others see it in shadow");
        enforced[0] += usize::from(held[0]);
        enforced[1] += usize::from(held[1]);
    }
    assert!((150..250).contains(&enforced[0]) && (720..880).contains(&enforced[1]), "{enforced:?}");
}

#[test]
fn a_rule_that_fails_asks_for_its_error_outcome_and_is_counted() {
    let policy = accepted("transfer.amount_minor * 100 > 5", "on_error = \"step_up\"");
    let mut facts = facts();
    facts.transfer.as_mut().unwrap().amount_minor = i64::MAX / 2;
    let verdict = policy.decide(&facts, &evidence(0.0));
    assert_eq!((verdict.outcome, verdict.failures), (Outcome::StepUp, 1));
    // A side that settles the result makes the other side's failure unimportant, as in CEL.
    let settled = accepted("transfer.amount_minor * 100 > 5 && false", "").decide(&facts, &evidence(0.0));
    assert_eq!((settled.outcome, settled.failures), (Outcome::Allow, 0));
}

#[test]
fn a_score_that_is_not_a_number_is_no_score() {
    let policy = accepted("!fraud.available || fraud.score >= 0.5", "");
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(policy.decide(&facts(), &evidence(score)).outcome, Outcome::Hold, "{score}");
    }
}

#[test]
fn the_hash_is_the_identity() {
    let policy = accepted("true", "");
    assert_eq!(policy.hash().len(), 64);
    assert_eq!(*policy.hash(), *accepted("true", "").hash());
    assert_ne!(*policy.hash(), *accepted("true", "# a comment").hash());
}

fn record(facts: &Facts, evidence: &Evidence, policy: &Policy, pseudonyms: &Pseudonymizer) -> DecisionRecord {
    let course = Course {
        id: "d1".into(),
        duration_us: 5,
        class: 0,
        stage: "decision".into(),
        status: 202,
        upstream_status: None,
        repeat_of: None,
        case: None,
    };
    let verdict = policy.decide(facts, evidence);
    DecisionRecord::of(facts, evidence, &verdict, policy.hash(), course, pseudonyms)
}

#[test]
fn a_verdict_can_be_computed_again_from_its_record_alone() {
    let pseudonyms = Pseudonymizer::new(&[3; 32]);
    let same = [
        "transfer.amount_minor > thresholds.large && fraud.score > 0.9",
        "transfer.to in lists.blocked",
        "transfer.to == 'acc-bad' && transfer.from != 'acc-bad'",
        "transfer.to != transfer.from",
        "request.source in lists.blocked",
        "identity.auth_age_s == 100 && identity.age_s == 50 && identity.acr == 'strong'",
        "behaviour.new_payee && behaviour.amount_ratio > 4.0 && request.hour == 3",
        "transfer.to in ['somebody-else']",
    ];
    for when in same {
        let policy = accepted(when, "").keyed(pseudonyms.clone());
        let record = record(&facts(), &evidence(0.95), &policy, &pseudonyms);
        let text = serde_json::to_string(&record).unwrap();
        for secret in ["acc-bad", "acc-a\"", "alice", "198.51.100.9"] {
            assert!(!text.contains(secret), "the record says {secret}");
        }
        let read: DecisionRecord = serde_json::from_str(&text).unwrap();
        let again = policy.on_records(&pseudonyms).unwrap().recompute(&read);
        assert_eq!(again.verdict.outcome, record.outcome, "{when}");
        assert_eq!(again.verdict.reasons, record.reasons, "{when}");
        assert!(again.left_out.is_empty(), "{when}");
    }
    for when in ["identity.subject == 'alice'", "transfer.to.startsWith('acc')", "request.path == '/x'"] {
        let policy = accepted(when, "");
        let record = record(&facts(), &evidence(0.0), &policy, &pseudonyms);
        let again = policy.on_records(&pseudonyms).unwrap().recompute(&record);
        assert_eq!(again.left_out.len(), 1, "{when} reads what no record keeps");
    }
}
