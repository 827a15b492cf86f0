//! What scoring one event costs: `cargo bench -p learner --bench inline`. Criterion gives means; after them come the
//! slowest events in a hundred, and what profiles of many customers take.
//!
//! `-- profiles` prints only the last, with a million customers.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::Criterion;
use learner::behaviour::{ProfileLimits, Profiles};
use learner::fraud::FraudScorer;
use learner::transfer::TransferEvent;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_750_000_000_000;

fn limits(customers: usize) -> ProfileLimits {
    ProfileLimits {
        customers_max: customers * 2,
        counterparties_max: customers * 2,
        levels_max: customers * 4,
    }
}

/// The `n`th event of so many customers: each pays every few days, mostly one of five payees, from one of two devices.
fn event(n: u64, customers: u64) -> TransferEvent {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    let customer = mixed % customers;
    let round = n / customers.max(1);
    TransferEvent {
        at_ms: START_MS + (round * 3) as i64 * DAY_MS + (mixed % DAY_MS as u64) as i64,
        customer,
        payee: (customer * 5 + mixed / 7 % 5) % customers.max(5),
        device: Some(customer * 2 + u64::from(mixed.is_multiple_of(10))),
        amount_minor: 500 + (mixed / 13 % 20_000) as i64,
        currency: *b"EUR",
        session_age_s: Some((mixed % 900) as u32),
        auth_age_s: Some((mixed % 900) as u32),
        utc_offset_min: 60,
    }
}

/// Looks up, scores and learns.
fn once(profiles: &Profiles, scorer: &FraudScorer, event: &TransferEvent, vector: &mut Vec<f32>) -> f64 {
    event.seen(|event| scorer.model().vector(profiles, event, vector));
    let score = scorer.score(vector).unwrap();
    event.seen(|event| {
        profiles.attempt(event);
        profiles.accept(event);
    });
    score.probability
}

fn filled(customers: u64, rounds: u64) -> Profiles {
    let profiles = Profiles::new(limits(customers as usize));
    for n in 0..customers * rounds {
        event(n, customers).seen(|event| {
            profiles.attempt(event);
            profiles.accept(event);
        });
    }
    profiles
}

fn model(name: &str) -> Option<FraudScorer> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    FraudScorer::load(&folder).ok()
}

fn main() {
    if std::env::args().any(|argument| argument == "profiles") {
        return memory();
    }
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    // A model of boosted trees is not shipped: `gatehouse train fraud --data simulate:7 --model boosted --out target/boosted`.
    for (name, folder) in [("linear", "configs/models/fraud"), ("boosted trees", "target/boosted")] {
        let Some(scorer) = model(folder) else {
            println!("{name}: no model in {folder}");
            continue;
        };
        for customers in [1_000, 100_000] {
            let profiles = filled(customers, 10);
            let (mut n, mut vector) = (customers * 10, Vec::new());
            criterion.bench_function(&format!("fraud score, {name}, {customers} customers"), |bench| {
                bench.iter(|| {
                    n += 1;
                    black_box(once(&profiles, &scorer, &event(n, customers), &mut vector))
                });
            });
            slowest(name, customers, &profiles, &scorer, n);
        }
    }
    criterion.final_summary();
}

fn slowest(name: &str, customers: u64, profiles: &Profiles, scorer: &FraudScorer, from: u64) {
    let mut vector = Vec::new();
    let mut took: Vec<f64> = (from..from + 200_000)
        .map(|n| {
            let event = event(n, customers);
            let began = Instant::now();
            black_box(once(profiles, scorer, &event, &mut vector));
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let mean = took.iter().sum::<f64>() / took.len() as f64;
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "single events, {name}, {customers} customers: mean {mean:.1} us, p50 {:.1}, p99 {:.1}, p99.9 {:.1}\n",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// Bytes a customer, and what a look-up costs from a thousand customers to a million.
fn memory() {
    let scorer = model("configs/models/fraud").unwrap();
    for customers in [1_000u64, 10_000, 100_000, 1_000_000] {
        let before = resident_bytes();
        let profiles = filled(customers, 10);
        let resident = resident_bytes().saturating_sub(before);
        let mut vector = Vec::new();
        let began = Instant::now();
        let looked = 200_000u64;
        for n in 0..looked {
            event(n, customers).seen(|event| scorer.model().vector(&profiles, event, &mut vector));
            black_box(&vector);
        }
        println!(
            "{customers:>9} customers, {} counterparties, 10 events each: {:>6.0} bytes a customer by account, {:>6.0} \
             resident; a look-up {:.2} us",
            profiles.counterparties(),
            profiles.state_bytes() as f64 / customers as f64,
            resident as f64 / customers as f64,
            began.elapsed().as_secs_f64() * 1e6 / looked as f64
        );
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
