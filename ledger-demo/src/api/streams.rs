//! Customers who listen: how many there may be, and what each of them hears.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Problem;
use crate::banking::Bank;
use crate::ledger::{CustomerId, Posting};

/// Streams of one customer: a few browser windows and a program or two.
const STREAMS_PER_CUSTOMER_MAX: usize = 8;
/// Streams of all customers.
const STREAMS_MAX: usize = 2_000;
/// After this a listener has to come again. The gateway ends a stream with its token; this is for whoever it forgets.
const STREAM_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Who listens now.
#[derive(Clone)]
pub(super) struct Streams {
    closing: watch::Receiver<bool>,
    open: Arc<Mutex<HashMap<CustomerId, usize>>>,
}

impl Streams {
    pub(super) fn new(closing: watch::Receiver<bool>) -> Self {
        Self { closing, open: Arc::default() }
    }

    /// Lets the customer listen to the entries of their own accounts.
    ///
    /// # Errors
    /// [`Problem::Busy`] when they, or all together, have as many streams as there may be.
    pub(super) fn feed(&self, bank: &Bank, customer: &CustomerId) -> Result<Feed, Problem> {
        let place = self.place(customer)?;
        Ok(Feed {
            postings: bank.subscribe(),
            closing: self.closing.clone(),
            ends: Instant::now() + STREAM_LIFETIME,
            place,
        })
    }

    fn place(&self, customer: &CustomerId) -> Result<Place, Problem> {
        let mut open = self.open.lock();
        if open.values().sum::<usize>() >= STREAMS_MAX {
            return Err(Problem::Busy);
        }
        let streams = open.entry(customer.clone()).or_default();
        if *streams >= STREAMS_PER_CUSTOMER_MAX {
            return Err(Problem::Busy);
        }
        *streams += 1;
        Ok(Place { customer: customer.clone(), open: self.open.clone() })
    }
}

/// One stream's place; given back when it is dropped.
struct Place {
    customer: CustomerId,
    open: Arc<Mutex<HashMap<CustomerId, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(streams) = open.get_mut(&self.customer) {
            *streams = streams.saturating_sub(1);
            if *streams == 0 {
                open.remove(&self.customer);
            }
        }
    }
}

/// What a listener hears.
#[derive(Debug)]
pub(super) enum News {
    /// An entry of an account of theirs.
    Entry(Arc<Posting>),
    /// The listener was too slow and missed some: read the accounts again.
    Missed,
}

/// One customer's news. Ends with its lifetime, or when the bank closes.
pub(super) struct Feed {
    postings: Receiver<Arc<Posting>>,
    closing: watch::Receiver<bool>,
    ends: Instant,
    place: Place,
}

impl Feed {
    /// The next news; `None` at the end. May be cancelled without losing any.
    pub(super) async fn next(&mut self) -> Option<News> {
        loop {
            let received = tokio::select! {
                received = self.postings.recv() => received,
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = tokio::time::sleep_until(self.ends) => return None,
            };
            match received {
                Ok(posting) if posting.owner.as_ref() == Some(&self.place.customer) => {
                    return Some(News::Entry(posting));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(News::Missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
