//! Honest customers: they look around, pay each other and the shops small amounts, and pay cash in when money runs low.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use reqwest::Client;
use tokio::task::JoinSet;

use super::account::{Account, Payment};
use super::tally::Kind;
use super::{Stage, TrafficError, client_at, pause};

const CUSTOMERS: [&str; 3] = ["alice", "bob", "carol"];
const SHOPS: [&str; 5] = ["grocer-market", "grocer-corner", "cafe-lantern", "rail-city", "store-meridian"];
/// Between two requests of one customer; three of them make about ten requests a second.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(300);
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// One request in so many is a payment: about one in twenty seconds for each customer.
const REQUESTS_A_PAYMENT: u32 = 60;
/// Usual payments, in cents.
const PAYMENT_MINOR: std::ops::Range<i64> = 250..6_000;
/// Below this an account is filled up, by this much.
const LOW_MINOR: i64 = 50_000;
const DEPOSIT_MINOR: i64 = 40_000;

/// Lets the customers in.
pub(super) fn enter(stage: &Stage, actors: &mut JoinSet<()>) -> Result<(), TrafficError> {
    for username in CUSTOMERS {
        actors.spawn(live(stage.clone(), client_at(1)?, username));
    }
    Ok(())
}

async fn live(stage: Stage, http: Client, username: &'static str) {
    let mut rng = StdRng::from_entropy();
    loop {
        if let Ok(mut account) = Account::log_in(&stage, &http, username).await {
            bank(&mut account, username, &mut rng).await;
        }
        pause(&mut rng, AFTER_A_FAILURE).await;
    }
}

/// Banks until the log-in is no longer good.
async fn bank(account: &mut Account, username: &str, rng: &mut StdRng) {
    let own = format!("{username}-current");
    let reads =
        ["/api/accounts".to_owned(), format!("/api/accounts/{own}"), format!("/api/accounts/{own}/entries")];
    let seldom = ["/api/credit-score", "/api/advice"];
    loop {
        pause(rng, BETWEEN_REQUESTS).await;
        let logged_in = match rng.gen_range(0..REQUESTS_A_PAYMENT) {
            0 => {
                spend(account, &own, rng).await;
                true
            }
            1 => account.read(seldom.choose(rng).copied().unwrap_or("/api/advice")).await,
            _ => account.read(reads.choose(rng).map_or("/api/accounts", String::as_str)).await,
        };
        if !logged_in {
            return;
        }
    }
}

async fn spend(account: &mut Account, own: &str, rng: &mut StdRng) {
    let available = account.accounts().await.into_iter().find(|listed| listed.id == own);
    if available.is_some_and(|listed| listed.available < LOW_MINOR) {
        account.deposit(own, DEPOSIT_MINOR).await;
        return;
    }
    let payment = Payment {
        from: own.to_owned(),
        to: payee(own, rng),
        amount_minor: rng.gen_range(PAYMENT_MINOR),
        memo: "Thanks",
    };
    account.pay(&payment, Kind::Transfer, true).await;
}

/// A friend or a shop, never oneself.
fn payee(own: &str, rng: &mut StdRng) -> String {
    let friends = CUSTOMERS.iter().map(|friend| format!("{friend}-current"));
    let shops = SHOPS.iter().map(|&shop| shop.to_owned());
    let everybody: Vec<String> = friends.chain(shops).filter(|payee| payee != own).collect();
    everybody.choose(rng).cloned().unwrap_or_default()
}
