//! New entries as they are booked, as server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::json;

use super::accounts::EntryBody;
use super::permitted::{AccountsRead, Permitted};
use super::streams::News;
use super::{ApiState, Problem};
use crate::ledger::CustomerId;

/// An event `entry` with the account and the entry, or `missed` when the listener was too slow and should read again.
pub(super) async fn events(
    State(state): State<ApiState>,
    permitted: Permitted<AccountsRead>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let customer = permitted.customer().clone();
    let feed = state.streams.feed(&state.bank, &customer)?;
    let events = unfold((feed, customer), async |(mut feed, customer)| {
        let news = feed.next().await?;
        Some((Ok(event(&customer, news)), (feed, customer)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn event(customer: &CustomerId, news: News) -> Event {
    match news {
        News::Entry(posting) => {
            let entry = EntryBody::new(customer, posting.entry.clone());
            let data = json!({"account": posting.account, "entry": entry});
            Event::default().event("entry").data(data.to_string())
        }
        News::Missed => Event::default().event("missed").data("{}"),
    }
}
