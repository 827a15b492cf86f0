//! Bounds: beyond each a refusal with its own reason, and nothing of it reaches the upstream.

use std::time::Instant;

use tests::raw::Exchange;

use super::gateway::{Edge, reason};

const POST: &str = "POST /inspected/x HTTP/1.1";
const STREAM: &str = "POST /streamed HTTP/1.1";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn chunks(bytes: usize) -> String {
    let chunk = format!("{:x}\r\n{}\r\n", 8_192, "a".repeat(8_192));
    let rest = bytes % 8_192;
    let last = if rest > 0 { format!("{rest:x}\r\n{}\r\n", "a".repeat(rest)) } else { String::new() };
    format!("{}{last}0\r\n\r\n", chunk.repeat(bytes / 8_192))
}

fn length(bytes: usize) -> String {
    format!("Content-Length: {bytes}\r\n")
}

pub async fn are_kept(edge: Edge) {
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: v\r\n")).collect::<String>();
    let get = "GET /inspected/x HTTP/1.1".to_owned();
    let target = |bytes: usize| format!("GET /inspected/{} HTTP/1.1", "a".repeat(bytes));
    let query = |count: usize| format!("GET /inspected/x?{} HTTP/1.1", vec!["a=b"; count].join("&"));
    let body = |bytes: usize| "a".repeat(bytes);
    let post = POST.to_owned();
    let stream = STREAM.to_owned();
    let cases: Vec<(&str, String, String, String, u16, &str)> = vec![
        ("header bytes", get.clone(), format!("X-A: {}\r\n", body(30_000)), String::new(), 200, ""),
        (
            "too many header bytes",
            get.clone(),
            format!("X-A: {}\r\n", body(33_000)),
            String::new(),
            431,
            "request.headers_too_large",
        ),
        (
            "bytes of many cookies",
            get.clone(),
            format!("Cookie: {}\r\n", vec!["a=b"; 9_000].join("; ")),
            String::new(),
            431,
            "request.headers_too_large",
        ),
        ("header fields", get.clone(), fields(90), String::new(), 200, ""),
        ("too many header fields", get.clone(), fields(120), String::new(), 431, "request.headers_too_large"),
        ("a target", target(8_000), String::new(), String::new(), 200, ""),
        ("a long target", target(8_300), String::new(), String::new(), 414, "request.target_too_long"),
        ("parameters", query(200), String::new(), String::new(), 200, ""),
        ("too many parameters", query(201), String::new(), String::new(), 400, "request.too_complex"),
        ("a body", post.clone(), length(65_536), body(65_536), 200, ""),
        ("a chunked body", post.clone(), CHUNKED.into(), chunks(65_536), 200, ""),
        ("a large body", post.clone(), length(65_537), body(65_537), 413, "request.body_too_large"),
        (
            "a large length alone",
            post.clone(),
            length(999_999_999),
            String::new(),
            413,
            "request.body_too_large",
        ),
        ("a large chunked body", post.clone(), CHUNKED.into(), chunks(65_537), 413, "request.body_too_large"),
        ("a body that never comes", post.clone(), length(10), "abc".into(), 408, "request.body_too_slow"),
        (
            "chunks that never end",
            post.clone(),
            CHUNKED.into(),
            "3\r\nabc\r\n".into(),
            408,
            "request.body_too_slow",
        ),
        (
            "no chunk size",
            post.clone(),
            CHUNKED.into(),
            "zz\r\nabc\r\n0\r\n\r\n".into(),
            400,
            "request.body_unreadable",
        ),
        (
            "a huge chunk size",
            post.clone(),
            CHUNKED.into(),
            "ffffffffffffffff1\r\na".into(),
            400,
            "request.body_unreadable",
        ),
        ("a streamed body", stream.clone(), length(100_000), body(100_000), 200, ""),
        (
            "a large streamed body",
            stream.clone(),
            length(100_001),
            body(100_001),
            413,
            "request.body_too_large",
        ),
        (
            "a large streamed chunked body",
            stream,
            CHUNKED.into(),
            chunks(150_000),
            413,
            "request.body_too_large",
        ),
    ];
    let mut failed = Vec::new();
    for (what, line, fields, body, status, code) in cases {
        let got = edge.ask(&line, &fields, &body).await;
        let passed = status == 200;
        let (seen, streamed) = (edge.upstream.taken(), line.contains("/streamed"));
        let mut fine = got.status() == status && reason(&got) == code;
        fine &=
            if passed { seen.len() == 1 && seen[0].len() >= body.len() } else { streamed || seen.is_empty() };
        if !fine {
            failed.push(format!("{what}: {:.300} {}, upstream {}", got.text, reason(&got), seen.len()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    expectations(&edge).await;
    a_dripping_header(&edge).await;
}

async fn expectations(edge: &Edge) {
    let expect = "Expect: 100-continue\r\n";
    let got = edge.ask(POST, &format!("{expect}{}", length(3)), "abc").await;
    assert!(got.text.starts_with("HTTP/1.1 100 ") && got.text.contains("HTTP/1.1 200 "), "{got:?}");
    let got = edge.ask(POST, &format!("{expect}{}", length(99_999)), "").await;
    assert_eq!((got.status(), got.responses()), (413, 1), "nobody is told to send what is refused: {got:?}");
    let old = edge.ask("POST /inspected/x HTTP/1.0", &format!("{expect}{}", length(3)), "abc").await;
    assert_eq!((old.status(), responses(&old)), (200, 1), "HTTP/1.0 knows no 100 (RFC 9110 10.1.1): {old:?}");
}

fn responses(got: &Exchange) -> usize {
    got.text.matches("HTTP/1.").count()
}

/// A header has one deadline, not one for each read.
async fn a_dripping_header(edge: &Edge) {
    let began = Instant::now();
    let got = edge.send("GET /inspected/x HTTP/1.1\r\nHost: ").await;
    assert!(got.closed && got.text.is_empty(), "{got:?}");
    assert!(began.elapsed().as_secs_f64() < 4.0, "{:?}", began.elapsed());
}
