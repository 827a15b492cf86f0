use learner::fraud::FraudScorer;
use learner::transfer::TransferEvent;
use ledger_demo::banking::Bank;
use ledger_demo::seed::{DEMO_SEED, seed, transfer_history};
use policies::evidence::Scored;
use policies::{Name, Pseudonymizer};

use super::*;
use crate::stages::transfer::assess;

/// 2026-11-27T00:00:00Z, a Friday.
const MIDNIGHT_MS: i64 = 1_795_737_600_000;

#[tokio::test]
async fn ordinary_transfers_pass_and_drained_accounts_do_not_at_any_hour() {
    let db = sled::Config::new().temporary(true).open().unwrap();
    let bank = Bank::open(&db, MIDNIGHT_MS).await.unwrap();
    seed(&bank, DEMO_SEED, MIDNIGHT_MS).await.unwrap();
    let customers = Customers::new(Pseudonymizer::new(&[7; 32]), 0);
    let profiles = Profiles::new(ProfileLimits::default());
    let event = |customer: &str, payee: &str, amount_minor: i64, at_ms: i64| {
        customers.past("idp", customer, payee, amount_minor, *b"EUR", at_ms)
    };
    for past in transfer_history(&bank).unwrap() {
        event(past.customer.as_str(), past.payee.as_str(), past.amount_minor, past.at_ms)
            .seen(|event| profiles.accept(event));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/fraud/model.artifact");
    let scorer = FraudScorer::from_bytes(&fs::read(file).unwrap()).unwrap();
    // What the demo's policies step up at (configs/policies/demo.toml).
    const STEP_UP: f64 = 0.30;
    let asked = |customer: &str, payee: &str, amount: i64, at_ms: i64| TransferEvent {
        device: Some(1),
        session_age_s: Some(2),
        auth_age_s: Some(2),
        ..event(customer, payee, amount, at_ms)
    };
    let risk = |profiles: &Profiles, asked: TransferEvent| {
        let found = assess(asked, profiles, Some(&scorer), &Name::from("fraud"));
        let Scored::Available(score) = found.fraud else { panic!("no score") };
        score.value
    };
    for (customer, payee, amount, ordinary) in [
        ("alice", "bob-current", 150, true),
        ("alice", "bob-current", 4_000, true),
        ("alice", "alice-current", 100, true),
        ("alice", "newcomer-current", 100, true),
        ("newcomer", "bob-current", 750, true),
        ("alice", "stranger-current", 290_000, false),
        ("carol", "stranger-current", 290_000, false),
    ] {
        for hour in 0..24 {
            let at_ms = MIDNIGHT_MS + hour * 3_600_000;
            let risk = risk(&profiles, asked(customer, payee, amount, at_ms));
            assert_eq!(risk < STEP_UP, ordinary, "{customer} {payee} {amount} at {hour}: {risk}");
        }
    }
    // The books tell no browsers. The first transfer by one makes it no rare one for the next.
    for customer in ["alice", "mallory", "carol"] {
        for hour in 0..24 {
            let twice = Profiles::restore(&profiles.snapshot(), ProfileLimits::default()).unwrap();
            for nth in 0..4 {
                let paid =
                    asked(customer, "bob-current", 700 + nth, MIDNIGHT_MS + hour * 3_600_000 + nth * 2_000);
                let risk = risk(&twice, paid);
                assert!(risk < STEP_UP, "payment {nth} by {customer} at {hour}: {risk}");
                paid.seen(|event| {
                    twice.attempt(event);
                    twice.accept(event);
                });
            }
        }
    }
    // Several try the demo at once: all pay the same few, within minutes, from one browser.
    for hour in 0..24 {
        let busy = Profiles::restore(&profiles.snapshot(), ProfileLimits::default()).unwrap();
        // One of them was refused a few times.
        for nth in 0..4 {
            let refused = asked("mallory", "bob-current", 700, MIDNIGHT_MS + hour * 3_600_000 - nth * 9_000);
            refused.seen(|event| busy.attempt(event));
        }
        for nth in 0..60 {
            let customer = ["alice", "mallory", "carol", "newcomer", "another"][nth as usize % 5];
            let paid =
                asked(customer, "bob-current", 150 + nth * 37, MIDNIGHT_MS + hour * 3_600_000 + nth * 5_000);
            let risk = risk(&busy, paid);
            assert!(risk < STEP_UP, "payment {nth} by {customer} at {hour}: {risk}");
            paid.seen(|event| {
                busy.attempt(event);
                busy.accept(event);
            });
        }
    }
}
