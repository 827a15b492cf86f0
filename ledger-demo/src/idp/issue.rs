//! Makes the answer of the token endpoint out of a grant.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Idp;
use super::clients::{Client, DEMO_WEB, RESOURCE_ADMIN};
use super::errors::IdpError;
use super::grants::{Grant, LiveToken};
use super::tokens::{
    ACCESS_TOKEN_TYPE, AccessClaims, ID_TOKEN_TYPE, IdClaims, TOKEN_LIFETIME_MS, at_hash, scope_text,
};
use crate::people::Person;

/// RFC 6749, section 5.1.
#[derive(Serialize)]
pub(super) struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

impl TokenResponse {
    fn new(access_token: String, scope: String) -> Self {
        let expires_in = TOKEN_LIFETIME_MS / 1000;
        Self { access_token, token_type: "Bearer", expires_in, scope, refresh_token: None, id_token: None }
    }
}

impl Idp {
    /// Tokens of a person, for `scopes` out of those granted.
    pub(super) fn issue(
        &self,
        grant: &Grant,
        scopes: &BTreeSet<String>,
        token: LiveToken,
        refresh_token: Option<String>,
        nonce: Option<String>,
    ) -> Result<TokenResponse, IdpError> {
        let now_ms = self.now_ms();
        // Read now, so that a role that was taken away is gone at the next refresh.
        let person = self.people.get(&grant.subject);
        let roles = roles(grant, scopes, person.as_ref());
        let claims = AccessClaims {
            sub: grant.subject.clone(),
            acr: Some(grant.acr.clone()),
            auth_time: Some(grant.auth_time_ms / 1000),
            sid: Some(grant.sid.clone()),
            roles: roles.clone(),
            ..self.access_claims(&grant.client_id, &grant.resource, scopes, token, now_ms)
        };
        let access_token = self.keys.sign(ACCESS_TOKEN_TYPE, &claims, now_ms)?;
        let id_claims = scopes.contains("openid").then(|| IdClaims {
            iss: self.issuer().to_owned(),
            sub: grant.subject.clone(),
            aud: grant.client_id.clone(),
            iat: now_ms / 1000,
            exp: now_ms.saturating_add(TOKEN_LIFETIME_MS) / 1000,
            auth_time: grant.auth_time_ms / 1000,
            acr: grant.acr.clone(),
            sid: grant.sid.clone(),
            at_hash: at_hash(&access_token),
            nonce,
            name: person.filter(|_| scopes.contains("profile")).map(|person| person.full_name),
            roles,
        });
        let id_token = id_claims.map(|claims| self.keys.sign(ID_TOKEN_TYPE, &claims, now_ms)).transpose()?;
        Ok(TokenResponse { refresh_token, id_token, ..TokenResponse::new(access_token, claims.scope) })
    }

    /// An access token of a client that acts for itself.
    pub(super) fn issue_to_client(
        &self,
        client: &Client,
        resource: &str,
        scopes: &BTreeSet<String>,
        token: LiveToken,
    ) -> Result<TokenResponse, IdpError> {
        let now_ms = self.now_ms();
        let roles = if resource == RESOURCE_ADMIN { client.roles } else { &[] };
        let claims = AccessClaims {
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            ..self.access_claims(client.id, resource, scopes, token, now_ms)
        };
        let access_token = self.keys.sign(ACCESS_TOKEN_TYPE, &claims, now_ms)?;
        Ok(TokenResponse::new(access_token, claims.scope))
    }

    /// The claims that every access token has; the subject is the client itself.
    fn access_claims(
        &self,
        client_id: &str,
        resource: &str,
        scopes: &BTreeSet<String>,
        token: LiveToken,
        now_ms: i64,
    ) -> AccessClaims {
        AccessClaims {
            iss: self.issuer().to_owned(),
            // No username holds a colon, so no client can be taken for a person (RFC 9700, 4.15).
            sub: format!("client:{client_id}"),
            aud: resource.to_owned(),
            client_id: client_id.to_owned(),
            scope: scope_text(scopes),
            iat: now_ms / 1000,
            exp: token.expires_ms / 1000,
            jti: token.jti,
            acr: None,
            auth_time: None,
            sid: None,
            roles: Vec::new(),
        }
    }
}

/// Staff roles go to the admin API and to the bank's own pages, to nobody else.
fn roles(grant: &Grant, scopes: &BTreeSet<String>, person: Option<&Person>) -> Vec<String> {
    let for_admin_api = grant.resource == RESOURCE_ADMIN && scopes.contains("admin");
    let for_pages = grant.client_id == DEMO_WEB;
    person.filter(|_| for_admin_api || for_pages).map(|person| person.roles.clone()).unwrap_or_default()
}
