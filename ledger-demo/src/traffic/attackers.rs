//! Attackers, each from an address of its own and each with pauses, so that one can watch what is done about them.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use reqwest::Client;
use secrecy::SecretString;
use serde_json::json;
use tokio::task::JoinSet;

use super::account::{Account, Payment, bounded_body, outcome_of};
use super::tally::{Kind, Outcome};
use super::{Stage, TrafficError, client_at, loopback, pause, raw};
use crate::idp::script::LoginScript;

/// Last byte of the attackers' loopback addresses.
const FLOODER: u8 = 2;
const SCANNER: u8 = 3;
const FRAUDSTER: u8 = 4;
const STUFFER: u8 = 5;

const MALLORY: &str = "mallory";
const BETWEEN_FRAUDS: Duration = Duration::from_secs(8);
/// Far beyond what anybody here usually pays, in cents.
const FRAUD_MINOR_MIN: i64 = 480_000;
/// Accounts that mallory never paid.
const MULES: [&str; 8] = [
    "carol-current",
    "landlord-elm",
    "employer-harbour",
    "bob-current",
    "store-meridian",
    "alice-current",
    "employer-northwind",
    "energy-bright",
];

const BETWEEN_PROBES: Duration = Duration::from_millis(700);
const SCANNED_PATHS: [&str; 8] = [
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/phpmyadmin/index.php",
    "/cgi-bin/test.cgi",
    "/actuator/env",
    "/server-status",
    "/backup.sql",
];
/// Sent as they stand: an HTTP client would tidy them up.
const TRAVERSALS: [&str; 4] = [
    "/../../../../etc/passwd",
    "/api/accounts/..%2f..%2f..%2fetc%2fpasswd",
    "/assets/%2e%2e/%2e%2e/etc/shadow",
    "/api/accounts/....//....//etc/passwd",
];
const INJECTIONS: [&str; 7] = [
    "' OR '1'='1' --",
    "1; DROP TABLE accounts; --",
    "1 UNION SELECT username, password FROM users",
    "<script>alert(document.cookie)</script>",
    "\"><img src=x onerror=alert(1)>",
    "; cat /etc/passwd",
    "${jndi:ldap://127.0.0.1/a}",
];

const STUFFED_AT_ONCE: usize = 20;
const BETWEEN_STUFFED: Duration = Duration::from_millis(400);
const BETWEEN_LISTS: Duration = Duration::from_secs(20);
const STUFFED_NAMES: [&str; 6] = ["alice", "bob", "carol", "olivia", "admin", "root"];
const STUFFED_PASSWORDS: [&str; 5] = ["123456789", "password1", "letmein123", "qwertyuiop", "welcome2024"];

const FLOOD_REQUESTS: usize = 800;
const FLOOD_CONNECTIONS: usize = 16;
const BETWEEN_FLOODS: Duration = Duration::from_secs(15);

/// Lets the attackers in.
pub(super) fn enter(stage: &Stage, actors: &mut JoinSet<()>) -> Result<(), TrafficError> {
    stage.gateway_url.host_str().ok_or(TrafficError::Address)?;
    actors.spawn(defraud(stage.clone(), client_at(FRAUDSTER)?));
    actors.spawn(scan(stage.clone(), client_at(SCANNER)?));
    actors.spawn(stuff(stage.clone(), client_at(STUFFER)?));
    actors.spawn(flood(stage.clone(), client_at(FLOODER)?));
    Ok(())
}

/// Logs in afresh each time and sends most of the money to somebody never paid before.
async fn defraud(stage: Stage, http: Client) {
    let mut rng = StdRng::from_entropy();
    for mule in MULES.iter().cycle() {
        if let Ok(mut account) = Account::log_in(&stage, &http, MALLORY).await {
            send_away(&mut account, mule).await;
        }
        pause(&mut rng, BETWEEN_FRAUDS).await;
    }
}

