//! Many tabs and scripts of one browser that nobody is logged in with.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::Browser;
use tests::demo::Addresses;

use super::bank_page;

/// Protected pages; each has a tab of its own, and a second one.
const PAGES: [&str; 6] = ["/accounts", "/profile", "/history", "/loans", "/advice", "/consents"];

const PASSWORD_PAGE: &str = "#username";
const SECOND_FACTOR_PAGE: &str = "#otp";
const LOGGED_IN: &str = r#"form[action="/.gatehouse/logout"]"#;

/// Password, second factor, both once more where another tab's log-in came between, and the page.
const STEPS_MAX: usize = 5;

const LOGIN_COOKIE: &str = "__Host-gatehouse-login";

/// Most that the gateway's cookies may add to a request, names and values, bytes.
const COOKIES_MAX: usize = 150;

/// Fifty requests of a page's scripts at once, by `fetch` and by XMLHttpRequest; gives each different answer that came.
const BURST: &str = r"
    const paths = ['/api/accounts', '/accounts', '/history'];
    const fetched = async (path) => {
        const answer = await fetch(path);
        return [answer.status, answer.headers.get('content-type'), answer.url, await answer.text()];
    };
    const asked = (path) => new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.onload = () => resolve([request.status, request.getResponseHeader('content-type'), request.responseURL, request.responseText]);
        request.onerror = reject;
        request.open('GET', path);
        request.send();
    });
    const one = async (_, n) => {
        const path = paths[n % paths.length];
        const [status, type, url, text] = await (n % 2 ? asked(path) : fetched(path));
        return JSON.stringify([status, type, new URL(url).pathname === path, JSON.parse(text).reason]);
    };
    return Promise.all(Array.from({length: 50}, one)).then((all) => [...new Set(all)].map((one) => JSON.parse(one)));
";

/// What every request of a script is answered: no redirect, which it could not follow to a person.
fn refused() -> Value {
    json!([[401, "application/problem+json", true, "token.missing"]])
}

pub async fn log_in_side_by_side(browser: &Browser, at: &Addresses) {
    browser.without_page_policies().await.unwrap();
    browser.go(&bank_page(at, "/")).await.unwrap();
    let start = browser.tabs().await.unwrap().remove(0);
    assert_eq!(browser.run(BURST).await.unwrap(), refused());
    assert_eq!(gateways_cookies(browser).await, [], "a script's request begins no log-in");

    open_all(browser, &start).await;
    let [(name, value)] = &gateways_cookies(browser).await[..] else { panic!("one cookie for all tabs") };
    assert_eq!((name.as_str(), value.len() < 64), (LOGIN_COOKIE, true), "{value}");
    assert_eq!(browser.run(BURST).await.unwrap(), refused());
    open_all(browser, &start).await;
    assert_eq!(
        gateways_cookies(browser).await,
        [(name.clone(), value.clone())],
        "nor do more tabs add to it"
    );

    let mut landed = Vec::new();
    for tab in browser.tabs().await.unwrap().iter().filter(|tab| **tab != start) {
        browser.turn_to(tab).await.unwrap();
        log_in(browser).await;
        landed.push(browser.url().await.unwrap().path().to_owned());
    }
    let own: BTreeSet<_> = landed.iter().map(String::as_str).collect();
    assert_eq!((landed.len(), own), (2 * PAGES.len(), BTreeSet::from(PAGES)), "each tab is at its own page");

    // The log-ins after the first have replaced its session; its tab goes on with theirs.
    browser.turn_to(&start).await.unwrap();
    for page in PAGES {
        browser.go(&bank_page(at, page)).await.unwrap();
        assert_eq!(browser.url().await.unwrap().path(), page, "still logged in");
    }
    let kept = gateways_cookies(browser).await;
    let size: usize = kept.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(kept.len() <= 2 && size <= COOKIES_MAX, "{size} bytes: {kept:?}");
}

/// Opens all pages at once, as a browser does that brings back its tabs, and waits until each asks for the password.
async fn open_all(browser: &Browser, start: &str) {
    browser.turn_to(start).await.unwrap();
    let before = browser.tabs().await.unwrap();
    browser.run(&format!("for (const page of {}) window.open(page)", json!(PAGES))).await.unwrap();
    for tab in browser.tabs().await.unwrap().iter().filter(|tab| !before.contains(tab)) {
        browser.turn_to(tab).await.unwrap();
        browser.wait_for(PASSWORD_PAGE).await.unwrap();
    }
    browser.turn_to(start).await.unwrap();
}

/// Enters what the tab asks for until somebody is logged in. How much that is depends on what other tabs did meanwhile.
async fn log_in(browser: &Browser) {
    for _ in 0..STEPS_MAX {
        match next_page(browser).await.as_str() {
            PASSWORD_PAGE => {
                browser.fill(PASSWORD_PAGE, "alice").await.unwrap();
                browser.fill("#password", "gatehouse-demo").await.unwrap();
            }
            SECOND_FACTOR_PAGE => browser.fill(SECOND_FACTOR_PAGE, "000000").await.unwrap(),
            _ => return,
        }
        // A page that was answered stays for a moment.
        browser.run("window.answered = true").await.unwrap();
        browser.click("main button[type=submit]").await.unwrap();
    }
    panic!("no end of it: {}", browser.words().await.unwrap());
}

/// What stands on the next page that was not answered yet.
async fn next_page(browser: &Browser) -> String {
    let known = json!([PASSWORD_PAGE, SECOND_FACTOR_PAGE, LOGGED_IN]);
    let script = format!(
        "if (window.answered || document.readyState !== 'complete') return null; \
         return {known}.find((one) => document.querySelector(one)) ?? null;"
    );
    let began = Instant::now();
    loop {
        // Between two pages there is none to ask.
        if let Ok(Value::String(found)) = browser.run(&script).await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "at {}", browser.url().await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn gateways_cookies(browser: &Browser) -> Vec<(String, String)> {
    let cookies = browser.cookies().await.unwrap();
    cookies.into_iter().filter(|(name, _)| name.starts_with("__Host-gatehouse")).collect()
}
