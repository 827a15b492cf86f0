//! The rules: what a command does to the rows, or why it is refused.

use serde::{Deserialize, Serialize};

use super::store::{Due, DueKind, Rows, Staged};
use super::{
    AMOUNT_MINOR_MAX, Account, AccountId, AccountKind, Booked, COMMAND_OPERATIONS_MAX, Category, Command,
    Entry, LedgerError, MEMO_BYTES_MAX, NAME_BYTES_MAX, NewAccount, NewTransfer, Operation, Posting, Receipt,
    Refusal, Transfer, TransferId, TransferStatus,
};

/// How long a receipt is remembered.
pub(super) const RECEIPT_KEPT_MS: i64 = 24 * 60 * 60 * 1_000;
/// What falls due is seen to in portions, so that no command waits long for it.
const DUE_PER_COMMAND_MAX: usize = 64;
/// No account's total passes this, so that every balance fits an `i64`.
const TOTAL_MAX: u64 = i64::MAX.cast_unsigned();

/// A command's answer and the entries it left.
pub(super) struct Settled {
    pub(super) answer: Result<Booked, Refusal>,
    pub(super) postings: Vec<Posting>,
}

/// A remembered answer.
#[derive(Serialize, Deserialize)]
struct StoredReceipt {
    fingerprint: [u8; 32],
    expires_ms: i64,
    answer: Result<Booked, Refusal>,
}

/// Settles a command and applies its batch. A refusal is an answer; `Err` is a store that failed.
pub(super) fn settle(rows: &Rows, command: &Command) -> Result<Settled, LedgerError> {
    see_to_what_is_due(rows, command.at_ms)?;
    if let Some(answer) = earlier_answer(rows, command)? {
        return Ok(Settled { answer, postings: Vec::new() });
    }
    let mut booking = Booking::new(rows, command.at_ms);
    let mut answer = match booking.book_all(&command.operations) {
        Ok(()) => Ok(std::mem::take(&mut booking.booked)),
        Err(LedgerError::Refused(refusal)) => Err(refusal),
        Err(failed) => return Err(failed),
    };
    if let Err(refusal) = answer {
        // Nothing of a refused command stays but its receipt.
        booking = Booking::new(rows, command.at_ms);
        answer = Err(refusal);
    }
    if let Some(receipt) = &command.receipt {
        booking.remember(receipt, &answer)?;
    }
    let Booking { staged, postings, .. } = booking;
    if !staged.is_empty() {
        staged.apply()?;
    }
    Ok(Settled { answer, postings })
}

fn earlier_answer(rows: &Rows, command: &Command) -> Result<Option<Result<Booked, Refusal>>, LedgerError> {
    let Some(receipt) = &command.receipt else { return Ok(None) };
    let stored: Option<StoredReceipt> = rows.stage().receipt(&receipt.customer, &receipt.key)?;
    Ok(stored.filter(|stored| stored.expires_ms > command.at_ms).map(|stored| {
        if stored.fingerprint == receipt.fingerprint {
            stored.answer
        } else {
            Err(Refusal::IdempotencyKeyReused)
        }
    }))
}

fn see_to_what_is_due(rows: &Rows, now_ms: i64) -> Result<(), LedgerError> {
    let due = rows.due(now_ms, DUE_PER_COMMAND_MAX)?;
    if due.is_empty() {
        return Ok(());
    }
    let mut booking = Booking::new(rows, now_ms);
    for Due { index_key, what } in due {
        match what {
            DueKind::Transfer(id) => booking.expire(&id)?,
            DueKind::Receipt(row) => booking.forget(row, now_ms)?,
        }
        booking.staged.remove(index_key);
    }
    booking.staged.apply()
}

struct Booking<'a> {
    staged: Staged<'a>,
    at_ms: i64,
    booked: Booked,
    postings: Vec<Posting>,
}

impl<'a> Booking<'a> {
    fn new(rows: &'a Rows, at_ms: i64) -> Self {
        Self { staged: rows.stage(), at_ms, booked: Booked::default(), postings: Vec::new() }
    }

    fn book_all(&mut self, operations: &[Operation]) -> Result<(), LedgerError> {
        if operations.len() > COMMAND_OPERATIONS_MAX {
            return Err(Refusal::Overflow.into());
        }
        operations.iter().try_for_each(|operation| match operation {
            Operation::Open(new) => self.open(new),
            Operation::Close(id) => self.close(id),
            Operation::Transfer(new) => self.transfer(new, None),
            Operation::Post(id) => self.post(id),
            Operation::Void(id) => self.void(id),
            Operation::Reverse { id, of } => self.reverse(id, of),
            Operation::Keep { key, value } => self.keep(key, value),
        })
    }

