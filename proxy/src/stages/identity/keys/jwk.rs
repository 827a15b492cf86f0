//! One public key, parsed and checked once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::token::Algorithm;

/// A JWK as it stands in a key set (RFC 7517); only what verification needs.
#[derive(Debug, Deserialize)]
pub struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// What only a private key has (RFC 7518 6.2.2, 6.3.2).
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
}

/// Why a published key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkFault {
    /// For encryption, or of a type or algorithm that no accepted algorithm needs.
    #[error("is not for an accepted signature algorithm")]
    NotForSignatures,
    /// The private part is published: whoever reads the set can sign.
    #[error("is published with its private part")]
    PrivatePart,
    /// A part is missing or misspelt, the point is not on its curve, or the modulus has under 2,048 bits.
    #[error("is weak or malformed")]
    Unsound,
}

/// A key that verifies signatures of exactly one algorithm.
pub struct VerifyingKey {
    /// `kid`, where the issuer gives one.
    pub kid: Option<String>,
    /// The only algorithm it verifies.
    pub algorithm: Algorithm,
    /// SHA-256 over algorithm and key material.
    pub fingerprint: [u8; 32],
    /// When the gateway first saw it, Unix milliseconds.
    pub first_seen_ms: i64,
    key: ParsedPublicKey,
    withdrawn: AtomicBool,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("withdrawn", &self.withdrawn)
            .finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// Whether `signature` over `message` is this key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// Whether the issuer took the key out of its set; what it verified is then forgotten.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    pub(super) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }
}

impl Jwk {
    /// The verifying keys that this entry gives for the `accepted` algorithms: an RSA key without `alg` may give two.
    ///
    /// # Errors
    /// Why it gives none.
    pub fn verifying_keys(&self, accepted: &[Algorithm], now_ms: i64) -> Result<Vec<VerifyingKey>, JwkFault> {
        let secret = [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth];
        if secret.iter().any(|part| part.is_some()) {
            return Err(JwkFault::PrivatePart);
        }
        let signs = self.usage.as_deref().is_none_or(|u| u == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let candidates: Vec<Algorithm> = accepted
            .iter()
            .copied()
            .filter(|a| signs && self.fits(*a) && self.alg.as_deref().is_none_or(|alg| alg == a.name()))
            .collect();
        if candidates.is_empty() {
            return Err(JwkFault::NotForSignatures);
        }
        candidates.into_iter().map(|a| self.parse(a, now_ms)).collect()
    }

    /// SHA-256 over the members that make the key, in their one order and spelling (RFC 7638 3.2, RFC 8037 2).
    pub fn thumbprint(&self) -> Option<[u8; 32]> {
        let members: [(&str, Option<&String>); 4] = match self.kty.as_str() {
            "EC" => [
                ("crv", self.crv.as_ref()),
                ("kty", Some(&self.kty)),
                ("x", self.x.as_ref()),
                ("y", self.y.as_ref()),
            ],
            "OKP" => {
                [("crv", self.crv.as_ref()), ("kty", Some(&self.kty)), ("x", self.x.as_ref()), ("", None)]
            }
            "RSA" => [("e", self.e.as_ref()), ("kty", Some(&self.kty)), ("n", self.n.as_ref()), ("", None)],
            _ => return None,
        };
        let mut object = serde_json::Map::new();
        for (name, value) in members.into_iter().filter(|(name, _)| !name.is_empty()) {
            object.insert(name.to_owned(), value?.clone().into());
        }
        let text = serde_json::Value::Object(object).to_string();
        digest(&SHA256, text.as_bytes()).as_ref().try_into().ok()
    }

    /// RFC 7518 3.1 and RFC 8037 3.1: which key type and curve an algorithm takes.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let curve = self.crv.as_deref();
        match algorithm {
            Algorithm::Es256 => self.kty == "EC" && curve == Some("P-256"),
            Algorithm::Es384 => self.kty == "EC" && curve == Some("P-384"),
            Algorithm::EdDsa => self.kty == "OKP" && curve == Some("Ed25519"),
            Algorithm::Ps256 | Algorithm::Rs256 => self.kty == "RSA",
        }
    }

