//! The certified provider in a process of its own, with keys and clients of the test's choice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger_demo::idp::script::client;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use url::Url;

/// The resource of the application behind the gateway; its access tokens are JWTs (RFC 9068).
pub const SITE: &str = "urn:peer:site";
/// Another resource, whose tokens are nothing to the application.
pub const ELSEWHERE: &str = "urn:peer:elsewhere";
/// A resource whose access tokens are opaque: who is sent one asks the provider (RFC 7662).
pub const OPAQUE: &str = "urn:peer:opaque";
/// Another one.
pub const OPAQUE_ELSEWHERE: &str = "urn:peer:opaque-elsewhere";
/// What a token must allow for the application to be used.
pub const SCOPE: &str = "site:read";
/// The authentication context class of a log-in with a second factor; see `oidc-provider/pages.js`.
pub const STRONG: &str = "urn:peer:acr:second-factor";

/// The gateway's client id.
pub const GATEWAY: &str = "gatehouse";
/// The client id of a program without a person.
pub const PROGRAM: &str = "program";
/// The client id of an app with which people use the application.
pub const APP: &str = "app";
const PROGRAM_SECRET: &str = "a secret of the tests alone";

/// A private P-256 key as a JWK.
pub fn key(kid: &str) -> Value {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let secret: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().unwrap();
    // SEC 1, 2.3.3: an uncompressed point is 0x04, 32 bytes x, 32 bytes y.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({
        "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig",
        "x": part(x), "y": part(y), "d": part(secret.as_ref()),
    })
}

/// The gateway as a client, at `site`, with the public half of `key`.
pub fn gateway_client(site: &Url, key: &Value) -> Value {
    let mut public = key.clone();
    public.as_object_mut().unwrap().remove("d");
    let at = |path: &str| site.join(path).unwrap();
    json!({
        "client_id": GATEWAY,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": { "keys": [public] },
        "id_token_signed_response_alg": "ES256",
        "require_pushed_authorization_requests": true,
        "redirect_uris": [at("/.gatehouse/callback")],
        "post_logout_redirect_uris": [at("/goodbye")],
        "backchannel_logout_uri": at("/.gatehouse/backchannel-logout"),
        "backchannel_logout_session_required": true,
    })
}

/// The program as a client.
pub fn program_client() -> Value {
    json!({
        "client_id": PROGRAM, "client_secret": PROGRAM_SECRET, "grant_types": ["client_credentials"],
        "response_types": [], "redirect_uris": [], "id_token_signed_response_alg": "ES256",
    })
}

/// The app as a client, which gets people back at `redirect_uri`.
pub fn app_client(redirect_uri: &Url) -> Value {
    json!({
        "client_id": APP, "token_endpoint_auth_method": "none", "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "id_token_signed_response_alg": "ES256",
    })
}

/// A provider that runs until it is dropped.
pub struct Provider {
    process: Process,
    clients: Vec<Value>,
    /// Its `iss`, with the slash at the end that it does not have in tokens.
    pub issuer: Url,
}

/// The process ends with its stdin.
struct Process {
    child: Child,
    _stdin: ChildStdin,
}

impl Provider {
    /// Starts one that signs with `key`; the access tokens of people live as long as `lifetimes_s` says, one a grant, the
    /// last for all that follow.
    pub fn start(key: &Value, clients: Vec<Value>, lifetimes_s: &[u32]) -> Self {
        let (process, issuer) = Process::start(0, &[key], &clients, lifetimes_s);
        Self { process, clients, issuer }
    }

    /// Takes it away.
    pub fn end(&mut self) {
        self.process.end();
    }

    /// Makes it answer nobody until [`Self::go_on`], though it takes connections.
    pub fn hang(&self) {
        self.process.tell("-STOP");
    }

    /// Makes it answer again, whoever waits first.
    pub fn go_on(&self) {
        self.process.tell("-CONT");
    }

    /// Puts one with other keys in its place; the first signs. It remembers nobody's log-in, and no grant.
    pub fn restart(&mut self, keys: &[&Value]) {
        self.end();
        let port = self.issuer.port().unwrap();
        (self.process, self.issuer) = Process::start(port, keys, &self.clients, &[3_600]);
    }

    /// The `iss` of its tokens, which has no slash at its end.
    pub fn iss(&self) -> &str {
        self.issuer.as_str().trim_end_matches('/')
    }

    /// How often it was asked for what, and what it did.
    pub async fn counted(&self) -> Counted {
        let url = self.issuer.join("/counted").unwrap();
        Counted(client(None).unwrap().get(url).send().await.unwrap().json().await.unwrap())
    }

    /// An access token of the program's own (RFC 6749 4.4) for a resource.
    pub async fn token(&self, resource: &str, scope: &str) -> String {
        self.grant(resource, scope, None).await
    }

    /// The same, bound to the key of a DPoP proof (RFC 9449 5).
    pub async fn bound_token(&self, resource: &str, scope: &str, proof: &str) -> String {
        self.grant(resource, scope, Some(proof)).await
    }

    async fn grant(&self, resource: &str, scope: &str, proof: Option<&str>) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", scope)];
        let request = self.post("/token").basic_auth(PROGRAM, Some(PROGRAM_SECRET)).form(&form);
        granted(request, proof).await["access_token"].as_str().unwrap().to_owned()
    }

    /// What a person's code gives the app, bound to the key of a proof if there is one.
    pub async fn redeem(&self, form: &[(&str, &str)], proof: Option<&str>) -> Value {
        let form = [&[("grant_type", "authorization_code"), ("client_id", APP)], form].concat();
        granted(self.post("/token").form(&form), proof).await
    }

    /// Takes a token of the app back (RFC 7009).
    pub async fn revoke(&self, token: &str) {
        let form = [("client_id", APP), ("token", token)];
        let answer = self.post("/token/revocation").form(&form).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    fn post(&self, path: &str) -> RequestBuilder {
        client(None).unwrap().post(self.issuer.join(path).unwrap())
    }
}

/// The answer of the token endpoint.
async fn granted(mut request: RequestBuilder, proof: Option<&str>) -> Value {
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    let granted: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(granted["token_type"], if proof.is_some() { "DPoP" } else { "Bearer" }, "{granted}");
    granted
}

impl Process {
    fn start(port: u16, keys: &[&Value], clients: &[Value], lifetimes_s: &[u32]) -> (Self, Url) {
        let mut child = Command::new("node")
            .arg("server.js")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/oidc-provider"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let wanted = json!({
            "port": port, "keys": keys, "clients": clients, "lifetimes_s": lifetimes_s,
            "resources": {
                SITE: { "scope": SCOPE, "accessTokenFormat": "jwt" },
                ELSEWHERE: { "scope": SCOPE, "accessTokenFormat": "jwt" },
                OPAQUE: { "scope": SCOPE, "accessTokenFormat": "opaque" },
                OPAQUE_ELSEWHERE: { "scope": SCOPE, "accessTokenFormat": "opaque" },
            },
        });
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(format!("{wanted}\n").as_bytes()).unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let ready: Value = serde_json::from_str(&said).expect("the provider ended: is `npm ci` done?");
        (Self { child, _stdin: stdin }, Url::parse(ready["issuer"].as_str().unwrap()).unwrap())
    }

    fn tell(&self, signal: &str) {
        let told = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a provider counted since its start.
#[derive(Debug)]
pub struct Counted(BTreeMap<String, u64>);

impl Counted {
    /// How often this was, such as `GET /jwks` or `granted refresh_token`.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}
