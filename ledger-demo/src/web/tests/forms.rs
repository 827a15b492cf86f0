use axum::body::Body;
use http::Request;

use super::site::{ORIGIN, Site};
use crate::caller::IDENTITY_HEADER;

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const TO_BOB: [(&str, &str); 4] =
    [("from", "alice-current"), ("to", "bob-current"), ("amount", "12.50"), ("memo", "Lunch")];

#[tokio::test]
async fn deposit_withdrawal_and_transfer_are_booked_and_said() {
    let site = Site::open().await;
    let before = (site.balance("alice", "alice-current"), site.balance("bob", "bob-current"));
    let cash = |amount| [("account", "alice-current"), ("amount", amount), ("memo", "")].to_vec();
    let cases = [
        ("/deposit", cash("100"), "deposited", 10_000),
        ("/withdraw", cash("0.5"), "withdrawn", -50),
        ("/transfer", TO_BOB.to_vec(), "transferred", -1_250),
    ];
    let mut expected = before.0;
    for (path, entered, done, change) in cases {
        let answer = site.fill_in("alice", path, &entered).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
        assert_eq!(answer.location(), format!("/history?account=alice-current&done={done}"));
        assert_eq!(site.get("alice", answer.location()).await.status, 200);
        expected += change;
        assert_eq!(site.balance("alice", "alice-current"), expected, "{path}");
    }
    assert_eq!(site.balance("bob", "bob-current"), before.1 + 1_250);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_is_booked_once() {
    let site = Site::open().await;
    for (path, entered) in [
        ("/transfer", owned(&TO_BOB)),
        ("/deposit", owned(&[("account", "alice-current"), ("amount", "7"), ("memo", "")])),
        ("/withdraw", owned(&[("account", "alice-current"), ("amount", "7"), ("memo", "")])),
        ("/loans", owned(&[("account", "alice-current"), ("amount", "150"), ("months", "6")])),
    ] {
        let page = site.get("alice", path).await;
        let mut fields = entered;
        for hidden in ["csrf", "id"] {
            fields.push((hidden.to_owned(), page.hidden(path, hidden)));
        }
        fields.push(("currency".to_owned(), "EUR".to_owned()));
        let before = site.balance("alice", "alice-current");
        let (first, second) =
            tokio::join!(site.post("alice", path, &fields, &[]), site.post("alice", path, &fields, &[]));
        let third = site.post("alice", path, &fields, &[]).await;
        for answer in [first, second, third] {
            assert_eq!(answer.status, 303, "{path}: {}", answer.body);
        }
        let booked = site.balance("alice", "alice-current");
        let change = match path {
            "/transfer" => -1_250,
            "/deposit" => 700,
            "/withdraw" => -700,
            _ => 15_000,
        };
        assert_eq!(booked - before, change, "{path}");
        // The same form with another amount is neither booked nor silently taken for the first.
        for field in &mut fields {
            if field.0 == "amount" {
                field.1 = "199.99".to_owned();
            }
        }
        let other = site.post("alice", path, &fields, &[]).await;
        assert_eq!(other.status, 422, "{path}");
        assert!(other.body.contains("You sent this form before with other details"), "{}", other.body);
        assert_eq!(site.balance("alice", "alice-current"), booked, "{path}");
    }
}

#[tokio::test]
async fn a_forged_form_is_refused_and_books_nothing() {
    let site = Site::open().await;
    let page = site.get("alice", "/transfer").await;
    let good = page.hidden("/transfer", "csrf");
    let of_bob = site.get("bob", "/transfer").await.hidden("/transfer", "csrf");
    let other_session = site.identity("alice", "s2", &[]);
    let other_session = site.get_as(Some(other_session), "/transfer").await.hidden("/transfer", "csrf");
    let public = site.get("", "/register").await.hidden("/register", "csrf");
    let before = site.balance("alice", "alice-current");
    let cases: [(&str, &[(&str, &str)]); 9] = [
        ("", &[]),
        ("AAAA", &[]),
        (&of_bob, &[]),
        (&other_session, &[]),
        (&public, &[]),
        (&good, &[("origin", "https://evil.example")]),
        (&good, &[("origin", "null")]),
        (&good, &[("sec-fetch-site", "cross-site")]),
        (&good, &[("sec-fetch-site", "same-site")]),
    ];
    for (number, (token, headers)) in cases.into_iter().enumerate() {
        let mut fields = owned(&TO_BOB);
        fields.extend(owned(&[("csrf", token), ("id", "web-forged"), ("currency", "EUR")]));
        let answer = site.post("alice", "/transfer", &fields, headers).await;
        assert_eq!(answer.status, 403, "case {number}");
        assert!(answer.body.contains("href=\"/accounts\""), "case {number} has a way back");
        assert_eq!(site.balance("alice", "alice-current"), before, "case {number}");
    }
    let mut fields = owned(&TO_BOB);
    fields.extend(owned(&[("csrf", &good), ("id", "web-honest"), ("currency", "EUR")]));
    assert_eq!(site.post("alice", "/transfer", &fields, &[]).await.status, 303, "the honest one passes");
}

#[tokio::test]
async fn every_form_needs_its_token() {
    let site = Site::open().await;
    for path in
        ["/deposit", "/withdraw", "/transfer", "/loans", "/loans/repay", "/fraud-check", "/consents/withdraw"]
    {
        assert_eq!(site.post("alice", path, &[], &[]).await.status, 403, "{path}");
        let nobody = site.post("", path, &[], &[]).await;
        assert_eq!(nobody.status, 303, "{path}");
        assert_eq!(nobody.location(), "/.gatehouse/login?return_to=%2Faccounts", "{path}");
    }
    assert_eq!(site.post("", "/register", &[], &[]).await.status, 403);
}

#[tokio::test]
async fn a_form_that_no_page_of_ours_sends_is_refused() {
    let site = Site::open().await;
    let token = site.get("alice", "/deposit").await.hidden("/deposit", "csrf");
    let before = site.balance("alice", "alice-current");
    let long = format!("csrf={token}&memo={}", "a".repeat(20_000));
    let twice = format!("csrf={token}&id=web-1&account=alice-current&amount=1&amount=1000&memo=");
    let json = format!("{{\"csrf\":\"{token}\"}}");
    let cases = [
        ("application/x-www-form-urlencoded", long, 413),
        ("application/x-www-form-urlencoded", twice, 400),
        ("application/json", json.clone(), 400),
        ("text/plain", json, 400),
    ];
    for (media_type, body, expected) in cases {
        let request = Request::post("/deposit")
            .header("content-type", media_type)
            .header("origin", ORIGIN)
            .header(IDENTITY_HEADER, site.identity("alice", "s1", &[]))
            .body(Body::from(body))
            .unwrap();
        assert_eq!(site.ask(request).await.status, expected, "{media_type}");
    }
    assert_eq!(site.balance("alice", "alice-current"), before);
}

#[tokio::test]
async fn what_cannot_be_booked_is_told_at_its_field() {
    let site = Site::open().await;
    let before = site.balance("alice", "alice-current");
    let transfer = |name: &'static str, value: &'static str| {
        let mut fields = TO_BOB;
        for field in &mut fields {
            if field.0 == name {
                field.1 = value;
            }
        }
        fields
    };
    let cases = [
        (transfer("amount", ""), "amount", "Enter an amount"),
        (transfer("amount", "12,50"), "amount", "with a point and no commas"),
        (transfer("amount", "-5"), "amount", "without a sign"),
        (transfer("amount", "0"), "amount", "above zero"),
        (transfer("amount", "999999.99"), "amount", "does not have that much"),
        (transfer("amount", "9999999999999"), "amount", "more than the bank moves at once"),
        (transfer("to", "nobody-current"), "to", "no account with this number"),
        (transfer("to", "alice-current"), "to", "two different accounts"),
        (transfer("to", "<script>"), "to", "account number"),
        (transfer("to", ""), "to", "account number"),
        (transfer("from", "bob-current"), "from", "one of your accounts"),
        (transfer("from", "bank-cash-eur"), "from", "one of your accounts"),
    ];
    for (fields, field, text) in cases {
        let answer = site.fill_in("alice", "/transfer", &fields).await;
        assert_eq!(answer.status, 422, "{fields:?}");
        assert!(answer.body.contains(&format!("<a href=\"#{field}\">")), "{fields:?}");
        assert!(answer.body.contains(text), "{fields:?} lacks {text}: {}", answer.body);
        assert!(answer.body.contains("<title>Error: "), "{fields:?}");
        assert!(!answer.body.contains("<script"), "{fields:?}");
        assert!(answer.body.contains("value=\"Lunch\""), "what was entered is kept");
    }
    let too_long = "é".repeat(100);
    let mut fields = TO_BOB;
    fields[3].1 = &too_long;
    let answer = site.fill_in("alice", "/transfer", &fields).await;
    assert!(answer.body.contains("<a href=\"#memo\">"), "{}", answer.body);
    assert_eq!(site.balance("alice", "alice-current"), before);
}

#[tokio::test]
async fn a_loan_is_applied_for_and_repaid() {
    let site = Site::open().await;
    let entered = [("account", "alice-current"), ("amount", "600"), ("months", "6")];
    let before = site.balance("alice", "alice-current");
    let answer = site.fill_in("alice", "/loans", &entered).await;
    assert_eq!(
        (answer.status.as_u16(), answer.location()),
        (303, "/loans?done=loan-paid-out"),
        "{}",
        answer.body
    );
    assert_eq!(site.balance("alice", "alice-current"), before + 60_000);

    let page = site.get("alice", "/loans").await;
    let mut fields = Vec::new();
    for hidden in ["csrf", "id", "loan"] {
        fields.push((hidden.to_owned(), page.hidden("/loans/repay", hidden)));
    }
    for _ in 0..2 {
        let answer = site.post("alice", "/loans/repay", &fields, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (303, "/loans?done=loan-repaid"));
    }
    assert!(
        site.get("alice", "/loans").await.body.contains("1 of 6 instalments paid"),
        "sent twice, repaid once"
    );

    let of_bob = site.get("bob", "/transfer").await.hidden("/transfer", "csrf");
    let fields = owned(&[("csrf", &of_bob), ("id", "web-1"), ("loan", &fields[2].1)]);
    assert_eq!(
        site.post("bob", "/loans/repay", &fields, &[]).await.status,
        404,
        "nobody repays another's loan"
    );

    for (amount, months, text) in
        [("5", "6", "href"), ("600", "7", "Choose a term"), ("600", "x", "Choose a term")]
    {
        let entered = [("account", "alice-current"), ("amount", amount), ("months", months)];
        let answer = site.fill_in("alice", "/loans", &entered).await;
        assert_eq!(answer.status, 422, "{amount} {months}");
        assert!(
            answer.body.contains("There is a problem") && answer.body.contains(text),
            "{amount} {months}"
        );
    }
}

#[tokio::test]
async fn a_consent_is_withdrawn_for_its_customer_alone() {
    let site = Site::open().await;
    let page = site.get("alice", "/consents").await;
    let token = page.hidden("/consents/withdraw", "csrf");
    let fields = owned(&[("csrf", &token), ("client_id", "demo-aggregator")]);
    let first = site.post("alice", "/consents/withdraw", &fields, &[]).await;
    assert_eq!(first.location(), "/consents?done=consent-withdrawn");
    let second = site.post("alice", "/consents/withdraw", &fields, &[]).await;
    assert_eq!(second.location(), "/consents?done=consent-gone");
    let left: Vec<String> = site.consents.0.lock().iter().map(|(owner, _)| owner.clone()).collect();
    assert_eq!(left, ["bob"]);
    assert!(site.get("alice", "/consents").await.body.contains("No service outside the bank"));
}

#[tokio::test]
async fn a_fraud_check_says_what_the_gateway_said_and_pays_nothing() {
    let site = Site::open().await;
    let before = site.balance("alice", "alice-current");
    let token = site.get("alice", "/fraud-check").await.hidden("/fraud-check", "csrf");
    let mut fields = owned(&TO_BOB);
    fields.extend(owned(&[("csrf", &token), ("currency", "EUR")]));
    let told = site
        .post(
            "alice",
            "/fraud-check",
            &fields,
            &[
                ("gatehouse-fraud-score", "0.913"),
                ("gatehouse-fraud-outcome", "hold"),
                ("gatehouse-fraud-reasons", "A%20new%20payee%3Cscript%3E;At%20night"),
            ],
        )
        .await;
    assert_eq!(told.status, 200);
    for part in ["91 %", "would wait until somebody", "A new payee&#60;script&#62;", "At night"] {
        assert!(told.body.contains(part), "{part} in {}", told.body);
    }
    let untold: [&[(&str, &str)]; 3] = [
        &[],
        &[("gatehouse-fraud-score", "0.1")],
        &[("gatehouse-fraud-score", "none"), ("gatehouse-fraud-outcome", "allow")],
    ];
    for headers in untold {
        let page = site.post("alice", "/fraud-check", &fields, headers).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("No score is available"), "{headers:?}");
        assert!(!page.body.contains("would go through"), "{headers:?}");
    }
    assert_eq!(site.balance("alice", "alice-current"), before);
}

