//! What the admin API asks of the gateway: the traits of [`admin::ports`], answered from the core.

mod cases;
mod log;
mod models;
mod people;
mod views;

use std::sync::Arc;

use admin::ports::Answer;
use admin::{AdminState, Settings};

use crate::config::Admin;
use crate::gateway::Core;

/// Answers every port from one core.
#[derive(Clone)]
pub struct Ports {
    core: Arc<Core>,
}

/// The admin API's state.
///
/// # Errors
/// The console's address cannot be used for logging in.
pub fn state(core: &Arc<Core>, admin: &Admin) -> anyhow::Result<AdminState> {
    let ports = Arc::new(Ports { core: Arc::clone(core) });
    let people = Arc::new(people::People::new(Arc::clone(core), admin)?);
    Ok(AdminState {
        clock: Arc::clone(&core.clock),
        authenticator: people.clone(),
        login: people.clone(),
        decisions: Arc::new(core.log.clone()),
        feed: log::feed(core),
        figures: ports.clone(),
        capacity: ports.clone(),
        models: ports.clone(),
        labels: ports.clone(),
        policies: ports.clone(),
        sessions: people.clone(),
        revocations: people,
        cases: ports.clone(),
        limits: ports.clone(),
        config: ports.clone(),
        trail: ports.clone(),
        proof: ports,
        settings: Settings {
            origins: vec![admin.external_url.origin().ascii_serialization()],
            ..Settings::default()
        },
    })
}

/// An answer that is there already.
fn ready<'a, T: Send + 'a, E: Send + 'a>(answer: Result<T, E>) -> Answer<'a, T, E> {
    Box::pin(std::future::ready(answer))
}
