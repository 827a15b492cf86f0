//! The ledger's rules, case by case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ledger_demo::ledger::{
    AMOUNT_MINOR_MAX, AccountId, AccountKind, Booked, Category, Command, Currency, CustomerId, Ledger,
    LedgerError, MEMO_BYTES_MAX, NewAccount, NewTransfer, Operation, Receipt, Refusal, TransferId,
    TransferStatus,
};

fn id(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

fn tid(text: &str) -> TransferId {
    TransferId::new(text).unwrap()
}

fn account(name: &str, kind: AccountKind, owner: Option<&str>, currency: &str) -> Operation {
    Operation::Open(NewAccount {
        id: id(name),
        owner: owner.map(|owner| CustomerId::new(owner).unwrap()),
        kind,
        name: name.to_owned(),
        currency: Currency::new(currency).unwrap(),
    })
}

fn transfer(name: &str, debit: &str, credit: &str, amount_minor: i64) -> NewTransfer {
    NewTransfer {
        id: tid(name),
        debit: id(debit),
        credit: id(credit),
        amount_minor,
        currency: Currency::EUR,
        category: Category::Payment,
        memo: String::new(),
        timeout_ms: None,
    }
}

struct House {
    ledger: Ledger,
    _db: sled::Db,
}

impl House {
    /// Alice has 100.00, Bob nothing.
    async fn new() -> Self {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let house = Self { ledger: Ledger::open(&db).unwrap(), _db: db };
        let opened = [
            account("cash", AccountKind::Cash, None, "EUR"),
            account("shop", AccountKind::External, None, "EUR"),
            account("alice", AccountKind::Current, Some("alice"), "EUR"),
            account("bob", AccountKind::Current, Some("bob"), "EUR"),
            account("dollars", AccountKind::Current, Some("bob"), "USD"),
            account("debt", AccountKind::Loan, Some("alice"), "EUR"),
            account("shut", AccountKind::Current, Some("bob"), "EUR"),
            Operation::Close(id("shut")),
            Operation::Transfer(transfer("start", "cash", "alice", 10_000)),
        ];
        house.book(0, opened.to_vec()).await.unwrap();
        house
    }

    async fn book(&self, at_ms: i64, operations: Vec<Operation>) -> Result<Booked, Refusal> {
        self.command(Command { operations, receipt: None, at_ms }).await
    }

    async fn command(&self, command: Command) -> Result<Booked, Refusal> {
        self.ledger.submit(command).await.map_err(|error| match error {
            LedgerError::Refused(refusal) => refusal,
            other => panic!("{other}"),
        })
    }

    fn balance(&self, name: &str) -> (i64, i64) {
        let account = self.ledger.account(&id(name)).unwrap().unwrap();
        (account.balance(), account.available())
    }

    async fn assert_in_order(&self) {
        let books = self.ledger.books().await.unwrap();
        assert!(books.in_order(), "{:?}", books.faults);
    }
}

#[tokio::test]
async fn every_fault_of_a_transfer_has_its_own_refusal_and_books_nothing() {
    let house = House::new().await;
    let good = || transfer("t", "alice", "bob", 100);
    let cases = [
        (NewTransfer { amount_minor: -1, ..good() }, Refusal::AmountNegative),
        (NewTransfer { amount_minor: i64::MIN, ..good() }, Refusal::AmountNegative),
        (NewTransfer { amount_minor: 0, ..good() }, Refusal::AmountZero),
        (NewTransfer { amount_minor: AMOUNT_MINOR_MAX + 1, ..good() }, Refusal::AmountTooLarge),
        (NewTransfer { amount_minor: i64::MAX, ..good() }, Refusal::AmountTooLarge),
        (NewTransfer { credit: id("alice"), ..good() }, Refusal::SameAccount),
        (NewTransfer { debit: id("nobody"), ..good() }, Refusal::UnknownDebitAccount),
        (NewTransfer { credit: id("nobody"), ..good() }, Refusal::UnknownCreditAccount),
        (NewTransfer { credit: id("dollars"), ..good() }, Refusal::WrongCurrency),
        (NewTransfer { currency: Currency::new("USD").unwrap(), ..good() }, Refusal::WrongCurrency),
        (NewTransfer { debit: id("shut"), ..good() }, Refusal::DebitAccountClosed),
        (NewTransfer { credit: id("shut"), ..good() }, Refusal::CreditAccountClosed),
        (NewTransfer { amount_minor: 10_001, ..good() }, Refusal::InsufficientFunds),
        (NewTransfer { credit: id("debt"), ..good() }, Refusal::ExceedsDebt),
        (NewTransfer { memo: "x".repeat(MEMO_BYTES_MAX + 1), ..good() }, Refusal::TextTooLong),
        (NewTransfer { timeout_ms: Some(0), ..good() }, Refusal::TimeoutInPast),
        (NewTransfer { id: tid("start"), ..good() }, Refusal::ExistsWithDifferentDebitAccount),
    ];
    for (new, expected) in cases {
        let told = house.book(1, vec![Operation::Transfer(new.clone())]).await;
        assert_eq!(told, Err(expected), "{new:?}");
    }
    assert_eq!(house.balance("alice"), (10_000, 10_000));
    assert_eq!(house.ledger.transfers().count(), 1);
    house.assert_in_order().await;
}

#[tokio::test]
async fn of_several_faults_the_first_in_precedence_is_told() {
    let house = House::new().await;
    // Each step repairs the fault that was told; the refusals must come in ascending order.
    let steps: [fn(&mut NewTransfer); 6] = [
        |t| t.memo.clear(),
        |t| t.amount_minor = 20_000,
        |t| t.credit = id("nobody"),
        |t| t.credit = id("dollars"),
        |t| t.credit = id("shut"),
        |t| t.credit = id("bob"),
    ];
    let mut new = transfer("t", "alice", "alice", -5);
    new.memo = "x".repeat(MEMO_BYTES_MAX + 1);
    let mut told = Vec::new();
    for repair in steps {
        told.push(house.book(1, vec![Operation::Transfer(new.clone())]).await.unwrap_err());
        repair(&mut new);
    }
    told.push(house.book(1, vec![Operation::Transfer(new)]).await.unwrap_err());
    assert_eq!(
        told,
        [
            Refusal::TextTooLong,
            Refusal::AmountNegative,
            Refusal::SameAccount,
            Refusal::UnknownCreditAccount,
            Refusal::WrongCurrency,
            Refusal::CreditAccountClosed,
            Refusal::InsufficientFunds,
        ]
    );
    assert!(told.is_sorted());
}

#[tokio::test]
async fn the_same_id_is_one_transfer_and_other_content_is_told_apart() {
    let house = House::new().await;
    let first = transfer("t", "alice", "bob", 100);
    let booked = house.book(1, vec![Operation::Transfer(first.clone())]).await.unwrap();
    assert_eq!(house.book(2, vec![Operation::Transfer(first.clone())]).await.unwrap(), booked);
    let cases = [
        (NewTransfer { debit: id("shop"), ..first.clone() }, Refusal::ExistsWithDifferentDebitAccount),
        (NewTransfer { credit: id("shop"), ..first.clone() }, Refusal::ExistsWithDifferentCreditAccount),
        (NewTransfer { amount_minor: 101, ..first.clone() }, Refusal::ExistsWithDifferentAmount),
        (
            NewTransfer { currency: Currency::new("USD").unwrap(), ..first.clone() },
            Refusal::ExistsWithDifferentCurrency,
        ),
        (NewTransfer { memo: "other".to_owned(), ..first.clone() }, Refusal::ExistsWithDifferentDetails),
        (NewTransfer { timeout_ms: Some(5), ..first.clone() }, Refusal::ExistsWithDifferentDetails),
    ];
    for (new, expected) in cases {
        assert_eq!(house.book(3, vec![Operation::Transfer(new)]).await, Err(expected));
    }
    assert_eq!(house.balance("alice").0, 9_900);
    house.assert_in_order().await;
}

#[tokio::test]
async fn a_command_is_booked_whole_or_not_at_all() {
    let house = House::new().await;
    let operations = vec![
        account("new", AccountKind::Savings, Some("alice"), "EUR"),
        Operation::Transfer(transfer("t1", "alice", "new", 6_000)),
        Operation::Keep { key: "note".to_owned(), value: b"x".to_vec() },
        Operation::Transfer(transfer("t2", "alice", "bob", 6_000)),
    ];
    assert_eq!(house.book(1, operations).await, Err(Refusal::InsufficientFunds));
    assert_eq!(house.balance("alice"), (10_000, 10_000));
    assert!(house.ledger.account(&id("new")).unwrap().is_none());
    assert!(house.ledger.transfer(&tid("t1")).unwrap().is_none());
    assert!(house.ledger.kept("note").unwrap().is_none());
    house.assert_in_order().await;
}

#[tokio::test]
async fn pending_debits_count_and_end_in_exactly_one_way() {
    let house = House::new().await;
    let reserve =
        |name: &str, amount| NewTransfer { timeout_ms: Some(100), ..transfer(name, "alice", "bob", amount) };
    for name in ["posted", "voided", "expired"] {
        house.book(1, vec![Operation::Transfer(reserve(name, 3_000))]).await.unwrap();
    }
    assert_eq!(house.balance("alice"), (10_000, 1_000));
    assert_eq!(house.balance("bob"), (0, 0), "what is only announced cannot be spent");
    let spend = Operation::Transfer(transfer("t", "alice", "bob", 1_001));
    assert_eq!(house.book(2, vec![spend]).await, Err(Refusal::InsufficientFunds));
    assert_eq!(house.book(2, vec![Operation::Close(id("bob"))]).await, Err(Refusal::AccountNotEmpty));

    house.book(50, vec![Operation::Post(tid("posted"))]).await.unwrap();
    house.book(50, vec![Operation::Void(tid("voided"))]).await.unwrap();
    assert_eq!(house.balance("alice"), (7_000, 4_000));
    assert_eq!(house.book(101, vec![Operation::Post(tid("expired"))]).await, Err(Refusal::TransferExpired));
    house.ledger.sweep(101).await.unwrap();
    assert_eq!(house.balance("alice"), (7_000, 7_000));
    assert_eq!(house.balance("bob"), (3_000, 3_000));

    for (name, refusal) in [
        ("posted", Refusal::TransferPosted),
        ("voided", Refusal::TransferVoided),
        ("expired", Refusal::TransferExpired),
        ("start", Refusal::TransferNotPending),
        ("missing", Refusal::UnknownTransfer),
    ] {
        assert_eq!(house.book(200, vec![Operation::Post(tid(name))]).await, Err(refusal), "post {name}");
        assert_eq!(house.book(200, vec![Operation::Void(tid(name))]).await, Err(refusal), "void {name}");
    }
    assert_eq!(house.ledger.transfer(&tid("expired")).unwrap().unwrap().status, TransferStatus::Expired);
    house.assert_in_order().await;
}

#[tokio::test]
async fn a_reversal_is_a_counter_entry_and_happens_once() {
    let house = House::new().await;
    house.book(1, vec![Operation::Transfer(transfer("t", "alice", "bob", 4_000))]).await.unwrap();
    let reverse = |name: &str| Operation::Reverse { id: tid(name), of: tid("t") };
    house.book(2, vec![reverse("back")]).await.unwrap();
    house.book(3, vec![reverse("back")]).await.unwrap();
    assert_eq!(house.book(3, vec![reverse("again")]).await, Err(Refusal::TransferReversed));
    assert_eq!(house.balance("alice").0, 10_000);
    assert_eq!(house.balance("bob").0, 0);
    let entries = house.ledger.entries(&id("bob"), None, 10).unwrap();
    assert_eq!(
        entries.iter().map(|e| e.amount_minor).collect::<Vec<_>>(),
        [-4_000, 4_000],
        "both entries stay"
    );
    house.assert_in_order().await;
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_answer_and_belongs_to_one_customer() {
    let house = House::new().await;
    let command = |customer: &str, fingerprint: u8, name: &str, amount, at_ms| Command {
        operations: vec![Operation::Transfer(transfer(name, "alice", "bob", amount))],
        receipt: Some(Receipt {
            customer: CustomerId::new(customer).unwrap(),
            key: "k".to_owned(),
            fingerprint: [fingerprint; 32],
        }),
        at_ms,
    };
    let first = house.command(command("alice", 1, "t1", 100, 1)).await.unwrap();
    // The operations of the repetition do not count: the answer is the remembered one.
    assert_eq!(house.command(command("alice", 1, "t2", 100, 2)).await.unwrap(), first);
    assert_eq!(house.command(command("alice", 2, "t3", 100, 3)).await, Err(Refusal::IdempotencyKeyReused));
    house.command(command("mallory", 2, "t4", 100, 4)).await.unwrap();
    assert_eq!(house.balance("alice").0, 9_800);

    // A day later the key is free again, and remembered again.
    let day_ms = 24 * 60 * 60 * 1_000;
    house.command(command("alice", 2, "t5", 100, day_ms + 1)).await.unwrap();
    assert_eq!(
        house.command(command("alice", 3, "t6", 1, day_ms + 2)).await,
        Err(Refusal::IdempotencyKeyReused)
    );
    assert_eq!(house.balance("alice").0, 9_700);
}

#[tokio::test]
async fn a_refusal_is_remembered_under_its_key() {
    let house = House::new().await;
    let receipt =
        Receipt { customer: CustomerId::new("alice").unwrap(), key: "k".to_owned(), fingerprint: [7; 32] };
    let too_much = Command {
        operations: vec![Operation::Transfer(transfer("t", "alice", "bob", 10_001))],
        receipt: Some(receipt),
        at_ms: 1,
    };
    assert_eq!(house.command(too_much.clone()).await, Err(Refusal::InsufficientFunds));
    house.book(2, vec![Operation::Transfer(transfer("more", "cash", "alice", 5_000))]).await.unwrap();
    assert_eq!(house.command(too_much).await, Err(Refusal::InsufficientFunds));
    assert_eq!(house.balance("alice").0, 15_000);
}

#[tokio::test]
async fn two_withdrawals_at_once_cannot_both_take_the_same_money() {
    let house = House::new().await;
    let tries = (0..40).map(|n| {
        let take = Operation::Transfer(transfer(&format!("t{n}"), "alice", "bob", 1_500));
        house.book(1, vec![take])
    });
    let answers = join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 6);
    assert_eq!(house.balance("alice").0, 1_000);
    house.assert_in_order().await;
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures_util::future::join_all(futures).await
}

#[tokio::test]
async fn history_runs_newest_first_with_a_balance_that_follows() {
    let house = House::new().await;
    for n in 1..=7 {
        house
            .book(n, vec![Operation::Transfer(transfer(&format!("t{n}"), "alice", "bob", n * 10))])
            .await
            .unwrap();
    }
    let page = house.ledger.entries(&id("bob"), None, 3).unwrap();
    assert_eq!(
        page.iter().map(|e| (e.number, e.balance_minor)).collect::<Vec<_>>(),
        [(7, 280), (6, 210), (5, 150)]
    );
    let next = house.ledger.entries(&id("bob"), Some(5), 100).unwrap();
    assert_eq!(next.iter().map(|e| e.number).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert!(house.ledger.entries(&id("bob"), Some(0), 3).unwrap().is_empty());
    assert!(
        house.ledger.entries(&id("bo"), None, 3).unwrap().is_empty(),
        "a prefix of an id is another account"
    );
}

#[tokio::test]
async fn listeners_hear_of_entries_once_they_are_booked() {
    let house = House::new().await;
    let mut postings = house.ledger.subscribe();
    house.book(1, vec![Operation::Transfer(transfer("t", "alice", "bob", 1))]).await.unwrap();
    let heard = [postings.recv().await.unwrap(), postings.recv().await.unwrap()];
    assert_eq!(
        heard.each_ref().map(|p| (p.account.as_str(), p.entry.amount_minor)),
        [("alice", -1), ("bob", 1)]
    );
}
