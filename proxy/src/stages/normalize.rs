//! One canonical request; anything that two readers could read in two ways is refused.
//!
//! Pingora repairs some requests (it drops a `Content-Length` that stands beside `Transfer-Encoding`) and accepts some
//! that a stricter reader would not (bare LF, a space in the target). A repaired request is still one that somebody
//! shaped for two readers, so for HTTP/1 the raw bytes are judged (RFC 9112 sections 2.2, 3.2, 5.1, 6.3).

use http::request::Parts;
use http::{HeaderMap, Method, Version, header};
use memchr::memchr;

use crate::refusal::{Reason, Refusal};

/// Bounds of the header section.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Whole header section, bytes.
    pub header_bytes_max: usize,
    /// Header fields.
    pub fields_max: usize,
    /// Request target, bytes.
    pub target_bytes_max: usize,
    /// Parameters in the query.
    pub parameters_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { header_bytes_max: 32 * 1024, fields_max: 100, target_bytes_max: 8 * 1024, parameters_max: 200 }
    }
}

/// What the later stages may rely on; only [`normalize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// Lower-case host with port where one was given.
    pub host: String,
    /// Path with percent-encoding taken off once, as the upstream will see it; valid UTF-8, no dot segments.
    pub path: String,
}

/// Judges the head. `raw` is the header section as it came over the wire, for HTTP/1.
///
/// # Errors
/// A [`Refusal`] that names the first thing found wrong.
pub fn normalize(raw: Option<&[u8]>, head: &Parts, limits: &HeadLimits) -> Result<Canonical, Refusal> {
    let bytes = raw.map_or_else(|| listed_bytes(head), <[u8]>::len);
    if bytes > limits.header_bytes_max {
        return Err(Refusal::new(Reason::HeadersTooLarge, "header section over its bound"));
    }
    if let Some(raw) = raw {
        raw_head(raw)?;
    }
    if head.headers.len() > limits.fields_max {
        return Err(Refusal::new(Reason::HeadersTooLarge, "too many header fields"));
    }
    framing(head)?;
    let host = host(head)?;
    let target = head.uri.path_and_query().map_or("/", |t| t.as_str());
    if target.len() > limits.target_bytes_max {
        return Err(Refusal::new(Reason::TargetTooLong, "target over its bound"));
    }
    if let Some(query) = head.uri.query() {
        query_bounds(query, limits)?;
    }
    Ok(Canonical { host, path: canonical_path(head.uri.path())? })
}

/// The size of an HTTP/2 header section as RFC 9113 6.5.2 counts it.
fn listed_bytes(head: &Parts) -> usize {
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    fields.saturating_add(head.uri.path_and_query().map_or(0, |target| target.as_str().len()))
}

fn ambiguous(inside: &'static str) -> Refusal {
    Refusal::new(Reason::Ambiguous, inside)
}

/// Line endings, folding, spaces and control bytes of an HTTP/1 header section; and that it declares its framing once,
/// which is counted on the wire because the parser may have repaired it.
fn raw_head(raw: &[u8]) -> Result<(), Refusal> {
    let (mut framings, mut hosts) = (0, 0);
    let mut rest = raw;
    let mut is_first = true;
    while let Some(end) = memchr(b'\n', rest) {
        let (line, after) = rest.split_at_checked(end).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(ambiguous("bare LF"));
        };
        if has_control(line) {
            return Err(ambiguous("control byte in the header section"));
        }
        if std::mem::take(&mut is_first) {
            request_line(line)?;
        } else {
            if matches!(line.first(), Some(b' ' | b'\t')) {
                return Err(ambiguous("folded or indented header line"));
            }
            let name = line.split_at_checked(memchr(b':', line).unwrap_or(line.len())).unwrap_or_default().0;
            framings += usize::from(spells(name, "content-length") || spells(name, "transfer-encoding"));
            hosts += usize::from(spells(name, "host"));
        }
        rest = after.get(1..).unwrap_or_default();
    }
    if has_control(rest) {
        return Err(ambiguous("control byte in the header section"));
    }
    if framings > 1 || hosts > 1 { Err(ambiguous("framing declared more than once")) } else { Ok(()) }
}

/// Any control byte but the tab. Looks at every byte, without branches: that is many bytes at a time.
fn has_control(line: &[u8]) -> bool {
    line.iter().fold(false, |found, &b| found | ((b < 0x20) & (b != b'\t')) | (b == 0x7f))
}

/// The request line (RFC 9112 3).
fn request_line(line: &[u8]) -> Result<(), Refusal> {
    // Neither a fragment nor a byte outside ASCII may stand in a target (RFC 9112 3.2, RFC 3986 2); the parser drops the
    // one and replaces the other, and the upstream would be sent something else than was judged.
    if !line.is_ascii() {
        return Err(Refusal::new(Reason::BadEncoding, "byte outside of ASCII in the target"));
    }
    if line.contains(&b'#') {
        return Err(ambiguous("fragment in the target"));
    }
    let blank = line.iter().filter(|&&b| b == b' ').count();
    if blank != 2 || line.contains(&b'\t') || line.starts_with(b" ") {
        return Err(ambiguous("request line does not have exactly two spaces"));
    }
    Ok(())
}

