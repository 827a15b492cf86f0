//! What stands in the decision log, and how one entry is written as a line.
//!
//! A line is the entry's link (64 hexadecimal digits), a space, and the payload: one JSON object without line breaks. The
//! log is text so that it can be read in twenty years, and with `grep` and `jq` today; the link stands outside the payload
//! so that the bytes that were hashed are the bytes that stand there.

use policies::DecisionRecord;
use policies::chain::Link;
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
    /// A money-moving request about to be forwarded; its `status` is not known yet. The `decision` of the same id
    /// follows when the request is over.
    Intent(Box<DecisionRecord>),
    /// A request that is over.
    Decision(Box<DecisionRecord>),
    /// Entries that could not be kept.
    Gap(Gap),
    /// A call of the admin API.
    Admin(AdminCall),
    /// A review case changed.
    Case(CaseEvent),
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

/// Appends `payload` as a line that follows `head`; answers its link.
///
/// # Errors
/// [`LineError::TooLong`], with nothing appended.
pub fn write_line(lines: &mut Vec<u8>, head: Link, payload: &Payload) -> Result<Link, LineError> {
    let json = serde_json::to_vec(payload).map_err(|_| LineError::NoPayload)?;
    if json.len() > PAYLOAD_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let link = head.next(&json);
    lines.reserve(PREFIX_BYTES + json.len() + 1);
    lines.extend_from_slice(link.to_string().as_bytes());
    lines.push(b' ');
    lines.extend_from_slice(&json);
    lines.push(b'\n');
    Ok(link)
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

/// Whether payload bytes are a decision (of this id, if one is given), told from their beginning without parsing. May say
/// yes to something else, never no to a decision.
pub fn looks_like_decision(payload: &[u8], id: Option<&str>) -> bool {
    const BEGINNING_BYTES: usize = 512;
    let beginning = payload.get(..BEGINNING_BYTES.min(payload.len())).unwrap_or_default();
    let contains =
        |needle: &[u8]| needle.is_empty() || beginning.windows(needle.len()).any(|window| window == needle);
    contains(b"\"entry\":{\"decision\":{\"id\":") && id.is_none_or(|id| contains(id.as_bytes()))
}
