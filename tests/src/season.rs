//! What an earlier run of the gateway would have recorded: a season of simulated transfers as vectors.

use std::path::Path;

use anyhow::Context;
use learner::behaviour::{ProfileLimits, Profiles};
use learner::fraud::FraudScorer;
use learner::simulate::{self, TransferSettings};
use proxy::models::Settings;
use proxy::models::log::Writer;
use proxy::models::record::{self, Entry, Judged, hash_bytes};

/// Bytes handed to the log at once.
const BATCH_BYTES: usize = 1 << 20;

/// What was written.
#[derive(Debug)]
pub struct Season {
    /// How many transfers.
    pub transfers: usize,
    /// Decisions about frauds, and when they were made, Unix milliseconds.
    pub frauds: Vec<(String, i64)>,
}

/// Writes the vectors of a town's transfers, as the model in `model` judges them, into `data`; the last of them was decided
/// at `last_ms`.
///
/// # Errors
/// No model there, no transfers, or the log cannot be written.
pub fn write(data: &Path, model: &Path, town: TransferSettings, last_ms: i64) -> anyhow::Result<Season> {
    let scorer = FraudScorer::load(model)?;
    let profiles = Profiles::new(ProfileLimits::default());
    let events = simulate::transfers(town);
    let shift_ms = last_ms - events.last().context("no transfers")?.event.at_ms;
    let bounds = Settings { vectors_mib_max: 1_024, ..Settings::default() }.bounds();
    let mut writer = Writer::open(&data.join("vectors"), bounds)?;
    let (mut frames, mut frauds, transfers) = (Vec::new(), Vec::new(), events.len());
    for (number, recorded) in (0_u128..).zip(events) {
        let mut vector = Vec::new();
        recorded.event.seen(|event| {
            scorer.model().vector(&profiles, event, &mut vector);
            profiles.attempt(event);
            profiles.accept(event);
        });
        let at_ms = recorded.event.at_ms + shift_ms;
        let decision = (u128::try_from(at_ms)? << 80) | number;
        if recorded.fraud == Some(true) {
            frauds.push((format!("{decision:032x}"), at_ms));
        }
        let judged = Judged {
            decision,
            at_ms,
            schema: hash_bytes(&scorer.manifest().schema_hash),
            model: hash_bytes(scorer.digest()),
            probability: scorer.score(&vector)?.probability,
            cents: recorded.event.amount_cents(),
            accepted: true,
            keys: [recorded.event.customer, recorded.event.payee],
            utc_offset_min: 0,
            categories: vec![recorded.event.device.unwrap_or(0)],
            vector,
        };
        record::write(&Entry::Judged(judged), &mut frames);
        if frames.len() > BATCH_BYTES {
            writer.append(&frames, at_ms)?;
            frames.clear();
        }
    }
    writer.append(&frames, last_ms)?;
    Ok(Season { transfers, frauds })
}
