//! The listener, the routes and the headers of every answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::net::TcpListener;

use super::errors::IdpError;
use super::params::PARAMS_BYTES_MAX;
use super::{Idp, authorize, discovery, login, logout, pages, token, token_state, userinfo};
use crate::connections::{self, Bounds};
use crate::web::assets;

/// How often old keys are rotated and dead records forgotten.
const TENDING: Duration = Duration::from_secs(60);

/// Browsers, and programs on this machine, each with a handful of connections.
pub const CONNECTIONS: Bounds = Bounds {
    open_max: 2_048,
    per_address_max: 256,
    header_timeout: Duration::from_secs(20),
    body_timeout: Duration::from_secs(20),
};

/// Serves the provider until `shutdown` resolves, then lets requests under way finish.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    idp: Arc<Idp>,
    bounds: Bounds,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), IdpError> {
    let tending = tokio::spawn(tend_regularly(Arc::clone(&idp)));
    let served = connections::serve(listener, router(idp), bounds, shutdown).await;
    tending.abort();
    Ok(served?)
}

fn router(idp: Arc<Idp>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/.well-known/oauth-authorization-server", get(discovery::metadata))
        .route("/jwks.json", get(discovery::jwks))
        .route("/authorize", get(authorize::get).post(authorize::post))
        .route("/par", post(authorize::push))
        .route("/login", get(login::show).post(login::password))
        .route("/otp", get(login::show).post(login::second_factor))
        .route("/consent", get(login::show).post(login::consent))
        .route("/token", post(token::post))
        .route("/revoke", post(token_state::revoke))
        .route("/introspect", post(token_state::introspect))
        .route("/userinfo", get(userinfo::get).post(userinfo::get))
        .route("/logout", get(logout::get).post(logout::post))
        .merge(assets::router())
        .fallback(async || pages::refusal(StatusCode::NOT_FOUND, "There is no such page."))
        .layer(middleware::from_fn(protect))
        .layer(DefaultBodyLimit::max(PARAMS_BYTES_MAX))
        .with_state(idp)
}

/// Headers for every answer; what an answer says itself stays.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let every: [(HeaderName, &'static str); 5] = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Addresses here hold codes and log-ins under way.
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in every {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn tend_regularly(idp: Arc<Idp>) {
    loop {
        tokio::time::sleep(TENDING).await;
        let idp = Arc::clone(&idp);
        match tokio::task::spawn_blocking(move || idp.tend()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the identity provider's records cannot be tended"),
            Err(_) => return,
        }
    }
}
