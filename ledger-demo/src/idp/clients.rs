//! The registered clients, and which redirect addresses each may use.

use std::collections::BTreeSet;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};

use super::IdpConfig;
use super::errors::IdpError;

/// The gateway itself: first party, confidential.
pub const DEMO_WEB: &str = "demo-web";
/// Command-line and script clients: public, PKCE, loopback redirects.
pub const DEMO_CLI: &str = "demo-cli";
/// The third party that reads accounts of customers who consent.
pub const DEMO_AGGREGATOR: &str = "demo-aggregator";

/// The provider itself, when it tells the gateway what is revoked; registered where there is somebody to tell.
pub const DEMO_REVOKER: &str = "demo-revoker";

/// The only path of `demo-cli`'s loopback redirect addresses.
pub const LOOPBACK_PATH: &str = "/callback";

/// Audience of the demo bank's API.
pub const RESOURCE_BANK: &str = "urn:gatehouse:demo-bank";
/// Audience of the admin API.
pub const RESOURCE_ADMIN: &str = "urn:gatehouse:admin";
/// All scopes; discovery lists them.
pub const SCOPES: [&str; 7] =
    ["openid", "profile", "offline_access", "accounts:read", "accounts:write", "payments:write", "admin"];

/// One registered client.
pub(super) struct Client {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) authentication: Authentication,
    redirects: Redirects,
    scopes: &'static [&'static str],
    /// Roles of the client itself at the admin API.
    pub(super) roles: &'static [&'static str],
    /// Customers are asked before a third party gets anything.
    pub(super) third_party: bool,
    pub(super) client_credentials: bool,
    pub(super) refresh: Refresh,
    /// May ask about tokens of other clients: it guards the resources.
    pub(super) introspects_all: bool,
    pub(super) post_logout_redirect_uri: Option<String>,
    pub(super) backchannel_logout_uri: Option<String>,
}

/// How a client proves who it is at the token endpoint and its siblings.
pub(super) enum Authentication {
    /// It cannot; PKCE protects its codes and rotation its refresh tokens.
    Public,
    /// RFC 7523 with ES256.
    PrivateKeyJwt { key: DecodingKey, kid: Option<String> },
}

/// When a client gets refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Always; they end with the browser's session.
    WithSession,
    /// With scope `offline_access`; they outlive the session.
    Offline,
}

enum Redirects {
    Exactly(Vec<String>),
    /// RFC 8252, section 7.3: literal loopback addresses, any port, [`LOOPBACK_PATH`].
    Loopback,
}

pub(super) struct Clients(Vec<Client>);

impl Clients {
    pub(super) fn new(config: &IdpConfig) -> Result<Self, IdpError> {
        let gateway = config.gateway_url.as_str().trim_end_matches('/');
        let web = Client {
            id: DEMO_WEB,
            name: "Ledger Bank",
            authentication: private_key_jwt(DEMO_WEB, &config.demo_web_jwk)?,
            redirects: Redirects::Exactly(vec![format!("{gateway}/.gatehouse/callback")]),
            scopes: &[
                "openid",
                "profile",
                "offline_access",
                "accounts:read",
                "accounts:write",
                "payments:write",
            ],
            roles: &[],
            third_party: false,
            client_credentials: false,
            refresh: Refresh::WithSession,
            introspects_all: true,
            post_logout_redirect_uri: Some(format!("{gateway}/")),
            backchannel_logout_uri: Some(format!("{gateway}/.gatehouse/backchannel-logout")),
        };
        let cli = Client {
            id: DEMO_CLI,
            name: "Ledger Bank command line",
            authentication: Authentication::Public,
            redirects: Redirects::Loopback,
            scopes: &SCOPES,
            roles: &[],
            third_party: false,
            client_credentials: false,
            refresh: Refresh::Offline,
            introspects_all: false,
            post_logout_redirect_uri: None,
            backchannel_logout_uri: None,
        };
        let aggregator = Client {
            id: DEMO_AGGREGATOR,
            name: "Demo Aggregator",
            authentication: private_key_jwt(DEMO_AGGREGATOR, &config.aggregator_jwk)?,
            redirects: Redirects::Exactly(config.aggregator_redirect_uris.clone()),
            scopes: &["openid", "offline_access", "accounts:read"],
            roles: &[],
            third_party: true,
            client_credentials: true,
            refresh: Refresh::Offline,
            introspects_all: false,
            post_logout_redirect_uri: None,
            backchannel_logout_uri: None,
        };
        let revoker = config.announcer.as_ref().map(|registered| revoker(&registered.jwk)).transpose()?;
        Ok(Self([web, cli, aggregator].into_iter().chain(revoker).collect()))
    }

