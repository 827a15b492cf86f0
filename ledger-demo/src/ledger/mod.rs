//! A double-entry ledger over sled.
//!
//! Every transfer takes an amount from one account and gives it to another, so the sum over all accounts of a currency is
//! always zero. One thread writes: a command is checked completely before anything of it is written, what it writes is one
//! atomic batch, and nothing is acknowledged before it is flushed. Commands that wait together share one flush.

mod booking;
mod books;
mod ids;
mod model;
mod refusal;
mod store;
mod writer;

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot};

pub use books::{Books, CurrencyTotals};
pub use ids::{AccountId, Currency, CustomerId, IdError, TransferId};
pub use model::{
    AMOUNT_MINOR_MAX, Account, AccountKind, Category, Entry, MEMO_BYTES_MAX, NAME_BYTES_MAX, Transfer,
    TransferStatus,
};
pub use refusal::Refusal;

use store::Rows;
use writer::Job;

/// Commands that may wait for the writer; beyond it callers wait their turn.
const QUEUE_COMMANDS_MAX: usize = 1_024;
/// Postings that a slow subscriber may lag behind before it misses some.
const POSTINGS_KEPT_MAX: usize = 1_024;
/// Most operations of one command.
pub const COMMAND_OPERATIONS_MAX: usize = 4_096;

/// Why the ledger did not answer with a booking.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The operation was refused; nothing of its command was booked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger takes no more commands: it is closing, or its disk failed.
    #[error("the ledger takes no more commands")]
    Unavailable,
    /// What is stored could not be read or written.
    #[error("store: {0}")]
    Store(String),
}

/// An account to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Its id; opening the same account twice is one opening.
    pub id: AccountId,
    /// Whose it is; `None` for the bank's own and for outsiders.
    pub owner: Option<CustomerId>,
    /// What it is for.
    pub kind: AccountKind,
    /// A name for people, at most [`NAME_BYTES_MAX`].
    pub name: String,
    /// The only currency it holds.
    pub currency: Currency,
}

/// A transfer to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTransfer {
    /// Its id; booking the same transfer twice is one booking.
    pub id: TransferId,
    /// The account that gives.
    pub debit: AccountId,
    /// The account that gets.
    pub credit: AccountId,
    /// Minor units, 1..=[`AMOUNT_MINOR_MAX`].
    pub amount_minor: i64,
    /// The currency of both accounts.
    pub currency: Currency,
    /// What it is for.
    pub category: Category,
    /// A word to the payee, at most [`MEMO_BYTES_MAX`].
    pub memo: String,
    /// `None`: booked at once. `Some`: only reserved, and given back when not posted within so many milliseconds.
    pub timeout_ms: Option<i64>,
}

/// One step of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Opens an account.
    Open(NewAccount),
    /// Closes an account that is empty and has nothing pending.
    Close(AccountId),
    /// Books or reserves a transfer.
    Transfer(NewTransfer),
    /// Books a pending transfer.
    Post(TransferId),
    /// Gives a pending transfer back.
    Void(TransferId),
    /// Books the counter-entry of a posted transfer, under an id of its own.
    Reverse {
        /// The new transfer's id.
        id: TransferId,
        /// The transfer to take back.
        of: TransferId,
    },
    /// Keeps a document of the services above (a loan's terms) beside the bookings it belongs to. Written once.
    Keep {
        /// Its name.
        key: String,
        /// Its content.
        value: Vec<u8>,
    },
}

/// Makes a command idempotent by a key of the customer's: the same key and content get the same answer, the same key with
/// other content is [`Refusal::IdempotencyKeyReused`]. Remembered for a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose key.
    pub customer: CustomerId,
    /// The key.
    pub key: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
}

/// Operations that are booked all together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// In order; at most [`COMMAND_OPERATIONS_MAX`].
    pub operations: Vec<Operation>,
    /// The Idempotency-Key, if there is one.
    pub receipt: Option<Receipt>,
    /// When, unix milliseconds.
    pub at_ms: i64,
}

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Booked {
    /// The transfers made, posted, voided or found again, in the order of the operations.
    pub transfers: Vec<Transfer>,
    /// The accounts opened, closed or found again, in the order of the operations.
    pub accounts: Vec<Account>,
}

