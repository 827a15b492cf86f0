//! `/api/v1/models`: what scores, and the life of what learns on.
#![allow(unused_qualifications, reason = "utoipa's params(…) writes them")]

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use learner::train::ModelKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::extract::{JsonBody, PathName};
use crate::gate::Permit;
use crate::ports::PortError;
use crate::refusal::{Problem, Refusal};
use crate::state::{App, Shared};
use crate::views::{LoadedModel, ModelLife};

/// Models in use.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// By name.
    pub models: Vec<LoadedModel>,
}

/// An order to train a challenger.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrainOrder {
    /// `logistic`, `boosted`, `forest`, `tree` or `svm`; the champion's own where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub kind: Option<ModelKind>,
}

/// An order without anything to say beside its path and `If-Match`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlainOrder {}

/// An order to go back to the champion before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackOrder {
    /// SHA-256 of the artifact that serves, as the caller believes. The same order told twice then goes back once.
    #[serde(default)]
    pub from: Option<String>,
}

/// Models in use, with their held-out metrics.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", responses(
    (status = 200, description = "Models in use", body = ModelList),
))]
pub(crate) async fn list(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    answer::json(&headers, &ModelList { models: app.ports.models.list().await? })
}

/// One model, under the ETag that its changes ask for.
#[utoipa::path(get, path = "/api/v1/models/{name}", tag = "models",
    params(("name" = String, Path, description = "Its name, such as `fraud`")),
    responses(
        (status = 200, description = "The model", body = LoadedModel),
        (status = 404, description = "No such model", body = Problem),
    ))]
pub(crate) async fn one(
    State(app): Shared,
    PathName(name): PathName,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let model = find(&app, &name).await?;
    match &model.life {
        Some(life) => answer::json_tagged(&headers, &model, &tag(life.revision)),
        None => answer::json(&headers, &model),
    }
}

/// Trains a challenger beside the traffic. It scores in shadow once it is there, and nothing more.
#[utoipa::path(post, path = "/api/v1/models/{name}/retrain", tag = "models",
    params(("name" = String, Path, description = "Its name")),
    request_body = RetrainOrder,
    responses(
        (status = 200, description = "Training has begun", body = LoadedModel),
        (status = 404, description = "No such model", body = Problem),
        (status = 422, description = "One is being trained, or this model does not learn on here", body = Problem),
    ))]
pub(crate) async fn retrain(
    State(app): Shared,
    permit: Permit,
    PathName(name): PathName,
    JsonBody(order): JsonBody<RetrainOrder>,
) -> Result<Response, Refusal> {
    let (_, life) = learning(&app, &name).await?;
    if life.retraining.since_ms.is_some() {
        return Err(Refusal::Unprocessable("a challenger is being trained already".to_owned()));
    }
    permit.intend(serde_json::json!({ "model": name, "train": order.kind })).await?;
    answered(app.ports.models.retrain(&name, order.kind).await)
}

/// Proposes to promote the challenger. Somebody else has to approve it.
#[utoipa::path(post, path = "/api/v1/models/{name}/promote", tag = "models",
    params(
        ("name" = String, Path, description = "Its name"),
        ("If-Match" = String, Header, description = "The model's ETag"),
    ),
    request_body = PlainOrder,
    responses(
        (status = 200, description = "Proposed", body = LoadedModel),
        (status = 404, description = "No such model", body = Problem),
        (status = 412, description = "It changed since you looked", body = Problem),
        (status = 422, description = "There is no challenger, or it is proposed already", body = Problem),
        (status = 428, description = "Without If-Match", body = Problem),
    ))]
pub(crate) async fn promote(
    State(app): Shared,
    permit: Permit,
    PathName(name): PathName,
    headers: HeaderMap,
    JsonBody(PlainOrder {}): JsonBody<PlainOrder>,
) -> Result<Response, Refusal> {
    let seen = answer::if_match(&headers)?;
    let (_, life) = learning(&app, &name).await?;
    unchanged(seen, &life)?;
    let none = || Refusal::Unprocessable("there is no challenger; have one trained first".to_owned());
    let challenger = life.challenger.as_ref().ok_or_else(none)?;
    permit.intend(serde_json::json!({ "model": name, "propose": challenger.hash })).await?;
    answered(app.ports.models.promote(&name, life.revision, &permit.operator().subject).await)
}

