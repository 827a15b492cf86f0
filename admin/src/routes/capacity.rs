//! `/api/v1/capacity`.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use learner::capacity::{Mode, PoolSnapshot};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::answer;
use crate::extract::JsonBody;
use crate::gate::Permit;
use crate::refusal::{Problem, Refusal};
use crate::state::{App, Shared};

const POOL_NAME_BYTES_MAX: usize = 128;

/// The capacity control of every pool.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pools {
    /// One entry a pool: limit, in flight, classes, the controller's state, action and reason, and the last 15 minutes.
    #[schema(value_type = Vec<Object>)]
    pub pools: Vec<PoolSnapshot>,
}

/// What an operator lets a pool's controller do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeOrder {
    /// The pool.
    pub pool: String,
    /// `freeze`, `static`, `gradient` or `q-learning`.
    #[schema(value_type = String)]
    pub mode: Mode,
}

/// The capacity control of every pool. The ETag stands for the modes, which are what can be edited; figures change at
/// every tick.
#[utoipa::path(get, path = "/api/v1/capacity", tag = "capacity", responses(
    (status = 200, description = "All pools", body = Pools),
))]
pub(crate) async fn show(State(app): Shared, mut headers: HeaderMap) -> Result<Response, Refusal> {
    // The modes may be the same while everything else moved on: never 304.
    headers.remove(header::IF_NONE_MATCH);
    answer_pools(&app, &headers).await
}

/// Sets the mode of one pool's controller. An `If-Match` from an older state of the modes is refused.
#[utoipa::path(post, path = "/api/v1/capacity", tag = "capacity", request_body = ModeOrder,
    params(("If-Match" = Option<String>, Header, description = "ETag of the modes that the operator saw")),
    responses(
        (status = 200, description = "All pools, as they are now", body = Pools),
        (status = 404, description = "No such pool", body = Problem),
        (status = 412, description = "A mode changed since", body = Problem),
        (status = 422, description = "This controller has no modes", body = Problem),
    ))]
pub(crate) async fn set_mode(
    State(app): Shared,
    permit: Permit,
    headers: HeaderMap,
    JsonBody(order): JsonBody<ModeOrder>,
) -> Result<Response, Refusal> {
    if order.pool.is_empty() || order.pool.len() > POOL_NAME_BYTES_MAX {
        return Err(Refusal::NotFound);
    }
    if headers.contains_key(header::IF_MATCH) {
        let seen = answer::if_match(&headers)?;
        if seen != modes_tag(&app.ports.capacity.pools().await?) {
            return Err(Refusal::PreconditionFailed);
        }
    }
    permit.intend(serde_json::json!({ "pool": order.pool, "mode": order.mode })).await?;
    app.ports.capacity.set_mode(&order.pool, order.mode).await?;
    answer_pools(&app, &HeaderMap::new()).await
}

async fn answer_pools(app: &App, headers: &HeaderMap) -> Result<Response, Refusal> {
    let pools = app.ports.capacity.pools().await?;
    let tag = modes_tag(&pools);
    answer::json_tagged(headers, &Pools { pools }, &tag)
}

fn modes_tag(pools: &[PoolSnapshot]) -> String {
    let modes: Vec<_> = pools.iter().map(|pool| (&pool.pool, pool.mode)).collect();
    let bytes = serde_json::to_vec(&modes).unwrap_or_default();
    format!("\"modes-{}\"", answer::hex(&Sha256::digest(bytes), 8))
}
