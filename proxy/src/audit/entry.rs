//! What stands in the decision log, and how one entry is written as a line.
//!
//! A line is the entry's link (64 hexadecimal digits), a space, and the payload: one JSON object without line breaks. The
//! log is text so that it can be read in twenty years, and with `grep` and `jq` today; the link stands outside the payload
//! so that the bytes that were hashed are the bytes that stand there.

use policies::chain::Link;
use policies::{DecisionRecord, Name, Outcome, Reason};
use serde::{Deserialize, Serialize};

/// Longest payload, bytes. A decision record is some 2 KiB.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Link and space before the payload.
const PREFIX_BYTES: usize = 65;

/// One kind of thing that is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The log was opened.
    Start(Start),
    /// The log was closed in order.
    Stop,
    /// A money-moving request about to be forwarded; how it ends is not known yet. Its `completion` follows.
    Intent(Box<DecisionRecord>),
    /// How the request of an `intent` ended.
    Completion(Completion),
    /// A request that is over.
    Decision(Box<DecisionRecord>),
    /// Entries that could not be kept.
    Gap(Gap),
    /// A call of the admin API.
    Admin(AdminCall),
    /// A review case changed.
    Case(CaseEvent),
    /// A step of a federated training, in its coordinator's log.
    Federated(Box<learner::federate::Record>),
}

/// What the record of an `intent` could not say yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The decision's id.
    pub id: String,
    /// Position of the `intent`.
    pub of: u64,
    /// From entry to the last byte, microseconds.
    pub duration_us: u64,
    /// Final outcome.
    pub outcome: Outcome,
    /// The stage that settled it.
    pub stage: Name,
    /// Status sent to the client; 0 when the client went away first.
    pub status: u16,
    /// Status the upstream answered.
    pub upstream_status: Option<u16>,
    /// Why a stage refused after all.
    pub refused: Option<Reason>,
}

impl Completion {
    /// Completes the record of its intent.
    pub fn complete(&self, record: &mut DecisionRecord) {
        record.duration_us = self.duration_us;
        record.outcome = self.outcome;
        record.stage = self.stage.clone();
        record.status = self.status;
        record.upstream_status = self.upstream_status;
        if let Some(refused) = &self.refused {
            record.reasons.insert(0, refused.clone());
        }
    }
}

/// Opening of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Version of the program.
    pub version: String,
    /// Bytes of a torn last line that were cut off: what was being written when the last run ended abruptly.
    pub cut_bytes: u64,
}

/// Entries that were lost because the disk did not take them and the buffer was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How many.
    pub lost: u64,
    /// When the first was lost, Unix milliseconds.
    pub from_ms: i64,
    /// When the last was lost.
    pub to_ms: i64,
}

/// A call of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminCall {
    /// Who: the staff member's subject.
    pub by: String,
    /// Method and path.
    pub call: String,
    /// Status answered.
    pub status: u16,
    /// What it was about, in words; no secrets.
    pub about: String,
}

/// A change of a review case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseEvent {
    /// The case.
    pub case: String,
    /// `opened`, `released`, `rejected` or `spent`.
    pub change: String,
    /// Staff member, or the decision's id where a request did it.
    pub by: String,
}

/// A payload: an entry, its place and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// 0 is the first.
    pub position: u64,
    /// When it was submitted, Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub entry: Entry,
}

/// Why a line is not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// No link and space at its start.
    #[error("it does not begin with a link")]
    NoLink,
    /// The payload is not an entry.
    #[error("its payload is not an entry")]
    NoPayload,
    /// Over its bound.
    #[error("it is longer than an entry can be")]
    TooLong,
}

