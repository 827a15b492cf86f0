//! A key set (RFC 7517 5), and the search for the key that a token names.

use std::sync::Arc;

use serde::Deserialize;

use super::super::token::Algorithm;
use super::jwk::{Jwk, VerifyingKey};

/// Most entries that a key set may have.
pub const KEYS_MAX: usize = 64;
/// Most keys tried on one token, when it names none or several share a name.
pub const TRIED_MAX: usize = 4;

/// Why a document is not a usable key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetFault {
    /// Not JSON of the right shape.
    #[error("is not a JWK set: {0}")]
    Syntax(String),
    /// More than [`KEYS_MAX`] entries.
    #[error("has {0} keys, more than {KEYS_MAX}")]
    TooMany(usize),
    /// No entry can be used; says why the first one cannot.
    #[error("has no usable key{0}")]
    Empty(String),
}

/// The usable keys of one fetched set.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<VerifyingKey>>,
    /// Entries that could not be used, as "kid: why".
    pub skipped: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a fetched document. An entry that cannot be used is skipped, as RFC 7517 5 asks.
    ///
    /// # Errors
    /// See [`SetFault`].
    pub fn parse(bytes: &[u8], accepted: &[Algorithm], now_ms: i64) -> Result<Self, SetFault> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|e| SetFault::Syntax(e.to_string()))?;
        if document.keys.len() > KEYS_MAX {
            return Err(SetFault::TooMany(document.keys.len()));
        }
        let mut set = Self::default();
        for entry in document.keys {
            let name = entry
                .get("kid")
                .and_then(|k| k.as_str())
                .unwrap_or("(no kid)")
                .chars()
                .take(64)
                .collect::<String>();
            match serde_json::from_value::<Jwk>(entry) {
                Ok(jwk) => match jwk.verifying_keys(accepted, now_ms) {
                    Ok(keys) => set.keys.extend(keys.into_iter().map(Arc::new)),
                    Err(fault) => set.skipped.push(format!("{name}: {fault}")),
                },
                Err(error) => set.skipped.push(format!("{name}: {error}")),
            }
        }
        if set.keys.is_empty() {
            let first = set.skipped.first().map(|s| format!(" ({s})")).unwrap_or_default();
            return Err(SetFault::Empty(first));
        }
        Ok(set)
    }

    /// The usable keys.
    pub fn keys(&self) -> &[Arc<VerifyingKey>] {
        &self.keys
    }

    /// Keeps the very objects of keys that `older` already had, so that what they verified stays remembered, and
    /// withdraws those that are gone.
    #[must_use]
    pub fn succeeding(mut self, older: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(same) =
                older.keys.iter().find(|o| o.fingerprint == key.fingerprint && o.kid == key.kid)
            {
                *key = Arc::clone(same);
            }
        }
        for gone in older.keys.iter().filter(|o| !self.keys.iter().any(|k| Arc::ptr_eq(k, o))) {
            gone.withdraw();
        }
        self
    }

    /// Keys that may have signed a token of this header, at most [`TRIED_MAX`]. Without a `kid` every key of the
    /// algorithm may have, unless there are too many to try.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Arc<VerifyingKey>> {
        let fits = move |key: &&Arc<VerifyingKey>| {
            key.algorithm == algorithm && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        };
        let too_many = kid.is_none() && self.keys.iter().filter(fits).nth(TRIED_MAX).is_some();
        self.keys.iter().filter(fits).take(if too_many { 0 } else { TRIED_MAX })
    }

    /// Whether any key has this `kid`, whatever its algorithm: then fetching again brings nothing.
    pub fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.keys.iter().any(|k| k.kid.as_deref() == Some(kid)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::signing::SigningKey;
    use super::*;
    use serde_json::{Value, json};

    fn set(keys: &[Value]) -> Result<KeySet, SetFault> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &Algorithm::ALL, 0)
    }

    #[test]
    fn documents_that_are_no_key_set_are_refused() {
        for (text, what) in [
            ("<html>", "html"),
            ("{}", "no keys member"),
            (r#"{"keys":{}}"#, "no list"),
            (r#"{"keys":[]}"#, "empty"),
            (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "nothing usable"),
            (r#"{"keys":[7]}"#, "no object"),
        ] {
            assert!(KeySet::parse(text.as_bytes(), &Algorithm::ALL, 0).is_err(), "{what}");
        }
        let many = vec![json!({ "kty": "oct" }); 10_000];
        assert_eq!(set(&many).err(), Some(SetFault::TooMany(10_000)));
    }

    #[test]
    fn a_key_that_is_gone_is_withdrawn_and_one_that_stays_is_the_same() {
        let [a, b, c] = [(); 3].map(|()| SigningKey::generate().unwrap().public_jwk());
        let old = set(&[a.clone(), b.clone()]).unwrap();
        let (kept, gone) = (Arc::clone(&old.keys()[0]), Arc::clone(&old.keys()[1]));
        let new = set(&[a, c]).unwrap().succeeding(&old);
        assert!(Arc::ptr_eq(&kept, &new.keys()[0]));
        assert!(!kept.is_withdrawn() && gone.is_withdrawn());
        // The same kid with other key material is another key.
        let mut forged = b;
        forged["kid"] = json!(kept.kid);
        let newest = set(&[forged]).unwrap().succeeding(&new);
        assert!(kept.is_withdrawn() && !newest.keys()[0].is_withdrawn());
    }

    #[test]
    fn few_keys_are_tried() {
        let jwks: Vec<Value> = (0..10).map(|_| SigningKey::generate().unwrap().public_jwk()).collect();
        let same: Vec<Value> = jwks
            .iter()
            .cloned()
            .map(|mut k| {
                k["kid"] = json!("same");
                k
            })
            .collect();
        assert_eq!(set(&same).unwrap().candidates(Some("same"), Algorithm::Es256).count(), TRIED_MAX);
        assert_eq!(set(&jwks).unwrap().candidates(None, Algorithm::Es256).count(), 0);
        assert_eq!(set(&jwks[..2]).unwrap().candidates(None, Algorithm::Es256).count(), 2);
        assert_eq!(set(&jwks[..2]).unwrap().candidates(None, Algorithm::Rs256).count(), 0);
        assert_eq!(set(&jwks).unwrap().candidates(jwks[3]["kid"].as_str(), Algorithm::Es256).count(), 1);
    }
}
