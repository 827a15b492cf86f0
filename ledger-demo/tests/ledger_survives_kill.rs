//! What is acknowledged survives `kill -9`: a child process books transfers until it is killed, then its ledger is opened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use ledger_demo::ledger::{
    AccountId, AccountKind, Category, Command, Currency, CustomerId, Ledger, NewAccount, NewTransfer,
    Operation, TransferId,
};

const ROUNDS: usize = 12;
const WRITERS: usize = 8;
const BOOKER: &str = "the_booker_says_what_is_acknowledged";

fn account(name: &str, kind: AccountKind, owner: Option<&str>) -> Operation {
    Operation::Open(NewAccount {
        id: AccountId::new(name).unwrap(),
        owner: owner.map(|owner| CustomerId::new(owner).unwrap()),
        kind,
        name: name.to_owned(),
        currency: Currency::EUR,
    })
}

fn transfer(id: &str, debit: &str, credit: &str, amount_minor: i64) -> Operation {
    Operation::Transfer(NewTransfer {
        id: TransferId::new(id).unwrap(),
        debit: AccountId::new(debit).unwrap(),
        credit: AccountId::new(credit).unwrap(),
        amount_minor,
        currency: Currency::EUR,
        category: Category::Payment,
        memo: String::new(),
        timeout_ms: None,
    })
}

/// The child's part. Started by the test below it gets a folder and a round as last arguments (which the test runner takes
/// for filters) and books until it is killed; otherwise it books a few transfers in a folder of its own.
#[test]
fn the_booker_says_what_is_acknowledged() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [.., name, dir, round] = arguments.as_slice()
        && name == BOOKER
    {
        book(Path::new(dir), round, i64::MAX);
    } else {
        let dir = tempfile::tempdir().unwrap();
        book(dir.path(), "short", 3);
        // A child that the other test starts meanwhile has the lock too, from its fork to its exec.
        let mut tries = std::iter::repeat_with(|| {
            std::thread::yield_now();
            ledger_demo::open_store(dir.path())
        });
        let db = tries.find_map(Result::ok).unwrap();
        assert_eq!(Ledger::open(&db).unwrap().transfers().count(), WRITERS * 3 * 2);
    }
}

/// Says a command's id on the output as soon as it is acknowledged.
fn book(dir: &Path, round: &str, commands_per_writer: i64) {
    let db = ledger_demo::open_store(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let ledger = std::sync::Arc::new(Ledger::open(&db).unwrap());
        let opened = vec![
            account("cash", AccountKind::Cash, None),
            account("alice", AccountKind::Current, Some("alice")),
            account("bob", AccountKind::Current, Some("bob")),
        ];
        ledger.submit(Command { operations: opened, receipt: None, at_ms: 0 }).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (ledger, round) = (ledger.clone(), round.to_owned());
            writers.spawn(async move {
                for n in 0..commands_per_writer {
                    let id = format!("{round}-{writer}-{n}");
                    // Two transfers that belong together: one without the other would be half-booked.
                    let operations = vec![
                        transfer(&format!("{id}-in"), "cash", "alice", 700),
                        transfer(&format!("{id}-on"), "alice", "bob", 700),
                    ];
                    ledger.submit(Command { operations, receipt: None, at_ms: n }).await.unwrap();
                    println!("ACK {id}");
                }
            });
        }
        while let Some(written) = writers.join_next().await {
            written.unwrap();
        }
    });
}

#[tokio::test]
async fn everything_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", BOOKER])
            .arg(dir.path())
            .arg(round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut heard = lines.filter_map(|line| Some(line.split_once("ACK ")?.1.to_owned()));
        // From the first acknowledgement on any moment will do: while a batch is written, between two, in a flush.
        acknowledged.push(heard.next().expect("the child books until it is killed"));
        let moment = Duration::from_micros(u64::from(rand::random::<u16>()));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(moment);
            child.kill().unwrap();
            child.wait().unwrap();
        });
        // Whatever was said before the end was acknowledged.
        acknowledged.extend(heard);
        killer.join().unwrap();
        check(dir.path(), &acknowledged).await;
    }
    println!("{} acknowledged commands survived {ROUNDS} kills", acknowledged.len());
}

async fn check(dir: &Path, acknowledged: &[String]) {
    let db = ledger_demo::open_store(dir).unwrap();
    let ledger = Ledger::open(&db).unwrap();
    for id in acknowledged {
        for part in ["in", "on"] {
            let transfer = TransferId::new(format!("{id}-{part}")).unwrap();
            assert!(ledger.transfer(&transfer).unwrap().is_some(), "{transfer} was acknowledged and is lost");
        }
    }
    let books = ledger.books().await.unwrap();
    assert!(books.in_order(), "{:?}", books.faults);
    assert_eq!(books.transfers % 2, 0, "a command is half-booked");
    let balance = |name| ledger.account(&AccountId::new(name).unwrap()).unwrap().unwrap().balance();
    assert_eq!(balance("alice"), 0);
    assert_eq!(balance("bob"), i64::try_from(books.transfers / 2).unwrap() * 700);
    assert_eq!(balance("cash"), -balance("bob"));
}
