//! One request as its connection sees it: whether its head has been read, and what ends it from outside.
//!
//! Pingora's hooks run in the task that serves the connection, so they find the exchange in that task.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use parking_lot::Mutex;

use super::Remote;

tokio::task_local! {
    static EXCHANGE: Exchange;
}

type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One request and its response; on HTTP/1 one after the other of a connection.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Shared>);

#[derive(Default)]
struct Shared {
    remote: Remote,
    entered: AtomicBool,
    ending: Mutex<Option<Ending>>,
}

impl Exchange {
    /// The exchange that this task serves; one of its own where there is no connection.
    pub fn current() -> Self {
        EXCHANGE.try_with(Self::clone).unwrap_or_default()
    }

    /// An exchange on a connection with `remote`.
    pub(super) fn of(remote: Remote) -> Self {
        Self(Arc::new(Shared { remote, ..Shared::default() }))
    }

    /// The other end of its connection.
    pub fn remote(&self) -> Remote {
        self.0.remote
    }

    /// The head has been read and is a request.
    pub fn enter(&self) {
        self.0.entered.store(true, Ordering::Release);
    }

    /// Whether the head has been read.
    pub fn has_entered(&self) -> bool {
        self.0.entered.load(Ordering::Acquire)
    }

    /// Ends the exchange, with its connection or HTTP/2 stream, as soon as `ending` does. To be called by the request
    /// itself, which is then dropped wherever it stands: one that waits for bytes which never come ends too.
    pub fn ends_with(&self, ending: impl Future<Output = ()> + Send + 'static) {
        *self.0.ending.lock() = Some(Box::pin(ending));
    }

    /// Makes ready for the next request of the connection.
    pub(super) fn renew(&self) {
        self.0.entered.store(false, Ordering::Release);
        *self.0.ending.lock() = None;
    }

    /// Serves `request` until it is done, or until what it was tied to has ended.
    pub(super) async fn serve<T>(&self, request: impl Future<Output = Option<T>>) -> Option<T> {
        let mut request = pin!(EXCHANGE.scope(self.clone(), request));
        let mut ending: Option<Ending> = None;
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = request.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            // Only the request ties itself, so looking after each of its turns misses nothing.
            if let Some(newest) = self.0.ending.lock().take() {
                ending = Some(newest);
            }
            match ending.as_mut().map(|ending| ending.as_mut().poll(context)) {
                Some(Poll::Ready(())) => Poll::Ready(None),
                Some(Poll::Pending) | None => Poll::Pending,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_request_that_waits_for_ever_ends_with_what_it_is_tied_to() {
        let (end, ended) = oneshot::channel::<()>();
        let exchange = Exchange::default();
        let serving = exchange.serve(async {
            Exchange::current().ends_with(async { _ = ended.await });
            Exchange::current().enter();
            std::future::pending::<Option<()>>().await
        });
        let mut serving = pin!(serving);
        assert!(futures_util::poll!(serving.as_mut()).is_pending());
        assert!(exchange.has_entered());
        end.send(()).unwrap();
        assert_eq!(serving.await, None);
    }

    #[tokio::test]
    async fn the_next_request_is_not_tied() {
        let exchange = Exchange::default();
        exchange.ends_with(async {});
        exchange.renew();
        assert!(!exchange.has_entered());
        let next = exchange.serve(async {
            tokio::task::yield_now().await;
            Some(1)
        });
        assert_eq!(next.await, Some(1));
    }
}