/// An entry that was just booked, for those who listen.
#[derive(Debug, Clone)]
pub struct Posting {
    /// Whose account; `None` for the bank's own and outsiders.
    pub owner: Option<CustomerId>,
    /// The account.
    pub account: AccountId,
    /// The entry.
    pub entry: Entry,
}

/// The ledger. Dropping it ends its writer after the commands that already wait.
pub struct Ledger {
    rows: Rows,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    postings: broadcast::Sender<Arc<Posting>>,
}

impl Ledger {
    /// Opens the ledger in `db` and starts its writer.
    ///
    /// # Errors
    /// [`LedgerError::Store`] when the tree cannot be opened or no thread can be started.
    pub fn open(db: &sled::Db) -> Result<Self, LedgerError> {
        let rows = Rows::open(db)?;
        let (jobs, waiting) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let (postings, _) = broadcast::channel(POSTINGS_KEPT_MAX);
        let writer = writer::start(rows.clone(), waiting, postings.clone())?;
        Ok(Self { rows, jobs: Some(jobs), writer: Mutex::new(Some(writer)), postings })
    }

    /// Books a command. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] when nothing was booked for a reason of the ledger's; [`LedgerError::Unavailable`] or
    /// [`LedgerError::Store`] when it is not known whether it was booked: ask again with the same ids or key.
    pub async fn submit(&self, command: Command) -> Result<Booked, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Book { command, reply }).await?;
        answer.await.map_err(|_| LedgerError::Unavailable)?
    }

    /// Books commands in this order, many to a flush; each gets its own answer, as from [`Ledger::submit`].
    pub async fn submit_in_order(
        &self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Vec<Result<Booked, LedgerError>> {
        let mut answers = Vec::new();
        for command in commands {
            let (reply, answer) = oneshot::channel();
            // Where sending fails, the reply is dropped with the job, and the answer below says so.
            let _ = self.send(Job::Book { command, reply }).await;
            answers.push(answer);
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(answer.await.unwrap_or(Err(LedgerError::Unavailable)));
        }
        results
    }

    /// Gives back pending transfers that have timed out and forgets old receipts, a bounded number at a time.
    ///
    /// # Errors
    /// As [`Ledger::submit`].
    pub async fn sweep(&self, now_ms: i64) -> Result<(), LedgerError> {
        self.submit(Command { operations: Vec::new(), receipt: None, at_ms: now_ms }).await.map(|_| ())
    }

    /// Reads the whole ledger between two commands and checks it: see [`Books`].
    ///
    /// # Errors
    /// [`LedgerError::Store`] when a row cannot be read.
    pub async fn books(&self) -> Result<Books, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Books { reply }).await?;
        answer.await.map_err(|_| LedgerError::Unavailable)?
    }

    /// Tells of every entry from now on, after it is on disk.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Posting>> {
        self.postings.subscribe()
    }

    /// Whether the writer still takes commands.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| !jobs.is_closed())
    }

    /// One account.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub fn account(&self, id: &AccountId) -> Result<Option<Account>, LedgerError> {
        self.rows.account(id)
    }

    /// A customer's accounts in order of their ids.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub fn accounts_of(&self, owner: &CustomerId) -> Result<Vec<Account>, LedgerError> {
        self.rows.accounts_of(owner)
    }

    /// All accounts, in order of their ids.
    pub fn accounts(&self) -> impl Iterator<Item = Result<Account, LedgerError>> + use<> {
        self.rows.accounts()
    }

    /// One transfer.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub fn transfer(&self, id: &TransferId) -> Result<Option<Transfer>, LedgerError> {
        self.rows.transfer(id)
    }

    /// All transfers, in order of their ids.
    pub fn transfers(&self) -> impl Iterator<Item = Result<Transfer, LedgerError>> + use<> {
        self.rows.transfers()
    }

    /// Entries of an account with a number below `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub fn entries(
        &self,
        account: &AccountId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        self.rows.entries(account, before, limit)
    }

    /// A document kept with [`Operation::Keep`].
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub fn kept(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.rows.kept(key)
    }

    async fn send(&self, job: Job) -> Result<(), LedgerError> {
        let jobs = self.jobs.as_ref().ok_or(LedgerError::Unavailable)?;
        jobs.send(job).await.map_err(|_| LedgerError::Unavailable)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Closing the queue ends the writer; waiting for it lets the store be opened again at once.
        self.jobs = None;
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}