#[tokio::test]
async fn somebody_registers_once_and_has_an_account() {
    let site = Site::open().await;
    let entered = [
        ("full_name", "Dora <script>"),
        ("username", "dora"),
        ("password", "a quiet little river"),
        ("password_again", "a quiet little river"),
    ];
    let answer = site.fill_in("", "/register", &entered).await;
    assert_eq!((answer.status.as_u16(), answer.location()), (303, "/?done=registered"), "{}", answer.body);
    let page = site.get("dora", "/accounts").await;
    assert!(
        page.body.contains("dora-current") && page.body.contains("Dora &#60;script&#62;"),
        "{}",
        page.body
    );

    let with = |name: &'static str, value: &'static str| {
        let mut fields = entered;
        for field in &mut fields {
            if field.0 == name {
                field.1 = value;
            }
        }
        fields
    };
    for (fields, field) in [
        (entered, "username"),
        (with("username", "X"), "username"),
        (with("username", "../../etc"), "username"),
        (with("password_again", "other"), "password_again"),
        (with("full_name", ""), "full_name"),
    ] {
        let answer = site.fill_in("", "/register", &fields).await;
        assert_eq!(answer.status, 422, "{fields:?}");
        assert!(answer.body.contains(&format!("href=\"#{field}\"")), "{fields:?}: {}", answer.body);
        assert!(!answer.body.contains("quiet little river"), "a password is never sent back");
    }
    let all_wrong =
        [("full_name", ""), ("username", "dora"), ("password", "short"), ("password_again", "other")];
    let answer = site.fill_in("", "/register", &all_wrong).await;
    assert_eq!(answer.status, 422);
    for (field, _) in all_wrong {
        assert!(answer.body.contains(&format!("href=\"#{field}\"")), "{field}: {}", answer.body);
    }
}
