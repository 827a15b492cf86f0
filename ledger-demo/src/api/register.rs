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
    let now_ms = state.now_ms();
    let id = state.people.register_in_turn(person, now_ms).await?;
    let customer = CustomerId::new(id.as_str()).map_err(|error| Problem::Internal(error.to_string()))?;
    let account = state.bank.open_first_account(&customer, now_ms).await?;
    Ok((StatusCode::CREATED, Json(json!({"username": customer, "account": account.id}))))
}
