//! Conditions mean what cel-rust's own interpreter says they mean, on generated expressions and requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cel::{Context, Program, Value};
use proptest::prelude::*;

use crate::compile::{Names, compile};
use crate::evidence::{AttackKind, Behaviour, Evidence, Finding, Score, Scored};
use crate::facts::{Credential, Facts, Identity, TransferIntent};
use crate::variables::{Read, VARIABLES, View};

/// An expression of type bool.
fn bools() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("transfer.present".to_owned()),
        Just("behaviour.new_payee".to_owned()),
        (ints(), comparisons(), ints()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (doubles(), comparisons(), doubles()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        // Numbers of different types are ordered, not equated: cel-rust equates them by type.
        (ints(), orders(), doubles()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (texts(), comparisons(), texts()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (texts(), texts()).prop_map(|(a, b)| format!("{a}.startsWith({b})")),
        (texts(), texts()).prop_map(|(a, b)| format!("{a}.contains({b})")),
        texts().prop_map(|a| format!("{a} in identity.scopes")),
        texts().prop_map(|a| format!("{a} in ['a', 'acc-1']")),
        ints().prop_map(|a| format!("{a} in [0, 3, 70]")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) == ({b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
}

fn comparisons() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="])
}

fn orders() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["<", "<=", ">", ">="])
}

fn ints() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("transfer.amount_minor".to_owned()),
        Just("request.hour".to_owned()),
        Just("behaviour.known_transfers".to_owned()),
        Just("size(identity.scopes)".to_owned()),
        (0_i64..100).prop_map(|n| n.to_string()),
        Just("9223372036854775807".to_owned()),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), inner)
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    })
}

fn doubles() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("fraud.score".to_owned()),
        Just("behaviour.amount_ratio".to_owned()),
        Just("inspection.sqli".to_owned()),
        (0_u32..1000).prop_map(|n| format!("{}.{}", n / 10, n % 10)),
        Just("double(request.hour)".to_owned()),
    ];
    // No division: a result that is not finite is a failure here and a number in CEL.
    leaf.prop_recursive(2, 6, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!["+", "-", "*"]), inner)
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "transfer.to",
        "request.route",
        "request.source",
        "identity.subject",
        "identity.acr",
        "'a'",
        "'acc-1'",
        "''",
    ])
    .prop_map(str::to_owned)
}

prop_compose! {
    fn requests()(
        identified in any::<bool>(),
        amount in prop::option::of(prop_oneof![1_i64..100, Just(i64::MAX)]),
        fraud in prop::option::of(0.0..1.0_f64),
        ratio in prop::option::of(0.0..9.0_f64),
        known in 0_u64..5,
        hour in 0_u8..24,
        sqli in prop::option::of(0.0..1.0_f64),
    ) -> (Facts, Evidence) {
        (facts(identified, amount, hour), evidence(fraud, ratio, known, sqli))
    }
}

fn facts(identified: bool, amount: Option<i64>, hour: u8) -> Facts {
    let identity = identified.then(|| {
        Arc::new(Identity {
            issuer: "i".into(),
            subject: "a".into(),
            client_id: "c".into(),
            scopes: vec!["a".into(), "b".into()],
            roles: Vec::new(),
            acr: Some("acc-1".into()),
            auth_time: None,
            issued_at: 0,
            expires_at: 1,
            token_id: None,
            session_id: None,
            credential: Credential::Bearer,
            authorization_details: None,
        })
    });
    let transfer = amount.map(|amount_minor| TransferIntent {
        from: "acc-0".into(),
        to: "acc-1".into(),
        amount_minor,
        currency: *b"EUR",
        idempotency_key: None,
    });
    Facts {
        at_ms: 1_000,
        hour,
        app: "bank".into(),
        route: "a".into(),
        method: "POST".into(),
        path: "/".into(),
        source: "192.0.2.1".parse().unwrap(),
        identity,
        transfer,
    }
}

fn evidence(fraud: Option<f64>, ratio: Option<f64>, known: u64, sqli: Option<f64>) -> Evidence {
    let score = |value| {
        Scored::Available(Score {
            value,
            model: "m".into(),
            contributions: Vec::new(),
            sentences: Vec::new(),
            features: Vec::new(),
        })
    };
    let finding =
        |score| Finding { kind: AttackKind::Sqli, score, location: String::new(), why: String::new() };
    Evidence {
        fraud: fraud.map(score),
        inspection: sqli.map(finding).into_iter().collect(),
        behaviour: Some(Behaviour { amount_ratio: ratio, known_transfers: known, ..Behaviour::default() }),
        ..Evidence::default()
    }
}

/// What cel-rust's interpreter says, with every variable bound as the table reads it.
fn interpreted(source: &str, view: &View<'_>) -> Result<bool, String> {
    let mut groups: BTreeMap<&str, HashMap<String, Value>> = BTreeMap::new();
    for variable in VARIABLES {
        let (group, field) = variable.name.split_once('.').unwrap();
        let value: Value = match variable.read {
            Read::Bool(read) => read(view).into(),
            Read::Int(read) => read(view).into(),
            Read::Double(read) => read(view).into(),
            Read::Text(read) => read(view).to_owned().into(),
            Read::Texts(read) => read(view).to_vec().into(),
        };
        groups.entry(group).or_default().insert(field.to_owned(), value);
    }
    let mut context = Context::default();
    for (group, fields) in groups {
        context.add_variable_from_value(group, fields);
    }
    match Program::compile(source).unwrap().execute(&context) {
        Ok(Value::Bool(value)) => Ok(value),
        other => Err(format!("{other:?}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conditions_mean_what_the_interpreter_says(source in bools(), (facts, evidence) in requests()) {
        prop_assume!(source.len() < 1_500);
        let (thresholds, lists) = (BTreeMap::new(), BTreeMap::new());
        let names = Names { thresholds: &thresholds, lists: &lists, hashed_by: None };
        let nested = |complaint: &crate::compile::Complaint| complaint.message.contains("nested");
        let condition = match compile(&source, &names) {
            Err(complaint) if nested(&complaint) => return Ok(()),
            compiled => compiled.unwrap_or_else(|complaint| panic!("{source}: {complaint:?}")),
        };
        let view = View::live(&facts, &evidence);
        let ours = condition.expression.eval(&view);
        match (ours, interpreted(&source, &view)) {
            (Ok(ours), theirs) => prop_assert_eq!(Ok(ours), theirs, "{}", source),
            (Err(failure), theirs) => prop_assert!(theirs.is_err(), "{}: {:?} but {:?}", source, failure, theirs),
        }
    }
}
