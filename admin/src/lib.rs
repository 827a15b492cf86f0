//! The admin API and the operators' console: one axum router over ports that the gateway implements.
//!
//! [`ports`] says what the gateway must provide, [`access`] is the one table of who may call what, [`router`] joins
//! them. Every guarded call passes the gate: identified, judged, put on record.
#![deny(clippy::indexing_slicing)]

pub mod access;
mod answer;
mod console;
pub mod explain;
pub mod extract;
pub mod gate;
pub mod ports;
pub mod refusal;
pub mod routes;
pub mod state;
mod trail;
pub mod views;
mod wording;

use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, middleware};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::console::{assets, login};
use crate::refusal::Refusal;
use crate::state::App;
pub use crate::state::{AdminState, Settings};

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Gatehouse admin API",
    description = "Decisions, cases, capacity, models, policies, sessions and audit of a Gatehouse gateway. Every call \
                   needs a bearer token or a console session, and is put on record."
), modifiers(&Secured))]
struct Document;

/// Says in the document that every path needs a credential.
struct Secured;

impl utoipa::Modify for Secured {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{
            ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
        };
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = ApiKey::Cookie(ApiKeyValue::new("__Host-gatehouse-console"));
        components.add_security_scheme("console", SecurityScheme::ApiKey(cookie));
        let none: [&str; 0] = [];
        document.security =
            Some(["bearer", "console"].map(|name| SecurityRequirement::new(name, none)).into());
    }
}

fn guarded() -> OpenApiRouter<std::sync::Arc<App>> {
    use routes::{
        audit, capacity, cases, decisions, document, figures, insight, labels, me, models, sessions, stream,
    };
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(document::openapi))
        .routes(routes!(login::end))
        .routes(routes!(me::me))
        .routes(routes!(figures::live))
        .routes(routes!(stream::stream))
        .routes(routes!(decisions::list))
        .routes(routes!(decisions::one))
        .routes(routes!(capacity::show, capacity::set_mode))
        .routes(routes!(models::list))
        .routes(routes!(models::one))
        .routes(routes!(models::retrain))
        .routes(routes!(models::promote))
        .routes(routes!(models::approve))
        .routes(routes!(models::rollback))
        .routes(routes!(labels::upload))
        .routes(routes!(insight::policies))
        .routes(routes!(insight::policy))
        .routes(routes!(cases::list))
        .routes(routes!(cases::one))
        .routes(routes!(cases::judge))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::revocations, sessions::revoke))
        .routes(routes!(insight::limits))
        .routes(routes!(insight::config))
        .routes(routes!(audit::checkpoint))
        .routes(routes!(audit::verify))
}

/// The OpenAPI document, without a running gateway.
pub fn document() -> utoipa::openapi::OpenApi {
    guarded().into_openapi()
}

/// The whole admin listener: API, console, login.
pub fn router(state: AdminState) -> Router {
    let (guarded, document) = guarded().split_for_parts();
    let app = App::new(state, document);
    let open = Router::new()
        .route("/", get(assets::index))
        .route("/assets/{file}", get(assets::asset))
        .route("/login", get(login::begin))
        .route("/callback", get(login::finish));
    guarded
        .route_layer(middleware::from_fn_with_state(app.clone(), gate::guard))
        .merge(open)
        .fallback(|| async { Refusal::NotFound.into_response() })
        .method_not_allowed_fallback(|| async { Refusal::Method.into_response() })
        .layer(middleware::from_fn(assets::security_headers))
        .with_state(app)
}
