use std::sync::atomic::{AtomicU64, Ordering};

use learner::capacity::fixed::Static;
use learner::capacity::{Outcome, PlaneConfig, Rails};
use rand::{Rng, SeedableRng};

use super::*;

/// A pool with a fixed limit on the steady clock, tiny floors and `patience_ms` in every queue.
fn pool(limit: f64, patience_ms: u16) -> Arc<Admission> {
    pool_on(limit, patience_ms, steady_clock())
}

fn pool_on(limit: f64, patience_ms: u16, clock: Clock) -> Arc<Admission> {
    let config = CapacityConfig {
        limit,
        rails: Rails { limit_min: 1.0, floor: PerClass([0.0; 4]), ..Rails::default() },
        plane: PlaneConfig { fair_share: 1.0, fair_min: u16::MAX, ..PlaneConfig::default() },
        ..CapacityConfig::default()
    };
    let allocation = Allocation {
        limit,
        split: PerClass([1.0, 1.0, 1.0, 0.25]),
        queue_deadline_ms: PerClass([patience_ms; 4]),
    };
    let admission = Admission::new("bank", &config, Box::new(Static(allocation)), clock);
    admission.control(0);
    admission
}

fn held(admission: &Admission) -> u32 {
    admission.plane.held().total()
}

const KEY: FairKey = FairKey(1);

#[tokio::test]
async fn a_permit_comes_back_however_the_request_ends() {
    let pool = pool(4.0, 0);
    let mut answered = pool.admit(Class::MoneyMoving, KEY).await.unwrap();
    answered.forwarded();
    answered.answered();
    let mut failed = pool.admit(Class::AuthenticatedRead, KEY).await.unwrap();
    failed.outcome(Outcome::Failed);
    let forgotten = pool.admit(Class::Anonymous, KEY).await.unwrap();
    let panicking = pool.admit(Class::Anonymous, KEY).await.unwrap();
    assert_eq!(held(&pool), 4);
    drop((answered, failed, forgotten));
    let unwound = tokio::spawn(async move {
        let _held_while_it_panics = panicking;
        panic!("a stage fails");
    });
    assert!(unwound.await.is_err());
    assert_eq!(held(&pool), 0);
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_shed_with_a_hint() {
    let pool = pool(1.0, 0);
    let _first = pool.admit(Class::MoneyMoving, KEY).await.unwrap();
    let shed = pool.admit(Class::MoneyMoving, KEY).await.unwrap_err();
    assert_eq!((shed.reason, shed.retry_after_s), (ShedReason::Limit, 1));
    let _floor = pool.admit(Class::Suspicious, KEY).await.unwrap();
    assert_eq!(pool.admit(Class::Suspicious, KEY).await.unwrap_err().retry_after_s, 10);
    let figures = pool.figures();
    assert_eq!(figures[Class::MoneyMoving].shed_total, 1);
    assert_eq!(figures[Class::Suspicious].admitted_total, 1);
}

#[tokio::test]
async fn a_waiter_gets_the_permit_that_comes_back() {
    let pool = pool(1.0, 1_000);
    let first = pool.admit(Class::Anonymous, KEY).await.unwrap();
    let waiting = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.admit(Class::Anonymous, KEY).await }
    });
    until(|| pool.plane.waiting().get(Class::Anonymous) == 1).await;
    drop(first);
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(held(&pool), 1);
    drop(second);
    assert_eq!(held(&pool), 0);
}

#[tokio::test]
async fn a_waiter_is_shed_at_its_deadline() {
    let pool = pool(1.0, 50);
    let _first = pool.admit(Class::Anonymous, KEY).await.unwrap();
    let began = tokio::time::Instant::now();
    let shed = pool.admit(Class::Anonymous, KEY).await.unwrap_err();
    assert_eq!(shed.reason, ShedReason::Deadline);
    assert!(began.elapsed().as_millis() >= 45, "{:?}", began.elapsed());
    assert!(pool.plane.waiting().is_empty());
}

#[tokio::test]
async fn a_waiter_whose_client_leaves_leaves_the_queue() {
    let pool = pool(1.0, 1_000);
    let first = pool.admit(Class::Anonymous, KEY).await.unwrap();
    let mut waiting = Box::pin(pool.admit(Class::Anonymous, KEY));
    assert!(is_waiting(waiting.as_mut()).await);
    assert_eq!(pool.plane.waiting().get(Class::Anonymous), 1);
    drop(waiting);
    assert!(pool.plane.waiting().is_empty());
    drop(first);
    assert_eq!(held(&pool), 0);
}

#[tokio::test]
async fn a_permit_granted_to_a_client_that_just_left_goes_on_to_the_next() {
    let pool = pool(1.0, 1_000);
    let first = pool.admit(Class::Anonymous, KEY).await.unwrap();
    let mut leaving = Box::pin(pool.admit(Class::Anonymous, KEY));
    let mut staying = Box::pin(pool.admit(Class::Anonymous, FairKey(2)));
    assert!(is_waiting(leaving.as_mut()).await);
    assert!(is_waiting(staying.as_mut()).await);
    drop(first); // grants the first in line, which never wakes up to see it
    drop(leaving);
    assert!(staying.await.is_ok());
}

