//! A person with a browser.

use reqwest::StatusCode;
use tests::demo::Addresses;
use tests::program::NEW_CUSTOMER_PASSWORD;
use tests::{Person, Program};

pub async fn banks_in_a_browser(at: Addresses) {
    let mut alice = Person::new(&at, [127, 0, 0, 2].into()).unwrap();
    let overview = alice.log_in("alice", "/accounts").await.unwrap();
    assert_eq!((overview.status(), overview.url.path()), (StatusCode::OK, "/accounts"));
    assert_eq!(overview.url.origin(), at.gateway.origin());
    assert!(overview.words().contains("alice-current"), "{}", overview.words());
    // No token reaches the browser, only the name of a session.
    for (name, value) in alice.bank_cookies() {
        assert!(name.starts_with("__Host-") && value.len() < 100 && !value.contains('.'), "{name}={value}");
    }
    let me = alice.visit("/.gatehouse/session").await.unwrap().answer.json();
    assert_eq!(me["acr"], "urn:gatehouse:acr:2fa", "{me}");
    assert!(alice.visit("/profile").await.unwrap().words().contains("Alice Archer"));

    moves_money(&mut alice).await;

    let form = alice.visit("/loans").await.unwrap();
    let wish = [("amount", "1500.00"), ("months", "12"), ("account", "alice-current")];
    let loan = alice.submit(&form, "/loans", &wish).await.unwrap();
    assert_eq!(loan.status(), StatusCode::OK, "{}", loan.words());
    assert!(loan.words().contains("1,500.00 EUR"), "{}", loan.words());
    assert!(alice.visit("/credit-score").await.unwrap().words().contains("points"));
    assert!(alice.visit("/advice").await.unwrap().words().contains("What stands out"));
    checks_a_payment(&mut alice).await;
    logs_out(&mut alice).await;
}

async fn moves_money(alice: &mut Person) {
    let history = "/history?account=alice-current";
    let before = alice.visit(history).await.unwrap().money_after("Balance").unwrap();
    for (page, entries, change, shown) in [
        ("/deposit", vec![("account", "alice-current"), ("amount", "25.00")], 2_500, "+25.00 EUR"),
        ("/withdraw", vec![("account", "alice-current"), ("amount", "10")], -1_000, "\u{2212}10.00 EUR"),
        (
            "/transfer",
            vec![
                ("from", "alice-current"),
                ("to", "bob-current"),
                ("amount", "12.50"),
                ("memo", "lunch at O'Brien's <3"),
            ],
            -1_250,
            "\u{2212}12.50 EUR",
        ),
    ] {
        let was = alice.visit(history).await.unwrap().money_after("Balance").unwrap();
        let form = alice.visit(page).await.unwrap();
        let done = alice.submit(&form, page, &entries).await.unwrap();
        assert_eq!(
            (done.status(), done.url.path()),
            (StatusCode::OK, "/history"),
            "{page}: {}",
            done.words()
        );
        assert!(done.words().contains(shown), "{page}: {}", done.words());
        let is = alice.visit(history).await.unwrap().money_after("Balance").unwrap();
        assert_eq!(is - was, change, "{page}");
        // The same form sent again, as an impatient person does, is the same order.
        alice.submit(&form, page, &entries).await.unwrap();
        let still = alice.visit(history).await.unwrap().money_after("Balance").unwrap();
        assert_eq!(still, is, "{page} sent twice");
    }
    let after = alice.visit(history).await.unwrap();
    assert_eq!(after.money_after("Balance").unwrap(), before + 2_500 - 1_000 - 1_250);
    assert!(after.words().contains("lunch at O"), "{}", after.words());
}

