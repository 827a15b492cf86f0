//! Shape features of an HTTP request: lengths, entropy, character classes, structure. No content is kept.

use super::{FeatureSpec, feature_row};
use crate::lexical::{Attack, Findings};

/// A request as the gateway has it after normalisation: everything borrowed, nothing decoded.
#[derive(Debug, Clone, Copy)]
pub struct RequestSample<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path as sent, percent-encoded, without the query.
    pub path: &'a str,
    /// Query as sent, without the question mark.
    pub query: Option<&'a str>,
    /// Header names (lower case) and values in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Media type of the body.
    pub content_type: Option<&'a str>,
    /// The body, or as much of it as was read.
    pub body: &'a [u8],
    /// Requests a second of this client lately, where the caller counts them.
    pub client_rate_per_s: Option<f32>,
}

feature_row!(Row of f32 {
    method 1 always "0 reads, 0.5 posts, 1 others" "kind of method";
    path_length 1 always "ln(1 + bytes)" "length of the path";
    path_depth 1 always "segments" "segments in the path";
    path_segment_max 1 always "ln(1 + bytes)" "longest segment of the path";
    path_entropy 1 always "bits a byte" "entropy of the path";
    path_digits 1 always "0 to 1" "share of digits in the path";
    path_specials 1 always "0 to 1" "share of characters in the path that names rarely have";
    path_encoded 1 always "0 to 1" "share of percent-encoded bytes in the path";
    query_length 1 always "ln(1 + bytes)" "length of the query";
    query_parameters 1 always "ln(1 + n)" "parameters in the query";
    query_value_max 1 always "ln(1 + bytes)" "longest value in the query";
    query_entropy 1 always "bits a byte" "entropy of the query";
    query_digits 1 always "0 to 1" "share of digits in the query";
    query_specials 1 always "0 to 1" "share of unusual characters in the query";
    query_encoded 1 always "0 to 1" "share of percent-encoded bytes in the query";
    encoding_depth 1 always "layers, 0 to 4" "how often path or query are percent-encoded over";
    header_count 1 always "n" "headers";
    header_bytes 1 always "ln(1 + bytes)" "bytes of all header values";
    header_value_max 1 always "ln(1 + bytes)" "longest header value, cookies and tokens aside";
    header_specials 1 always "0 to 1" "share of unusual characters in header values, cookies and tokens aside";
    cookie_length 1 always "ln(1 + bytes)" "length of the cookies";
    user_agent_length 1 always "ln(1 + bytes)" "length of the user agent, 0 without one";
    has_accept 1 always "0 or 1" "says what it accepts";
    body_length 1 always "ln(1 + bytes)" "length of the body";
    body_kind 1 always "0 none, 0.33 form, 0.67 JSON, 1 other" "media type of the body";
    body_entropy 1 always "bits a byte" "entropy of the body";
    body_digits 1 always "0 to 1" "share of digits in the body";
    body_specials 1 always "0 to 1" "share of unusual characters in the body";
    body_binary 1 always "0 to 1" "share of control and non-ASCII bytes in the body";
    body_fields 1 always "ln(1 + n)" "fields in the body";
    body_depth 1 always "levels" "nesting of the body";
    body_run_max 1 always "ln(1 + bytes)" "longest run of one byte in the body";
    client_rate 1 sometimes "ln(1 + requests a second)" "rate of this client";
    lexical_sql 1 always "0 to 1" "likeness of a part to an SQL injection";
    lexical_script 1 always "0 to 1" "likeness of a part to a script injection";
    lexical_path 1 always "0 to 1" "likeness of a part to a path traversal";
    lexical_command 1 always "0 to 1" "likeness of a part to a command injection";
    lexical_other 1 always "0 to 1" "likeness to a scanner or another probe";
});

/// SHA-256 of this table; a model made for another one is refused.
pub fn schema_hash() -> String {
    super::schema_hash("request", &FEATURES)
}

