//! People with browsers: the gateway logs them in at the provider.

use std::time::Duration;

use futures_util::future::join_all;
use ledger_demo::idp::script::client;
use reqwest::StatusCode;
use reqwest::header::COOKIE;
use tests::Person;
use tests::person::Page;
use tests::program::Answer;

use crate::gateway::{Setting, World};
use crate::soon;

/// Access tokens of this lifetime are waited for to expire.
const SHORT_S: u32 = 1;

/// Logs in at the provider's own pages on the way to the application.
pub async fn log_in(person: &mut Person, name: &str) -> Page {
    let login = person.visit("/accounts").await.unwrap();
    assert!(login.url.path().starts_with("/interaction/"), "no log-in page but {}: {login:?}", login.url);
    let consent = person.submit(&login, "", &[("login", name), ("password", "any")]).await.unwrap();
    assert!(consent.url.path().starts_with("/interaction/"), "no consent page but {}", consent.url);
    person.submit(&consent, "", &[]).await.unwrap()
}

/// What pages' scripts are answered, so many at once.
pub async fn asked_at_once(world: &World, person: &Person, times: usize) -> Vec<Answer> {
    let cookies: Vec<String> = person.bank_cookies().iter().map(|(n, v)| format!("{n}={v}")).collect();
    let (client, url) = (client(None).unwrap(), world.url.join("/accounts").unwrap());
    let ask = async || {
        let request = client.get(url.clone()).header(COOKIE, cookies.join("; "));
        let answer = request.header("accept", "application/json").send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    };
    join_all((0..times).map(|_| ask())).await
}

/// Each of them was served, as this person.
pub fn all_read(answers: &[Answer], name: &str) {
    for answer in answers {
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, name), "{answer:?}");
    }
}

pub async fn log_in_and_out() {
    let world = World::start(Setting::default()).await;
    let mut ada = world.person();
    let page = log_in(&mut ada, "ada").await;
    assert_eq!(
        (page.status(), page.url.path(), page.answer.text.as_str()),
        (StatusCode::OK, "/accounts", "ada")
    );
    let counted = world.provider.counted().await;
    assert_eq!(counted.of("POST /request"), 1, "the request was pushed: {counted:?}");
    assert_eq!(counted.of("granted authorization_code"), 1, "{counted:?}");
    all_read(&asked_at_once(&world, &ada, 5).await, "ada");
    let kept: Vec<String> = ada.bank_cookies().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(kept.iter().any(|name| name.starts_with("__Host-")), "{kept:?}");

    let mut thief = world.person();
    thief.take_cookies(&ada);
    let sure = ada.visit("/.gatehouse/logout").await.unwrap();
    assert!(sure.url.path().starts_with("/session/end"), "{} {}", sure.url, sure.words());
    let bye = ada.submit(&sure, "", &[("logout", "yes")]).await.unwrap();
    assert_eq!((bye.status(), bye.url.path()), (StatusCode::OK, "/goodbye"), "{bye:?}");
    for person in [&ada, &thief] {
        let answer = asked_at_once(&world, person, 1).await.remove(0);
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    }
    let again = ada.visit("/accounts").await.unwrap();
    assert!(again.url.path().starts_with("/interaction/"), "asked to log in, not let in: {}", again.url);
}

pub async fn refresh_once() {
    let world = World::start(Setting { lifetimes_s: &[SHORT_S, SHORT_S, 3_600], ..Setting::default() }).await;
    let mut ada = world.person();
    log_in(&mut ada, "ada").await;
    // The second refresh is with the token that the first one brought: the provider takes each of them once.
    for refreshes in 1..=2 {
        tokio::time::sleep(Duration::from_secs(SHORT_S.into())).await;
        all_read(&asked_at_once(&world, &ada, 50).await, "ada");
        let counted = world.provider.counted().await;
        assert_eq!(counted.of("granted refresh_token"), refreshes, "{counted:?}");
        assert_eq!(counted.of("not granted refresh_token"), 0, "{counted:?}");
    }
    all_read(&asked_at_once(&world, &ada, 50).await, "ada");
    assert_eq!(world.provider.counted().await.of("granted refresh_token"), 2, "the third token lives");
}

pub async fn stay_while_the_provider_is_away() {
    let mut world = World::start(Setting { lifetimes_s: &[SHORT_S], ..Setting::default() }).await;
    let mut ada = world.person();
    log_in(&mut ada, "ada").await;
    world.provider.end();
    tokio::time::sleep(Duration::from_secs(SHORT_S.into())).await;
    all_read(&asked_at_once(&world, &ada, 50).await, "ada");

    // The provider that comes back knows nothing of the refresh token, and says so.
    let key = world.key.clone();
    world.provider.restart(&[&key]);
    soon("a refused refresh ends the session", async || {
        let answer = asked_at_once(&world, &ada, 1).await.remove(0);
        assert!([StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&answer.status), "{answer:?}");
        answer.status == StatusCode::UNAUTHORIZED
    })
    .await;
    let counted = world.provider.counted().await;
    assert_eq!(counted.of("not granted refresh_token"), 1, "{counted:?}");
}

pub async fn leave_capacity_to_others_while_they_wait() {
    let world =
        World::start(Setting { limit: 4, lifetimes_s: &[SHORT_S, 3_600], ..Setting::default() }).await;
    let (mut ada, mut grace) = (world.person(), world.person());
    log_in(&mut ada, "ada").await;
    log_in(&mut grace, "grace").await;
    tokio::time::sleep(Duration::from_secs(SHORT_S.into())).await;
    world.provider.hang();
    // Four requests are all that the application bears, were they to hold it while they wait.
    let of_ada = asked_at_once(&world, &ada, 4);
    let of_grace = async {
        for _ in 0..40 {
            all_read(&asked_at_once(&world, &grace, 1).await, "grace");
        }
        world.provider.go_on();
    };
    let (of_ada, ()) = tokio::join!(of_ada, of_grace);
    all_read(&of_ada, "ada");
    assert_eq!(world.provider.counted().await.of("granted refresh_token"), 1);
}

pub async fn are_logged_out_by_the_provider() {
    let world = World::start(Setting::default()).await;
    let (mut ada, mut grace) = (world.person(), world.person());
    log_in(&mut ada, "ada").await;
    log_in(&mut grace, "grace").await;
    all_read(&asked_at_once(&world, &ada, 1).await, "ada");

    let end = world.provider.issuer.join("/session/end").unwrap();
    let sure = ada.visit(end.as_str()).await.unwrap();
    ada.submit(&sure, "", &[("logout", "yes")]).await.unwrap();
    let counted = world.provider.counted().await;
    assert_eq!(counted.of("logout tokens taken"), 1, "{counted:?}\n{}", world.log());
    let answer = asked_at_once(&world, &ada, 1).await.remove(0);
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    all_read(&asked_at_once(&world, &grace, 1).await, "grace");
}