    fn parse(&self, algorithm: Algorithm, first_seen_ms: i64) -> Result<VerifyingKey, JwkFault> {
        let (key, material) = match algorithm {
            Algorithm::Es256 => self.point(&ECDSA_P256_SHA256_FIXED, 32)?,
            Algorithm::Es384 => self.point(&ECDSA_P384_SHA384_FIXED, 48)?,
            Algorithm::EdDsa => {
                let x = part(self.x.as_deref(), 32..=32)?;
                (ParsedPublicKey::new(&ED25519, &x).map_err(|_| JwkFault::Unsound)?, x)
            }
            Algorithm::Ps256 => self.rsa(&RSA_PSS_2048_8192_SHA256)?,
            Algorithm::Rs256 => self.rsa(&RSA_PKCS1_2048_8192_SHA256)?,
        };
        let named = [algorithm.name().as_bytes(), &material].concat();
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &named).as_ref());
        let withdrawn = AtomicBool::new(false);
        Ok(VerifyingKey { kid: self.kid.clone(), algorithm, fingerprint, first_seen_ms, key, withdrawn })
    }

    fn point(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        bytes: usize,
    ) -> Result<(ParsedPublicKey, Vec<u8>), JwkFault> {
        let mut point = vec![4];
        point.extend(part(self.x.as_deref(), bytes..=bytes)?);
        point.extend(part(self.y.as_deref(), bytes..=bytes)?);
        // Parsing checks that the point is on the curve.
        let key = ParsedPublicKey::new(algorithm, &point).map_err(|_| JwkFault::Unsound)?;
        Ok((key, point))
    }

    fn rsa(
        &self,
        parameters: &'static aws_lc_rs::signature::RsaParameters,
    ) -> Result<(ParsedPublicKey, Vec<u8>), JwkFault> {
        // The library defers the size check to the first signature; here a weak key never becomes a key.
        let n = part(self.n.as_deref(), 256..=1024)?;
        let e = part(self.e.as_deref(), 1..=8)?;
        let sound = n.first().is_some_and(|b| b & 0x80 != 0 || n.len() > 256)
            && n.first() != Some(&0)
            && n.last().is_some_and(|b| b & 1 == 1)
            && e.first() != Some(&0)
            && e.last().is_some_and(|b| b & 1 == 1)
            && e != [1]
            && !is_roca(&n);
        if !sound {
            return Err(JwkFault::Unsound);
        }
        let key = RsaPublicKeyComponents { n: &n, e: &e }
            .to_parsed_public_key(parameters)
            .map_err(|_| JwkFault::Unsound)?;
        Ok((key, [n, e].concat()))
    }
}

/// Whether a modulus of 2,048 bits or more is of the kind that a flawed library of Infineon's makes, and that can be factored
/// (CVE-2017-15361): both its primes, and so the modulus, are powers of 65,537 modulo each of the first 126 primes (Nemec et
/// al., "The Return of Coppersmith's Attack", 2017, section 2.1). Of other moduli hardly one in 2^150 is.
fn is_roca(modulus: &[u8]) -> bool {
    const FIRST_126_PRIMES_END: u32 = 701;
    let is_prime = |n: u32| (2..n).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    let is_power = |prime: u32| {
        let rest = modulus.iter().fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
        std::iter::successors(Some(1), |power| Some(power * 65_537 % prime))
            .take(prime as usize)
            .any(|power| power == rest)
    };
    (3..=FIRST_126_PRIMES_END).filter(|&n| is_prime(n)).all(is_power)
}

fn part(text: Option<&str>, bytes: std::ops::RangeInclusive<usize>) -> Result<Vec<u8>, JwkFault> {
    let decoded = URL_SAFE_NO_PAD.decode(text.unwrap_or_default()).map_err(|_| JwkFault::Unsound)?;
    bytes.contains(&decoded.len()).then_some(decoded).ok_or(JwkFault::Unsound)
}

