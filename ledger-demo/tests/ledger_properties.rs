//! Whatever is asked of the ledger, it agrees with a model of a few lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use ledger_demo::ledger::{
    AccountId, AccountKind, Category, Command, Currency, CustomerId, Ledger, LedgerError, NewAccount,
    NewTransfer, Operation, TransferId,
};
use proptest::prelude::*;

const ACCOUNTS: [(&str, AccountKind, Currency); 7] = [
    ("cash", AccountKind::Cash, Currency::EUR),
    ("alice", AccountKind::Current, Currency::EUR),
    ("bob", AccountKind::Savings, Currency::EUR),
    ("debt", AccountKind::Loan, Currency::EUR),
    ("shop", AccountKind::External, Currency::EUR),
    ("vault", AccountKind::Cash, Currency::USD),
    ("dollars", AccountKind::Current, Currency::USD),
];

#[derive(Debug, Clone)]
enum Step {
    Book { number: usize, booking: Booking },
    Post(usize),
    Void(usize),
    Reverse { number: usize, of: usize },
    Close(usize),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = 0..30_usize;
    prop_oneof![
        6 => (numbers.clone(), booking()).prop_map(|(number, booking)| Step::Book { number, booking }),
        2 => numbers.clone().prop_map(Step::Post),
        1 => numbers.clone().prop_map(Step::Void),
        1 => (numbers.clone(), numbers).prop_map(|(number, of)| Step::Reverse { number, of }),
        1 => (0..8_usize).prop_map(Step::Close),
        1 => Just(Step::Wait),
    ]
}

/// One account beyond those that exist, and now and then dollars where there are none.
fn booking() -> impl Strategy<Value = Booking> {
    let amount = prop_oneof![4 => 1..500_i64, 1 => -3..3_i64, 1 => prop::num::i64::ANY];
    let pair = prop_oneof![4 => (0..5_usize, 0..5_usize), 2 => (5..7_usize, 5..7_usize), 1 => (0..8_usize, 0..8_usize)];
    let odd = prop::bool::weighted(0.1);
    (pair, amount, prop::bool::weighted(0.3), odd).prop_map(|((debit, credit), amount, pending, odd)| {
        let is_dollars = ACCOUNTS.get(debit).is_some_and(|account| account.2 == Currency::USD) != odd;
        let currency = if is_dollars { Currency::USD } else { Currency::EUR };
        Booking { debit, credit, amount, currency, pending, reverses: None }
    })
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Pending { until: i64 },
    Posted,
    Gone,
}

#[derive(Debug, Clone, PartialEq)]
struct Booking {
    debit: usize,
    credit: usize,
    amount: i64,
    currency: Currency,
    pending: bool,
    reverses: Option<usize>,
}

struct Booked {
    booking: Booking,
    state: State,
    reversed: bool,
}

/// Transfers by number.
#[derive(Default)]
struct Model {
    transfers: BTreeMap<usize, Booked>,
    closed: BTreeSet<usize>,
}

impl Model {
    /// Posted balance, pending debits and pending credits of an account.
    fn totals(&self, account: usize) -> (i64, i64, i64) {
        let mut totals = (0, 0, 0);
        for Booked { booking: Booking { debit, credit, amount, .. }, state, .. } in self.transfers.values() {
            match state {
                State::Posted => {
                    totals.0 += amount * (i64::from(*credit == account) - i64::from(*debit == account))
                }
                State::Pending { .. } if *debit == account => totals.1 += amount,
                State::Pending { .. } if *credit == account => totals.2 += amount,
                _ => {}
            }
        }
        totals
    }

    fn book(&mut self, number: usize, booking: Booking, now: i64) -> bool {
        let Booking { debit, credit, amount, currency, pending, .. } = booking;
        if amount <= 0 || amount > 1_000_000_000_000 || debit == credit {
            return false;
        }
        if let Some(found) = self.transfers.get(&number) {
            return found.booking == booking;
        }
        if debit >= ACCOUNTS.len() || credit >= ACCOUNTS.len() {
            return false;
        }
        if [debit, credit].iter().any(|side| ACCOUNTS[*side].2 != currency || self.closed.contains(side)) {
            return false;
        }
        let (balance, reserved, _) = self.totals(debit);
        let customers = matches!(ACCOUNTS[debit].1, AccountKind::Current | AccountKind::Savings);
        if customers && balance - reserved < amount {
            return false;
        }
        let (debt, _, announced) = self.totals(credit);
        if ACCOUNTS[credit].1 == AccountKind::Loan && debt + announced + amount > 0 {
            return false;
        }
        let state = if pending { State::Pending { until: now + 5 } } else { State::Posted };
        self.transfers.insert(number, Booked { booking, state, reversed: false });
        true
    }

    fn close(&mut self, account: usize) -> bool {
        let is_empty = account < ACCOUNTS.len() && self.totals(account) == (0, 0, 0);
        if is_empty {
            self.closed.insert(account);
        }
        is_empty
    }

