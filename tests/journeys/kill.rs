//! A power cut in the middle of transfers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use tests::{Program, RunningDemo};

use crate::{audit, soon};

const CUSTOMERS: [(&str, &str); 3] = [("alice", "bob"), ("bob", "carol"), ("carol", "alice")];
const ACKNOWLEDGED_MIN: usize = 60;

/// Ids of acknowledged transfers, with their payers and amounts.
type Acknowledged = Arc<Mutex<Vec<(&'static str, String, i64)>>>;

pub async fn acknowledged_transfers_survive() {
    let demo = RunningDemo::start(&[]).unwrap();
    let total = total(&demo).await;
    let acknowledged = Acknowledged::default();
    let mut payers = Vec::new();
    for (who, payee) in CUSTOMERS {
        let program = Program::of(&demo.at, who).await.unwrap();
        payers.push(tokio::spawn(pay_on(program, who, payee, Arc::clone(&acknowledged))));
    }
    soon("enough transfers", async || (acknowledged.lock().unwrap().len() >= ACKNOWLEDGED_MIN).then_some(()))
        .await;
    let folder = demo.kill().unwrap();
    for payer in payers {
        payer.await.unwrap();
    }

    let demo = RunningDemo::start_in(folder, &[]).unwrap();
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    for (who, _) in CUSTOMERS {
        let program = Program::of(&demo.at, who).await.unwrap();
        let booked = booked(&program, who).await;
        for (_, id, amount) in acknowledged.iter().filter(|(payer, _, _)| *payer == who) {
            assert_eq!(
                booked.get(id),
                Some(&vec![-amount]),
                "{who}'s acknowledged transfer {id} after the kill"
            );
        }
    }
    assert_eq!(self::total(&demo).await, total, "no money came or went");
    let folder = demo.end().unwrap();
    let report = audit::sound(&folder.path().join("data/gateway/decisions"));
    assert_eq!((&report["starts"], &report["lost"]), (&2.into(), &0.into()), "{report}");
    // Every acknowledged transfer was on record before it was forwarded.
    assert!(report["intents"].as_u64().unwrap() >= acknowledged.len() as u64, "{report}");
}

/// Pays small amounts until the gateway is gone.
async fn pay_on(program: Program, who: &'static str, payee: &str, acknowledged: Acknowledged) {
    let (from, to) = (format!("{who}-current"), format!("{payee}-current"));
    for n in 1.. {
        let Ok(answer) = program.pay(&from, &to, n, &format!("kill-{n}")).await else { return };
        match answer.status {
            StatusCode::CREATED => {
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                acknowledged.lock().unwrap().push((who, id, n));
            }
            StatusCode::TOO_MANY_REQUESTS => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            _ => panic!("{who}: {answer:?}"),
        }
    }
}

/// Amounts of a customer's entries by transfer.
async fn booked(program: &Program, who: &str) -> HashMap<String, Vec<i64>> {
    let mut booked: HashMap<String, Vec<i64>> = HashMap::new();
    let mut page = format!("/api/accounts/{who}-current/entries?limit=100");
    loop {
        let entries = program.get(&page).await.unwrap().json();
        for entry in entries["entries"].as_array().unwrap() {
            let id = entry["transfer"].as_str().unwrap().to_owned();
            booked.entry(id).or_default().push(entry["amount"].as_i64().unwrap());
        }
        let Some(next) = entries["next"].as_u64() else { return booked };
        page = format!("/api/accounts/{who}-current/entries?limit=100&after={next}");
    }
}

async fn total(demo: &RunningDemo) -> i64 {
    let mut total = 0;
    for (who, _) in CUSTOMERS {
        let program = Program::of(&demo.at, who).await.unwrap();
        total += program.balance(&format!("{who}-current")).await.unwrap();
    }
    total
}
