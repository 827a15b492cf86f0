//! `/api/v1/stream`: everything the console shows live, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use learner::capacity::PoolSnapshot;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::access::Need;
use crate::gate::Permit;
use crate::ports::FeedItem;
use crate::refusal::{Problem, Refusal};
use crate::routes::decisions::DecisionRow;
use crate::state::{App, Shared};

const FIGURES_EVERY: Duration = Duration::from_secs(1);
/// How long decisions are gathered before they are sent: a flood must not drown a browser.
const GATHER: Duration = Duration::from_millis(400);
/// Decisions in one event; the others of that moment are counted.
const DECISIONS_MAX: usize = 25;
/// Points of the chart sent each time; the rest the console has.
const POINTS: usize = 3;

/// Events `figures`, `capacity`, `decisions` and, before the stream ends because the caller's token did, `end`.
#[utoipa::path(get, path = "/api/v1/stream", tag = "live", responses(
    (status = 200, description = "Server-sent events", content_type = "text/event-stream"),
    (status = 503, description = "Too many streams", body = Problem),
))]
pub(crate) async fn stream(State(app): Shared, permit: Permit) -> Result<Response, Refusal> {
    let room = app.streams.clone().try_acquire_owned().map_err(|_| Refusal::Busy("event streams"))?;
    let feed = Feed::new(app, permit, room);
    let events = stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        let (event, last) = feed.next().await;
        Some((Ok::<_, Infallible>(event), (!last).then_some(feed)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// One console's stream.
struct Feed {
    app: Arc<App>,
    permit: Permit,
    decisions: Option<broadcast::Receiver<Arc<FeedItem>>>,
    gathered: Gathered,
    figures_at: Interval,
    send_at: Interval,
    judge_at: Interval,
    capacity_due: bool,
    _room: OwnedSemaphorePermit,
}

#[derive(Default, Serialize)]
struct Gathered {
    /// Newest last.
    decisions: Vec<DecisionRow>,
    /// Decisions of this moment that are not among them.
    skipped: u64,
}

impl Gathered {
    fn push(&mut self, item: &FeedItem) {
        if self.decisions.len() == DECISIONS_MAX {
            // What was merely allowed gives way to what was not.
            let place = self.decisions.iter().position(|row| row.outcome.forwards()).unwrap_or(0);
            self.decisions.remove(place);
            self.skipped += 1;
        }
        self.decisions.push(DecisionRow::of(item.position, &item.record));
    }
}

/// A pool now, without its history.
#[derive(Serialize)]
struct PoolNow(serde_json::Value);

impl PoolNow {
    fn of(pool: PoolSnapshot) -> Self {
        let last = pool.history.last().cloned();
        let slim = PoolSnapshot { history: last.into_iter().collect(), latest: Vec::new(), ..pool };
        Self(serde_json::to_value(slim).unwrap_or_default())
    }
}

impl Feed {
    fn new(app: Arc<App>, permit: Permit, room: OwnedSemaphorePermit) -> Self {
        let every = |period| {
            let mut interval = tokio::time::interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let mut figures_at = every(FIGURES_EVERY);
        figures_at.reset_immediately();
        Self {
            decisions: Some(app.ports.feed.subscribe()),
            judge_at: every(app.ports.settings.stream_recheck),
            app,
            permit,
            gathered: Gathered::default(),
            figures_at,
            send_at: every(GATHER),
            capacity_due: false,
            _room: room,
        }
    }

    /// The next event, and whether it is the last.
    async fn next(&mut self) -> (Event, bool) {
        loop {
            if std::mem::take(&mut self.capacity_due)
                && let Some(event) = self.capacity().await
            {
                return (event, false);
            }
            tokio::select! {
                biased;
                _ = self.judge_at.tick() => {
                    if let Err(reason) = self.still_welcome().await {
                        return (Event::default().event("end").data(reason), true);
                    }
                }
                _ = self.figures_at.tick() => {
                    self.capacity_due = true;
                    if let Some(event) = self.figures().await {
                        return (event, false);
                    }
                }
                _ = self.send_at.tick() => {
                    let gathered = std::mem::take(&mut self.gathered);
                    if (!gathered.decisions.is_empty() || gathered.skipped > 0)
                        && let Ok(event) = Event::default().event("decisions").json_data(gathered)
                    {
                        return (event, false);
                    }
                }
                received = receive(&mut self.decisions) => match received {
                    Ok(item) => self.gathered.push(&item),
                    Err(broadcast::error::RecvError::Lagged(lost)) => self.gathered.skipped += lost,
                    Err(broadcast::error::RecvError::Closed) => self.decisions = None,
                },
            }
        }
    }

    async fn figures(&self) -> Option<Event> {
        let mut figures = self.app.ports.figures.live().await.ok()?;
        let old = figures.points.len().saturating_sub(POINTS);
        figures.points.drain(..old);
        Event::default().event("figures").json_data(figures).ok()
    }

    async fn capacity(&self) -> Option<Event> {
        let pools = self.app.ports.capacity.pools().await.ok()?;
        let now: Vec<PoolNow> = pools.into_iter().map(PoolNow::of).collect();
        Event::default().event("capacity").json_data(now).ok()
    }

    /// A stream must not outlive what let it in.
    async fn still_welcome(&self) -> Result<(), &'static str> {
        let now_ms = self.app.now_ms();
        if let Some((key, _)) = self.permit.proof().session()
            && !self.app.console.is_live(key, now_ms)
        {
            return Err("auth.session_ended");
        }
        let token = self.permit.proof().token().expose_secret();
        match self.app.ports.authenticator.authenticate(token).await {
            Ok(operator) if operator.expires_at.saturating_mul(1000) <= now_ms => Err("auth.expired"),
            Ok(operator) if !Need::Read.met_by(&operator) => Err("auth.role"),
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::Token(error).reason()),
        }
    }
}

/// The next decision; never, once the feed is closed.
async fn receive(
    feed: &mut Option<broadcast::Receiver<Arc<FeedItem>>>,
) -> Result<Arc<FeedItem>, broadcast::error::RecvError> {
    match feed {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
