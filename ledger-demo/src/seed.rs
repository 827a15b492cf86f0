//! The demo's customers and half a year of their lives, so that history, score, advice and behaviour profiles have something
//! to say. The same seed and day always give the same bookings; all of them lie before the day of `now_ms`.

mod lives;

use crate::banking::{Bank, BankError, PastTransfer};
use crate::ledger::{
    AccountId, Command, Currency, CustomerId, LedgerError, NewAccount, NewTransfer, Operation, Refusal,
    TransferId,
};
use lives::{ACCOUNTS, Payment};

/// The seed of the demo as it ships.
pub const DEMO_SEED: u64 = 2026;
/// Says that the bookings are all there.
const DONE: &str = "seed/done";

/// Books the demo's data. Begun but not finished, it is finished at the next call; finished, it does nothing.
///
/// # Errors
/// [`BankError`] when the ledger is out of order.
pub async fn seed(bank: &Bank, seed: u64, now_ms: i64) -> Result<(), BankError> {
    if bank.ledger().kept(DONE)?.is_some() {
        return Ok(());
    }
    let payments = lives::payments(seed, now_ms);
    let opened_ms = payments.first().map_or(now_ms, |first| first.at_ms);
    let accounts = ACCOUNTS.iter().map(|(id, owner, kind, name)| {
        Ok(Operation::Open(NewAccount {
            id: AccountId::new(*id)?,
            owner: Some(CustomerId::new(*owner)?),
            kind: *kind,
            name: (*name).to_owned(),
            currency: Currency::EUR,
        }))
    });
    let operations = accounts.collect::<Result<_, BankError>>()?;
    bank.ledger().submit(Command { operations, receipt: None, at_ms: opened_ms }).await?;
    let decided = decided(bank, payments.len())?;
    let commands =
        payments.iter().enumerate().skip(decided).map(|(number, payment)| command(number, payment));
    for booked in bank.ledger().submit_in_order(commands.collect::<Result<Vec<_>, _>>()?).await {
        match booked {
            // Somebody who was out of money that day did not buy.
            Err(LedgerError::Refused(Refusal::InsufficientFunds)) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let done = Operation::Keep { key: DONE.to_owned(), value: seed.to_string().into_bytes() };
    bank.ledger().submit(Command { operations: vec![done], receipt: None, at_ms: now_ms }).await?;
    Ok(())
}

/// Every past payment of a customer, oldest first: what a gateway's behaviour profiles can be filled with.
///
/// # Errors
/// [`BankError::Store`].
pub fn transfer_history(bank: &Bank) -> Result<Vec<PastTransfer>, BankError> {
    bank.past_transfers()
}

/// How many of the payments an earlier call decided: all up to the last that is booked, since they are booked in order.
fn decided(bank: &Bank, payments: usize) -> Result<usize, BankError> {
    for number in (0..payments).rev() {
        if bank.ledger().transfer(&transfer_id(number)?)?.is_some() {
            return Ok(number + 1);
        }
    }
    Ok(0)
}

fn transfer_id(number: usize) -> Result<TransferId, BankError> {
    Ok(TransferId::new(format!("@seed:{number:05}"))?)
}

fn command(number: usize, payment: &Payment) -> Result<Command, BankError> {
    let transfer = NewTransfer {
        id: transfer_id(number)?,
        debit: AccountId::new(payment.from)?,
        credit: AccountId::new(payment.to)?,
        amount_minor: payment.amount_minor,
        currency: Currency::EUR,
        category: payment.category,
        memo: payment.memo.to_owned(),
        timeout_ms: None,
    };
    Ok(Command { operations: vec![Operation::Transfer(transfer)], receipt: None, at_ms: payment.at_ms })
}

#[cfg(test)]
mod tests;
