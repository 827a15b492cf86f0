//! Many threads at once take no more than there is, and a key sent from all of them books once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ledger_demo::ledger::{
    AccountId, AccountKind, Category, Command, Currency, CustomerId, Ledger, LedgerError, NewAccount,
    NewTransfer, Operation, Receipt, Refusal, TransferId,
};
use proptest::prelude::*;

const CUSTOMERS: [&str; 3] = ["alice", "bob", "carol"];
const THREADS: usize = 8;

/// What one thread does, over and over: amounts and what becomes of a reservation.
#[derive(Debug, Clone, Copy)]
struct Act {
    from: usize,
    to: usize,
    amount: i64,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    AtOnce,
    Posted,
    Voided,
    LeftToExpire,
    Reversed,
}

fn act() -> impl Strategy<Value = Act> {
    let end = prop_oneof![
        3 => Just(End::AtOnce),
        2 => Just(End::Posted),
        1 => Just(End::Voided),
        1 => Just(End::LeftToExpire),
        1 => Just(End::Reversed),
    ];
    (0..3_usize, 0..4_usize, 1..900_i64, end).prop_map(|(from, to, amount, end)| Act {
        from,
        to,
        amount,
        end,
    })
}

fn id(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

fn transfer(name: &str, debit: &str, credit: &str, amount_minor: i64, timeout_ms: Option<i64>) -> Operation {
    Operation::Transfer(NewTransfer {
        id: TransferId::new(name).unwrap(),
        debit: id(debit),
        credit: id(credit),
        amount_minor,
        currency: Currency::EUR,
        category: Category::Payment,
        memo: String::new(),
        timeout_ms,
    })
}

fn command(operations: Vec<Operation>, at_ms: i64) -> Command {
    Command { operations, receipt: None, at_ms }
}

/// Each customer has 10.00.
async fn open_house(db: &sled::Db) -> Ledger {
    let ledger = Ledger::open(db).unwrap();
    let open = |name: &str, kind, owner: Option<&str>| {
        Operation::Open(NewAccount {
            id: id(name),
            owner: owner.map(|owner| CustomerId::new(owner).unwrap()),
            kind,
            name: name.to_owned(),
            currency: Currency::EUR,
        })
    };
    let mut operations = vec![open("cash", AccountKind::Cash, None)];
    for name in CUSTOMERS {
        operations.push(open(name, AccountKind::Current, Some(name)));
        operations.push(transfer(&format!("start-{name}"), "cash", name, 1_000, None));
    }
    ledger.submit(command(operations, 0)).await.unwrap();
    ledger
}

async fn play(ledger: &Ledger, thread: usize, acts: &[Act], clock: &AtomicI64) {
    let now = || clock.fetch_add(1, Ordering::SeqCst);
    let refused = |told: Result<_, LedgerError>| match told {
        Ok(_) => false,
        Err(LedgerError::Refused(_)) => true,
        Err(other) => panic!("{other}"),
    };
    for (n, Act { from, to, amount, end }) in acts.iter().enumerate() {
        let name = format!("t-{thread}-{n}");
        let this = || TransferId::new(name.as_str()).unwrap();
        let debit = CUSTOMERS[*from];
        let credit = CUSTOMERS.get(*to).unwrap_or(&"cash");
        let timeout_ms = match end {
            End::AtOnce | End::Reversed => None,
            End::Posted | End::Voided | End::LeftToExpire => Some(40),
        };
        let booking = transfer(&name, debit, credit, *amount, timeout_ms);
        if refused(ledger.submit(command(vec![booking], now())).await) {
            continue;
        }
        let end = match end {
            End::AtOnce | End::LeftToExpire => continue,
            End::Posted => Operation::Post(this()),
            End::Voided => Operation::Void(this()),
            End::Reversed => {
                Operation::Reverse { id: TransferId::new(format!("{name}-back")).unwrap(), of: this() }
            }
        };
        refused(ledger.submit(command(vec![end], now())).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_ever_overdrawn_however_many_pay_at_once(
        acts in prop::collection::vec(prop::collection::vec(act(), 10..30), THREADS),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        runtime.block_on(async {
            let db = sled::Config::new().temporary(true).open().unwrap();
            let ledger = Arc::new(open_house(&db).await);
            let clock = Arc::new(AtomicI64::new(1));
            let done = Arc::new(AtomicBool::new(false));
            // Somebody who looks all the time, as a customer's browser does.
            let looking = std::thread::spawn({
                let (ledger, done) = (ledger.clone(), done.clone());
                move || {
                    let mut lowest = i64::MAX;
                    while !done.load(Ordering::SeqCst) {
                        for name in CUSTOMERS {
                            lowest = lowest.min(ledger.account(&id(name)).unwrap().unwrap().available());
                        }
                    }
                    lowest
                }
            });
            let mut threads = tokio::task::JoinSet::new();
            for (thread, acts) in acts.into_iter().enumerate() {
                let (ledger, clock) = (ledger.clone(), clock.clone());
                threads.spawn(async move { play(&ledger, thread, &acts, &clock).await });
            }
            threads.join_all().await;
            done.store(true, Ordering::SeqCst);
            prop_assert!(looking.join().unwrap() >= 0);

            // Once everything pending has timed out, what is there is what can be spent, and nothing was made or lost.
            ledger.sweep(i64::MAX / 2).await.unwrap();
            for _ in 0..THREADS {
                ledger.sweep(i64::MAX / 2).await.unwrap();
            }
            let books = ledger.books().await.unwrap();
            prop_assert!(books.in_order(), "{:?}", books.faults);
            let mut sum = ledger.account(&id("cash")).unwrap().unwrap().balance();
            for name in CUSTOMERS {
                let account = ledger.account(&id(name)).unwrap().unwrap();
                prop_assert_eq!(account.balance(), account.available());
                prop_assert_eq!((account.debits_pending, account.credits_pending), (0, 0));
                sum += account.balance();
            }
            prop_assert_eq!(sum, 0);
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_used_by_many_threads_at_once_is_one_booking_with_one_answer() {
    let db = sled::Config::new().temporary(true).open().unwrap();
    let ledger = Arc::new(open_house(&db).await);
    let mut threads = tokio::task::JoinSet::new();
    for n in 0..64_u8 {
        let ledger = ledger.clone();
        threads.spawn(async move {
            let content = n % 2;
            let operations =
                vec![transfer(&format!("t-{n}"), "alice", "bob", 100 + i64::from(content), None)];
            let receipt = Receipt {
                customer: CustomerId::new("alice").unwrap(),
                key: "k".to_owned(),
                fingerprint: [content; 32],
            };
            (content, ledger.submit(Command { operations, receipt: Some(receipt), at_ms: 1 }).await)
        });
    }
    let answers = threads.join_all().await;
    let (winner, first) = answers.iter().find_map(|(c, told)| Some((*c, told.as_ref().ok()?))).unwrap();
    for (content, told) in &answers {
        match told {
            Ok(booked) => assert_eq!((*content, booked), (winner, first)),
            Err(LedgerError::Refused(refusal)) => {
                assert_ne!(*content, winner);
                assert_eq!(*refusal, Refusal::IdempotencyKeyReused);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(ledger.account(&id("alice")).unwrap().unwrap().balance(), 900 - i64::from(winner));
    assert!(ledger.books().await.unwrap().in_order());
}