/// The vector of a request; shape `[COUNT]`, `NaN` where a value is unknown. One pass over each part.
pub fn vector(sample: &RequestSample<'_>, findings: &Findings) -> [f32; COUNT] {
    let path = Text::of(sample.path.as_bytes());
    let query_text = sample.query.unwrap_or("");
    let query = Text::of(query_text.as_bytes());
    let body = Text::of(sample.body);
    let headers = Headers::of(sample.headers);
    let (parameters, value_max) = parameters(query_text);
    let segments = || sample.path.split('/').filter(|segment| !segment.is_empty());
    let row = Row {
        method: match sample.method {
            "GET" | "HEAD" => 0.0,
            "POST" => 0.5,
            _ => 1.0,
        },
        path_length: log(sample.path.len()),
        path_depth: segments().count() as f32,
        path_segment_max: log(segments().map(str::len).max().unwrap_or(0)),
        path_entropy: path.entropy(),
        path_digits: path.share(path.digits),
        path_specials: path.share(path.specials),
        path_encoded: path.share(path.percents),
        query_length: log(query_text.len()),
        query_parameters: log(parameters),
        query_value_max: log(value_max),
        query_entropy: query.entropy(),
        query_digits: query.share(query.digits),
        query_specials: query.share(query.specials),
        query_encoded: query.share(query.percents),
        encoding_depth: encoding_depth(sample.path).max(encoding_depth(query_text)),
        header_count: sample.headers.len() as f32,
        header_bytes: log(headers.bytes),
        header_value_max: log(headers.value_max),
        header_specials: headers.specials as f32 / headers.plain_bytes.max(1) as f32,
        cookie_length: log(headers.cookie_bytes),
        user_agent_length: log(headers.user_agent_bytes),
        has_accept: if headers.accept { 1.0 } else { 0.0 },
        body_length: log(sample.body.len()),
        body_kind: body_kind(sample),
        body_entropy: body.entropy(),
        body_digits: body.share(body.digits),
        body_specials: body.share(body.specials),
        body_binary: body.share(body.binary),
        body_fields: log(body.separators),
        body_depth: body.depth_max as f32,
        body_run_max: log(body.run_max),
        client_rate: sample.client_rate_per_s.map_or(f32::NAN, |rate| rate.max(0.0).ln_1p()),
        lexical_sql: findings.score(Attack::Sql),
        lexical_script: findings.score(Attack::Script),
        lexical_path: findings.score(Attack::Path),
        lexical_command: findings.score(Attack::Command),
        lexical_other: findings.score(Attack::Other),
    };
    row.into_array()
}

fn log(n: usize) -> f32 {
    (n as f64).ln_1p() as f32
}

/// Parameters in a query and the length of the longest value.
fn parameters(query: &str) -> (usize, usize) {
    query.split('&').filter(|pair| !pair.is_empty()).fold((0, 0), |(count, longest), pair| {
        let value = pair.split_once('=').map_or(0, |(_, value)| value.len());
        (count + 1, longest.max(value))
    })
}

/// Layers of percent-encoding: `%41` is one, `%2541` two.
fn encoding_depth(text: &str) -> f32 {
    let mut deepest = 0u8;
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        rest = rest.get(at + 1..).unwrap_or(&[]);
        let mut depth = 1u8;
        while depth < 4 && rest.starts_with(b"25") {
            depth += 1;
            rest = rest.get(2..).unwrap_or(&[]);
        }
        deepest = deepest.max(depth);
    }
    f32::from(deepest)
}

fn body_kind(sample: &RequestSample<'_>) -> f32 {
    match sample.content_type {
        _ if sample.body.is_empty() => 0.0,
        Some(kind) if kind.starts_with("application/x-www-form-urlencoded") => 0.33,
        Some(kind) if kind.starts_with("application/json") => 0.67,
        _ => 1.0,
    }
}

/// What one pass over some bytes counts.
struct Text {
    length: usize,
    histogram: [u16; 256],
    digits: usize,
    specials: usize,
    percents: usize,
    binary: usize,
    separators: usize,
    depth_max: usize,
    run_max: usize,
}

/// Bytes looked at in one part: enough to know its character, bounded for the budget of a request.
const TEXT_BYTES_MAX: usize = 8 * 1024;

