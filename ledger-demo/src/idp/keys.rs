//! Signing keys: ES256, published before they are used and kept until the last token they signed is dead.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::errors::IdpError;
use super::tokens::TOKEN_LIFETIME_MS;

/// How long a new key is in the JWKS before it signs: longer than a resource server keeps a JWKS, see `MAX_AGE_S`.
pub const PUBLISHED_AHEAD_MS: i64 = 10 * 60 * 1000;
/// How long a key signs before the next one is made by itself.
const SIGNS_MS: i64 = 30 * 24 * 3600 * 1000;
/// How much longer a replaced key is published than the tokens it signed live.
const KEPT_MARGIN_MS: i64 = 5 * 60 * 1000;

/// The provider's signing keys, kept in the store's tree `idp_keys`.
pub(super) struct SigningKeys {
    tree: sled::Tree,
    /// Ordered by the time from which they sign.
    keys: RwLock<Vec<SigningKey>>,
}

#[derive(Clone)]
struct SigningKey {
    kid: String,
    signs_from_ms: i64,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: Jwk,
}

#[derive(Serialize, Deserialize)]
struct Record {
    pkcs8: String,
    signs_from_ms: i64,
}

impl SigningKeys {
    pub(super) fn open(db: &sled::Db, now_ms: i64) -> Result<Self, IdpError> {
        let tree = db.open_tree("idp_keys")?;
        let mut keys = Vec::new();
        for entry in &tree {
            let (_, bytes) = entry?;
            let record: Record = serde_json::from_slice(&bytes)?;
            keys.push(SigningKey::from_record(&record)?);
        }
        keys.sort_by_key(|key| key.signs_from_ms);
        let opened = Self { tree, keys: RwLock::new(keys) };
        if opened.keys.read().is_empty() {
            opened.add(now_ms)?;
        }
        Ok(opened)
    }

    /// Publishes a new key at once; it signs from [`PUBLISHED_AHEAD_MS`] later on. Without effect while one is waiting already.
    pub(super) fn rotate(&self, now_ms: i64) -> Result<(), IdpError> {
        let waiting = self.keys.read().last().is_some_and(|key| key.signs_from_ms > now_ms);
        if !waiting {
            self.add(now_ms.saturating_add(PUBLISHED_AHEAD_MS))?;
        }
        Ok(())
    }

    /// Rotates when the signing key is old, and forgets keys whose tokens are all dead.
    pub(super) fn tend(&self, now_ms: i64) -> Result<(), IdpError> {
        if self.keys.read().last().is_some_and(|key| now_ms.saturating_sub(key.signs_from_ms) > SIGNS_MS) {
            self.rotate(now_ms)?;
        }
        let mut keys = self.keys.write();
        let dead = keys.len() - live(&keys, now_ms).len();
        for key in keys.drain(..dead) {
            self.tree.remove(&key.kid)?;
        }
        Ok(())
    }

    /// Signs claims as a JWT of this `typ`.
    pub(super) fn sign<C: Serialize>(&self, typ: &str, claims: &C, now_ms: i64) -> Result<String, IdpError> {
        let keys = self.keys.read();
        let key = keys
            .iter()
            .rev()
            .find(|key| key.signs_from_ms <= now_ms)
            // A clock set back must not stop the provider: the oldest key is the best there is.
            .or_else(|| keys.first())
            .ok_or(IdpError::Key)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(typ.to_owned());
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &key.encoding).map_err(|_| IdpError::Key)
    }

    /// The key with this id, if it is still published.
    pub(super) fn verifying(&self, kid: &str, now_ms: i64) -> Option<DecodingKey> {
        let keys = self.keys.read();
        live(&keys, now_ms).iter().find(|key| key.kid == kid).map(|key| key.decoding.clone())
    }

    /// The public keys for the JWKS.
    pub(super) fn published(&self, now_ms: i64) -> Vec<Jwk> {
        live(&self.keys.read(), now_ms).iter().map(|key| key.public.clone()).collect()
    }

    fn add(&self, signs_from_ms: i64) -> Result<(), IdpError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| IdpError::Key)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| IdpError::Key)?;
        let record = Record { pkcs8: STANDARD.encode(pkcs8.as_ref()), signs_from_ms };
        let key = SigningKey::from_record(&record)?;
        self.tree.insert(&key.kid, serde_json::to_vec(&record)?)?;
        self.tree.flush()?;
        self.keys.write().push(key);
        Ok(())
    }
}

impl SigningKey {
    fn from_record(record: &Record) -> Result<Self, IdpError> {
        let pkcs8 = STANDARD.decode(&record.pkcs8).map_err(|_| IdpError::Key)?;
        let encoding = EncodingKey::from_ec_der(&pkcs8);
        let mut public = Jwk::from_encoding_key(&encoding, Algorithm::ES256).map_err(|_| IdpError::Key)?;
        let decoding = DecodingKey::from_jwk(&public).map_err(|_| IdpError::Key)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| IdpError::Key)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { kid, signs_from_ms: record.signs_from_ms, encoding, decoding, public })
    }
}

/// Keys that sign, will sign, or signed a token that may still be alive. `keys` are ordered.
fn live(keys: &[SigningKey], now_ms: i64) -> &[SigningKey] {
    let kept_from_ms = now_ms.saturating_sub(TOKEN_LIFETIME_MS + KEPT_MARGIN_MS);
    let dead = keys.iter().skip(1).take_while(|successor| successor.signs_from_ms <= kept_from_ms).count();
    keys.get(dead..).unwrap_or(keys)
}
