//! The parts of a request that carry what a client wrote: path, parameters, headers, form fields, JSON leaves.

use super::Location;
use crate::features::request::RequestSample;

/// Parts looked at in one request; what comes beyond is looked at as one text.
pub(super) const PARTS_MAX: usize = 512;

/// Where a part stands; names are borrowed until something is found there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Path,
    Query,
    QueryParameter(&'a [u8]),
    Header(&'a str),
    BodyField(&'a [u8]),
    Body,
}

/// Longest name that a finding repeats.
const NAME_CHARS_MAX: usize = 48;

impl Place<'_> {
    pub(super) fn location(self) -> Location {
        match self {
            Self::Path => Location::Path,
            Self::Query => Location::Query,
            Self::QueryParameter(name) => Location::QueryParameter(printable(name)),
            Self::Header(name) => Location::Header(printable(name.as_bytes())),
            Self::BodyField(name) => Location::BodyField(printable(name)),
            Self::Body => Location::Body,
        }
    }

    /// Whether `+` means a space here.
    pub(super) fn plus(self) -> bool {
        matches!(self, Self::Query | Self::QueryParameter(_) | Self::BodyField(_) | Self::Header("referer"))
    }
}

/// A name that is safe in logs and pages: letters, digits and a little more; an attack in a name is not repeated.
fn printable(name: &[u8]) -> String {
    let letter = |byte: &u8| {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
        if plain { char::from(*byte) } else { '?' }
    };
    name.iter().take(NAME_CHARS_MAX).map(letter).collect()
}

/// Headers that are no free text, or are checked elsewhere.
fn is_structured(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "accept-charset"
            | "authorization"
            | "dpop"
            | "cache-control"
            | "connection"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "content-disposition"
            | "date"
            | "etag"
            | "expect"
            | "host"
            | "idempotency-key"
            | "keep-alive"
            | "origin"
            | "pragma"
            | "priority"
            | "range"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "dnt"
            | "upgrade-insecure-requests"
    ) || name.starts_with("sec-")
        || name.starts_with("if-")
        || name.starts_with("access-control-")
}

/// Hands every part to `visit`, names as well as values.
pub(super) fn each<'a>(sample: &RequestSample<'a>, mut visit: impl FnMut(Place<'_>, &[u8])) {
    visit(Place::Path, sample.path.as_bytes());
    if let Some(query) = sample.query {
        pairs(query.as_bytes(), &mut |name, value| match name {
            Some(name) => {
                visit(Place::QueryParameter(name), name);
                visit(Place::QueryParameter(name), value);
            }
            None => visit(Place::Query, value),
        });
    }
    for (name, value) in sample.headers {
        match *name {
            "cookie" => value.split(|byte| *byte == b';').take(PARTS_MAX).for_each(|cookie| {
                let at = cookie.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
                visit(Place::Header("cookie"), cookie.get(at..).unwrap_or(&[]));
            }),
            "referer" => referer(value, &mut visit),
            name if is_structured(name) => {}
            name => visit(Place::Header(name), value),
        }
    }
    body(sample, &mut visit);
}

/// A referring page's own query is split like ours, or its `&` would look like a shell's.
fn referer(value: &[u8], visit: &mut impl FnMut(Place<'_>, &[u8])) {
    let cut = value.iter().position(|byte| *byte == b'?').unwrap_or(value.len());
    let (page, query) = value.split_at_checked(cut).unwrap_or((value, &[]));
    visit(Place::Header("referer"), page);
    pairs(query.get(1..).unwrap_or(&[]), &mut |_, value| visit(Place::Header("referer"), value));
}

/// `name=value` pairs; what has no name, and all beyond [`PARTS_MAX`], comes as a value alone.
fn pairs(text: &[u8], visit: &mut impl FnMut(Option<&[u8]>, &[u8])) {
    for (at, pair) in text.splitn(PARTS_MAX, |byte| *byte == b'&').enumerate() {
        if at + 1 == PARTS_MAX {
            return visit(None, pair);
        }
        match pair.iter().position(|byte| *byte == b'=') {
            Some(cut) => visit(pair.get(..cut), pair.get(cut + 1..).unwrap_or(&[])),
            None => visit(None, pair),
        }
    }
}

fn body(sample: &RequestSample<'_>, visit: &mut impl FnMut(Place<'_>, &[u8])) {
    if sample.body.is_empty() {
        return;
    }
    let kind = sample.content_type.unwrap_or("");
    let is = |known: &str| kind.get(..known.len()).is_some_and(|head| head.eq_ignore_ascii_case(known));
    let first = sample.body.trim_ascii_start().first();
    if is("application/x-www-form-urlencoded") {
        pairs(sample.body, &mut |name, value| match name {
            Some(name) => {
                visit(Place::BodyField(name), name);
                visit(Place::BodyField(name), value);
            }
            None => visit(Place::Body, value),
        });
    } else if kind.contains("json") || matches!(first, Some(b'{' | b'[')) {
        json(sample.body, visit);
    } else if is("multipart/") {
        multipart(sample.body, visit);
    } else {
        visit(Place::Body, sample.body);
    }
}

/// Strings of a JSON text, each with the name of its field; broken JSON is read as far as it goes.
fn json(text: &[u8], visit: &mut impl FnMut(Place<'_>, &[u8])) {
    let mut name: &[u8] = &[];
    let mut rest = text;
    let mut parts = 0;
    let mut unescaped = Vec::new();
    while let Some(open) = rest.iter().position(|byte| *byte == b'"') {
        rest = rest.get(open + 1..).unwrap_or(&[]);
        let length = string_length(rest);
        let string = rest.get(..length).unwrap_or(rest);
        rest = rest.get(length + 1..).unwrap_or(&[]);
        parts += 1;
        if parts > PARTS_MAX {
            return visit(Place::Body, rest);
        }
        unescape(string, &mut unescaped);
        if rest.trim_ascii_start().first() == Some(&b':') {
            name = string;
            visit(Place::BodyField(name), &unescaped);
        } else {
            visit(Place::BodyField(name), &unescaped);
        }
    }
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

/// JSON's short escapes; `\u` is left to the decoding layers, and `+` and `%` are protected from nothing: an
/// application may well decode them again.
fn unescape(string: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut bytes = string.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'u') => out.extend_from_slice(b"\\u"),
            Some(&other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
}

/// The contents of a multipart body, part by part, by blank lines and boundaries.
fn multipart(text: &[u8], visit: &mut impl FnMut(Place<'_>, &[u8])) {
    let boundary_end = text.windows(2).position(|pair| pair == b"\r\n").unwrap_or(text.len());
    let boundary = text.get(..boundary_end).unwrap_or(text);
    let mut rest = text.get(boundary_end..).unwrap_or(&[]);
    for _ in 0..PARTS_MAX {
        let Some(blank) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { break };
        visit(Place::Body, rest.get(..blank).unwrap_or(&[]));
        rest = rest.get(blank + 4..).unwrap_or(&[]);
        let end =
            rest.windows(boundary.len().max(1)).position(|bytes| bytes == boundary).unwrap_or(rest.len());
        visit(Place::Body, rest.get(..end).unwrap_or(rest));
        rest = rest.get(end + boundary.len()..).unwrap_or(&[]);
    }
    visit(Place::Body, rest);
}
