//! Step-up (RFC 9470): a person's browser is sent to the provider and comes back, an app is challenged.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tests::Person;
use tests::person::Page;
use url::form_urlencoded;

use crate::app::{Wish, access_token};
use crate::gateway::{Setting, World};
use crate::people::{all_read, asked_at_once, log_in};
use crate::provider::{SITE, STRONG};

const SECOND_FACTOR: (&str, &str) = ("second_factor", "000000");

/// An access token of this lifetime is waited for to expire.
const SHORT_S: u32 = 1;

/// Logs in again, then consents again.
async fn confirm(person: &mut Person, asked: &Page, more: &[(&str, &str)]) -> Page {
    let entered = [&[("login", "ada"), ("password", "any")], more].concat();
    assert!(asked.words().contains("login"), "not asked to log in at {}: {}", asked.url, asked.words());
    assert!(asked.words().contains(STRONG), "not asked for a stronger log-in: {}", asked.words());
    let consent = person.submit(asked, "", &entered).await.unwrap();
    assert!(consent.words().contains("consent"), "{} {}", consent.url, consent.words());
    person.submit(&consent, "", &[]).await.unwrap()
}

pub async fn asks_the_person_again() {
    let world = World::start(Setting::default()).await;
    let mut ada = world.person();
    log_in(&mut ada, "ada").await;
    let mut before = world.person();
    before.take_cookies(&ada);

    let asked = ada.visit("/.gatehouse/step-up?return_to=/accounts").await.unwrap();
    let page = confirm(&mut ada, &asked, &[SECOND_FACTOR]).await;
    assert_eq!(
        (page.status(), page.url.path(), page.answer.text.as_str()),
        (StatusCode::OK, "/accounts", "ada")
    );
    let answer = asked_at_once(&world, &before, 1).await.remove(0);
    assert_eq!(
        answer.status,
        StatusCode::UNAUTHORIZED,
        "the cookie from before is worth nothing: {answer:?}"
    );
}

pub async fn returns_to_the_same_transfer() {
    // A token each for the log-in, the step-up that is not strong enough and the one that is; then a refreshed one.
    let lifetimes_s = &[3_600, 3_600, SHORT_S, 3_600];
    let world = World::start(Setting { lifetimes_s, ..Setting::default() }).await;
    let mut ada = world.person();
    log_in(&mut ada, "ada").await;
    let form = ada.visit("/transfer").await.unwrap();
    let order =
        |amount| [("from", "ada-current"), ("to", "Bob & \"Sons\""), ("amount", amount), ("currency", "EUR")];
    let sent = |amount| form_urlencoded::Serializer::new(String::new()).extend_pairs(order(amount)).finish();
    let done = ada.submit(&form, "/transfer", &order("12.50")).await.unwrap();
    assert_eq!(done.status(), StatusCode::OK, "no rule asks for more: {done:?}");
    assert_eq!(world.upstream.posted(), [sent("12.50")]);

    let asked = ada.submit(&form, "/transfer", &order("1500.00")).await.unwrap();
    let weak = confirm(&mut ada, &asked, &[]).await;
    assert_eq!(
        (weak.status(), weak.url.path()),
        (StatusCode::BAD_REQUEST, "/.gatehouse/callback"),
        "{weak:?}"
    );

    let asked = ada.submit(&form, "/transfer", &order("1500.00")).await.unwrap();
    let back = confirm(&mut ada, &asked, &[SECOND_FACTOR]).await;
    assert_eq!((back.status(), back.url.origin()), (StatusCode::OK, world.url.origin()), "{back:?}");
    for part in ["ada-current", "Bob", "1500.00"] {
        assert!(back.words().contains(part), "{part} is not shown: {}", back.words());
    }
    assert_eq!(world.upstream.posted(), [sent("12.50")], "nothing is sent by itself");

    let done = ada.submit(&back, "/transfer", &[]).await.unwrap();
    assert_eq!((done.status(), done.answer.text.as_str()), (StatusCode::OK, "ada"), "{done:?}");
    assert_eq!(world.upstream.posted(), [sent("12.50"), sent("1500.00")], "once, as it was entered");
    let again = ada.visit("/.gatehouse/form").await.unwrap();
    assert!(!again.words().contains("1500.00"), "it is shown once: {}", again.words());

    // The session after a step-up has a refresh token of its own.
    tokio::time::sleep(Duration::from_secs(SHORT_S.into())).await;
    all_read(&asked_at_once(&world, &ada, 5).await, "ada");
    assert_eq!(world.provider.counted().await.of("granted refresh_token"), 1);
}

pub async fn challenges_an_app() {
    let world = World::start(Setting::default()).await;
    let mut ada = world.person();
    let order = json!({"from": "ada-current", "to": "bob", "amount": 150_000, "currency": "EUR"});
    let pay = async |token: &str| world.program(token).post("/api/transfers", order.clone()).await.unwrap();
    let usual = access_token(&world, &mut ada, "ada", Wish { resource: SITE, ..Wish::default() }).await;
    let challenged = pay(&usual).await;
    let challenge = challenged.header("www-authenticate");
    assert_eq!(challenged.status, StatusCode::UNAUTHORIZED, "{challenged:?}");
    assert_eq!(parameter(challenge, "error"), "insufficient_user_authentication");

    let more = ["acr_values", "max_age"].map(|name| (name, parameter(challenge, name)));
    for (entered, status) in [(&[][..], StatusCode::UNAUTHORIZED), (&[SECOND_FACTOR], StatusCode::OK)] {
        let wish = Wish { resource: SITE, more: &more, entered, ..Wish::default() };
        let token = access_token(&world, &mut ada, "ada", wish).await;
        let answer = pay(&token).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let taken = if status == StatusCode::OK { vec![order.to_string()] } else { vec![] };
        assert_eq!(world.upstream.posted(), taken);
    }
    assert_eq!(pay(&usual).await.status, StatusCode::UNAUTHORIZED, "another token is no better than before");
}

/// A parameter of a challenge (RFC 9110 11.2).
fn parameter<'a>(challenge: &'a str, name: &str) -> &'a str {
    let value = challenge.split(&[' ', ','][..]).find_map(|part| part.strip_prefix(&format!("{name}=\"")));
    value.unwrap_or_else(|| panic!("no {name} in {challenge}")).trim_end_matches('"')
}
