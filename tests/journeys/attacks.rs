//! Attackers with an account: whatever they send is refused by name, and reaches nobody.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger_demo::idp::script::{LoginScript, client};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tests::Program;
use tests::demo::Addresses;
use tests::raw::exchange;

type Case<'a> = (Method, &'a str, Vec<(&'a str, String)>, Option<Value>, u16, &'a str);

pub async fn are_refused(at: Addresses) {
    let attacker = Program::of_new_customer(&at, "attacker", 10_000).await.unwrap();
    let attacker = attacker.from_address([127, 0, 0, 4].into()).unwrap();
    let get = |path, status, reason| (Method::GET, path, vec![], None, status, reason);
    let with = |name, value: &str| vec![(name, value.to_owned())];
    let pay = |memo: &str| {
        Some(
            json!({"from": "attacker-current", "to": "bob-current", "amount": 100, "currency": "EUR", "memo": memo}),
        )
    };
    let post =
        |memo: &str, status, reason| (Method::POST, "/api/transfers", vec![], pay(memo), status, reason);
    let sqli = "inspection.sqli";
    let cases: Vec<Case<'_>> = vec![
        get("/api/accounts?q=1'%20OR%20'1'='1'--", 403, sqli),
        get("/api/accounts?q=1%27%20UNION%20SELECT%20name%2Cpassword%20FROM%20users--", 403, sqli),
        get("/api/accounts?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E", 403, "inspection.xss"),
        get("/api/accounts?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", 403, "inspection.xss"),
        get("/api/accounts?f=../../../../etc/passwd", 403, "inspection.traversal"),
        get("/api/accounts?f=..%252f..%252f..%252fetc%252fpasswd", 403, "inspection.traversal"),
        get("/api/accounts/..%2f..%2fetc%2fpasswd", 400, "request.ambiguous"),
        get("/api/accounts/%252e%252e%252fetc", 400, "request.ambiguous"),
        get("/api/accounts/a%00b", 400, "request.encoding"),
        get("/api/accounts/%c0%ae%c0%ae", 400, "request.encoding"),
        post("x' UNION SELECT password FROM users--", 403, sqli),
        post("<img src=x onerror=alert(document.cookie)>", 403, "inspection.xss"),
        post("../../../../../../etc/passwd", 403, "inspection.traversal"),
        post(&"a".repeat(70_000), 413, "request.body_too_large"),
        (Method::GET, "/api/accounts", with("x-search", "1' OR '1'='1' --"), None, 403, sqli),
        (
            Method::GET,
            "/api/accounts",
            with("referer", "http://x/?a=<script>alert(1)</script>"),
            None,
            403,
            "inspection.xss",
        ),
        (
            Method::GET,
            "/api/accounts",
            with("x-big", &"a".repeat(40_000)),
            None,
            431,
            "request.headers_too_large",
        ),
        (Method::GET, "/api/accounts?access_token=abc", vec![], None, 400, "token.ambiguous"),
        (
            Method::GET,
            "/api/accounts",
            with("cookie", "__Host-gatehouse=abcdefabcdefabcdef"),
            None,
            400,
            "token.ambiguous",
        ),
        (Method::DELETE, "/api/accounts", vec![], None, 405, "request.method"),
        get("/nothing/here", 404, "request.not_found"),
    ];
    for (method, path, headers, body, status, reason) in cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = attacker.send(method.clone(), path, &headers, body).await.unwrap();
        let what = format!("{method} {path} {:.60}", format!("{headers:?}"));
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason), "{what} {answer:?}");
        assert_eq!(answer.json()["decision_id"], answer.decision(), "{what}");
    }
    bodies(&at, &attacker).await;
    assert_eq!(attacker.balance("attacker-current").await.unwrap(), 10_000, "nothing was booked");
}

/// Bodies and targets that an HTTP client would not write.
async fn bodies(at: &Addresses, attacker: &Program) {
    let host = at.gateway.authority();
    let token = attacker.token();
    let twice = r#"{"from":"attacker-current","to":"bob-current","amount":1,"amount":9000,"currency":"EUR"}"#;
    let escaped =
        r#"{"from":"attacker-current","to":"bob-current","amount":1,"\u0061mount":9000,"currency":"EUR"}"#;
    let form = "account=attacker-current&amount=1%27%20UNION%20SELECT%201,2,3--";
    for (target, media, body, status, reason) in [
        ("/api/transfers", "application/json", twice, 400, "request.body_unreadable"),
        ("/api/transfers", "application/json", escaped, 400, "request.body_unreadable"),
        ("/api/transfers", "application/json", "{\"from\":", 400, "request.body_unreadable"),
        ("/deposit", "application/x-www-form-urlencoded", form, 403, "inspection.sqli"),
        ("/api/../admin", "application/json", "{}", 400, "request.ambiguous"),
        ("/api/./transfers", "application/json", twice, 400, "request.ambiguous"),
        ("/api//transfers", "application/json", twice, 400, "request.ambiguous"),
        ("/api/transfers;v=1", "application/json", twice, 400, "request.ambiguous"),
    ] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: {media}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let got = exchange(&at.gateway, request.as_bytes()).await.unwrap();
        assert_eq!(got.status(), status, "{target} {body}: {}", got.text);
        assert!(got.text.contains(&format!("\"reason\":\"{reason}\"")), "{target} {body}: {}", got.text);
    }
}

