//! A client that proves possession of a key (DPoP, RFC 9449).

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Somebody's key pair.
pub struct Holder {
    private: EncodingKey,
    public: [String; 2],
}

impl Holder {
    /// With a fresh key.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new() -> anyhow::Result<Self> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no P-256 key"))?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("no PKCS#8"))?;
        let point = pair.public_key().as_ref().get(1..).and_then(|rest| rest.split_at_checked(32));
        let (x, y) = point.ok_or_else(|| anyhow!("no P-256 point"))?;
        let public = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        Ok(Self { private: EncodingKey::from_ec_der(pkcs8.as_ref()), public })
    }

    /// What a token is bound to the key by (RFC 7638, RFC 9449 6.1).
    pub fn thumbprint(&self) -> String {
        let [x, y] = &self.public;
        hash(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
    }

    /// A fresh proof for a request, with `token` if it carries one.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn proof(&self, method: &str, url: &str, token: Option<&str>) -> anyhow::Result<String> {
        self.proof_with(method, url, token, Map::new())
    }

    /// The same with `more` claims.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn proof_with(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        more: Map<String, Value>,
    ) -> anyhow::Result<String> {
        let [x, y] = &self.public;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = Some(serde_json::from_value(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }))?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut claims = Map::from_iter([
            ("jti".to_owned(), json!(now.as_nanos().to_string())),
            ("htm".to_owned(), json!(method)),
            ("htu".to_owned(), json!(url)),
            ("iat".to_owned(), json!(now.as_secs())),
        ]);
        claims.extend(token.map(|token| ("ath".to_owned(), json!(hash(token)))));
        claims.extend(more);
        Ok(jsonwebtoken::encode(&header, &claims, &self.private)?)
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}
