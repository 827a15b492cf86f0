//! The whole ledger read and checked against itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::store::Rows;
use super::{Account, AccountId, Currency, LedgerError, TransferStatus};

/// The totals of one currency over all accounts, minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CurrencyTotals {
    /// Accounts that hold it.
    pub accounts: u64,
    /// All posted debits.
    pub debits_posted: u128,
    /// All posted credits; equal to the debits, or the books do not balance.
    pub credits_posted: u128,
    /// All pending debits.
    pub debits_pending: u128,
    /// All pending credits; equal to the pending debits.
    pub credits_pending: u128,
}

/// The state of the whole ledger at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Totals by currency.
    pub totals: BTreeMap<Currency, CurrencyTotals>,
    /// How many transfers there are.
    pub transfers: u64,
    /// Every contradiction found; empty when the books are in order. At most a hundred are listed.
    pub faults: Vec<String>,
}

/// Beyond this many faults nobody reads on.
const FAULTS_MAX: usize = 100;

/// What the entries and transfers say an account's totals are.
#[derive(Default, PartialEq, Eq, Debug)]
struct Recount {
    debits_posted: u64,
    credits_posted: u64,
    debits_pending: u64,
    credits_pending: u64,
}

impl Books {
    /// Whether every total is what its entries and transfers say, and debits equal credits in every currency.
    #[must_use]
    pub fn in_order(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn read(rows: &Rows) -> Result<Self, LedgerError> {
        let mut books = Self::default();
        let mut recounts = books.recount_transfers(rows)?;
        for account in rows.accounts() {
            let account = account?;
            let recount = recounts.remove(&account.id).unwrap_or_default();
            books.check_account(rows, &account, &recount)?;
            let totals = books.totals.entry(account.currency).or_default();
            totals.accounts += 1;
            totals.debits_posted += u128::from(account.debits_posted);
            totals.credits_posted += u128::from(account.credits_posted);
            totals.debits_pending += u128::from(account.debits_pending);
            totals.credits_pending += u128::from(account.credits_pending);
        }
        for id in recounts.keys() {
            books.fault(format!("a transfer names the unknown account {id}"));
        }
        let unbalanced: Vec<Currency> = books
            .totals
            .iter()
            .filter(|(_, t)| t.debits_posted != t.credits_posted || t.debits_pending != t.credits_pending)
            .map(|(currency, _)| *currency)
            .collect();
        for currency in unbalanced {
            books.fault(format!("debits and credits of {currency} differ"));
        }
        Ok(books)
    }

    fn recount_transfers(&mut self, rows: &Rows) -> Result<BTreeMap<AccountId, Recount>, LedgerError> {
        let mut recounts: BTreeMap<AccountId, Recount> = BTreeMap::new();
        for transfer in rows.transfers() {
            let transfer = transfer?;
            self.transfers += 1;
            let amount = transfer.amount_minor.unsigned_abs();
            let pending = match transfer.status {
                TransferStatus::Posted => false,
                TransferStatus::Pending => true,
                TransferStatus::Voided | TransferStatus::Expired => continue,
            };
            let debit = recounts.entry(transfer.debit).or_default();
            *(if pending { &mut debit.debits_pending } else { &mut debit.debits_posted }) += amount;
            let credit = recounts.entry(transfer.credit).or_default();
            *(if pending { &mut credit.credits_pending } else { &mut credit.credits_posted }) += amount;
        }
        Ok(recounts)
    }

    fn check_account(
        &mut self,
        rows: &Rows,
        account: &Account,
        transfers: &Recount,
    ) -> Result<(), LedgerError> {
        let (mut number, mut balance, mut debits, mut credits) = (0_u64, 0_i64, 0_u64, 0_u64);
        for entry in rows.entries_of(&account.id) {
            let entry = entry?;
            number += 1;
            balance = balance.saturating_add(entry.amount_minor);
            let side = if entry.amount_minor < 0 { &mut debits } else { &mut credits };
            *side = side.saturating_add(entry.amount_minor.unsigned_abs());
            if entry.number != number || entry.balance_minor != balance {
                self.fault(format!("entry {number} of {} does not follow from the one before", account.id));
            }
        }
        let kept = Recount {
            debits_posted: account.debits_posted,
            credits_posted: account.credits_posted,
            debits_pending: account.debits_pending,
            credits_pending: account.credits_pending,
        };
        if kept != *transfers {
            self.fault(format!("{} has {kept:?}, its transfers say {transfers:?}", account.id));
        }
        if (debits, credits, number) != (account.debits_posted, account.credits_posted, account.entries) {
            self.fault(format!("the totals of {} are not those of its entries", account.id));
        }
        if account.owner.is_some()
            && !matches!(account.kind, super::AccountKind::Loan)
            && account.available() < 0
        {
            self.fault(format!("{} is overdrawn", account.id));
        }
        Ok(())
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }
}
