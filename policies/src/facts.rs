//! What a request is: established by the stages before the decision, never by the client's own word.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// The facts of one request.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When the request entered, Unix milliseconds.
    pub at_ms: i64,
    /// Local hour of the day at the bank, 0..=23.
    pub hour: u8,
    /// Configured application.
    pub app: Name,
    /// Configured route.
    pub route: Name,
    /// Request method, upper case.
    pub method: Name,
    /// Canonical path, without the query.
    pub path: Name,
    /// The client's address after trusted proxies were taken off.
    pub source: IpAddr,
    /// Who asks; `None` for an anonymous request.
    pub identity: Option<Arc<Identity>>,
    /// The transfer that the body asks for, on routes that map one.
    pub transfer: Option<TransferIntent>,
}

/// How the caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A browser session held by the gateway.
    Session,
    /// A bearer JWT (RFC 6750, RFC 9068).
    Bearer,
    /// A DPoP-bound token (RFC 9449).
    Dpop,
    /// A certificate-bound token (RFC 8705).
    MtlsBound,
    /// An opaque token found active by introspection (RFC 7662).
    Introspected,
}

/// A verified identity. Only the identity stage makes one from a credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Issuer, exactly as configured.
    pub issuer: Name,
    /// `sub`: who the request is for.
    pub subject: String,
    /// `client_id` (RFC 9068) or the session's client.
    pub client_id: String,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// `roles`, for staff tokens.
    pub roles: Vec<String>,
    /// Authentication context class, where the issuer says one.
    pub acr: Option<String>,
    /// When the person authenticated, Unix seconds.
    pub auth_time: Option<i64>,
    /// When the token or session began, Unix seconds.
    pub issued_at: i64,
    /// When the token or session ends, Unix seconds.
    pub expires_at: i64,
    /// Token id (`jti`), for revocation.
    pub token_id: Option<String>,
    /// Issuer's session (`sid`), for revocation.
    pub session_id: Option<String>,
    /// How it was proved.
    pub credential: Credential,
    /// `authorization_details` (RFC 9396), verbatim, for dynamic linking.
    pub authorization_details: Option<serde_json::Value>,
}

impl Identity {
    /// Whether `scope` was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|s| s == scope)
    }

    /// Seconds since the person authenticated, never negative.
    pub fn auth_age_s(&self, now_ms: i64) -> Option<i64> {
        self.auth_time.map(|t| (now_ms.div_euclid(1000)).saturating_sub(t).max(0))
    }

    /// Seconds since the token or session began, never negative.
    pub fn age_s(&self, now_ms: i64) -> i64 {
        now_ms.div_euclid(1000).saturating_sub(self.issued_at).max(0)
    }
}

/// A transfer that a request asks for, read from its body by the route's configured mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferIntent {
    /// Account that pays.
    pub from: String,
    /// Account or person that receives.
    pub to: String,
    /// Amount in the currency's minor unit; positive.
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: [u8; 3],
    /// The client's idempotency key, where it sent one.
    pub idempotency_key: Option<String>,
}

impl TransferIntent {
    /// The currency as text.
    pub fn currency_code(&self) -> &str {
        std::str::from_utf8(&self.currency).unwrap_or("???")
    }
}