#[tokio::test]
async fn a_class_can_be_corrected_while_in_flight() {
    let pool = pool(8.0, 0);
    let mut permits = Vec::new();
    for _ in 0..6 {
        permits.push(pool.admit(Class::Anonymous, KEY).await.unwrap());
    }
    let mut verified = permits.pop().unwrap();
    assert!(verified.reclassify(Class::MoneyMoving));
    assert_eq!(verified.class(), Class::MoneyMoving);
    let mut exposed = permits.pop().unwrap();
    let mut second = permits.pop().unwrap();
    assert!(exposed.reclassify(Class::Suspicious), "onto the floor of its new class");
    assert!(!second.reclassify(Class::Suspicious), "six in flight leave no room for suspicious work");
    assert_eq!((pool.in_flight(Class::Suspicious), held(&pool)), (2, 6));
    drop((permits, verified, exposed, second));
    assert_eq!(held(&pool), 0);
}

#[test]
fn latency_is_the_upstreams_alone() {
    let now = Arc::new(AtomicU64::new(0));
    let clock: Clock = Arc::new({
        let now = Arc::clone(&now);
        move || now.load(Ordering::SeqCst)
    });
    let at = |ms: u64| now.store(ms * 1_000, Ordering::SeqCst);
    let pool = pool_on(4.0, 0, clock);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut permit = runtime.block_on(pool.admit(Class::AuthenticatedRead, KEY)).unwrap();
    at(500); // a slow identity provider
    permit.forwarded();
    at(520);
    permit.answered();
    at(9_000); // a client that reads slowly
    drop(permit);
    pool.control(1);
    let snapshot = pool.snapshot();
    let reads = snapshot.latest.last().unwrap().classes[Class::AuthenticatedRead];
    assert_eq!((reads.completions, reads.failures), (1, 0));
    assert!((reads.latency_mean_ms - 20.0).abs() < 0.1, "{}", reads.latency_mean_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_random_aborts_leave_nothing_held() {
    let pool = pool(8.0, 5);
    let mut tasks = Vec::new();
    for seed in 0..8_u64 {
        let pool = Arc::clone(&pool);
        tasks.push(tokio::spawn(async move {
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            for _ in 0..400 {
                let batch = (0..8).map(|_| {
                    let class = Class::ALL[random.gen_range(0..4)];
                    let (spins, ending) = (random.gen_range(0..6), random.gen_range(0..5));
                    let task = tokio::spawn(one_request(Arc::clone(&pool), class, spins, ending));
                    (task, random.gen_bool(0.4), random.gen_range(0..4))
                });
                for (task, abort, yields) in batch.collect::<Vec<_>>() {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    if abort {
                        task.abort();
                    }
                    let _aborted_panicked_or_done = task.await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    until(|| pool.plane.held().is_empty()).await;
    assert!(pool.plane.waiting().is_empty());
    let figures = pool.figures();
    let admitted: u64 = figures.iter().map(|(_, class)| class.admitted_total).sum();
    let shed: u64 = figures.iter().map(|(_, class)| class.shed_total).sum();
    assert!(
        admitted > 1_000 && shed > 100,
        "the pool was really contended: {admitted} admitted, {shed} shed"
    );
}

async fn one_request(pool: Arc<Admission>, class: Class, spins: u32, ending: u32) {
    let Ok(mut permit) = pool.admit(class, FairKey(u64::from(spins))).await else { return };
    for _ in 0..spins {
        tokio::task::yield_now().await;
    }
    match ending {
        0 => permit.answered(),
        1 => permit.outcome(Outcome::Failed),
        2 => {
            permit.reclassify(Class::Suspicious);
        }
        3 => std::panic::resume_unwind(Box::new("a stage fails")),
        _ => {}
    }
}

#[tokio::test]
async fn the_ticker_keeps_the_record_and_stops_when_told() {
    let pool = pool(4.0, 0);
    let (stop, stopped) = watch_pair();
    let ticker = tokio::spawn(Ticker::new(Arc::clone(&pool), Arc::new(|| 1_700_000_000_000)).run(stopped));
    until(|| pool.snapshot().history.len() >= 3).await;
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.pool.as_str(), snapshot.controller.as_str()), ("bank", "static"));
    assert!(!snapshot.reason.is_empty());
    let json = serde_json::to_value(&snapshot).unwrap();
    for field in
        ["limit", "in_flight", "split", "queued", "state", "action", "q_values", "reward", "controller"]
    {
        assert!(json.get(field).is_some(), "{field}");
    }
    stop.send(true).unwrap();
    ticker.await.unwrap();
}

fn watch_pair() -> (tokio::sync::watch::Sender<bool>, tokio::sync::watch::Receiver<bool>) {
    tokio::sync::watch::channel(false)
}

/// Asks a future once whether it still waits.
async fn is_waiting<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Yields to the other tasks until `done` says so; the test harness's own time-out ends it otherwise.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
