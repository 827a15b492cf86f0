//! The fraud score of a transfer, against the customer's behaviour profile.

use std::sync::LazyLock;

use http::request::Parts;
use learner::behaviour::{CustomerView, Profiles, Schema};
use learner::fraud::{FraudScorer, Unavailable};
use learner::transfer::{self, TransferEvent};
use policies::evidence::{Behaviour, Contribution, Score, Scored, Unavailability};
use policies::facts::{Credential, Identity, TransferIntent};
use policies::record::Pseudonym;
use policies::{Name, Pseudonymizer};

/// Makes the keyed identifiers under which behaviour is remembered; stable over restarts, meaningless without the key.
#[derive(Clone)]
pub struct Customers {
    pseudonyms: Pseudonymizer,
    utc_offset_min: i16,
}

impl Customers {
    /// Keyed like the decision record; the bank's local time is `utc_offset_hours` ahead of UTC.
    pub fn new(pseudonyms: Pseudonymizer, utc_offset_hours: i32) -> Self {
        let utc_offset_min = i16::try_from(utc_offset_hours.clamp(-14, 14) * 60).unwrap_or_default();
        Self { pseudonyms, utc_offset_min }
    }

    /// The event that profiles and model see for `intent` of `identity`.
    pub fn event(
        &self,
        identity: &Identity,
        intent: &TransferIntent,
        head: &Parts,
        at_ms: i64,
    ) -> TransferEvent {
        let user_agent =
            head.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let device = self.pseudonyms.account(&format!("device {} {user_agent}", identity.client_id));
        let seconds = |s: i64| u32::try_from(s).ok();
        // A bearer token says when it was issued, not when its session began; its authentication time does.
        let session_age = match identity.credential {
            Credential::Session => Some(identity.age_s(at_ms)),
            _ => identity.auth_age_s(at_ms),
        };
        TransferEvent {
            at_ms,
            customer: number(&self.pseudonyms.subject(&identity.issuer, &identity.subject)),
            payee: number(&self.pseudonyms.account(&intent.to)),
            device: Some(number(&device)),
            amount_minor: intent.amount_minor,
            currency: intent.currency,
            session_age_s: session_age.and_then(seconds),
            auth_age_s: identity.auth_age_s(at_ms).and_then(seconds),
            utc_offset_min: self.utc_offset_min,
        }
    }

    /// The event of a past transfer out of a bank's own books.
    pub fn past(
        &self,
        issuer: &str,
        customer: &str,
        payee: &str,
        amount_minor: i64,
        currency: [u8; 3],
        at_ms: i64,
    ) -> TransferEvent {
        TransferEvent {
            at_ms,
            customer: number(&self.pseudonyms.subject(issuer, customer)),
            payee: number(&self.pseudonyms.account(payee)),
            device: None,
            amount_minor,
            currency,
            session_age_s: None,
            auth_age_s: None,
            utc_offset_min: self.utc_offset_min,
        }
    }
}

/// The first 64 bits of a pseudonym.
fn number(pseudonym: &Pseudonym) -> u64 {
    pseudonym.0.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

/// What was found out about a transfer.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// The event, to be counted once the upstream's answer is known.
    pub event: TransferEvent,
    /// The model's judgement.
    pub fraud: Scored,
    /// What the profile says.
    pub behaviour: Behaviour,
}

/// Looks the profile up and scores. No I/O; the profile is only read.
pub fn assess(
    event: TransferEvent,
    profiles: &Profiles,
    scorer: Option<&FraudScorer>,
    model: &Name,
) -> Assessment {
    let mut vector = Vec::with_capacity(VECTOR_ROOM);
    let view = event.seen(|event| profiles.describe(&SCHEMA, event, &mut vector)).unwrap_or_default();
    let fraud = match scorer {
        None => Scored::Unavailable(Unavailability::NoModel),
        Some(scorer) => score(scorer, &event, vector, model),
    };
    Assessment { event, fraud, behaviour: behaviour(&event, &view) }
}

/// The features of transfers, the same for every model that can be loaded.
static SCHEMA: LazyLock<Schema> = LazyLock::new(transfer::schema);
/// Room for all features and a few levels.
const VECTOR_ROOM: usize = 128;

fn score(scorer: &FraudScorer, event: &TransferEvent, mut vector: Vec<f32>, model: &Name) -> Scored {
    event.seen(|event| scorer.model().complete(event, &mut vector));
    let scored = if event.amount_minor < 0 { Err(Unavailable::BadInput) } else { scorer.score(&vector) };
    match scored {
        Err(_) => Scored::Unavailable(Unavailability::Failed),
        Ok(found) => {
            let contributions = found.contributions.iter().filter(|c| c.log_odds != 0.0).filter_map(|c| {
                let name = scorer.names().get(c.feature)?;
                Some(Contribution {
                    feature: name.as_str().into(),
                    value: f64::from(c.value),
                    weight: c.log_odds,
                })
            });
            Scored::Available(Score {
                value: found.probability,
                model: model.clone(),
                contributions: contributions.collect(),
                sentences: scorer.sentences(&found, &vector),
                features: vector.into_iter().map(f64::from).collect(),
            })
        }
    }
}

fn behaviour(event: &TransferEvent, view: &CustomerView) -> Behaviour {
    let known = view.total > 0;
    let [refused_1h, _] = view.unaccepted;
    Behaviour {
        new_payee: view.times_paid == 0,
        known_transfers: u64::from(view.total),
        amount_ratio: known.then(|| event.amount_cents() as f64 / view.usual_cents()),
        count_1d: u64::from(view.count_1d()),
        sum_1d_minor: view.sum_1d_cents(),
        refused_1h: u64::from(refused_1h),
        hour_share: known.then_some(view.hour_share),
    }
}