    fn settle(&mut self, number: usize, to: State) -> bool {
        match self.transfers.get_mut(&number) {
            Some(Booked { state: state @ State::Pending { .. }, .. }) => {
                *state = to;
                true
            }
            _ => false,
        }
    }

    fn reverse(&mut self, number: usize, of: usize, now: i64) -> bool {
        let Some(Booked { booking, state: State::Posted, reversed }) = self.transfers.get(&of) else {
            return false;
        };
        let Booking { debit, credit, amount, currency, .. } = *booking;
        let by_this = self.transfers.get(&number).is_some_and(|found| found.booking.reverses == Some(of));
        let counter =
            Booking { debit: credit, credit: debit, amount, currency, pending: false, reverses: Some(of) };
        if (*reversed && !by_this) || number == of || !self.book(number, counter, now) {
            return false;
        }
        self.transfers.get_mut(&of).unwrap().reversed = true;
        true
    }

    fn pass_time(&mut self, now: i64) {
        for Booked { state, .. } in self.transfers.values_mut() {
            if matches!(state, State::Pending { until } if *until <= now) {
                *state = State::Gone;
            }
        }
    }
}

fn account_id(n: usize) -> AccountId {
    AccountId::new(ACCOUNTS.get(n).map_or("nobody", |(name, ..)| name)).unwrap()
}

fn transfer_id(n: usize) -> TransferId {
    TransferId::new(format!("t{n}")).unwrap()
}

fn operation(step: &Step) -> Option<Operation> {
    Some(match step {
        Step::Book { number, booking } => Operation::Transfer(NewTransfer {
            id: transfer_id(*number),
            debit: account_id(booking.debit),
            credit: account_id(booking.credit),
            amount_minor: booking.amount,
            currency: booking.currency,
            category: Category::Payment,
            memo: String::new(),
            timeout_ms: booking.pending.then_some(5),
        }),
        Step::Close(account) => Operation::Close(account_id(*account)),
        Step::Post(number) => Operation::Post(transfer_id(*number)),
        Step::Void(number) => Operation::Void(transfer_id(*number)),
        Step::Reverse { number, of } => Operation::Reverse { id: transfer_id(*number), of: transfer_id(*of) },
        Step::Wait => return None,
    })
}

async fn open_house(db: &sled::Db) -> Ledger {
    let ledger = Ledger::open(db).unwrap();
    let open = |(name, kind, currency): &(&str, AccountKind, Currency)| {
        Operation::Open(NewAccount {
            id: AccountId::new(*name).unwrap(),
            owner: kind.is_customers().then(|| CustomerId::new("c").unwrap()),
            kind: *kind,
            name: (*name).to_owned(),
            currency: *currency,
        })
    };
    let operations = ACCOUNTS.iter().map(open).collect();
    ledger.submit(Command { operations, receipt: None, at_ms: 0 }).await.unwrap();
    ledger
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_agrees_with_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let db = sled::Config::new().temporary(true).open().unwrap();
            let ledger = open_house(&db).await;
            let mut model = Model::default();
            let mut now = 0;
            for step in &steps {
                now += if matches!(step, Step::Wait) { 3 } else { 1 };
                model.pass_time(now);
                let expected = match *step {
                    Step::Book { number, ref booking } => model.book(number, booking.clone(), now),
                    Step::Close(account) => model.close(account),
                    Step::Post(number) => model.settle(number, State::Posted),
                    Step::Void(number) => model.settle(number, State::Gone),
                    Step::Reverse { number, of } => model.reverse(number, of, now),
                    Step::Wait => true,
                };
                let operations = operation(step).into_iter().collect();
                let told = ledger.submit(Command { operations, receipt: None, at_ms: now }).await;
                prop_assert!(matches!(told, Ok(_) | Err(LedgerError::Refused(_))));
                prop_assert_eq!(told.is_ok(), expected, "{:?} told {:?}", step, told);
                for currency in [Currency::EUR, Currency::USD] {
                    let accounts = (0..ACCOUNTS.len()).filter(|n| ACCOUNTS[*n].2 == currency);
                    let sum: i128 =
                        accounts.map(|n| i128::from(ledger.account(&account_id(n)).unwrap().unwrap().balance())).sum();
                    prop_assert_eq!(sum, 0, "{} after {:?}", currency, step);
                }
            }
            for n in 0..ACCOUNTS.len() {
                let account = ledger.account(&account_id(n)).unwrap().unwrap();
                let (balance, reserved, announced) = model.totals(n);
                prop_assert_eq!(account.balance(), balance);
                prop_assert_eq!(account.debits_pending, u64::try_from(reserved).unwrap());
                prop_assert_eq!(account.credits_pending, u64::try_from(announced).unwrap());
                prop_assert_eq!(account.closed, model.closed.contains(&n));
            }
            let books = ledger.books().await.unwrap();
            prop_assert!(books.in_order(), "{:?}", books.faults);
            Ok(())
        })?;
    }
}
