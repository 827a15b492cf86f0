//! The gateway's own ES256 keys: for `private_key_jwt` towards issuers and for the identity token to upstreams.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest key file read, bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// Neither a PKCS#8 PEM nor a private JWK.
    #[error("is neither a PKCS#8 PEM nor a private JWK")]
    Format,
    /// Not a sound P-256 key.
    #[error("is not a sound P-256 private key")]
    Key,
}

/// A private P-256 key, parsed once, with the id under which its public part is published.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    kid: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct PrivateJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    d: String,
    kid: Option<String>,
}

impl SigningKey {
    /// Reads a PKCS#8 PEM or a JWK.
    ///
    /// # Errors
    /// See [`KeyFault`].
    pub fn from_file(path: &Path) -> Result<Self, KeyFault> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Self::from_text(&text)
    }

    /// The same from the file's text.
    ///
    /// # Errors
    /// See [`KeyFault`].
    pub fn from_text(text: &str) -> Result<Self, KeyFault> {
        let text = text.trim();
        if let Ok(jwk) = serde_json::from_str::<PrivateJwk>(text) {
            return Self::from_jwk(&jwk);
        }
        let body = text
            .strip_prefix("-----BEGIN PRIVATE KEY-----")
            .and_then(|t| t.strip_suffix("-----END PRIVATE KEY-----"))
            .ok_or(KeyFault::Format)?;
        let compact: String = body.split_whitespace().collect();
        let der = STANDARD.decode(compact).map_err(|_| KeyFault::Format)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|_| KeyFault::Key)?;
        Ok(Self::with_thumbprint(pair))
    }

    /// A fresh key, for a gateway that was given none.
    ///
    /// # Errors
    /// [`KeyFault::Key`] if the system has no randomness.
    pub fn generate() -> Result<Self, KeyFault> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(Self::with_thumbprint)
            .map_err(|_| KeyFault::Key)
    }

    fn from_jwk(jwk: &PrivateJwk) -> Result<Self, KeyFault> {
        if jwk.kty != "EC" || jwk.crv != "P-256" {
            return Err(KeyFault::Key);
        }
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyFault::Format);
        let mut public = vec![4];
        public.extend(part(&jwk.x)?);
        public.extend(part(&jwk.y)?);
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &part(&jwk.d)?,
            &public,
        )
        .map_err(|_| KeyFault::Key)?;
        let mut key = Self::with_thumbprint(pair);
        if let Some(kid) = &jwk.kid {
            key.kid.clone_from(kid);
        }
        key.proves_itself().then_some(key).ok_or(KeyFault::Key)
    }

    /// A file may pair a private with a foreign public part; what it signs would then never verify.
    fn proves_itself(&self) -> bool {
        let message = b"gatehouse key check";
        self.sign_bytes(message).is_some_and(|signature| self.signed(message, &signature))
    }

    /// A signature (ES256, 64 bytes) over bytes; `None` only when the system has no randomness.
    pub fn sign_bytes(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.pair.sign(&self.random, message).ok().map(|signature| signature.as_ref().to_vec())
    }

    /// Whether this key made `signature` over `message`.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = self.pair.public_key().as_ref();
        let public = UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED, public);
        public.verify(message, signature).is_ok()
    }

    /// `kid` is the RFC 7638 thumbprint, so that it needs no configuration.
    fn with_thumbprint(pair: EcdsaKeyPair) -> Self {
        let (x, y) = coordinates(&pair);
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
        Self { pair, random: SystemRandom::new(), kid }
    }

    /// The id of the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public part as a JWK for a key set.
    pub fn public_jwk(&self) -> Value {
        let (x, y) = coordinates(&self.pair);
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": x, "y": y })
    }

    /// A compact JWS over `claims`; `None` only when the system has no randomness.
    pub fn sign(&self, media_type: &str, claims: &impl Serialize) -> Option<String> {
        let header = json!({ "alg": "ES256", "typ": media_type, "kid": self.kid });
        let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).ok()?);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut token);
        let signature = self.pair.sign(&self.random, token.as_bytes()).ok()?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Some(token)
    }
}

/// The public point's coordinates in base64url: the uncompressed form is 0x04, x, y (SEC 1, 2.3.3).
fn coordinates(pair: &EcdsaKeyPair) -> (String, String) {
    let point = pair.public_key().as_ref();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
    (part(1..33), part(33..65))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_with_the_published_key() {
        let key = SigningKey::generate().unwrap();
        let token = key.sign("JWT", &json!({ "sub": "a" })).unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.public_jwk()).unwrap();
        let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap();
        assert_eq!(read.claims["sub"], "a");
        assert_eq!(read.header.kid.as_deref(), Some(key.kid()));
    }

    #[test]
    fn unusable_files_are_refused() {
        for text in [
            "",
            "{}",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}"#,
            r#"{"kty":"RSA","crv":"P-256","x":"AA","y":"AA","d":"AA"}"#,
        ] {
            assert!(SigningKey::from_text(text).is_err(), "{text}");
        }
        assert!(matches!(SigningKey::from_file(Path::new("/nonexistent")), Err(KeyFault::File(_))));
    }
}