/// Appends the entry `json` at `position` as a line that follows `head`; answers its link.
///
/// # Errors
/// [`LineError::TooLong`], with nothing appended.
pub fn write_line(
    lines: &mut Vec<u8>,
    head: Link,
    position: u64,
    at_ms: i64,
    json: &[u8],
) -> Result<Link, LineError> {
    let before = format!("{{\"position\":{position},\"at_ms\":{at_ms},{ENTRY}");
    let length = before.len() + json.len() + 1;
    if length > PAYLOAD_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    lines.reserve(PREFIX_BYTES + length + 1);
    let start = lines.len();
    // The link's place; it is known once the payload stands behind it.
    lines.resize(start + PREFIX_BYTES, b' ');
    lines.extend_from_slice(before.as_bytes());
    lines.extend_from_slice(json);
    lines.push(b'}');
    let link = head.next(lines.get(start + PREFIX_BYTES..).unwrap_or_default());
    for (place, digit) in lines.iter_mut().skip(start).zip(link.to_string().bytes()) {
        *place = digit;
    }
    lines.push(b'\n');
    Ok(link)
}

/// What stands before the entry in a payload, whose position and time are numbers.
const ENTRY: &str = "\"entry\":";

/// The entry's own JSON in payload bytes.
pub fn entry_json(payload: &[u8]) -> Option<&[u8]> {
    let at = payload.windows(ENTRY.len()).position(|window| window == ENTRY.as_bytes())?;
    payload.get(at + ENTRY.len()..payload.len().checked_sub(1)?)
}

/// Takes a line (without its end) apart into link and payload bytes.
///
/// # Errors
/// [`LineError`].
pub fn split_line(line: &[u8]) -> Result<(Link, &[u8]), LineError> {
    if line.len() > PREFIX_BYTES + PAYLOAD_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let (prefix, payload) = line.split_at_checked(PREFIX_BYTES).ok_or(LineError::NoLink)?;
    let hex = prefix.strip_suffix(b" ").ok_or(LineError::NoLink)?;
    Ok((Link::from_hex(hex).ok_or(LineError::NoLink)?, payload))
}

/// Reads payload bytes.
///
/// # Errors
/// [`LineError::NoPayload`].
pub fn read_payload(payload: &[u8]) -> Result<Payload, LineError> {
    serde_json::from_slice(payload).map_err(|_| LineError::NoPayload)
}

/// Whether an entry's JSON is of a decision (with this id, if one is given), told from its beginning without parsing. May
/// say yes to something else, never no to a decision, its intent or its completion.
pub fn looks_like_decision(json: &[u8], id: Option<&str>) -> bool {
    const BEGINNING_BYTES: usize = 256;
    let beginning = json.get(..BEGINNING_BYTES.min(json.len())).unwrap_or_default();
    let kind = [&b"{\"decision\":"[..], b"{\"intent\":", b"{\"completion\":"];
    let contains = |id: &str| beginning.windows(id.len().max(1)).any(|window| window == id.as_bytes());
    kind.iter().any(|kind| beginning.starts_with(kind)) && id.is_none_or(contains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_what_was_written() {
        let entry = Entry::Gap(Gap { lost: 3, from_ms: 1, to_ms: 2 });
        let payload = Payload { position: 7, at_ms: -1, entry };
        let json = serde_json::to_vec(&payload.entry).unwrap();
        let mut lines = b"before\n".to_vec();
        let link = write_line(&mut lines, Link::GENESIS, 7, -1, &json).unwrap();
        let line = lines.strip_prefix(b"before\n").unwrap().strip_suffix(b"\n").unwrap();
        let (written, bytes) = split_line(line).unwrap();
        assert_eq!((written, bytes), (link, &serde_json::to_vec(&payload).unwrap()[..]));
        assert_eq!(link, Link::GENESIS.next(bytes));
        assert_eq!(read_payload(bytes).unwrap(), payload);
        assert_eq!(entry_json(bytes).unwrap(), json);
    }

    #[test]
    fn an_entry_over_its_bound_leaves_nothing() {
        let mut lines = Vec::new();
        let json = vec![b' '; PAYLOAD_BYTES_MAX];
        assert_eq!(write_line(&mut lines, Link::GENESIS, 0, 0, &json), Err(LineError::TooLong));
        assert!(lines.is_empty());
    }
}