async fn checks_a_payment(alice: &mut Person) {
    let before = alice.visit("/history?account=alice-current").await.unwrap().money_after("Balance").unwrap();
    let form = alice.visit("/fraud-check").await.unwrap();
    let payment = [("from", "alice-current"), ("to", "mallory-current"), ("amount", "2900.00"), ("memo", "")];
    let checked = alice.submit(&form, "/fraud-check", &payment).await.unwrap();
    let words = checked.words();
    assert_eq!(checked.status(), StatusCode::OK, "{words}");
    assert!(words.contains("How much this looks like fraud") && words.contains('%'), "{words}");
    assert!(words.contains("your usual"), "a reason stands there: {words}");
    let after = alice.visit("/history?account=alice-current").await.unwrap().money_after("Balance").unwrap();
    assert_eq!(after, before, "a check pays nothing");
}

async fn logs_out(alice: &mut Person) {
    let page = alice.visit("/profile").await.unwrap();
    let left = alice.submit(&page, "/.gatehouse/logout", &[]).await.unwrap();
    assert!(left.status().is_success(), "{} {}", left.url, left.words());
    let again = alice.visit("/accounts").await.unwrap();
    assert_eq!(again.url.path(), "/login", "logged out, but {} answered", again.url);
}

pub async fn is_lured_by_another_site(at: Addresses) {
    let mut alice = Person::new(&at, [127, 0, 0, 3].into()).unwrap();
    alice.log_in("alice", "/profile").await.unwrap();
    for (path, fields) in [
        (
            "/transfer",
            vec![
                ("from", "alice-current"),
                ("to", "mallory-current"),
                ("amount", "9.00"),
                ("currency", "EUR"),
            ],
        ),
        ("/withdraw", vec![("account", "alice-current"), ("amount", "9.00")]),
    ] {
        let answer = alice.lured(path, &fields).await.unwrap();
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {answer:?}");
        assert!(!answer.decision().is_empty());
    }
    assert_eq!(alice.visit("/profile").await.unwrap().status(), StatusCode::OK, "she herself goes on");
}

/// A transfer that asks for a stronger log-in: the form comes back with what was entered, and is done once.
pub async fn steps_up(at: Addresses) {
    let account = "stepper-current";
    let program = Program::of_new_customer(&at, "stepper", 400_000).await.unwrap();
    let mut person = Person::new(&at, [127, 0, 0, 11].into()).unwrap();
    let login = person.visit("/transfer").await.unwrap();
    let form = person.prove(&login, "stepper", NEW_CUSTOMER_PASSWORD).await.unwrap();
    let entered =
        [("from", account), ("to", "bob-current"), ("amount", "2100.00"), ("memo", "boat & <sails>")];
    let asked = person.submit(&form, "/transfer", &entered).await.unwrap();
    assert!(asked.words().contains("Confirm that it is you"), "{} {}", asked.url, asked.words());
    assert_eq!(program.balance(account).await.unwrap(), 400_000, "nothing moves before");

    let back = person.prove(&asked, "stepper", NEW_CUSTOMER_PASSWORD).await.unwrap();
    assert_eq!((back.status(), back.url.origin()), (StatusCode::OK, at.gateway.origin()), "{}", back.words());
    assert_eq!(back.url.query(), None, "nothing that was entered stands in the address: {}", back.url);
    for part in ["bob-current", "2100.00", account] {
        assert!(back.words().contains(part), "{part}: {}", back.words());
    }
    assert_eq!(program.balance(account).await.unwrap(), 400_000, "nothing is sent by itself");
    let me = person.visit("/.gatehouse/session").await.unwrap().answer.json();
    assert_eq!(me["acr"], "urn:gatehouse:acr:stepup", "{me}");

    let done = person.submit(&back, "/transfer", &[]).await.unwrap();
    assert_eq!((done.status(), done.url.path()), (StatusCode::OK, "/history"), "{}", done.words());
    assert!(done.words().contains("boat"), "{}", done.words());
    assert_eq!(program.balance(account).await.unwrap(), 190_000);
    person.submit(&back, "/transfer", &[]).await.unwrap();
    assert_eq!(program.balance(account).await.unwrap(), 190_000, "the same form again is the same order");
    let again = person.visit("/.gatehouse/form").await.unwrap();
    assert!(!again.words().contains("2100.00"), "it is shown once: {}", again.words());
}
