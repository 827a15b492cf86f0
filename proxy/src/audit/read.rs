//! Reading decisions back: from memory, and what is older from the segment files, newest first and within a bound.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use policies::DecisionRecord;
use policies::ports::{Answer, DecisionPage, DecisionQuery, DecisionReader, StoreError};

use super::AuditLog;
use super::entry::{Completion, Entry, LineError, entry_json, looks_like_decision, read_payload, split_line};
use super::recent::matches;
use super::storage::{Segment, segments};

/// Most decisions of a page.
const PAGE_MAX: usize = 200;

impl DecisionReader for AuditLog {
    fn page(&self, query: DecisionQuery) -> Answer<'_, DecisionPage> {
        Box::pin(async move {
            let limit = query.limit.clamp(1, PAGE_MAX);
            let (held, floor) = self.shared.recent.page(&query, limit);
            let decisions: Vec<_> = held.iter().map(|n| (n.0, n.1.clone())).collect();
            if decisions.len() == limit {
                let next = decisions.last().map(|(position, _)| *position).filter(|p| *p > 0);
                return Ok(DecisionPage { decisions, next });
            }
            let below = query.before.map_or(floor, |before| before.min(floor));
            let wanted = limit - decisions.len();
            let scan = self.scan(below, None, wanted, move |record| matches(&query, record)).await?;
            let decisions = decisions.into_iter().chain(scan.found).collect();
            Ok(DecisionPage { decisions, next: scan.next })
        })
    }

    /// A decision that is older than the scan's bound is not found.
    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<(u64, DecisionRecord)>> {
        Box::pin(async move {
            let (held, floor) = self.shared.recent.get(id);
            if let Some(numbered) = held {
                return Ok(Some((numbered.0, numbered.1.clone())));
            }
            let id: Arc<str> = id.into();
            let wanted = Arc::clone(&id);
            let scan = self.scan(floor, Some(id), 1, move |record| *record.id == *wanted).await?;
            Ok(scan.found.into_iter().next())
        })
    }
}

/// What a scan found, newest first, and where to go on.
#[derive(Debug, Default)]
struct Scan {
    found: Vec<(u64, DecisionRecord)>,
    next: Option<u64>,
}

impl AuditLog {
    /// Looks for decisions below position `below` in the files, on a thread that may block.
    async fn scan(
        &self,
        below: u64,
        id: Option<Arc<str>>,
        wanted: usize,
        matches: impl Fn(&DecisionRecord) -> bool + Send + 'static,
    ) -> Result<Scan, StoreError> {
        if below == 0 {
            return Ok(Scan::default());
        }
        let (dir, bytes_max) = (self.shared.settings.dir.clone(), self.shared.settings.scan_bytes_max);
        let scan = move || scan(&dir, below, id.as_deref(), wanted, bytes_max, matches);
        tokio::task::spawn_blocking(scan)
            .await
            .map_err(|error| StoreError::Unavailable(format!("audit reader: {error}")))?
    }
}

fn scan(
    dir: &Path,
    below: u64,
    id: Option<&str>,
    wanted: usize,
    bytes_max: u64,
    matches: impl Fn(&DecisionRecord) -> bool,
) -> Result<Scan, StoreError> {
    let unavailable = |error: io::Error| StoreError::Unavailable(format!("audit log: {error}"));
    let mut scan = Scan::default();
    let mut bytes_read = 0_u64;
    let all = segments(dir).map_err(unavailable)?;
    let older = all.partition_point(|segment| segment.first < below);
    let mut completions = match all.get(older) {
        Some(newer) => completions_at_start(newer).map_err(unavailable)?,
        None => HashMap::new(),
    };
    for segment in all.iter().take(older).rev() {
        if bytes_read >= bytes_max {
            // The segment after this one was read to its beginning.
            return Ok(scan);
        }
        let bytes = fs::read(&segment.path).map_err(unavailable)?;
        bytes_read += bytes.len() as u64;
        // What is behind the last line end is still being written, and newer than `below`.
        for line in bytes.rsplit(|byte| *byte == b'\n').skip(1) {
            let damaged = |error| StoreError::Damaged(format!("{}: {error}", segment.path.display()));
            let (_, payload) = split_line(line).map_err(damaged)?;
            if !looks_like_decision(entry_json(payload).ok_or(damaged(LineError::NoPayload))?, id) {
                continue;
            }
            let payload = read_payload(payload).map_err(damaged)?;
            let mut record = match payload.entry {
                Entry::Decision(record) | Entry::Intent(record) => record,
                Entry::Completion(completion) => {
                    completions.insert(completion.of, completion);
                    continue;
                }
                _ => continue,
            };
            if let Some(completion) = completions.remove(&payload.position) {
                completion.complete(&mut record);
            }
            if payload.position < below && matches(&record) {
                scan.found.push((payload.position, *record));
                if scan.found.len() == wanted {
                    scan.next = Some(payload.position).filter(|position| *position > 0);
                    return Ok(scan);
                }
            }
        }
        scan.next = Some(segment.first).filter(|position| *position > 0);
    }
    Ok(scan)
}

/// Requests that were under way when `segment` began are completed near its beginning.
fn completions_at_start(segment: &Segment) -> io::Result<HashMap<u64, Completion>> {
    const BYTES: u64 = 4 << 20;
    let mut bytes = Vec::new();
    fs::File::open(&segment.path)?.take(BYTES).read_to_end(&mut bytes)?;
    let completion = |line: &[u8]| match read_payload(split_line(line).ok()?.1).ok()?.entry {
        Entry::Completion(completion) if completion.of < segment.first => Some((completion.of, completion)),
        _ => None,
    };
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(completion).collect())
}