impl Text {
    fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
        let mut text = Self {
            length: bytes.len(),
            histogram: [0; 256],
            digits: 0,
            specials: 0,
            percents: 0,
            binary: 0,
            separators: 0,
            depth_max: 0,
            run_max: 0,
        };
        let (mut depth, mut run, mut last) = (0usize, 0usize, None);
        for &byte in bytes {
            if let Some(slot) = text.histogram.get_mut(usize::from(byte)) {
                *slot += 1;
            }
            run = if last == Some(byte) { run + 1 } else { 1 };
            last = Some(byte);
            text.run_max = text.run_max.max(run);
            match byte {
                b'0'..=b'9' => text.digits += 1,
                b'%' => text.percents += 1,
                b'{' | b'[' => {
                    depth += 1;
                    text.depth_max = text.depth_max.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'=' | b':' => text.separators += 1,
                b'\'' | b'"' | b'<' | b'>' | b'(' | b')' | b';' | b'|' | b'`' | b'$' | b'\\' | b'!'
                | b'*' | b'^' | b'#' => text.specials += 1,
                b'\t' | b'\n' | b'\r' => {}
                0..=0x1f | 0x7f..=0xff => text.binary += 1,
                _ => {}
            }
        }
        text
    }

    fn share(&self, part: usize) -> f32 {
        part as f32 / self.length.max(1) as f32
    }

    /// Shannon entropy of the byte distribution, 0 to 8 bits.
    fn entropy(&self) -> f32 {
        if self.length == 0 {
            return 0.0;
        }
        let total = self.length as f64;
        let bits: f64 =
            self.histogram.iter().filter(|&&n| n > 0).map(|&n| f64::from(n) * f64::from(n).log2()).sum();
        (total.log2() - bits / total).max(0.0) as f32
    }
}

/// Headers in sum. Cookies and credentials are long and random by nature, so only their length counts.
#[derive(Default)]
struct Headers {
    bytes: usize,
    plain_bytes: usize,
    value_max: usize,
    specials: usize,
    cookie_bytes: usize,
    user_agent_bytes: usize,
    accept: bool,
}

impl Headers {
    fn of(headers: &[(&str, &[u8])]) -> Self {
        let mut sum = Self::default();
        for (name, value) in headers {
            sum.bytes += value.len();
            match *name {
                "cookie" => sum.cookie_bytes += value.len(),
                "authorization" | "dpop" | "idempotency-key" => {}
                _ => {
                    sum.plain_bytes += value.len();
                    sum.value_max = sum.value_max.max(value.len());
                    sum.specials += value.iter().filter(|byte| b"'\"<>|`$\\^#{}".contains(byte)).count();
                }
            }
            match *name {
                "user-agent" => sum.user_agent_bytes = value.len(),
                "accept" => sum.accept = true,
                _ => {}
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(path: &'a str, query: Option<&'a str>, body: &'a [u8]) -> RequestSample<'a> {
        RequestSample {
            method: "GET",
            path,
            query,
            headers: &[],
            content_type: Some("application/json"),
            body,
            client_rate_per_s: None,
        }
    }

    fn value(sample: &RequestSample<'_>, name: &str) -> f32 {
        let index = FEATURES.iter().position(|spec| spec.name == name).expect("feature exists");
        vector(sample, &Findings::default())[index]
    }

    #[test]
    fn counts_what_it_says() {
        let request = sample("/a/bcd/42", Some("x=1&name=abcd"), br#"{"a":[1,{"b":2}]}"#);
        for (name, expected) in [
            ("path_depth", 3.0),
            ("path_segment_max", 3f32.ln_1p()),
            ("path_digits", 2.0 / 9.0),
            ("query_parameters", 2f32.ln_1p()),
            ("query_value_max", 4f32.ln_1p()),
            ("body_depth", 3.0),
            ("body_fields", 2f32.ln_1p()),
            ("body_kind", 0.67),
            ("encoding_depth", 0.0),
        ] {
            let found = value(&request, name);
            assert!((found - expected).abs() < 1e-6, "{name}: {found} is not {expected}");
        }
        assert!(value(&request, "client_rate").is_nan());
    }

    #[test]
    fn layers_of_encoding_are_counted() {
        for (query, layers) in
            [("a=b", 0.0), ("a=%41", 1.0), ("a=%2541", 2.0), ("a=%25252541%41", 4.0), ("%", 1.0)]
        {
            assert_eq!(value(&sample("/", Some(query), b""), "encoding_depth"), layers, "{query}");
        }
    }

    #[test]
    fn entropy_of_known_texts() {
        for (body, bits) in [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("abcdabcd", 2.0)] {
            assert!(
                (value(&sample("/", None, body.as_bytes()), "body_entropy") - bits).abs() < 1e-6,
                "{body}"
            );
        }
    }
}
