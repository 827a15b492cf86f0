//! One request that two readers could read as two (RFC 9112 11.2): one answer, 400, and the connection is over.

use tests::Program;
use tests::demo::Addresses;
use tests::raw::exchange;

pub async fn gets_one_answer(at: Addresses) {
    let customer = Program::of_new_customer(&at, "smuggler", 0).await.unwrap();
    let host = at.gateway.authority().to_owned();
    let auth = format!("Authorization: Bearer {}", customer.token());
    let hidden = format!("GET /api/credit-score HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n\r\n");
    let post = |fields: &str, body: &str| {
        format!("POST /api/transfers HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n{fields}\r\n\r\n{body}{hidden}")
    };
    let get = |lines: &str| format!("{lines}\r\n\r\n{hidden}");
    let chunked = "0\r\n\r\n";
    for (what, bytes) in [
        ("CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked", chunked)),
        ("TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", chunked)),
        ("equal lengths twice", post("Content-Length: 0\r\nContent-Length: 0", "")),
        ("unequal lengths", post("Content-Length: 0\r\nContent-Length: 5", "")),
        ("a list of lengths", post("Content-Length: 0, 0", "")),
        ("a signed length", post("Content-Length: +0", "")),
        ("a space before the colon", post("Content-Length : 0", "")),
        ("an underscore", post("Content_Length: 3", "")),
        ("an unknown coding", post("Transfer-Encoding: xchunked", chunked)),
        ("codings twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", chunked)),
        ("a hidden coding", post("Transfer-Encoding:\x0bchunked", chunked)),
        (
            "a folded line",
            get(&format!("GET /api/accounts HTTP/1.1\r\nHost: {host}\r\n{auth}\r\nX-A: b\r\n c")),
        ),
        ("bare LF", format!("GET /api/accounts HTTP/1.1\nHost: {host}\n{auth}\n\n{hidden}")),
        ("one bare LF", get(&format!("GET /api/accounts HTTP/1.1\r\nHost: {host}\r\nX-A: b\n{auth}"))),
        (
            "another host in the target",
            get(&format!("GET http://other.test/api/accounts HTTP/1.1\r\nHost: {host}\r\n{auth}")),
        ),
        (
            "two hosts",
            get(&format!("GET /api/accounts HTTP/1.1\r\nHost: {host}\r\nHost: other.test\r\n{auth}")),
        ),
        (
            "a space in the target",
            get(&format!("GET /api/accounts HTTP/1.1 x HTTP/1.1\r\nHost: {host}\r\n{auth}")),
        ),
        ("a null byte", get(&format!("GET /api/accounts HTTP/1.1\r\nHost: {host}\r\nX-A: a\0b\r\n{auth}"))),
    ] {
        let got = exchange(&at.gateway, bytes.as_bytes()).await.unwrap();
        assert_eq!((got.responses(), got.status(), got.closed), (1, 400, true), "{what}: {got:?}");
        assert!(got.text.to_ascii_lowercase().contains("connection: close"), "{what}: {got:?}");
        assert!(!got.text.contains("default_probability"), "{what}: the hidden request was answered");
    }
    // The same two requests, told apart as the standard says, both get their answer.
    let plain = format!("GET /api/accounts HTTP/1.1\r\nHost: {host}\r\n{auth}\r\nConnection: close\r\n\r\n");
    let got = exchange(&at.gateway, plain.as_bytes()).await.unwrap();
    assert_eq!((got.responses(), got.status()), (1, 200), "{got:?}");
}
