//! Keeps what is known of customers' behaviour over restarts, and learns it from a bank's books at the first start.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use learner::behaviour::{Event, ProfileLimits, Profiles, SURPRISE};
use learner::transfer;

use crate::config::Config;
use crate::models::record::Judged;
use crate::stages::transfer::Customers;

/// A past transfer, one JSON object a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PastTransfer {
    /// Unix milliseconds.
    at_ms: i64,
    /// Issuer of the customer's identity; left out: the first configured one.
    issuer: Option<String>,
    /// `sub` of the customer.
    customer: String,
    /// Account paid, as request bodies name it.
    payee: String,
    /// Minor units.
    amount_minor: i64,
    /// ISO 4217.
    currency: String,
}

/// The profiles of the last run, or those that the configured backfill teaches.
///
/// # Errors
/// A backfill that cannot be read; a damaged snapshot is said, and the profiles start afresh.
pub fn restore(config: &Config, customers: &Customers) -> anyhow::Result<Profiles> {
    let file = snapshot_file(&config.server.data_dir);
    match fs::read(&file) {
        Ok(bytes) => match Profiles::restore(&bytes, ProfileLimits::default()) {
            Ok(profiles) => return Ok(profiles),
            Err(error) => tracing::error!(%error, file = %file.display(), "behaviour profiles start afresh"),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::error!(%error, file = %file.display(), "behaviour profiles start afresh"),
    }
    let profiles = Profiles::new(ProfileLimits::default());
    if let Some(backfill) = &config.backfill {
        let learned = learn(&profiles, config, customers, backfill)
            .with_context(|| format!("backfill {}", backfill.display()))?;
        tracing::info!(transfers = learned, "learned customers' habits from past transfers");
    }
    Ok(profiles)
}

/// Learns that an accepted transfer turned out to be fraud, or that it did not after all.
pub fn learn_of_label(profiles: &Profiles, judged: &Judged, fraud: bool) {
    let [customer, payee] = judged.keys;
    let categories: Vec<Option<u64>> =
        judged.categories.iter().map(|&level| (level != 0).then_some(level)).collect();
    let event = Event {
        at_ms: judged.at_ms,
        customer: Some(customer),
        counterparty: Some(payee),
        amount_cents: Some(judged.cents),
        utc_offset_min: judged.utc_offset_min,
        coordinates: None,
        categories: &categories,
        numbers: &[],
    };
    if !fraud {
        return profiles.unlabel(&event);
    }
    let at = transfer::schema().columns().iter().position(|column| column.name == SURPRISE);
    profiles.label(&event, at.and_then(|at| judged.vector.get(at)).copied());
}

/// Writes the profiles down.
///
/// # Errors
/// The file cannot be written; the old one stays.
pub fn save(profiles: &Profiles, data_dir: &Path) -> std::io::Result<()> {
    let file = snapshot_file(data_dir);
    let draft = file.with_extension("new");
    fs::write(&draft, profiles.snapshot())?;
    fs::rename(draft, file)
}

fn snapshot_file(data_dir: &Path) -> PathBuf {
    data_dir.join("profiles.bin")
}

fn learn(profiles: &Profiles, config: &Config, customers: &Customers, file: &Path) -> anyhow::Result<u64> {
    let issuer = config.issuers.first().map(|i| i.issuer.clone()).unwrap_or_default();
    let mut learned = 0;
    for (number, line) in BufReader::new(fs::File::open(file)?).lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("line {}", number + 1);
        let past: PastTransfer = serde_json::from_str(&line).with_context(place)?;
        let currency = <[u8; 3]>::try_from(past.currency.as_bytes()).with_context(place)?;
        let by = past.issuer.as_deref().unwrap_or(&issuer);
        let event = customers.past(by, &past.customer, &past.payee, past.amount_minor, currency, past.at_ms);
        event.seen(|event| profiles.accept(event));
        learned += 1;
    }
    Ok(learned)
}

#[cfg(test)]
mod tests;
