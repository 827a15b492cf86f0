use serde_json::json;

use super::site::{HOSTILE, NOW_MS, Site};
use crate::banking::LoanApplication;
use crate::ledger::{AccountId, Currency, CustomerId};

const CUSTOMER_PAGES: [(&str, &str); 12] = [
    ("/accounts", "Available to spend"),
    ("/profile", "Username"),
    ("/deposit", "Pay in"),
    ("/withdraw", "Take out"),
    ("/transfer", "Send money"),
    ("/history", "Bookings"),
    ("/history?account=alice-savings", "Nothing is booked"),
    ("/loans", "Apply for a loan"),
    ("/credit-score", "What counts"),
    ("/advice", "By category"),
    ("/fraud-check", "Check this payment"),
    ("/consents", "Withdraw access"),
];

/// What no page may hold: scripts, styles and handlers in the page, and text of customers that became markup.
fn assert_inert(path: &str, html: &str) {
    let lower = html.to_lowercase();
    for forbidden in ["<script", "<style", " style=", "javascript:", " onerror=", " onclick=", "<iframe"] {
        assert!(!lower.contains(forbidden), "{path} holds {forbidden}");
    }
}

#[tokio::test]
async fn every_page_shows_itself_to_its_customer_and_escapes_what_people_wrote() {
    let site = Site::open().await;
    for (path, expected) in CUSTOMER_PAGES {
        let answer = site.get("alice", path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains(expected), "{path} lacks {expected}: {}", answer.body);
        assert_inert(path, &answer.body);
        for part in
            ["<html lang=\"en\">", "<main id=\"content\"", "aria-label=\"Main menu\"", "href=\"#content\""]
        {
            assert!(answer.body.contains(part), "{path} lacks {part}");
        }
        assert_eq!(answer.body.matches("<h1").count(), 1, "{path} has one main heading");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    for path in ["/accounts", "/history", "/consents"] {
        let answer = site.get("alice", path).await;
        assert!(answer.body.contains("&#60;script&#62;"), "{path} shows the hostile text as text");
    }
}

#[tokio::test]
async fn a_policy_forbids_what_the_pages_do_not_need() {
    let answer = Site::open().await.get("alice", "/accounts").await;
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://127.0.0.1:7002",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["referrer-policy"], "same-origin");
}

#[tokio::test]
async fn without_a_log_in_there_are_two_pages_and_the_way_to_log_in() {
    let site = Site::open().await;
    let landing = site.get("", "/").await;
    assert_eq!(landing.status, 200);
    assert!(landing.body.contains("href=\"/.gatehouse/login?return_to=/accounts\""));
    assert_inert("/", &landing.body);
    assert_eq!(site.get("", "/register").await.status, 200);
    for (path, _) in CUSTOMER_PAGES {
        let answer = site.get("", path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(
            answer.location().starts_with("/.gatehouse/login?return_to=%2F"),
            "{path}: {}",
            answer.location()
        );
    }
    let answer = site.get("", "/history?account=alice-current&text=a%26b").await;
    assert_eq!(
        answer.location(),
        "/.gatehouse/login?return_to=%2Fhistory%3Faccount%3Dalice-current%26text%3Da%2526b"
    );
    assert_eq!(site.get("alice", "/").await.location(), "/accounts");
}

#[tokio::test]
async fn the_app_outside_the_bank_says_how_it_went_and_shows_nothing_of_what_it_was_sent() {
    let site = Site::open().await;
    for (answer, expected) in [
        ("code=c0de-4711&state=st4te&iss=http%3A%2F%2F127.0.0.1", "You let Demo Aggregator in"),
        ("error=access_denied&state=st4te", "You did not let Demo Aggregator in"),
        ("error=server_error&error_description=c0de-4711", "Demo Aggregator was not let in"),
        ("", "when an app outside the bank has asked"),
        ("code=c0de-4711&error=access_denied", "when an app outside the bank has asked"),
    ] {
        let page = site.get("", &format!("/aggregator/callback?{answer}")).await;
        assert_eq!(page.status, 200, "{answer}");
        assert!(page.body.contains(expected), "{answer}: {}", page.body);
        assert!(!page.body.contains("c0de-4711") && !page.body.contains("st4te"), "{answer}: {}", page.body);
        assert_inert(answer, &page.body);
    }
}

#[tokio::test]
async fn only_who_logged_in_with_the_banks_own_client_sees_pages() {
    let site = Site::open().await;
    let cases = [
        (site.sign(json!({"sub": "alice", "sid": "s1", "client_id": "demo-web"})), 200),
        (site.sign(json!({"sub": "alice", "client_id": "demo-web"})), 200),
        (site.sign(json!({"sub": "alice", "sid": "s1"})), 403),
        (site.sign(json!({"sub": "alice", "sid": "s1", "client_id": "demo-aggregator"})), 403),
        (site.sign(json!({"sub": "alice", "sid": "s1", "client_id": "demo-cli"})), 403),
        (site.sign(json!({"sub": "alice", "sid": "s1", "aud": "urn:other"})), 403),
        ("alice".to_owned(), 403),
    ];
    for (identity, expected) in cases {
        let answer = site.get_as(Some(identity.clone()), "/deposit").await;
        assert_eq!(answer.status, expected, "{identity}");
        assert_eq!(answer.body.contains("name=\"csrf\""), expected == 200);
    }
}

#[tokio::test]
async fn accounts_of_others_are_not_found() {
    let site = Site::open().await;
    for path in [
        "/history?account=bob-current",
        "/history?account=cafe-lantern",
        "/history?account=nobody",
        "/history?account=..%2Fbob-current",
        "/nowhere",
        "/accounts/alice-current",
    ] {
        let answer = site.get("alice", path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("We cannot find that") && !answer.body.contains("bob & co"), "{path}");
    }
    assert_eq!(site.get("bob", "/history?account=bob-current").await.status, 200);
}

#[tokio::test]
async fn the_history_is_paged_without_gaps_and_filtered() {
    let site = Site::open().await;
    let mut path = "/history?account=alice-current".to_owned();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let page = site.get("alice", &path).await.body;
        seen.extend((0..40).rev().filter(|number| page.contains(&format!("payment {number} "))));
        match page.split("rel=\"next\"").next().filter(|_| page.contains("rel=\"next\"")) {
            Some(before) => {
                let href = before.rsplit("href=\"").next().unwrap().split('"').next().unwrap();
                path = href.replace("&#38;", "&").replace("&amp;", "&");
            }
            None => break,
        }
    }
    assert_eq!(seen, (0..40).rev().collect::<Vec<_>>(), "every payment once, newest first");

    let found = site.get("alice", "/history?account=alice-current&text=Payment+7+").await.body;
    assert!(found.contains("payment 7 ") && !found.contains("payment 17 "), "{found}");
    let money_in = site.get("alice", "/history?account=alice-current&direction=in").await.body;
    assert!(money_in.contains("Cash paid in") && !money_in.contains("payment 7 "));
    let hostile = site.get("alice", "/history?account=alice-current&text=%22%3E%3Cscript%3E").await;
    assert_inert("search", &hostile.body);
    assert_eq!(site.get("alice", "/history?before=x").await.status, 404);
    assert_eq!(site.get("alice", "/history?before=0").await.status, 200);
    assert_eq!(site.get("alice", "/history?before=18446744073709551615").await.status, 200);
}

#[tokio::test]
async fn a_notice_comes_from_the_list_and_never_from_the_address() {
    let site = Site::open().await;
    let page = site.get("alice", "/accounts?done=transferred").await.body;
    assert!(page.contains("Your transfer is booked."));
    for code in ["Your+account+is+blocked", "%3Cscript%3E", "transferred2"] {
        let page = site.get("alice", &format!("/accounts?done={code}")).await.body;
        assert!(!page.contains("role=\"status\"") && !page.contains("blocked"), "{code}");
    }
}

#[tokio::test]
async fn staff_alone_sees_the_whole_bank_and_its_proof() {
    let site = Site::open().await;
    let refused = site.get("alice", "/admin").await;
    assert_eq!(refused.status, 403);
    assert!(!refused.body.contains("bob-current"));
    let page = site.get_as(Some(site.identity("olivia", "s2", &["viewer"])), "/admin").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("The books are in order") && page.body.contains("bob-current"));
    assert_inert("/admin", &page.body);
    let after =
        site.get_as(Some(site.identity("olivia", "s2", &["viewer"])), "/admin?after=alice-savings").await;
    assert!(!after.body.contains("alice-current") && after.body.contains("bob-current"));
}

