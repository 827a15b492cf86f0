//! What passes between client and upstream, and what does not.

use super::gateway::{Edge, reason};

pub async fn nothing_forged_gets_through(edge: Edge) {
    let forged = "Gatehouse-Identity: forged\r\ngatehouse_subject: forged\r\nGATEHOUSE-Scopes: forged\r\n\
        Gatehouse_Decision: forged\r\nX-Forwarded-For: forged\r\nX_Forwarded_For: forged\r\nX-Forwarded-Host: forged\r\n\
        Forwarded: for=forged\r\nX-Real-IP: forged\r\nX-Original-URL: /forged\r\nX-HTTP-Method-Override: forged\r\n\
        Proxy-Authorization: forged\r\nProxy: forged\r\nCookie: a=1; __Host-gatehouse=forged; b=2\r\n";
    let got = edge.ask("GET /inspected/x HTTP/1.1", forged, "").await;
    assert_eq!(got.status(), 200, "{got:?}");
    let [seen] = edge.upstream.taken().try_into().unwrap();
    let seen = seen.to_ascii_lowercase();
    assert!(!seen.contains("forged"), "{seen}");
    for field in [
        "\r\nx-forwarded-for: 127.0.0.1\r\n",
        "\r\nx-forwarded-proto: http\r\n",
        "\r\ngatehouse-decision: ",
        "\r\nhost: ",
        "\r\ncookie: a=1; b=2\r\n",
        "gatehouse",
    ] {
        assert_eq!(seen.matches(field).count(), 1, "{field} in {seen}");
    }
    let host = edge.host();
    for named in [
        "gatehouse-decision",
        "close, x-forwarded-for",
        "host",
        "close, cookie",
        "content-length",
        "\"host\"",
        ":path",
    ] {
        let got = edge
            .send(format!("GET /inspected/x HTTP/1.1\r\nHost: {host}\r\nConnection: {named}\r\n\r\n"))
            .await;
        assert_eq!(
            (got.status(), reason(&got).as_str(), got.closed),
            (400, "request.ambiguous", true),
            "{named}: {got:?}"
        );
        assert!(edge.upstream.taken().is_empty(), "{named}");
    }
    for path in ["/inspected/forged", "/inspected/split"] {
        let got = edge.ask(&format!("GET {path} HTTP/1.1"), "", "").await;
        let text = got.text.to_ascii_lowercase();
        assert_eq!(got.responses(), 1, "{path}: {got:?}");
        assert_eq!(text.matches("gatehouse-decision: ").count(), 1, "{path}: {text}");
        for never in ["forged", "secret", "\nset-cookie: __host-gatehouse"] {
            assert!(!text.contains(never), "{path}: {never} in {text}");
        }
    }
}

pub async fn targets_and_versions(edge: Edge) {
    let host = edge.host().to_owned();
    let close = "Connection: close\r\n\r\n";
    let whole = |line: &str, host: &str| format!("{line}\r\nHost: {host}\r\n{close}");
    let same = |line: &str| whole(line, &host);
    let cases: Vec<(String, u16, &str)> = vec![
        (same(&format!("GET http://{host}/inspected/x HTTP/1.1")), 200, ""),
        (same("GET http://other.test/inspected/x HTTP/1.1"), 400, "request.ambiguous"),
        (same(&format!("GET http://user@{host}/inspected/x HTTP/1.1")), 400, "request.ambiguous"),
        (whole("GET /inspected/x HTTP/1.1", "evil.test"), 421, "request.unknown_host"),
        (whole("GET /inspected/x HTTP/1.1", &format!("{host}@evil.test")), 400, "request.ambiguous"),
        (whole("GET /inspected/x HTTP/1.1", "evil.test/"), 400, "request.ambiguous"),
        (same("GET /inspected/x HTTP/1.0"), 200, ""),
        (format!("GET /inspected/x HTTP/1.0\r\n{close}"), 421, "request.unknown_host"),
        (same("TRACE /inspected/x HTTP/1.1"), 405, "request.method"),
        (same("GET /inspected/x#fragment HTTP/1.1"), 400, "request.ambiguous"),
        (same("GET /inspected/%c3%28 HTTP/1.1"), 400, "request.encoding"),
        (same("GET /inspected/\u{e9} HTTP/1.1"), 400, "request.encoding"),
        (same("GET /inspected/..;/x HTTP/1.1"), 400, "request.ambiguous"),
        (same("GET /inspected/../.gatehouse/session HTTP/1.1"), 400, "request.ambiguous"),
        (same("GET /elsewhere HTTP/1.1"), 404, "request.not_found"),
    ];
    let mut failed = Vec::new();
    for (bytes, status, code) in cases {
        let got = edge.send(&bytes).await;
        let seen = edge.upstream.taken();
        // What Pingora's parser refuses has a reason of its own.
        let said = reason(&got) == code || (status == 400 && reason(&got) == "request.malformed");
        let fine = got.status() == status && said && seen.len() == usize::from(status == 200);
        if !fine || got.text.contains("evil") {
            failed.push(format!("{bytes:?}\n    {got:?}\n    upstream {seen:?}"));
        }
    }
    // What is no request of this proxy's kind is refused and ends the connection, in whatever words.
    for line in [
        "CONNECT evil.test:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET /inspected/x",
        "\u{16}\u{3}\u{1}",
    ] {
        let got = edge.send(format!("{line}\r\nHost: {host}\r\n\r\n")).await;
        let refused = (400..600).contains(&got.status()) || got.text.is_empty();
        if !refused || !edge.upstream.taken().is_empty() {
            failed.push(format!("{line}: {got:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));

    let two =
        format!("GET /inspected/one HTTP/1.1\r\nHost: {host}\r\n\r\n{}", same("GET /inspected/two HTTP/1.1"));
    let got = edge.send(two).await;
    assert_eq!((got.responses(), got.status(), got.closed), (1, 200, true), "nothing is pipelined: {got:?}");
    let order: Vec<String> =
        edge.upstream.taken().iter().map(|r| r.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(order, ["/inspected/one"], "what came with the first is not read as another");

    let page = edge.ask("GET /%3Cscript%3Ealert(1)%3C/script%3E HTTP/1.1", "Accept: text/html\r\n", "").await;
    assert!(page.text.contains("text/html") && !page.text.contains("<script"), "{page:?}");
}

pub async fn broken_upstreams(edge: Edge) {
    for (path, status, code) in [
        ("/inspected/nothing", 502, "upstream.down"),
        ("/inspected/noise", 502, "upstream.down"),
        ("/inspected/silence", 504, "upstream.timeout"),
    ] {
        let got = edge.ask(&format!("GET {path} HTTP/1.1"), "", "").await;
        assert_eq!(
            (got.status(), reason(&got).as_str(), got.responses()),
            (status, code, 1),
            "{path}: {got:?}"
        );
        let text = got.text.to_ascii_lowercase();
        let internals =
            [edge.upstream.address.to_string(), "pingora".into(), "ssh-2.0".into(), "error".into()];
        for internal in internals {
            assert!(!text.contains(&internal), "{path}: {internal} in {text}");
        }
    }
    let cut = edge.ask("GET /inspected/cut HTTP/1.1", "", "").await;
    assert!(cut.closed && cut.responses() == 1, "a cut answer ends the connection: {cut:?}");
    let two = edge.ask("GET /inspected/two-lengths HTTP/1.1", "", "").await;
    assert!(two.responses() == 1 && two.closed, "{two:?}");
    let lengths = two.text.to_ascii_lowercase().matches("content-length").count();
    assert!(two.status() == 502 || lengths <= 1, "two lengths reach nobody: {two:?}");
}
