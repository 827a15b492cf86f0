//! The demo in a real browser: a customer, with and without JavaScript, on a desk and on a telephone, and staff.
//!
//! On every page that is looked at, see `faults.js`, and no complaint may stand in the browser's log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bank;
mod console;
mod tabs;

use serde_json::Value;
use tests::demo::Addresses;
use tests::webdriver::TAB;
use tests::{Browser, RunningDemo};

const FAULTS: &str = include_str!("faults.js");

/// Text on a page that is no fault of its own: the browser's note that a page was refused on purpose.
const REFUSED: &str = "Failed to load resource: the server responded with a status of 4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn a_customer_banks_and_staff_release_what_was_held() {
    let demo = RunningDemo::start(&[]).unwrap();
    let browser = Browser::open(1280, 800).await.unwrap();
    bank::everything(&browser, &demo.at).await;
    bank::an_app_is_let_in_and_out(&browser, &demo.at).await;
    bank::logs_out(&browser, &demo.at).await;
    let staff = Browser::open(1280, 800).await.unwrap();
    console::releases(&staff, &demo.at).await;
    bank::sends_what_was_released(&browser, &demo.at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn the_bank_needs_neither_scripts_nor_a_large_screen() {
    let demo = RunningDemo::start(&[]).unwrap();
    let browser = Browser::open(360, 740).await.unwrap();
    browser.be_a_phone(360, 740).await.unwrap();
    browser.without_scripts().await.unwrap();
    bank::everything(&browser, &demo.at).await;
    bank::logs_out(&browser, &demo.at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn the_console_shows_an_attack_on_a_telephone() {
    let demo = RunningDemo::start(&["--traffic", "attack"]).unwrap();
    let browser = Browser::open(360, 740).await.unwrap();
    browser.be_a_phone(360, 740).await.unwrap();
    console::shows_an_attack(&browser, &demo.at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn tabs_and_scripts_without_a_session_do_not_disturb_each_other() {
    let demo = RunningDemo::start(&[]).unwrap();
    let browser = Browser::open(1280, 800).await.unwrap();
    tabs::log_in_side_by_side(&browser, &demo.at).await;
}

/// Logs in at the identity provider, wherever the browser was sent there from.
async fn log_in(browser: &Browser, username: &str) {
    browser.wait_for("#username").await.unwrap();
    look(browser, "password page").await;
    browser.fill("#username", username).await.unwrap();
    browser.fill("#password", "gatehouse-demo").await.unwrap();
    browser.click("main button[type=submit]").await.unwrap();
    browser.wait_for("#otp").await.unwrap();
    look(browser, "second factor").await;
    browser.fill("#otp", "000000").await.unwrap();
    browser.click("main button[type=submit]").await.unwrap();
}

/// Looks at a page as `faults.js` does, and at what the keyboard does on it.
async fn look(browser: &Browser, page: &str) {
    let faults = browser.run(FAULTS).await.unwrap();
    assert_eq!(faults, Value::Array(vec![]), "{page} at {}", browser.url().await.unwrap());
    for _ in 0..2 {
        browser.press(TAB).await.unwrap();
        let ring = browser.run(RING).await.unwrap();
        assert_eq!(ring, Value::Null, "{page}: the focus cannot be seen");
    }
    no_complaints(browser, page).await;
}

/// Null when the focused element has an outline or a ring, else its name.
const RING: &str = "const at = document.activeElement; if (at === document.body) return null; \
    const style = getComputedStyle(at); const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; \
    return outlined || style.boxShadow !== 'none' ? null : at.outerHTML.slice(0, 90);";

async fn no_complaints(browser: &Browser, page: &str) {
    let complaints = browser.complaints().await.unwrap();
    let real: Vec<_> = complaints.into_iter().filter(|line| !line.contains(REFUSED)).collect();
    assert!(real.is_empty(), "{page}: {real:#?}");
}

/// An address of the bank through the gateway.
fn bank_page(at: &Addresses, path: &str) -> String {
    at.gateway.join(path).unwrap().to_string()
}
