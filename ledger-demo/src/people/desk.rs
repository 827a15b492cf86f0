//! Where people wait while passwords are hashed.
//!
//! A hash takes 19 MiB and a processor for tens of milliseconds, so only a few are made at once. Some more people wait
//! their turn; whoever comes while all places are taken is told to come again, rather than joining a queue without end.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Every place is taken, or the work failed: come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many people at once; try again in a moment")]
pub struct Busy;

/// A bounded queue before a bounded number of threads. Cheap to clone; clones share the places.
#[derive(Clone)]
pub(super) struct Desk {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(at_once.saturating_add(waiting_max)));
        Self { places, turns: Arc::new(Semaphore::new(at_once)) }
    }

    /// Does `work`, which may block, in turn. Once begun it keeps its turn to its end, also when the client has gone:
    /// connections that are opened and dropped again get no more done at once than others.
    pub(super) async fn serve<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let _until_done = (place, turn);
            work()
        });
        done.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::Poll;

    use futures_util::future::join_all;

    use super::*;

    async fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }

    #[tokio::test]
    async fn so_many_wait_and_the_rest_come_again() {
        let desk = Desk::new(2, 3);
        let (open, door) = mpsc::channel::<()>();
        let door = Arc::new(parking_lot::Mutex::new(door));
        let mut crowd: Vec<_> = (0..8)
            .map(|number| {
                let door = Arc::clone(&door);
                Box::pin(desk.serve(move || {
                    let _ = door.lock().recv();
                    number
                }))
            })
            .collect();
        let mut turned_away = 0;
        for person in &mut crowd {
            turned_away += usize::from(poll(person).await == Poll::Ready(Err(Busy)));
        }
        assert_eq!(turned_away, 3, "two are served, three wait");
        drop(open);
        assert_eq!(join_all(crowd.into_iter().take(5)).await, (0..5).map(Ok).collect::<Vec<_>>());
        assert_eq!(desk.serve(|| 9).await, Ok(9), "afterwards there is room again");
    }

    #[tokio::test]
    async fn who_leaves_early_keeps_the_turn_until_the_work_is_done() {
        let desk = Desk::new(1, 0);
        let (open, door) = mpsc::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut leaving = Box::pin(desk.serve(move || {
            let _ = door.recv();
            let _ = tell.send(());
        }));
        assert_eq!(poll(&mut leaving).await, Poll::Pending);
        drop(leaving);
        assert_eq!(desk.serve(|| ()).await, Err(Busy), "the thread is still at work");
        drop(open);
        told.await.unwrap();
        while desk.serve(|| ()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_that_fails_gives_its_place_back() {
        let desk = Desk::new(1, 0);
        assert_eq!(desk.serve(|| panic!("broken")).await, Err::<(), _>(Busy));
        assert_eq!(desk.serve(|| 1).await, Ok(1));
    }
}
