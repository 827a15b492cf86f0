//! Programs that prove possession of a key (DPoP, RFC 9449): the provider binds their tokens to it.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::Program;
use tests::program::Answer;
use url::Url;

use crate::gateway::World;
use crate::provider::{PROGRAM, SCOPE, SITE};

/// Somebody's key pair.
struct Holder {
    private: EncodingKey,
    public: Value,
}

impl Holder {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Self { private, public: json!({ "kty": "EC", "crv": "P-256", "x": part(x), "y": part(y) }) }
    }

    /// A fresh proof for a request, with `token` if it carries one.
    fn proof(&self, method: &str, url: &Url, token: Option<&str>) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = Some(serde_json::from_value(self.public.clone()).unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut claims =
            json!({ "jti": now.as_nanos().to_string(), "htm": method, "htu": url, "iat": now.as_secs() });
        if let Some(token) = token {
            claims["ath"] = json!(URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
        }
        jsonwebtoken::encode(&header, &claims, &self.private).unwrap()
    }
}

async fn ask(program: &Program, scheme: &str, token: &str, proof: Option<&str>) -> Answer {
    let authorization = format!("{scheme} {token}");
    let mut fields = vec![("authorization", authorization.as_str())];
    fields.extend(proof.map(|proof| ("dpop", proof)));
    program.send(Method::GET, "/accounts", &fields, None).await.unwrap()
}

pub async fn is_proved_once() {
    let world = World::start(300, &[3_600]).await;
    let (holder, thief) = (Holder::new(), Holder::new());
    let endpoint = world.provider.issuer.join("/token").unwrap();
    let token = world.provider.bound_token(SITE, SCOPE, &holder.proof("POST", &endpoint, None)).await;
    let accounts = world.url.join("/accounts").unwrap();
    let program = Program::nobody(&world.url).unwrap();

    let proof = holder.proof("GET", &accounts, Some(&token));
    let answer = ask(&program, "DPoP", &token, Some(&proof)).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, PROGRAM), "{answer:?}");
    let elsewhere = world.url.join("/payments").unwrap();
    for (scheme, proof, what) in [
        ("DPoP", Some(proof), "the same proof again"),
        ("DPoP", Some(thief.proof("GET", &accounts, Some(&token))), "another's key"),
        ("DPoP", Some(holder.proof("GET", &elsewhere, Some(&token))), "a proof for another address"),
        ("DPoP", Some(holder.proof("POST", &accounts, Some(&token))), "a proof for another method"),
        ("DPoP", Some(holder.proof("GET", &accounts, None)), "a proof without the token"),
        ("DPoP", None, "no proof"),
        ("Bearer", None, "as if it were nobody's in particular"),
    ] {
        let answer = ask(&program, scheme, &token, proof.as_deref()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
        assert!(answer.header("www-authenticate").contains("DPoP"), "{what}: {answer:?}");
    }
    let proof = holder.proof("GET", &accounts, Some(&token));
    let answer = ask(&program, "DPoP", &token, Some(&proof)).await;
    assert_eq!(answer.status, StatusCode::OK, "the next proof: {answer:?}");
}
