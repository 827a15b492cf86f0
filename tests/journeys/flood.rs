//! A flood from one address, and a customer at another who does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use tests::Program;
use tests::demo::Addresses;

/// A flood goes on until so many were throttled: how fast that is, is the machine's to say.
const THROTTLED: usize = 100;
const REQUESTS_MAX: usize = 12_000;
const AT_ONCE: usize = 8;

pub async fn is_throttled(at: Addresses) {
    let alice = Program::of(&at, "alice").await.unwrap().from_address([127, 0, 0, 8].into()).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Counts::default());
    let floods: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(flood(at.clone(), Arc::clone(&counts)))).collect();
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
    for flood in floods {
        flood.await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    customer.await.unwrap();
    let (passed, throttled) = counts.now();
    assert!(passed >= 100 && throttled >= THROTTLED, "{passed} passed, {throttled} throttled");
}

/// What became of the flood's requests.
#[derive(Default)]
struct Counts {
    passed: AtomicUsize,
    throttled: AtomicUsize,
}

impl Counts {
    fn now(&self) -> (usize, usize) {
        (self.passed.load(Ordering::Relaxed), self.throttled.load(Ordering::Relaxed))
    }

    fn is_enough(&self) -> bool {
        let (passed, throttled) = self.now();
        throttled >= THROTTLED || passed + throttled >= REQUESTS_MAX
    }
}

async fn flood(at: Addresses, counts: Arc<Counts>) {
    let attacker = Program::nobody(&at.gateway).unwrap().from_address([127, 0, 0, 9].into()).unwrap();
    while !counts.is_enough() {
        let answer = attacker.get("/").await.unwrap();
        match answer.status {
            StatusCode::OK => counts.passed.fetch_add(1, Ordering::Relaxed),
            StatusCode::TOO_MANY_REQUESTS => {
                assert_eq!(answer.reason(), "limit.address", "{answer:?}");
                assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1, "{answer:?}");
                counts.throttled.fetch_add(1, Ordering::Relaxed)
            }
            _ => panic!("{answer:?}"),
        };
    }
}
