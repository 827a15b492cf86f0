//! An app with which a person uses the application: a public client that gets its code over the person's browser.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::Person;

use crate::gateway::World;
use crate::provider::{APP, SCOPE};

/// RFC 7636 4.1 wants 43 characters; nobody but the test sees the code.
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-everybody";

/// What an app asks of the provider.
#[derive(Default)]
pub struct Wish<'a> {
    /// RFC 8707.
    pub resource: &'a str,
    /// Further parameters of the authorization request.
    pub more: &'a [(&'a str, &'a str)],
    /// What the person enters who is asked to log in, beside the name.
    pub entered: &'a [(&'a str, &'a str)],
    /// A proof for the token endpoint, to whose key the token is bound.
    pub proof: Option<&'a str>,
}

/// Sends a person to the provider for tokens; answers what the token endpoint gave.
pub async fn tokens(world: &World, person: &mut Person, name: &str, wish: Wish<'_>) -> Value {
    let redirect_uri = world.url.join("/app").unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let mut url = world.provider.issuer.join("/auth").unwrap();
    url.query_pairs_mut()
        .extend_pairs([
            ("client_id", APP),
            ("response_type", "code"),
            ("redirect_uri", redirect_uri.as_str()),
            ("scope", &format!("openid {SCOPE} offline_access")),
            ("resource", wish.resource),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .extend_pairs(wish.more);
    let mut page = person.visit(url.as_str()).await.unwrap();
    if page.words().contains("login") {
        let entered = [&[("login", name)], wish.entered].concat();
        page = person.submit(&page, "", &entered).await.unwrap();
    }
    if page.words().contains("consent") {
        page = person.submit(&page, "", &[]).await.unwrap();
    }
    let code = page.url.query_pairs().find(|(name, _)| name == "code");
    let (_, code) = code.unwrap_or_else(|| panic!("no code at {}: {}", page.url, page.words()));
    let form = [
        ("code", &*code),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", VERIFIER),
        ("resource", wish.resource),
    ];
    world.provider.redeem(&form, wish.proof).await
}

/// The same; answers the access token.
pub async fn access_token(world: &World, person: &mut Person, name: &str, wish: Wish<'_>) -> String {
    tokens(world, person, name, wish).await["access_token"].as_str().unwrap().to_owned()
}
