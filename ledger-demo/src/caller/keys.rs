//! The gateway's public keys: fixed, or fetched and kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use url::Url;

use super::Unidentified;

/// Between two fetches at least, whatever key ids are asked for: bad tokens cannot make the bank ask the gateway in a loop.
const FETCH_PAUSE_MS: i64 = 3_000;
/// Keys older than this are fetched anew, so that one the gateway withdrew is forgotten here too.
const FRESH_MS: i64 = 10 * 60 * 1_000;
/// Keys older than this are not used any more, even while the gateway cannot be reached.
const STALE_MS_MAX: i64 = 60 * 60 * 1_000;
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const KEY_SET_BYTES_MAX: usize = 64 * 1024;
const KEYS_MAX: usize = 16;

pub(super) type Keys = HashMap<String, Arc<DecodingKey>>;

pub(super) enum KeySource {
    Fixed(Keys),
    Fetched(FetchedKeys),
}

impl KeySource {
    pub(super) async fn key(&self, kid: &str, now_ms: i64) -> Result<Arc<DecodingKey>, Unidentified> {
        match self {
            Self::Fixed(keys) => keys.get(kid).cloned().ok_or(Unidentified::Rejected("unknown key")),
            Self::Fetched(keys) => keys.key(kid, now_ms).await,
        }
    }
}

#[derive(Default)]
struct Held {
    keys: Keys,
    fetched_ms: Option<i64>,
}

impl Held {
    fn age_ms(&self, now_ms: i64) -> i64 {
        self.fetched_ms.map_or(i64::MAX, |fetched_ms| now_ms.saturating_sub(fetched_ms))
    }

    fn usable(&self, kid: &str, now_ms: i64) -> Option<Arc<DecodingKey>> {
        self.keys.get(kid).filter(|_| self.age_ms(now_ms) <= STALE_MS_MAX).cloned()
    }
}

pub(super) struct FetchedKeys {
    url: Url,
    client: reqwest::Client,
    held: RwLock<Held>,
    /// When a fetch was last begun; held while one is under way, so that there is only one.
    last_attempt_ms: Mutex<Option<i64>>,
}

impl FetchedKeys {
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { url, client, held: RwLock::default(), last_attempt_ms: Mutex::default() })
    }

    async fn key(&self, kid: &str, now_ms: i64) -> Result<Arc<DecodingKey>, Unidentified> {
        let (found, fresh) = {
            let held = self.held.read();
            (held.usable(kid, now_ms), held.age_ms(now_ms) <= FRESH_MS)
        };
        match found {
            Some(key) if fresh => return Ok(key),
            Some(key) => {
                // Still good. Whoever comes first renews it, the others do not wait.
                if let Ok(last_attempt_ms) = self.last_attempt_ms.try_lock() {
                    self.fetch(last_attempt_ms, now_ms).await;
                    return self.held.read().usable(kid, now_ms).ok_or(Unidentified::Rejected("unknown key"));
                }
                return Ok(key);
            }
            None => {}
        }
        let last_attempt_ms = self.last_attempt_ms.lock().await;
        // Somebody may have fetched it while we waited.
        if let Some(key) = self.held.read().usable(kid, now_ms) {
            return Ok(key);
        }
        self.fetch(last_attempt_ms, now_ms).await;
        let held = self.held.read();
        match held.usable(kid, now_ms) {
            Some(key) => Ok(key),
            None if held.age_ms(now_ms) > STALE_MS_MAX => Err(Unidentified::KeysUnavailable),
            None => Err(Unidentified::Rejected("unknown key")),
        }
    }

    async fn fetch(&self, mut last_attempt_ms: tokio::sync::MutexGuard<'_, Option<i64>>, now_ms: i64) {
        if last_attempt_ms.is_some_and(|last_ms| now_ms.saturating_sub(last_ms) < FETCH_PAUSE_MS) {
            return;
        }
        *last_attempt_ms = Some(now_ms);
        match self.download().await {
            Ok(keys) => *self.held.write() = Held { keys, fetched_ms: Some(now_ms) },
            Err(error) => tracing::warn!(%error, url = %self.url, "the gateway's keys cannot be fetched"),
        }
    }

    async fn download(&self) -> Result<Keys, String> {
        let mut response = self.client.get(self.url.clone()).send().await.map_err(|e| e.to_string())?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("status {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| e.to_string())? {
            if body.len() + chunk.len() > KEY_SET_BYTES_MAX {
                return Err("too long".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        let set: JwkSet = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let keys: Keys = set.keys.iter().take(KEYS_MAX).filter_map(usable_key).collect();
        if keys.is_empty() { Err("no usable key".to_owned()) } else { Ok(keys) }
    }
}

/// Only signing keys on P-256 with a key id; everything else in the set is passed over.
fn usable_key(jwk: &Jwk) -> Option<(String, Arc<DecodingKey>)> {
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let es256 = matches!(jwk.common.key_algorithm, None | Some(KeyAlgorithm::ES256));
    let AlgorithmParameters::EllipticCurve(curve) = &jwk.algorithm else { return None };
    if !signs || !es256 || curve.curve != EllipticCurve::P256 {
        return None;
    }
    let key = DecodingKey::from_ec_components(&curve.x, &curve.y).ok()?;
    Some((jwk.common.key_id.clone()?, Arc::new(key)))
}