async fn send_away(account: &mut Account, mule: &str) {
    let own = format!("{MALLORY}-current");
    let available = account.accounts().await.into_iter().find(|listed| listed.id == own);
    let most = available.map_or(0, |listed| listed.available / 10 * 9);
    let payment = Payment {
        from: own,
        to: mule.to_owned(),
        amount_minor: most.max(FRAUD_MINOR_MIN),
        memo: "urgent invoice",
    };
    // Stolen credentials are not enough to step up.
    account.pay(&payment, Kind::Fraud, false).await;
}

/// Looks for holes: some without a log-in, some with a real one.
async fn scan(stage: Stage, http: Client) {
    let mut rng = StdRng::from_entropy();
    let mut insider = None;
    loop {
        pause(&mut rng, BETWEEN_PROBES).await;
        let injection = INJECTIONS.choose(&mut rng).copied().unwrap_or_default();
        match rng.gen_range(0..5) {
            0 => {
                let path = SCANNED_PATHS.choose(&mut rng).copied().unwrap_or("/");
                let answer = http.get(stage.at(path)).send().await;
                stage.tally.count_answer(Kind::Probe, &answer);
            }
            1 => {
                let path = TRAVERSALS.choose(&mut rng).copied().unwrap_or("/");
                stage.tally.count(Kind::Probe, raw::get(&stage.gateway_url, loopback(SCANNER), path).await);
            }
            2 => {
                let request = http.get(stage.at("/")).query(&[("q", injection)]);
                stage.tally.count_answer(Kind::Probe, &request.send().await);
            }
            _ => probe_inside(&stage, &http, &mut insider, injection, &mut rng).await,
        }
    }
}

/// Probes what lies behind the log-in, with mallory's.
async fn probe_inside(
    stage: &Stage,
    http: &Client,
    insider: &mut Option<Account>,
    injection: &str,
    rng: &mut StdRng,
) {
    if insider.is_none() || rng.gen_ratio(1, 100) {
        *insider = Account::log_in(stage, http, MALLORY).await.ok();
    }
    let Some(account) = insider else {
        return;
    };
    let request = if rng.gen_bool(0.5) {
        http.get(stage.at("/api/accounts")).query(&[("filter", injection)])
    } else {
        let body = json!({
            "from": "mallory-current", "to": "bob-current", "amount": 100, "currency": "EUR", "memo": injection,
        });
        http.post(stage.at("/api/transfers")).json(&body)
    };
    account.send(request, Kind::Probe).await;
}

/// Tries leaked passwords at the log-in page.
async fn stuff(stage: Stage, http: Client) {
    let mut rng = StdRng::from_entropy();
    loop {
        for _ in 0..STUFFED_AT_ONCE {
            pause(&mut rng, BETWEEN_STUFFED).await;
            let username = STUFFED_NAMES.choose(&mut rng).copied().unwrap_or("alice");
            let password = STUFFED_PASSWORDS.choose(&mut rng).copied().unwrap_or_default();
            let script = LoginScript {
                password: SecretString::from(password),
                ..LoginScript::new(stage.idp_url.clone(), username)
            };
            stage.tally.count(Kind::Stuffing, outcome_of(&script.run(&http).await));
        }
        pause(&mut rng, BETWEEN_LISTS).await;
    }
}

/// Sends bursts as fast as a few connections allow.
async fn flood(stage: Stage, http: Client) {
    let mut rng = StdRng::from_entropy();
    loop {
        let mut connections = JoinSet::new();
        for _ in 0..FLOOD_CONNECTIONS {
            connections.spawn(burst(stage.clone(), http.clone()));
        }
        while connections.join_next().await.is_some() {}
        pause(&mut rng, BETWEEN_FLOODS).await;
    }
}

async fn burst(stage: Stage, http: Client) {
    for number in 0..FLOOD_REQUESTS / FLOOD_CONNECTIONS {
        let path = if number % 2 == 0 { "/api/accounts" } else { "/" };
        match http.get(stage.at(path)).bearer_auth(format!("guess-{number}")).send().await {
            Ok(response) => {
                stage.tally.count(Kind::Flood, Outcome::Status(response.status().as_u16()));
                let _ = bounded_body(response).await;
            }
            Err(_) => {
                stage.tally.count(Kind::Flood, Outcome::NoAnswer);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
