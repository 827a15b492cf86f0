//! The decision log: new decisions as they come, admin calls into it, proofs out of it.

use std::sync::Arc;
use std::time::Instant;

use admin::ports::{Answer, AuditProof, AuditTrail, DecisionFeed, FeedItem, PortError};
use admin::views::{AdminCall, Checkpoint, Phase, Verification};
use tokio::sync::broadcast;

use super::Ports;
use crate::audit::{self, Entry, VerifyError};
use crate::gateway::Core;

/// Decisions that a slow watcher may fall behind before it loses the oldest.
const FEED_BUFFER: usize = 256;

/// Passes new decisions on to whoever watches.
struct Feed {
    out: broadcast::Sender<Arc<FeedItem>>,
}

/// The feed of `core`; passes on until the log is closed.
pub fn feed(core: &Arc<Core>) -> Arc<dyn DecisionFeed> {
    let (out, _) = broadcast::channel(FEED_BUFFER);
    let (mut recorded, sender) = (core.log.subscribe(), out.clone());
    tokio::spawn(async move {
        loop {
            match recorded.recv().await {
                Ok(numbered) => {
                    let (position, record) = &*numbered;
                    let item = FeedItem { position: *position, record: record.clone() };
                    // Nobody may be watching.
                    let _ = sender.send(Arc::new(item));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    Arc::new(Feed { out })
}

impl DecisionFeed for Feed {
    fn subscribe(&self) -> broadcast::Receiver<Arc<FeedItem>> {
        self.out.subscribe()
    }
}

impl AuditTrail for Ports {
    fn record(&self, call: AdminCall) -> Answer<'_, ()> {
        let entry = Entry::Admin(audit::AdminCall {
            by: call.subject.clone().unwrap_or_else(|| "-".to_owned()),
            call: format!("{} {}", call.method, call.path),
            status: call.status,
            about: about(&call),
        });
        Box::pin(async move {
            let recorded = self.core.log.submit_durable(entry).await;
            recorded.map(|_| ()).map_err(|e| PortError::Unavailable(e.to_string()))
        })
    }
}

fn about(call: &AdminCall) -> String {
    let phase = if call.phase == Phase::Intent { "about to be done" } else { "done" };
    let mut words = format!("{phase}, via {:?}, call {}", call.via, call.id);
    if let Some(detail) = &call.detail {
        words.push_str(&format!(", {detail}"));
    }
    if let Some(reason) = &call.reason {
        words.push_str(&format!(", refused: {reason}"));
    }
    if call.unrecorded > 0 {
        words.push_str(&format!(", {} refused calls before it were not recorded", call.unrecorded));
    }
    words
}

impl AuditProof for Ports {
    fn checkpoint(&self) -> Answer<'_, Checkpoint> {
        super::ready(match self.core.log.checkpoint() {
            Some(c) => Ok(Checkpoint { size: c.size, head: c.head.to_string(), at_ms: c.at_ms }),
            None => Err(PortError::NotFound),
        })
    }

    fn verify(&self) -> Answer<'_, Verification> {
        let folder = self.core.log.dir().to_owned();
        Box::pin(async move {
            let began = Instant::now();
            let walked = tokio::task::spawn_blocking(move || audit::verify(&folder, None, |_| {})).await;
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            match walked.map_err(|e| PortError::Unavailable(e.to_string()))? {
                Ok(report) => Ok(Verification {
                    intact: true,
                    checked: report.entries,
                    first_bad: None,
                    head: report.head.to_string(),
                    took_ms,
                    finding: format!("all {} entries hold", report.entries),
                }),
                Err(VerifyError::Io { source, .. }) => Err(PortError::Unavailable(source.to_string())),
                Err(error) => Ok(Verification {
                    intact: false,
                    checked: 0,
                    first_bad: None,
                    head: String::new(),
                    took_ms,
                    finding: error.to_string(),
                }),
            }
        })
    }
}