/// Whether a field's name is the `wanted` one. Near misses (`Content_Length`, a trailing space) count too: some reader may
/// take them for the real thing.
fn spells(name: &[u8], wanted: &str) -> bool {
    let name = name.trim_ascii();
    name.len() == wanted.len()
        && name
            .iter()
            .zip(wanted.bytes())
            .all(|(&n, w)| n.to_ascii_lowercase() == w || (w == b'-' && n == b'_'))
}

/// Framing fields (RFC 9112 6.1, 6.3; RFC 9113 8.2.2).
fn framing(head: &Parts) -> Result<(), Refusal> {
    let codings = head.headers.get_all(header::TRANSFER_ENCODING).iter().count();
    let lengths = head.headers.get_all(header::CONTENT_LENGTH).iter().count();
    if codings + lengths > 1 {
        return Err(ambiguous("framing declared more than once"));
    }
    if let Some(coding) = head.headers.get(header::TRANSFER_ENCODING) {
        let plain_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if head.version != Version::HTTP_11 || !plain_chunked {
            return Err(ambiguous("transfer coding other than chunked, or not HTTP/1.1"));
        }
    }
    if let Some(length) = head.headers.get(header::CONTENT_LENGTH) {
        let digits = length.as_bytes();
        if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(ambiguous("Content-Length is not a plain number"));
        }
    }
    if head.method == Method::TRACE || head.method == Method::CONNECT {
        return Err(Refusal::new(Reason::MethodNotAllowed, "TRACE or CONNECT"));
    }
    connection_options(&head.headers)?;
    smuggled_names(&head.headers)
}

/// A field that `Connection` names is taken out on the way to the upstream (RFC 9110 7.6.1): what is acted upon there would
/// not be what was judged here. No honest client names any but these.
fn connection_options(headers: &HeaderMap) -> Result<(), Refusal> {
    const KNOWN: [&[u8]; 5] = [b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"];
    let named =
        headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&b| b == b','));
    for option in named.map(<[u8]>::trim_ascii).filter(|option| !option.is_empty()) {
        if !KNOWN.iter().any(|known| option.eq_ignore_ascii_case(known)) {
            return Err(ambiguous("Connection names a field"));
        }
    }
    Ok(())
}

/// Names that a downstream reader may fold onto a framing header: with underscores, more hyphens, dots.
fn smuggled_names(headers: &HeaderMap) -> Result<(), Refusal> {
    const REAL: [&str; 3] = ["transfer-encoding", "content-length", "host"];
    let letters = |name: &'static str| name.bytes().filter(|&b| b != b'-');
    for name in headers.keys().map(http::HeaderName::as_str).filter(|name| !REAL.contains(name)) {
        let spelt = || name.bytes().filter(u8::is_ascii_alphanumeric);
        if REAL.iter().any(|real| letters(real).eq(spelt())) {
            return Err(ambiguous("a framing header in another spelling"));
        }
    }
    Ok(())
}

/// The one host of the request: `Host`, `:authority` or the absolute target, which must agree (RFC 9112 3.2.2).
fn host(head: &Parts) -> Result<String, Refusal> {
    let mut declared = head.headers.get_all(header::HOST).iter();
    let from_header = declared.next();
    if declared.next().is_some() {
        return Err(ambiguous("Host declared more than once"));
    }
    let from_header = match from_header.map(|h| h.to_str()) {
        Some(Ok(text)) => Some(text.to_ascii_lowercase()),
        Some(Err(_)) => return Err(ambiguous("Host is not text")),
        None => None,
    };
    let from_target = head.uri.authority().map(|a| a.as_str().to_ascii_lowercase());
    let host = match (from_header, from_target) {
        (Some(header), Some(target)) if header != target => return Err(ambiguous("Host and target differ")),
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => return Err(Refusal::new(Reason::UnknownHost, "no Host")),
    };
    let plain = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_'));
    if plain && !host.is_empty() && host.len() <= 255 {
        Ok(host)
    } else {
        Err(ambiguous("Host is not a host name"))
    }
}

/// Control bytes and the number of parameters.
fn query_bounds(query: &str, limits: &HeadLimits) -> Result<(), Refusal> {
    if query.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(Refusal::new(Reason::BadEncoding, "control byte in the query"));
    }
    if query.split('&').count() > limits.parameters_max {
        return Err(Refusal::new(Reason::TooComplex, "too many query parameters"));
    }
    Ok(())
}

