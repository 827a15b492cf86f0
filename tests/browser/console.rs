//! Staff at the operators' console.

use tests::Browser;
use tests::demo::Addresses;

use super::{log_in, look};

const PAGES: [(&str, &str); 6] = [
    ("decisions", "One record for every request"),
    ("capacity", "Last 15 minutes"),
    ("models", "auprc"),
    ("policies", "As loaded"),
    ("sessions", "Customers signed in"),
    ("audit", "Checkpoint"),
];

async fn signs_in(browser: &Browser, at: &Addresses) {
    browser.go(at.admin.as_str()).await.unwrap();
    browser.click(".welcome .button").await.unwrap();
    log_in(browser, "ana").await;
    browser.wait_for(".tiles").await.unwrap();
    browser.wait_for_words("Latest decisions").await.unwrap();
}

/// Goes to a section as the menu does.
async fn section(browser: &Browser, name: &str) {
    browser.run(&format!("location.hash = '#/{name}'")).await.unwrap();
    browser.wait_for(&format!("nav a[href='#/{name}'][aria-current]")).await.unwrap();
}

/// Sees what happens, opens the case that a customer waits for, reads why, and releases it.
pub async fn releases(browser: &Browser, at: &Addresses) {
    signs_in(browser, at).await;
    browser.wait_for("main .row").await.unwrap();
    look(browser, "overview").await;
    for (name, words) in PAGES {
        section(browser, name).await;
        let lower = words.to_lowercase();
        let found = format!("return document.body.innerText.toLowerCase().includes('{lower}')");
        until(browser, &found, name).await;
        look(browser, name).await;
    }
    section(browser, "cases").await;
    browser.wait_for_words("1,500.00 EUR").await.unwrap();
    look(browser, "cases").await;
    browser.click(".case .actions a.button").await.unwrap();
    let why = browser.wait_for_words("is held for review").await.unwrap();
    assert!(why.contains("What happened") && why.contains("usual"), "{why}");
    look(browser, "why it was held").await;
    browser.click("#panel [aria-label=Close]").await.unwrap();
    browser.click(".case .button.primary").await.unwrap();
    browser.wait_for_words("Release this transfer?").await.unwrap();
    look(browser, "verdict").await;
    browser.click("#ask .button.primary").await.unwrap();
    browser.wait_for_words("Nothing waits for review").await.unwrap();
}

/// Within seconds of a glance: refusals in the list and in the figures, told in sentences.
pub async fn shows_an_attack(browser: &Browser, at: &Addresses) {
    signs_in(browser, at).await;
    browser.wait_for(".row .is-deny").await.unwrap();
    until(browser, "return [...document.querySelectorAll('.ranks code')].some((one) => /^(inspection|limit|token)/.test(one.textContent))", "reasons").await;
    look(browser, "overview under attack").await;
    section(browser, "decisions").await;
    browser.click(".chip.is-deny").await.unwrap();
    until(browser, "const rows = [...document.querySelectorAll('main .row')]; return rows.length > 0 && rows.every((row) => row.querySelector('.is-deny'))", "the filter").await;
    browser.run("document.querySelector('main .row').click()").await.unwrap();
    browser.wait_for_words("What happened").await.unwrap();
    look(browser, "a refusal explained").await;
    browser.click("#panel [aria-label=Close]").await.unwrap();
    for (name, _) in PAGES {
        section(browser, name).await;
        browser.wait_for("main h1").await.unwrap();
        look(browser, name).await;
    }
}

/// Waits until a script says yes.
async fn until(browser: &Browser, script: &str, what: &str) {
    let began = std::time::Instant::now();
    while browser.run(script).await.unwrap() != true {
        assert!(began.elapsed().as_secs() < 60, "{what}: {}", browser.words().await.unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