/// Approves what somebody else proposed: the challenger serves from the next request on.
#[utoipa::path(post, path = "/api/v1/models/{name}/approve", tag = "models",
    params(
        ("name" = String, Path, description = "Its name"),
        ("If-Match" = String, Header, description = "The model's ETag"),
    ),
    request_body = PlainOrder,
    responses(
        (status = 200, description = "Promoted", body = LoadedModel),
        (status = 403, description = "The proposal is your own", body = Problem),
        (status = 404, description = "No such model", body = Problem),
        (status = 412, description = "It changed since you looked", body = Problem),
        (status = 422, description = "Nothing is proposed, or the challenger's file is broken", body = Problem),
        (status = 428, description = "Without If-Match", body = Problem),
    ))]
pub(crate) async fn approve(
    State(app): Shared,
    permit: Permit,
    PathName(name): PathName,
    headers: HeaderMap,
    JsonBody(PlainOrder {}): JsonBody<PlainOrder>,
) -> Result<Response, Refusal> {
    let seen = answer::if_match(&headers)?;
    let (_, life) = learning(&app, &name).await?;
    unchanged(seen, &life)?;
    let none = || Refusal::Unprocessable("no promotion is proposed".to_owned());
    let proposal = life.proposal.as_ref().ok_or_else(none)?;
    if proposal.by == permit.operator().subject {
        return Err(Refusal::OwnProposal);
    }
    permit.intend(serde_json::json!({ "model": name, "approve": proposal.hash })).await?;
    answered(app.ports.models.approve(&name, life.revision, &permit.operator().subject).await)
}

/// Puts the champion before this one back into force, at once. The one change that works without `If-Match`: it is for the
/// moment when nobody has time to look. Each call goes one further back, unless `from` says from what.
#[utoipa::path(post, path = "/api/v1/models/{name}/rollback", tag = "models",
    params(
        ("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "The model's ETag, to be sure"),
    ),
    request_body = RollbackOrder,
    responses(
        (status = 200, description = "Rolled back", body = LoadedModel),
        (status = 404, description = "No such model", body = Problem),
        (status = 409, description = "Another artifact serves than `from`", body = Problem),
        (status = 412, description = "It changed since you looked", body = Problem),
        (status = 422, description = "There is no earlier champion", body = Problem),
    ))]
pub(crate) async fn rollback(
    State(app): Shared,
    permit: Permit,
    PathName(name): PathName,
    headers: HeaderMap,
    JsonBody(RollbackOrder { from }): JsonBody<RollbackOrder>,
) -> Result<Response, Refusal> {
    let (model, life) = learning(&app, &name).await?;
    if from.as_ref().is_some_and(|from| *from != model.hash) {
        return Err(Refusal::Conflict);
    }
    let revision = if headers.contains_key(header::IF_MATCH) {
        unchanged(answer::if_match(&headers)?, &life)?;
        Some(life.revision)
    } else {
        None
    };
    let none = || Refusal::Unprocessable("there is no earlier champion to go back to".to_owned());
    let to = life.previous.first().ok_or_else(none)?;
    permit.intend(serde_json::json!({ "model": name, "from": model.hash, "to": to })).await?;
    match app.ports.models.rollback(&name, revision, from.as_deref()).await {
        // Somebody was faster.
        Err(PortError::Conflict) if from.is_some() => Err(Refusal::Conflict),
        changed => answered(changed),
    }
}

async fn find(app: &App, name: &str) -> Result<LoadedModel, Refusal> {
    let models = app.ports.models.list().await?;
    models.into_iter().find(|model| model.name == name).ok_or(Refusal::NotFound)
}

/// A model that learns on, with its life.
async fn learning(app: &App, name: &str) -> Result<(LoadedModel, ModelLife), Refusal> {
    let mut model = find(app, name).await?;
    let none = || Refusal::Unprocessable(format!("the {name} model does not learn on in the gateway"));
    let life = model.life.take().ok_or_else(none)?;
    Ok((model, life))
}

fn unchanged(seen: &str, life: &ModelLife) -> Result<(), Refusal> {
    if seen == tag(life.revision) { Ok(()) } else { Err(Refusal::PreconditionFailed) }
}

fn answered(changed: Result<LoadedModel, PortError>) -> Result<Response, Refusal> {
    let model = changed.map_err(|error| match error {
        PortError::Conflict => Refusal::PreconditionFailed,
        other => other.into(),
    })?;
    let revision = model.life.as_ref().map_or(0, |life| life.revision);
    answer::json_tagged(&HeaderMap::new(), &model, &tag(revision))
}

fn tag(revision: u64) -> String {
    format!("\"m{revision}\"")
}