/// Takes percent-encoding off once and refuses every path on which readers are known to disagree: dot segments, empty
/// segments, encoded or reversed slashes, path parameters, control bytes, invalid UTF-8 (RFC 3986 sections 2.4, 3.3, 5.2.4).
fn canonical_path(path: &str) -> Result<String, Refusal> {
    let encoding = |inside| Refusal::new(Reason::BadEncoding, inside);
    if !path.starts_with('/') {
        return Err(ambiguous("target is not a path"));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if byte == b'\\' || byte == b';' {
                return Err(ambiguous("backslash or path parameter"));
            }
            decoded.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
            return Err(encoding("broken percent-encoding"));
        };
        match high << 4 | low {
            b'/' | b'\\' | b';' | b'%' => return Err(ambiguous("encoded delimiter in the path")),
            decoded_byte => decoded.push(decoded_byte),
        }
    }
    if decoded.iter().any(|&b| b < 0x20 || b == 0x7f) {
        return Err(encoding("control byte in the path"));
    }
    let text = String::from_utf8(decoded).map_err(|_| encoding("path is not UTF-8"))?;
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment == "." || segment == ".." || (segment.is_empty() && !last) {
            return Err(ambiguous("dot or empty segment in the path"));
        }
    }
    Ok(text)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(lines: &str) -> Result<Canonical, Reason> {
        let mut parts = lines.split("\r\n");
        let request_line = parts.next().unwrap();
        let mut words = request_line.split(' ');
        let mut builder = http::Request::builder().method(words.next().unwrap()).uri(words.next().unwrap());
        for line in parts.filter(|l| !l.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            builder = builder.header(name.trim(), value.trim());
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        normalize(Some(lines.as_bytes()), &parts, &HeadLimits::default()).map_err(|r| r.reason)
    }

    #[test]
    fn a_plain_request_is_canonical() {
        let got = head("GET /api/accounts/a%2D1?x=1 HTTP/1.1\r\nHost: Bank.Test:8080\r\n\r\n").unwrap();
        assert_eq!(got, Canonical { host: "bank.test:8080".into(), path: "/api/accounts/a-1".into() });
        head("GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, Upgrade,, TE\r\n\r\n").unwrap();
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        for (lines, want) in [
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                Reason::Ambiguous,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
                Reason::Ambiguous,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Reason::Ambiguous),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                Reason::Ambiguous,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer---Encoding: chunked\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent.Length: 3\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost_: b\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Reason::Ambiguous),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n", Reason::Ambiguous),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: idempotency-key\r\n\r\n", Reason::Ambiguous),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: \"x-forwarded-for\"\r\n\r\n",
                Reason::Ambiguous,
            ),
            ("GET /%2e%2e/admin HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET /a//b HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET /a%5cb HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET /a%252e HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET /a;v=1 HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Ambiguous),
            ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", Reason::BadEncoding),
            ("GET /%c0%af HTTP/1.1\r\nHost: a\r\n\r\n", Reason::BadEncoding),
            ("GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", Reason::BadEncoding),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Reason::MethodNotAllowed),
        ] {
            assert_eq!(head(lines), Err(want), "{lines:?}");
        }
    }

    #[test]
    fn raw_line_tricks_are_refused() {
        for raw in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        ] {
            assert!(raw_head(raw.as_bytes()).is_err(), "{raw:?}");
        }
        assert!(raw_head(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9 ok\r\n\r\n").is_ok());
    }

    #[test]
    fn an_http2_head_has_the_same_bounds() {
        let judge = |name: &str, count: usize, length: usize| {
            let mut builder = http::Request::builder().uri("https://a/").version(Version::HTTP_2);
            for n in 0..count {
                builder = builder.header(format!("{name}{n}"), "v".repeat(length));
            }
            let (head, ()) = builder.body(()).unwrap().into_parts();
            normalize(None, &head, &HeadLimits::default()).map(drop).map_err(|r| r.reason)
        };
        assert_eq!(judge("x", 10, 1_000), Ok(()));
        assert_eq!(judge("x", 2, 20_000), Err(Reason::HeadersTooLarge));
        assert_eq!(judge("x", 101, 1), Err(Reason::HeadersTooLarge));
    }

    #[test]
    fn bounds_are_enforced() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
        assert_eq!(head(&long), Err(Reason::TargetTooLong));
        let many = format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", "a&".repeat(300));
        assert_eq!(head(&many), Err(Reason::TooComplex));
        let big = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000));
        assert_eq!(head(&big), Err(Reason::HeadersTooLarge));
    }

    proptest! {
        #[test]
        fn an_accepted_path_is_a_fixed_point(path in "/[ -~]{0,40}") {
            if let Ok(once) = canonical_path(&path) {
                prop_assert!(!once.split('/').any(|s| s == ".."));
                // What is accepted has nothing left that a second decoding would change.
                prop_assert!(!once.contains('%') || canonical_path(&once).is_err());
            }
        }

        #[test]
        fn never_panics(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = raw_head(&raw);
        }
    }
}
