//! What an earlier run of the gateway would have recorded: a season of simulated transfers as vectors, and labels of its frauds.

use std::fs;
use std::path::Path;

use anyhow::Context;
use learner::behaviour::{ProfileLimits, Profiles};
use learner::fraud::FraudScorer;
use learner::simulate::{self, TransferSettings};
use proxy::models::Settings;
use proxy::models::log::Writer;
use proxy::models::record::{self, Entry, Judged, hash_bytes};
use serde_json::json;

/// Days of the season; about half a transfer a customer and day.
const DAYS: u32 = 150;
/// The last transfer is so old, milliseconds: older than the labels' delay, as those of the load are not. A training then
/// learns from the season alone, however long the load lasts.
const AGO_MS: i64 = 25 * 3_600_000;
/// Bytes handed to the log at once.
const BATCH_BYTES: usize = 1 << 20;

/// Writes `vectors/` and `labels.jsonl` into `data`; answers how many transfers.
pub fn write(data: &Path, model: &Path, customers: usize, now_ms: i64) -> anyhow::Result<usize> {
    let scorer = FraudScorer::load(model)?;
    let profiles = Profiles::new(ProfileLimits::default());
    let events = simulate::transfers(TransferSettings { seed: 3, customers, days: DAYS });
    let last_ms = events.last().context("no transfers")?.event.at_ms;
    let bounds = Settings { vectors_mib_max: 1_024, ..Settings::default() }.bounds();
    let mut writer = Writer::open(&data.join("vectors"), bounds)?;
    let (mut frames, mut labels, count) = (Vec::new(), String::new(), events.len());
    for (number, recorded) in (0_u128..).zip(events) {
        let mut vector = Vec::new();
        recorded.event.seen(|event| {
            scorer.model().vector(&profiles, event, &mut vector);
            profiles.attempt(event);
            profiles.accept(event);
        });
        let at_ms = recorded.event.at_ms - last_ms + now_ms - AGO_MS;
        let decision = (u128::try_from(at_ms)? << 80) | number;
        if recorded.fraud == Some(true) {
            let decision = format!("{decision:032x}");
            let line = json!({ "decision": decision, "fraud": true, "known_ms": at_ms, "source": "upload", "by": "bench" });
            labels += &format!("{line}\n");
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
    writer.append(&frames, now_ms - AGO_MS)?;
    fs::write(data.join("labels.jsonl"), labels)?;
    Ok(count)
}