    fn open(&mut self, new: &NewAccount) -> Result<(), LedgerError> {
        if new.name.len() > NAME_BYTES_MAX {
            return Err(Refusal::TextTooLong.into());
        }
        if let Some(found) = self.staged.account(&new.id)? {
            let same = found.owner == new.owner
                && found.kind == new.kind
                && found.name == new.name
                && found.currency == new.currency;
            if !same {
                return Err(Refusal::ExistsWithDifferentOwner.into());
            }
            self.booked.accounts.push(found);
            return Ok(());
        }
        let account = Account {
            id: new.id.clone(),
            owner: new.owner.clone(),
            kind: new.kind,
            name: new.name.clone(),
            currency: new.currency,
            closed: false,
            opened_ms: self.at_ms,
            debits_posted: 0,
            credits_posted: 0,
            debits_pending: 0,
            credits_pending: 0,
            entries: 0,
        };
        self.staged.put_account(&account)?;
        self.booked.accounts.push(account);
        Ok(())
    }

    fn close(&mut self, id: &AccountId) -> Result<(), LedgerError> {
        let mut account = self.staged.account(id)?.ok_or(Refusal::UnknownAccount)?;
        if account.balance() != 0 || account.debits_pending != 0 || account.credits_pending != 0 {
            return Err(Refusal::AccountNotEmpty.into());
        }
        account.closed = true;
        self.staged.put_account(&account)?;
        self.booked.accounts.push(account);
        Ok(())
    }

    fn transfer(&mut self, new: &NewTransfer, reverses: Option<&TransferId>) -> Result<(), LedgerError> {
        let amount = check_form(new)?;
        if let Some(found) = self.staged.transfer(&new.id)? {
            check_same(&found, new, reverses)?;
            self.booked.transfers.push(found);
            return Ok(());
        }
        if new.timeout_ms.is_some_and(|timeout_ms| timeout_ms <= 0) {
            return Err(Refusal::TimeoutInPast.into());
        }
        let mut debit = self.staged.account(&new.debit)?.ok_or(Refusal::UnknownDebitAccount)?;
        let mut credit = self.staged.account(&new.credit)?.ok_or(Refusal::UnknownCreditAccount)?;
        check_accounts(new, &debit, &credit)?;
        check_room(&debit, &credit, amount)?;

        let transfer = Transfer {
            id: new.id.clone(),
            debit: new.debit.clone(),
            credit: new.credit.clone(),
            amount_minor: new.amount_minor,
            currency: new.currency,
            category: new.category,
            memo: new.memo.clone(),
            status: if new.timeout_ms.is_some() { TransferStatus::Pending } else { TransferStatus::Posted },
            created_ms: self.at_ms,
            expires_ms: new.timeout_ms.map(|timeout_ms| self.at_ms.saturating_add(timeout_ms)),
            reverses: reverses.cloned(),
            reversed_by: None,
        };
        match transfer.expires_ms {
            Some(expires_ms) => {
                debit.debits_pending = sum(debit.debits_pending, amount)?;
                credit.credits_pending = sum(credit.credits_pending, amount)?;
                self.staged.put_timeout(&transfer.id, expires_ms);
            }
            None => self.enter(&transfer, &mut debit, &mut credit, amount)?,
        }
        self.finish(transfer, &debit, &credit)
    }

    fn post(&mut self, id: &TransferId) -> Result<(), LedgerError> {
        let (mut transfer, mut debit, mut credit, amount) = self.pending(id)?;
        release(&mut debit, &mut credit, amount)?;
        transfer.status = TransferStatus::Posted;
        self.enter(&transfer, &mut debit, &mut credit, amount)?;
        self.finish(transfer, &debit, &credit)
    }

    fn void(&mut self, id: &TransferId) -> Result<(), LedgerError> {
        let (mut transfer, mut debit, mut credit, amount) = self.pending(id)?;
        release(&mut debit, &mut credit, amount)?;
        transfer.status = TransferStatus::Voided;
        self.finish(transfer, &debit, &credit)
    }

