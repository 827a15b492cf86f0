//! A flood from one address, and a customer at another who does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use tests::Program;
use tests::demo::Addresses;

const REQUESTS: usize = 600;
const AT_ONCE: usize = 8;

pub async fn is_throttled(at: Addresses) {
    let alice = Program::of(&at, "alice").await.unwrap().from_address([127, 0, 0, 8].into()).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(flood(at.clone()))).collect();
    let watched = Arc::clone(&over);
    let customer = tokio::spawn(async move {
        let mut answered = 0;
        while !watched.load(Ordering::Relaxed) || answered < 10 {
            let answer = alice.get("/api/accounts").await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "alice during the flood: {answer:?}");
            answered += 1;
            // A customer's own limit is 50 a second.
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    });
    let (mut passed, mut throttled) = (0, 0);
    for flood in floods {
        let (p, t) = flood.await.unwrap();
        passed += p;
        throttled += t;
    }
    over.store(true, Ordering::Relaxed);
    customer.await.unwrap();
    assert_eq!(passed + throttled, REQUESTS / AT_ONCE * AT_ONCE);
    assert!(passed >= 100 && throttled >= 100, "{passed} passed, {throttled} throttled");
}

/// How many requests passed, and how many were throttled.
async fn flood(at: Addresses) -> (usize, usize) {
    let attacker = Program::nobody(&at.gateway).unwrap().from_address([127, 0, 0, 9].into()).unwrap();
    let (mut passed, mut throttled) = (0, 0);
    for _ in 0..REQUESTS / AT_ONCE {
        let answer = attacker.get("/").await.unwrap();
        match answer.status {
            StatusCode::OK => passed += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                assert_eq!(answer.reason(), "limit.address", "{answer:?}");
                assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1, "{answer:?}");
                throttled += 1;
            }
            _ => panic!("{answer:?}"),
        }
    }
    (passed, throttled)
}
