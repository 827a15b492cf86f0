//! What is scored inline allocates nothing once it runs: a look-up of profiles, a linear score, and the update.

#![allow(clippy::unwrap_used)]

use learner::behaviour::{ProfileLimits, Profiles};
use learner::fraud::FraudScorer;
use learner::transfer::TransferEvent;
use std::path::Path;

fn event(n: i64) -> TransferEvent {
    TransferEvent {
        at_ms: 1_750_000_000_000 + n * 3_600_000,
        customer: (n % 7) as u64,
        payee: (n % 5) as u64,
        device: Some((n % 3) as u64),
        amount_minor: 1_000 + n % 1_000,
        currency: *b"EUR",
        session_age_s: Some(300),
        auth_age_s: None,
        utc_offset_min: 0,
    }
}

#[test]
fn a_linear_score_allocates_nothing_in_the_steady_state() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/models/fraud");
    let scorer = FraudScorer::load(&folder).unwrap();
    let profiles = Profiles::new(ProfileLimits::default());
    let mut vector = Vec::new();
    let mut once = |n: i64| {
        let event = event(n);
        event.seen(|event| scorer.model().vector(&profiles, event, &mut vector));
        let score = scorer.score(&vector).unwrap();
        event.seen(|event| {
            profiles.attempt(event);
            profiles.accept(event);
        });
        score.probability
    };
    // Customers have their habits and lists their length after this.
    (0..5_000).for_each(|n| {
        once(n);
    });
    let mut sum = 0.0;
    let counted = allocation_counter::measure(|| sum = (5_000..6_000).map(&mut once).sum());
    assert!(sum > 0.0);
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