    fn reverse(&mut self, id: &TransferId, of: &TransferId) -> Result<(), LedgerError> {
        let original = self.staged.transfer(of)?.ok_or(Refusal::UnknownTransfer)?;
        if original.status != TransferStatus::Posted {
            return Err(Refusal::TransferNotPosted.into());
        }
        if original.reversed_by.as_ref().is_some_and(|by| by != id) {
            return Err(Refusal::TransferReversed.into());
        }
        let counter = NewTransfer {
            id: id.clone(),
            debit: original.credit.clone(),
            credit: original.debit.clone(),
            amount_minor: original.amount_minor,
            currency: original.currency,
            category: Category::Reversal,
            memo: "Reversal".to_owned(),
            timeout_ms: None,
        };
        self.transfer(&counter, Some(of))?;
        self.staged.put_transfer(&Transfer { reversed_by: Some(id.clone()), ..original })
    }

    fn keep(&mut self, key: &str, value: &[u8]) -> Result<(), LedgerError> {
        match self.staged.kept(key)? {
            Some(found) if found != value => Err(Refusal::ExistsWithDifferentDetails.into()),
            _ => {
                self.staged.keep(key, value.to_vec());
                Ok(())
            }
        }
    }

    /// A pending transfer with its accounts, its time-out taken off the index.
    fn pending(&mut self, id: &TransferId) -> Result<(Transfer, Account, Account, u64), LedgerError> {
        let transfer = self.staged.transfer(id)?.ok_or(Refusal::UnknownTransfer)?;
        let expires_ms = transfer.expires_ms.ok_or(Refusal::TransferNotPending)?;
        match transfer.status {
            TransferStatus::Posted => return Err(Refusal::TransferPosted.into()),
            TransferStatus::Voided => return Err(Refusal::TransferVoided.into()),
            TransferStatus::Expired => return Err(Refusal::TransferExpired.into()),
            TransferStatus::Pending if expires_ms <= self.at_ms => {
                return Err(Refusal::TransferExpired.into());
            }
            TransferStatus::Pending => {}
        }
        self.staged.remove_timeout(id, expires_ms);
        self.with_accounts(transfer)
    }

    fn with_accounts(&self, transfer: Transfer) -> Result<(Transfer, Account, Account, u64), LedgerError> {
        let debit = self.staged.account(&transfer.debit)?.ok_or(Refusal::UnknownDebitAccount)?;
        let credit = self.staged.account(&transfer.credit)?.ok_or(Refusal::UnknownCreditAccount)?;
        let amount = u64::try_from(transfer.amount_minor).map_err(|_| Refusal::AmountNegative)?;
        Ok((transfer, debit, credit, amount))
    }

    fn expire(&mut self, id: &TransferId) -> Result<(), LedgerError> {
        let Some(transfer) = self.staged.transfer(id)? else { return Ok(()) };
        if transfer.status != TransferStatus::Pending {
            return Ok(());
        }
        let (mut transfer, mut debit, mut credit, amount) = self.with_accounts(transfer)?;
        release(&mut debit, &mut credit, amount)?;
        transfer.status = TransferStatus::Expired;
        self.finish(transfer, &debit, &credit)
    }

    /// Forgets a receipt, unless its key has been used anew since this index row was written.
    fn forget(&mut self, row: Vec<u8>, now_ms: i64) -> Result<(), LedgerError> {
        let stored: Option<StoredReceipt> = self.staged.get(&row)?;
        if stored.is_some_and(|stored| stored.expires_ms <= now_ms) {
            self.staged.remove(row);
        }
        Ok(())
    }

    fn remember(&mut self, receipt: &Receipt, answer: &Result<Booked, Refusal>) -> Result<(), LedgerError> {
        let expires_ms = self.at_ms.saturating_add(RECEIPT_KEPT_MS);
        let stored = StoredReceipt { fingerprint: receipt.fingerprint, expires_ms, answer: answer.clone() };
        self.staged.put_receipt(&receipt.customer, &receipt.key, &stored, expires_ms)
    }

    /// Books the amount on both accounts and writes an entry for each.
    fn enter(
        &mut self,
        transfer: &Transfer,
        debit: &mut Account,
        credit: &mut Account,
        amount: u64,
    ) -> Result<(), LedgerError> {
        debit.debits_posted = sum(debit.debits_posted, amount)?;
        credit.credits_posted = sum(credit.credits_posted, amount)?;
        for (account, sign, other) in [(debit, -1, &transfer.credit), (credit, 1, &transfer.debit)] {
            account.entries = sum(account.entries, 1)?;
            let entry = Entry {
                number: account.entries,
                transfer: transfer.id.clone(),
                at_ms: self.at_ms,
                amount_minor: sign * transfer.amount_minor,
                balance_minor: account.balance(),
                counterparty: other.clone(),
                category: transfer.category,
                memo: transfer.memo.clone(),
            };
            self.staged.put_entry(&account.id, &entry)?;
            self.postings.push(Posting { owner: account.owner.clone(), account: account.id.clone(), entry });
        }
        Ok(())
    }

