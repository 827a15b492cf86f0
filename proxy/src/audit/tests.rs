//! The decision log: what is acknowledged is there, what was lost is said, and no change goes unseen.

mod recovering;
mod tampering;
mod writing;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use policies::ports::Clock;
use policies::record::Course;
use policies::{DecisionRecord, Evidence, Facts, Pseudonymizer, Verdict};

use super::{AuditLog, Entry, Settings};

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(Still)
}

/// A log whose writer flushes and checkpoints only when somebody waits, or at its end.
fn quiet(dir: &Path) -> Settings {
    Settings {
        sync_every: Duration::from_secs(3600),
        checkpoint_every: Duration::from_secs(3600),
        linger: Duration::ZERO,
        gather: Duration::ZERO,
        ..Settings::in_dir(dir)
    }
}

fn decision(id: &str) -> DecisionRecord {
    let facts = Facts {
        at_ms: 1_700_000_000_000,
        hour: 12,
        app: "app".into(),
        route: "route".into(),
        method: "POST".into(),
        path: "/".into(),
        source: IpAddr::from([192, 0, 2, 1]),
        identity: None,
        transfer: None,
    };
    let course = Course {
        id: id.to_owned(),
        duration_us: 7,
        class: 0,
        stage: "upstream".into(),
        status: 201,
        upstream_status: Some(201),
        case: None,
        repeat_of: None,
    };
    let verdict = Verdict::from_reasons(Vec::new(), Vec::new());
    DecisionRecord::of(
        &facts,
        &Evidence::default(),
        &verdict,
        &"p".into(),
        course,
        &Pseudonymizer::new(&[7; 32]),
    )
}

fn intent(id: &str) -> Entry {
    Entry::Intent(Box::new(decision(id)))
}

/// Submits a money-moving request's entry and waits for its answer.
fn durably(log: &AuditLog, id: &str) -> Result<u64, super::NotRecorded> {
    wait(log.submit_durable(intent(id)))
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
