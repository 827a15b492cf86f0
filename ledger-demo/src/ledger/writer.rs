//! The one thread that writes.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::booking::{self, Settled};
use super::books::Books;
use super::store::Rows;
use super::{Booked, Command, LedgerError, Posting};

/// Most commands that share one flush.
const GROUP_COMMANDS_MAX: usize = 256;

pub(super) enum Job {
    Book { command: Command, reply: oneshot::Sender<Result<Booked, LedgerError>> },
    Books { reply: oneshot::Sender<Result<Books, LedgerError>> },
}

type Answered = (oneshot::Sender<Result<Booked, LedgerError>>, Result<Booked, LedgerError>);

pub(super) fn start(
    rows: Rows,
    jobs: mpsc::Receiver<Job>,
    postings: broadcast::Sender<Arc<Posting>>,
) -> Result<JoinHandle<()>, LedgerError> {
    std::thread::Builder::new()
        .name("ledger-writer".to_owned())
        .spawn(move || run(&rows, jobs, &postings))
        .map_err(|e| LedgerError::Store(e.to_string()))
}

/// Takes what waits, books it in order, flushes once, answers everybody. After a failure of the store it ends: what the
/// tree then holds in memory may not be on disk, so nothing may be booked upon it.
fn run(rows: &Rows, mut jobs: mpsc::Receiver<Job>, postings: &broadcast::Sender<Arc<Posting>>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_COMMANDS_MAX {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        if let Err(error) = work(rows, group, postings) {
            tracing::error!(%error, "the ledger stops: its store failed");
            return;
        }
    }
}

fn work(rows: &Rows, group: Vec<Job>, postings: &broadcast::Sender<Arc<Posting>>) -> Result<(), LedgerError> {
    let mut answers: Vec<Answered> = Vec::with_capacity(group.len());
    let mut news = Vec::new();
    for job in group {
        match job {
            Job::Book { command, reply } => {
                // An error here drops every reply of the group: their callers hear that it is not known what was booked.
                let Settled { answer, postings } = booking::settle(rows, &command)?;
                news.extend(postings);
                answers.push((reply, answer.map_err(LedgerError::Refused)));
            }
            Job::Books { reply } => {
                let _ = reply.send(Books::read(rows));
            }
        }
    }
    if !answers.is_empty() {
        rows.flush()?;
    }
    for posting in news {
        // Nobody listening is no fault.
        let _ = postings.send(Arc::new(posting));
    }
    for (reply, answer) in answers {
        let _ = reply.send(answer);
    }
    Ok(())
}