#[cfg(test)]
mod tests {
    use super::super::super::signing::SigningKey;
    use super::*;
    use serde_json::{Value, json};

    fn keys(value: Value) -> Result<Vec<Algorithm>, JwkFault> {
        let jwk: Jwk = serde_json::from_value(value).unwrap();
        Ok(jwk.verifying_keys(&Algorithm::ALL, 0)?.iter().map(|k| k.algorithm).collect())
    }

    fn rsa(bits: usize) -> Value {
        let mut modulus = vec![0x5b; bits / 8];
        modulus[0] = 0xc7;
        json!({ "kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus) })
    }

    fn changed(mut value: Value, name: &str, to: Value) -> Value {
        value[name] = to;
        value
    }

    #[test]
    fn moduli_that_can_be_factored_are_told_from_others() {
        // A power of 65,537 times another, as the flawed library's moduli are; and one more than that.
        let product = 65_537_u128.pow(3) * 65_537_u128.pow(4);
        assert!(is_roca(&product.to_be_bytes()));
        assert!(!is_roca(&(product + 2).to_be_bytes()));
        let usual = rsa(2048);
        assert!(!is_roca(&URL_SAFE_NO_PAD.decode(usual["n"].as_str().unwrap()).unwrap()));
    }

    #[test]
    fn only_sound_keys_for_signatures_are_used() {
        let ec = SigningKey::generate().unwrap().public_jwk();
        let bare = |value: &Value| {
            let mut value = value.clone();
            value.as_object_mut().unwrap().remove("alg");
            value
        };
        for (what, value, result) in [
            ("P-256", ec.clone(), Ok(vec![Algorithm::Es256])),
            ("P-256 without alg", bare(&ec), Ok(vec![Algorithm::Es256])),
            ("RSA 2048 for both", rsa(2048), Ok(vec![Algorithm::Ps256, Algorithm::Rs256])),
            ("RSA for one", changed(rsa(2048), "alg", json!("PS256")), Ok(vec![Algorithm::Ps256])),
            ("RSA 1024", rsa(1024), Err(JwkFault::Unsound)),
            ("RSA 2040", rsa(2040), Err(JwkFault::Unsound)),
            ("RSA 16384", rsa(16384), Err(JwkFault::Unsound)),
            ("RSA with exponent 1", changed(rsa(2048), "e", json!("AQ")), Err(JwkFault::Unsound)),
            ("RSA for encryption", changed(rsa(2048), "use", json!("enc")), Err(JwkFault::NotForSignatures)),
            (
                "wrong operations",
                changed(rsa(2048), "key_ops", json!(["encrypt"])),
                Err(JwkFault::NotForSignatures),
            ),
            (
                "EC key saying RS256",
                changed(ec.clone(), "alg", json!("RS256")),
                Err(JwkFault::NotForSignatures),
            ),
            (
                "EC key saying HS256",
                changed(ec.clone(), "alg", json!("HS256")),
                Err(JwkFault::NotForSignatures),
            ),
            ("another curve's name", changed(bare(&ec), "crv", json!("P-384")), Err(JwkFault::Unsound)),
            ("point off the curve", changed(ec.clone(), "y", ec["x"].clone()), Err(JwkFault::Unsound)),
            ("private part", changed(ec.clone(), "d", json!("AA")), Err(JwkFault::PrivatePart)),
            ("a private factor", changed(ec.clone(), "p", json!("AA")), Err(JwkFault::PrivatePart)),
            ("symmetric", json!({ "kty": "oct", "k": "AAAA" }), Err(JwkFault::NotForSignatures)),
            ("short Ed25519", json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }), Err(JwkFault::Unsound)),
            (
                "X25519",
                json!({ "kty": "OKP", "crv": "X25519", "x": "AAAA" }),
                Err(JwkFault::NotForSignatures),
            ),
        ] {
            assert_eq!(keys(value), result, "{what}");
        }
    }
}
