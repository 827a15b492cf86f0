//! Becoming a customer.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::body::Body;
use super::{ApiState, Problem};
use crate::ledger::CustomerId;
use crate::people::NewPerson;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterBody {
    username: String,
    password: String,
    name: String,
}

/// Registers a person and opens their first account, empty. When the bank fails between the two, the person can log in and
/// open an account as any other.
pub(super) async fn register(
    State(state): State<ApiState>,
    Body(body): Body<RegisterBody>,
) -> Result<impl IntoResponse, Problem> {
    let RegisterBody { username, password, name } = body;
    let person = NewPerson { username, password: SecretString::from(password), full_name: name };
    // Hashing is slow on purpose: a bounded number at once, the rest is told to come again.
    let place = state.registrations.clone().try_acquire_owned().map_err(|_| Problem::Busy)?;
    let (people, now_ms) = (state.people.clone(), state.now_ms());
    let registered = tokio::task::spawn_blocking(move || {
        let _place = place;
        people.register(person, now_ms)
    });
    let id = registered.await.map_err(|error| Problem::Internal(error.to_string()))??;
    let customer = CustomerId::new(id.as_str()).map_err(|error| Problem::Internal(error.to_string()))?;
    let account = state.bank.open_first_account(&customer, now_ms).await?;
    Ok((StatusCode::CREATED, Json(json!({"username": customer, "account": account.id}))))
}
