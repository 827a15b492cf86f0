//! The rows in sled, and changes to them that are staged until they are written as one batch.
//!
//! | key | row |
//! |---|---|
//! | `a` account | [`Account`] |
//! | `t` transfer | [`Transfer`] |
//! | `e` account `0` number | [`Entry`] |
//! | `o` owner `0` account | nothing: the index of a customer's accounts |
//! | `r` customer `0` key | an idempotency receipt and its answer |
//! | `d` time `t`/`r` key | nothing: the index of what falls due |
//! | `k` name | a document of the services above |

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Account, AccountId, CustomerId, Entry, LedgerError, Transfer, TransferId};

fn store_error(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Store(error.to_string())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LedgerError> {
    serde_json::from_slice(bytes).map_err(store_error)
}

/// The ledger's tree, for reading.
#[derive(Clone)]
pub(super) struct Rows {
    tree: sled::Tree,
}

impl Rows {
    pub(super) fn open(db: &sled::Db) -> Result<Self, LedgerError> {
        Ok(Self { tree: db.open_tree("ledger").map_err(store_error)? })
    }

    /// Makes everything applied so far survive the end of the process.
    pub(super) fn flush(&self) -> Result<(), LedgerError> {
        self.tree.flush().map(|_| ()).map_err(store_error)
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, LedgerError> {
        self.tree.get(key).map_err(store_error)?.map(|bytes| decode(&bytes)).transpose()
    }

    fn scan<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<T, LedgerError>> + use<T> {
        self.tree.scan_prefix(prefix).values().map(|value| decode(&value.map_err(store_error)?))
    }

    pub(super) fn account(&self, id: &AccountId) -> Result<Option<Account>, LedgerError> {
        self.get(&account_key(id))
    }

    pub(super) fn transfer(&self, id: &TransferId) -> Result<Option<Transfer>, LedgerError> {
        self.get(&transfer_key(id))
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = Result<Account, LedgerError>> + use<> {
        self.scan(b"a")
    }

    pub(super) fn transfers(&self) -> impl Iterator<Item = Result<Transfer, LedgerError>> + use<> {
        self.scan(b"t")
    }

    /// All entries of an account, oldest first.
    pub(super) fn entries_of(
        &self,
        account: &AccountId,
    ) -> impl Iterator<Item = Result<Entry, LedgerError>> + use<> {
        self.scan(&joined(b'e', account.as_str(), b""))
    }

    pub(super) fn accounts_of(&self, owner: &CustomerId) -> Result<Vec<Account>, LedgerError> {
        let prefix = joined(b'o', owner.as_str(), b"");
        let mut accounts = Vec::new();
        for key in self.tree.scan_prefix(&prefix).keys() {
            let key = key.map_err(store_error)?;
            let id = key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default();
            let id = AccountId::new(id).map_err(store_error)?;
            accounts.extend(self.account(&id)?);
        }
        Ok(accounts)
    }

    pub(super) fn entries(
        &self,
        account: &AccountId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        let first = entry_key(account, 0);
        let end = entry_key(account, before.unwrap_or(u64::MAX));
        if end <= first {
            return Ok(Vec::new());
        }
        let newest_first = self.tree.range(first..end).rev().take(limit);
        newest_first.map(|row| decode(&row.map_err(store_error)?.1)).collect()
    }

    pub(super) fn kept(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.tree.get(kept_key(key)).map_err(store_error)?.map(|value| value.to_vec()))
    }

    /// What falls due at or before `now_ms`, earliest first, at most `limit`.
    pub(super) fn due(&self, now_ms: i64, limit: usize) -> Result<Vec<Due>, LedgerError> {
        let end = due_time(now_ms.saturating_add(1));
        let range = (Bound::Included(b"d".to_vec()), Bound::Excluded(end));
        let keys = self.tree.range::<Vec<u8>, _>(range).keys().take(limit);
        keys.map(|key| Due::from_key(&key.map_err(store_error)?)).collect()
    }

    pub(super) fn stage(&self) -> Staged<'_> {
        Staged { rows: self, writes: BTreeMap::new() }
    }
}

/// Something with a time: a pending transfer or a receipt.
pub(super) struct Due {
    pub(super) index_key: Vec<u8>,
    pub(super) what: DueKind,
}

pub(super) enum DueKind {
    Transfer(TransferId),
    Receipt(Vec<u8>),
}

impl Due {
    fn from_key(key: &[u8]) -> Result<Self, LedgerError> {
        let broken = || LedgerError::Store("broken key in the index of what falls due".to_owned());
        let (kind, rest) = key.get(9..).and_then(<[u8]>::split_first).ok_or_else(broken)?;
        let what = match kind {
            b't' => {
                let id = std::str::from_utf8(rest).map_err(|_| broken())?;
                DueKind::Transfer(TransferId::new(id).map_err(|_| broken())?)
            }
            b'r' => DueKind::Receipt(rest.to_vec()),
            _ => return Err(broken()),
        };
        Ok(Self { index_key: key.to_vec(), what })
    }
}

/// Changes on top of the rows; dropped without a trace, or written as one atomic batch.
pub(super) struct Staged<'a> {
    rows: &'a Rows,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Staged<'_> {
    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, LedgerError> {
        match self.writes.get(key) {
            Some(staged) => staged.as_deref().map(decode).transpose(),
            None => self.rows.get(key),
        }
    }

    fn put<T: Serialize>(&mut self, key: Vec<u8>, row: &T) -> Result<(), LedgerError> {
        self.writes.insert(key, Some(serde_json::to_vec(row).map_err(store_error)?));
        Ok(())
    }

    pub(super) fn account(&self, id: &AccountId) -> Result<Option<Account>, LedgerError> {
        self.get(&account_key(id))
    }

    pub(super) fn put_account(&mut self, account: &Account) -> Result<(), LedgerError> {
        if let Some(owner) = &account.owner {
            self.writes
                .insert(joined(b'o', owner.as_str(), account.id.as_str().as_bytes()), Some(Vec::new()));
        }
        self.put(account_key(&account.id), account)
    }

    pub(super) fn transfer(&self, id: &TransferId) -> Result<Option<Transfer>, LedgerError> {
        self.get(&transfer_key(id))
    }

    pub(super) fn put_transfer(&mut self, transfer: &Transfer) -> Result<(), LedgerError> {
        self.put(transfer_key(&transfer.id), transfer)
    }

    pub(super) fn put_entry(&mut self, account: &AccountId, entry: &Entry) -> Result<(), LedgerError> {
        self.put(entry_key(account, entry.number), entry)
    }

    pub(super) fn kept(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        match self.writes.get(&kept_key(key)) {
            Some(staged) => Ok(staged.clone()),
            None => self.rows.kept(key),
        }
    }

    pub(super) fn keep(&mut self, key: &str, value: Vec<u8>) {
        self.writes.insert(kept_key(key), Some(value));
    }

    pub(super) fn receipt<T: DeserializeOwned>(
        &self,
        customer: &CustomerId,
        key: &str,
    ) -> Result<Option<T>, LedgerError> {
        self.get(&joined(b'r', customer.as_str(), key.as_bytes()))
    }

    pub(super) fn put_receipt<T: Serialize>(
        &mut self,
        customer: &CustomerId,
        key: &str,
        receipt: &T,
        expires_ms: i64,
    ) -> Result<(), LedgerError> {
        let row = joined(b'r', customer.as_str(), key.as_bytes());
        self.writes.insert(due_key(expires_ms, b'r', &row), Some(Vec::new()));
        self.put(row, receipt)
    }

    pub(super) fn put_timeout(&mut self, transfer: &TransferId, expires_ms: i64) {
        self.writes.insert(due_key(expires_ms, b't', transfer.as_str().as_bytes()), Some(Vec::new()));
    }

    pub(super) fn remove_timeout(&mut self, transfer: &TransferId, expires_ms: i64) {
        self.remove(due_key(expires_ms, b't', transfer.as_str().as_bytes()));
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Writes everything staged as one atomic batch.
    pub(super) fn apply(self) -> Result<(), LedgerError> {
        let mut batch = sled::Batch::default();
        for (key, value) in self.writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.rows.tree.apply_batch(batch).map_err(store_error)
    }
}

fn prefixed(prefix: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(prefix);
    key.extend_from_slice(rest);
    key
}

/// `prefix name 0 rest`; no id holds a zero byte, so no name can reach into another's range.
fn joined(prefix: u8, name: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = prefixed(prefix, name.as_bytes());
    key.push(0);
    key.extend_from_slice(rest);
    key
}

fn account_key(id: &AccountId) -> Vec<u8> {
    prefixed(b'a', id.as_str().as_bytes())
}

fn transfer_key(id: &TransferId) -> Vec<u8> {
    prefixed(b't', id.as_str().as_bytes())
}

fn entry_key(account: &AccountId, number: u64) -> Vec<u8> {
    joined(b'e', account.as_str(), &number.to_be_bytes())
}

fn kept_key(key: &str) -> Vec<u8> {
    prefixed(b'k', key.as_bytes())
}

/// The sign bit is flipped so that the bytes sort as the numbers do.
fn due_time(at_ms: i64) -> Vec<u8> {
    prefixed(b'd', &(at_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes())
}

fn due_key(at_ms: i64, kind: u8, key: &[u8]) -> Vec<u8> {
    let mut due = due_time(at_ms);
    due.push(kind);
    due.extend_from_slice(key);
    due
}