pub async fn bad_tokens(at: Addresses) {
    let good = Program::of_new_customer(&at, "token-holder", 0).await.unwrap();
    let admin = Program::staff(&at, "olivia").await.unwrap();
    let nobody = Program::nobody(&at.gateway).unwrap();
    let parts: Vec<&str> = good.token().split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let hs256 = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"at+jwt"}"#);
    let raised = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let raised = String::from_utf8(raised).unwrap().replace("token-holder", "alice");
    let granted = LoginScript::new(at.idp.clone(), "carol").run(&client(None).unwrap()).await.unwrap();
    let refresh = granted.refresh_token.unwrap();
    for (token, reason) in [
        ("garbage".to_owned(), "token.inactive"),
        (refresh.expose_secret().to_owned(), "token.audience"),
        ("a.b.c".to_owned(), "token.malformed"),
        (format!("{none}.{}.", parts[1]), "token.header"),
        (format!("{hs256}.{}.{}", parts[1], parts[2]), "token.header"),
        (format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)), "token.signature"),
        (format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(raised), parts[2]), "token.signature"),
        (admin.token().to_owned(), "token.audience"),
        ("a".repeat(17 * 1024), "token.malformed"),
    ] {
        let bearer = format!("Bearer {token}");
        let answer =
            nobody.send(Method::GET, "/api/accounts", &[("authorization", &bearer)], None).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (401, reason),
            "{token:.80} {answer:?}"
        );
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{answer:?}");
    }
    let missing = nobody.get("/api/accounts").await.unwrap();
    assert_eq!((missing.status.as_u16(), missing.reason().as_str()), (401, "token.missing"));
    let challenge = missing.header("www-authenticate");
    assert!(challenge.starts_with("Bearer") && !challenge.contains("error"), "{challenge}");

    // A bank token opens nothing at the admin API, and staff without a role may not act.
    let bearer = format!("Bearer {}", good.token());
    let admin_api = Program::nobody(&at.admin).unwrap();
    for path in ["/api/v1/cases", "/api/v1/decisions", "/api/v1/config"] {
        for headers in [vec![("authorization", bearer.as_str())], vec![]] {
            let answer = admin_api.send(Method::GET, path, &headers, None).await.unwrap();
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {answer:?}");
        }
    }
    assert_eq!(good.get("/api/accounts").await.unwrap().status, StatusCode::OK, "the good token is good");
}

pub async fn forged_headers(at: Addresses) {
    // From an address of its own: its many requests would use up the limit of the address that the other journeys share.
    let own = [127, 0, 0, 10].into();
    let customer = Program::of_new_customer(&at, "forger", 0).await.unwrap().from_address(own).unwrap();
    let nobody = Program::nobody(&at.gateway).unwrap().from_address(own).unwrap();
    let plain = customer.get("/api/accounts").await.unwrap();
    assert_eq!(plain.status, StatusCode::OK);
    // A signed identity that the bank would believe cannot be had from outside; a well-formed one is tried all the same.
    let forged = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(r#"{"sub":"bob"}"#),
        ""
    );
    for name in [
        "Gatehouse-Subject",
        "gatehouse-subject",
        "GATEHOUSE_SUBJECT",
        "Gatehouse_Subject",
        "Gatehouse-Scopes",
        "Gatehouse-Identity",
        "gatehouse_identity",
        "Gatehouse-Decision",
        "X-Forwarded-User",
    ] {
        for value in ["bob", &forged] {
            let answer = customer.send(Method::GET, "/api/accounts", &[(name, value)], None).await.unwrap();
            assert_eq!((answer.status, &answer.text), (StatusCode::OK, &plain.text), "{name}: {value}");
            assert_ne!(answer.decision(), value);
            let listed = format!("close, {name}");
            let answer =
                customer.send(Method::GET, "/api/accounts", &[("connection", &listed)], None).await.unwrap();
            assert_eq!(
                (answer.status.as_u16(), answer.reason().as_str()),
                (400, "request.ambiguous"),
                "Connection: {listed}"
            );
            let alone = nobody.send(Method::GET, "/api/accounts", &[(name, value)], None).await.unwrap();
            assert_eq!(alone.status, StatusCode::UNAUTHORIZED, "{name}: {value} {alone:?}");
        }
    }
    // Around the gateway, the bank believes nobody.
    let direct = Program::nobody(&at.bank).unwrap();
    let answer = direct
        .send(
            Method::GET,
            "/api/accounts",
            &[("gatehouse-identity", &forged), ("gatehouse-subject", "bob")],
            None,
        )
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
}