    pub(super) fn get(&self, id: &str) -> Option<&Client> {
        self.0.iter().find(|client| client.id == id)
    }
}

/// A service account: no pages, no people, one role at the admin API.
fn revoker(jwk: &serde_json::Value) -> Result<Client, IdpError> {
    Ok(Client {
        id: DEMO_REVOKER,
        name: "Revocations of the identity provider",
        authentication: private_key_jwt(DEMO_REVOKER, jwk)?,
        redirects: Redirects::Exactly(Vec::new()),
        scopes: &["admin"],
        roles: &["revoker"],
        third_party: false,
        client_credentials: true,
        refresh: Refresh::Offline,
        introspects_all: false,
        post_logout_redirect_uri: None,
        backchannel_logout_uri: None,
    })
}

impl Client {
    /// Whether this very text is a registered redirect address. Texts are compared, never parsed addresses: two parsers
    /// that disagree are how codes leak.
    pub(super) fn may_redirect_to(&self, uri: &str) -> bool {
        match &self.redirects {
            Redirects::Exactly(registered) => registered.iter().any(|known| known == uri),
            Redirects::Loopback => is_loopback_callback(uri),
        }
    }

    pub(super) fn may_ask_for(&self, scope: &str) -> bool {
        self.scopes.contains(&scope)
    }

    /// Reads a space-separated scope; `None` when one is unknown, not for this client, or not of this resource.
    pub(super) fn scopes_for(&self, resource: &str, text: &str) -> Option<BTreeSet<String>> {
        let scopes: BTreeSet<String> =
            text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        let fits = scopes.iter().all(|scope| self.may_ask_for(scope) && belongs_to(resource, scope));
        (fits && !scopes.is_empty()).then_some(scopes)
    }
}

fn belongs_to(resource: &str, scope: &str) -> bool {
    match scope {
        "openid" | "profile" | "offline_access" => true,
        "admin" => resource == RESOURCE_ADMIN,
        _ => resource == RESOURCE_BANK,
    }
}

fn is_loopback_callback(uri: &str) -> bool {
    let after_host = uri.strip_prefix("http://127.0.0.1").or_else(|| uri.strip_prefix("http://[::1]"));
    let Some(port) = after_host.and_then(|rest| rest.strip_suffix(LOOPBACK_PATH)) else {
        return false;
    };
    match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0)
                && !digits.starts_with('0')
        }
        None => port.is_empty(),
    }
}

fn private_key_jwt(client: &'static str, jwk: &serde_json::Value) -> Result<Authentication, IdpError> {
    let jwk: Jwk = serde_json::from_value(jwk.clone()).map_err(|_| IdpError::ClientKey(client))?;
    match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {}
        _ => return Err(IdpError::ClientKey(client)),
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| IdpError::ClientKey(client))?;
    Ok(Authentication::PrivateKeyJwt { key, kid: jwk.common.key_id })
}

#[cfg(test)]
mod tests {
    use super::is_loopback_callback;

    #[test]
    fn only_literal_loopback_addresses_are_loopback() {
        for uri in [
            "http://127.0.0.1:1/callback",
            "http://127.0.0.1:65535/callback",
            "http://[::1]:8400/callback",
            "http://127.0.0.1/callback",
        ] {
            assert!(is_loopback_callback(uri), "{uri}");
        }
        for uri in [
            "https://127.0.0.1:1/callback",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:65536/callback",
            "http://127.0.0.1:080/callback",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:80@evil.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://127.0.0.1:80/callback/../x",
            "http://127.0.0.1:80/callback?x=1",
            "http://127.0.0.1:80/callback#x",
            "http://127.0.0.1:+80/callback",
            "http://127.0.0.2:80/callback",
            "http://localhost:80/callback",
            "http://[::1:80/callback",
            "http://127.0.0.1:80/callback\r\n",
            "HTTP://127.0.0.1:80/callback",
            "",
        ] {
            assert!(!is_loopback_callback(uri), "{uri:?}");
        }
    }
}