#[tokio::test]
async fn a_loan_is_shown_with_its_whole_schedule() {
    let site = Site::open().await;
    let application = LoanApplication {
        account: AccountId::new("alice-current").unwrap(),
        amount_minor: 60_000,
        currency: Currency::EUR,
        months: 6,
    };
    let alice = CustomerId::new("alice").unwrap();
    site.bank.apply_for_loan(&alice, application, None, NOW_MS).await.unwrap();
    let loan = site.bank.loans(&alice).unwrap().pop().expect("the seeded customer is good for a small loan");
    let page = site.get("alice", "/loans").await.body;
    assert!(page.contains("0 of 6 instalments paid") && page.contains(loan.id.as_str()), "{page}");
    assert_eq!(page.matches("<span class=\"badge\">open</span>").count(), 6);
    assert!(!site.get("bob", "/loans").await.body.contains("alice"), "loans of others are not shown");
}

#[tokio::test]
async fn assets_may_be_kept_by_their_version_and_checked_otherwise() {
    let site = Site::open().await;
    let page = site.get("", "/").await.body;
    let start = page.find("/assets/bank.css?v=").unwrap();
    let versioned = page[start..].split('"').next().unwrap();
    let css = site.get("", versioned).await;
    assert_eq!(css.headers["content-type"], "text/css; charset=utf-8");
    assert!(css.headers["cache-control"].to_str().unwrap().contains("immutable"));
    for path in ["/assets/bank.css", "/assets/bank.css?v=old", "/assets/mark.svg"] {
        let answer = site.get("", path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.headers["cache-control"].to_str().unwrap().contains("immutable"), "{path}");
        let again = http::Request::get(path)
            .header("if-none-match", answer.headers["etag"].clone())
            .body(axum::body::Body::empty())
            .unwrap();
        let again = site.ask(again).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
    }
    assert!(!css.body.contains("http"), "the sheet loads nothing from elsewhere");
    assert!(!css.body.contains(HOSTILE));
}
