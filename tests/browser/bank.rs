//! A customer of the bank.

use tests::Browser;
use tests::demo::Addresses;

use super::{bank_page, log_in, look};

/// Asks for what `demo-aggregator` may ask for; the challenge is nobody's, since no code is ever redeemed.
const CONSENT: &str = "/authorize?response_type=code&client_id=demo-aggregator&scope=accounts:read&state=s\
    &code_challenge=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&code_challenge_method=S256&redirect_uri=";

/// From the landing page through every page of a customer, to a transfer that is held.
pub async fn everything(browser: &Browser, at: &Addresses) {
    for (path, words) in [("/", "Banking that explains itself"), ("/register", "Become a customer")] {
        browser.go(&bank_page(at, path)).await.unwrap();
        browser.wait_for_words(words).await.unwrap();
        look(browser, path).await;
    }
    browser.go(&bank_page(at, "/accounts")).await.unwrap();
    log_in(browser, "alice").await;
    browser.wait_for_words("Available to spend").await.unwrap();
    look(browser, "accounts").await;
    for (path, words) in [
        ("/profile", "Alice Archer"),
        ("/history", "Balance"),
        ("/credit-score", "What counts"),
        ("/advice", "What stands out"),
        ("/consents", "No service outside the bank"),
    ] {
        browser.go(&bank_page(at, path)).await.unwrap();
        browser.wait_for_words(words).await.unwrap();
        look(browser, path).await;
    }
    moves_money(browser, at).await;
    let checked =
        send(browser, at, "/fraud-check", &[("#to", "mallory-current"), ("#amount", "1500.00")]).await;
    let checked = checked.wait_for_words("How much this looks like fraud").await.unwrap();
    assert!(checked.contains("your usual"), "a reason stands there: {checked}");
    look(browser, "fraud check").await;
    is_held(browser, at).await;
    browser.go(&bank_page(at, "/?q=1'%20OR%20'1'='1")).await.unwrap();
    browser.wait_for_words("The request was refused").await.unwrap();
    look(browser, "refusal").await;
}

async fn moves_money(browser: &Browser, at: &Addresses) {
    for (path, fields, done) in [
        ("/deposit", vec![("#amount", "25")], "+25.00"),
        ("/withdraw", vec![("#amount", "10.00")], "\u{2212}10.00"),
        (
            "/transfer",
            vec![("#to", "bob-current"), ("#amount", "12.50"), ("#memo", "lunch")],
            "\u{2212}12.50",
        ),
        ("/loans", vec![("#amount", "1500")], "Your loan is paid out"),
    ] {
        send(browser, at, path, &fields).await.wait_for_words(done).await.unwrap();
        look(browser, path).await;
    }
}

/// Opens a page's form, looks at it, fills it in and sends it.
async fn send<'a>(browser: &'a Browser, at: &Addresses, path: &str, fields: &[(&str, &str)]) -> &'a Browser {
    browser.go(&bank_page(at, path)).await.unwrap();
    browser.wait_for("main form.form").await.unwrap();
    look(browser, path).await;
    for (field, text) in fields {
        browser.fill(field, text).await.unwrap();
    }
    let form = format!("main form[action=\"{path}\"] button");
    browser.click(&form).await.unwrap();
    browser
}

async fn is_held(browser: &Browser, at: &Addresses) {
    let held = pays_mallory(browser, at).await.wait_for_words("waiting for review").await.unwrap();
    assert!(held.contains("your safety") && held.contains("Once it is released"), "{held}");
    look(browser, "held").await;
}

async fn pays_mallory<'a>(browser: &'a Browser, at: &Addresses) -> &'a Browser {
    send(browser, at, "/transfer", &[("#to", "mallory-current"), ("#amount", "1500.00")]).await
}

pub async fn an_app_is_let_in_and_out(browser: &Browser, at: &Addresses) {
    let back = bank_page(at, "/aggregator/callback");
    browser
        .go(&format!(
            "{}{back}",
            at.idp.join("/").unwrap().as_str().trim_end_matches('/').to_owned() + CONSENT
        ))
        .await
        .unwrap();
    browser.wait_for_words("Let Demo Aggregator in?").await.unwrap();
    look(browser, "consent").await;
    browser.click("button[value=allow]").await.unwrap();
    browser.wait_for_words("You let Demo Aggregator in").await.unwrap();
    look(browser, "let in").await;
    browser.go(&bank_page(at, "/consents")).await.unwrap();
    browser.wait_for_words("Demo Aggregator").await.unwrap();
    look(browser, "consents").await;
    browser.click("form[action=\"/consents/withdraw\"] button").await.unwrap();
    browser.wait_for_words("No service outside the bank").await.unwrap();
}

/// Logs out; neither Back nor the address brings the account back.
pub async fn logs_out(browser: &Browser, at: &Addresses) {
    browser.go(&bank_page(at, "/accounts")).await.unwrap();
    browser.go(&bank_page(at, "/profile")).await.unwrap();
    browser.click("main form[action=\"/.gatehouse/logout\"] button").await.unwrap();
    browser.wait_for_words("Banking that explains itself").await.unwrap();
    look(browser, "logged out").await;
    browser.back().await.unwrap();
    browser.wait_for("main").await.unwrap();
    let words = browser.words().await.unwrap();
    assert!(!words.contains("Alice Archer"), "Back shows the account: {words}");
    browser.go(&bank_page(at, "/accounts")).await.unwrap();
    browser.wait_for("#username").await.unwrap();
}

pub async fn sends_what_was_released(browser: &Browser, at: &Addresses) {
    browser.go(&bank_page(at, "/accounts")).await.unwrap();
    log_in(browser, "alice").await;
    browser.wait_for_words("Available to spend").await.unwrap();
    pays_mallory(browser, at).await.wait_for_words("Your transfer is booked").await.unwrap();
}