    fn finish(&mut self, transfer: Transfer, debit: &Account, credit: &Account) -> Result<(), LedgerError> {
        self.staged.put_account(debit)?;
        self.staged.put_account(credit)?;
        self.staged.put_transfer(&transfer)?;
        self.booked.transfers.push(transfer);
        Ok(())
    }
}

/// What can be said of a transfer without looking anything up; gives the amount.
fn check_form(new: &NewTransfer) -> Result<u64, Refusal> {
    if new.memo.len() > MEMO_BYTES_MAX {
        return Err(Refusal::TextTooLong);
    }
    match new.amount_minor {
        ..0 => return Err(Refusal::AmountNegative),
        0 => return Err(Refusal::AmountZero),
        amount if amount > AMOUNT_MINOR_MAX => return Err(Refusal::AmountTooLarge),
        _ => {}
    }
    if new.debit == new.credit {
        return Err(Refusal::SameAccount);
    }
    Ok(new.amount_minor.unsigned_abs())
}

/// The id is taken: by the same transfer, or by another?
fn check_same(found: &Transfer, new: &NewTransfer, reverses: Option<&TransferId>) -> Result<(), Refusal> {
    let timeout_ms = found.expires_ms.map(|expires_ms| expires_ms.saturating_sub(found.created_ms));
    let same_details = found.category == new.category
        && found.memo == new.memo
        && timeout_ms == new.timeout_ms
        && found.reverses.as_ref() == reverses;
    let faults = [
        (found.debit != new.debit, Refusal::ExistsWithDifferentDebitAccount),
        (found.credit != new.credit, Refusal::ExistsWithDifferentCreditAccount),
        (found.amount_minor != new.amount_minor, Refusal::ExistsWithDifferentAmount),
        (found.currency != new.currency, Refusal::ExistsWithDifferentCurrency),
        (!same_details, Refusal::ExistsWithDifferentDetails),
    ];
    first_fault(faults)
}

fn check_accounts(new: &NewTransfer, debit: &Account, credit: &Account) -> Result<(), Refusal> {
    first_fault([
        (debit.currency != new.currency || credit.currency != new.currency, Refusal::WrongCurrency),
        (debit.closed, Refusal::DebitAccountClosed),
        (credit.closed, Refusal::CreditAccountClosed),
    ])
}

/// Whether both accounts have room for the amount, pending transfers counted as if they were posted.
fn check_room(debit: &Account, credit: &Account, amount: u64) -> Result<(), Refusal> {
    let taken = debit.debits_posted.saturating_add(debit.debits_pending).saturating_add(amount);
    let given = credit.credits_posted.saturating_add(credit.credits_pending).saturating_add(amount);
    let must_cover = matches!(debit.kind, AccountKind::Current | AccountKind::Savings);
    first_fault([
        (must_cover && taken > debit.credits_posted, Refusal::InsufficientFunds),
        (credit.kind == AccountKind::Loan && given > credit.debits_posted, Refusal::ExceedsDebt),
        (taken > TOTAL_MAX || given > TOTAL_MAX, Refusal::Overflow),
    ])
}

fn first_fault<const N: usize>(faults: [(bool, Refusal); N]) -> Result<(), Refusal> {
    match faults.into_iter().find(|(fault, _)| *fault) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}

fn sum(total: u64, amount: u64) -> Result<u64, Refusal> {
    total.checked_add(amount).filter(|sum| *sum <= TOTAL_MAX).ok_or(Refusal::Overflow)
}

/// Takes a reservation off both accounts.
fn release(debit: &mut Account, credit: &mut Account, amount: u64) -> Result<(), LedgerError> {
    let broken = || LedgerError::Store("a pending transfer is missing from its account".to_owned());
    debit.debits_pending = debit.debits_pending.checked_sub(amount).ok_or_else(broken)?;
    credit.credits_pending = credit.credits_pending.checked_sub(amount).ok_or_else(broken)?;
    Ok(())
}
