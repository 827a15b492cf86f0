//! Tokens as a case describes them, and the words of its texts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::NOW_S;
use super::super::fake_issuer::FakeIssuer;

/// What stands for what in the texts of a case.
#[derive(Clone, Default)]
pub struct Words(Vec<(String, String)>);

impl Words {
    /// With one more, `{name}`.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// A text with its words filled in. Braces around anything else stay as they are, so that JSON may stand in it.
    pub fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            match after.split_once('}').and_then(|(word, behind)| Some((self.meaning(word)?, behind))) {
                Some((meaning, behind)) => {
                    out.push_str(&meaning);
                    rest = behind;
                }
                None => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out + rest
    }

    /// A name, or `x*300`: 300 times x.
    fn meaning(&self, word: &str) -> Option<String> {
        if let Some((_, value)) = self.0.iter().rev().find(|(name, _)| name == word) {
            return Some(value.clone());
        }
        let (repeated, times) = word.rsplit_once('*')?;
        Some(repeated.repeat(times.parse().ok()?))
    }

    /// The same for every text in a value; one that is a date, such as `now-5`, becomes a number.
    pub fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => date(text).unwrap_or_else(|| json!(self.fill(text))),
            Value::Array(list) => list.iter().map(|one| self.fill_value(one)).collect(),
            Value::Object(map) => {
                map.iter().map(|(name, one)| (name.clone(), self.fill_value(one))).collect()
            }
            other => other.clone(),
        }
    }

    /// Puts `changes` over `target`; "-" takes a member away.
    pub fn change(&self, target: &mut Value, changes: &Map<String, Value>) {
        let target = target.as_object_mut().unwrap();
        for (name, value) in changes {
            if value == "-" {
                target.remove(name);
            } else {
                target.insert(name.clone(), self.fill_value(value));
            }
        }
    }
}

/// `now`, `now+5`, `now-1.5`.
fn date(text: &str) -> Option<Value> {
    let offset = text.strip_prefix("now")?;
    match offset.parse::<i64>() {
        _ if offset.is_empty() => Some(json!(NOW_S)),
        _ if !offset.starts_with(['+', '-']) => None,
        Ok(seconds) => Some(json!(NOW_S + seconds)),
        Err(_) => Some(json!(NOW_S as f64 + offset.parse::<f64>().ok()?)),
    }
}

/// A signed token, by how it differs from the good one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    pub header_text: Option<String>,
    pub claims_text: Option<String>,
    pub sign: Option<Sign>,
    pub text: Option<String>,
}

/// What a token is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Keys of the fake issuer; `es-other` is not published.
    Es,
    EsOther,
    Rs,
    Ed,
    Empty,
    Zeros,
    /// The form of X.509.
    Der,
    /// The signature of the good token, put under this one.
    Kept,
    /// n - s in the place of s, which verifies as well (ECDSA).
    Mirrored,
    /// HMACs with what everybody knows.
    HmacOfRsaKey,
    HmacOfJwks,
    HmacOfSecret,
}

/// The good token of a list.
pub struct Good {
    pub header: Value,
    pub claims: Value,
    pub signer: &'static str,
}

impl Token {
    /// The compact token.
    pub fn made(&self, issuer: &FakeIssuer, good: &Good, words: &Words) -> String {
        let part = |good: &Value, changes: &Map<String, Value>, text: &Option<String>| {
            let mut members = good.clone();
            words.change(&mut members, changes);
            let members = members.to_string();
            let inner = members.trim_start_matches('{').strip_suffix('}').unwrap_or_default();
            text.as_ref().map_or(members.clone(), |text| words.clone().with("members", inner).fill(text))
        };
        let header = part(&good.header, &self.header, &self.header_text);
        let claims = part(&good.claims, &self.claims, &self.claims_text);
        let [encoded_header, encoded_claims] = [&header, &claims].map(|text| URL_SAFE_NO_PAD.encode(text));
        let input = format!("{encoded_header}.{encoded_claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.signature(issuer, good, &header, &input));
        let token = format!("{input}.{signature}");
        let words = words
            .clone()
            .with("header", encoded_header)
            .with("claims", encoded_claims)
            .with("signature", signature)
            .with("token", token.clone());
        self.text.as_ref().map_or(token, |text| words.fill(text))
    }

    fn signature(&self, issuer: &FakeIssuer, good: &Good, header: &str, input: &str) -> Vec<u8> {
        let by = |signer| issuer.signature(signer, header.contains("PS256"), input.as_bytes());
        let hmac = |key: &[u8]| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
            aws_lc_rs::hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
        };
        let rsa = issuer.jwk("rs");
        match self.sign {
            None => by(good.signer),
            Some(Sign::Es) => by("es"),
            Some(Sign::EsOther) => by("es-other"),
            Some(Sign::Rs) => by("rs"),
            Some(Sign::Ed) => by("ed"),
            Some(Sign::Empty) => Vec::new(),
            Some(Sign::Zeros) => vec![0; 64],
            Some(Sign::Der) => vec![0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01],
            Some(Sign::Kept) => {
                let token = issuer.sign(good.signer, &good.header, &good.claims);
                URL_SAFE_NO_PAD.decode(token.rsplit_once('.').unwrap().1).unwrap()
            }
            Some(Sign::Mirrored) => mirrored(by(good.signer)),
            Some(Sign::HmacOfRsaKey) => hmac(&URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap()),
            Some(Sign::HmacOfJwks) => hmac(rsa.to_string().as_bytes()),
            Some(Sign::HmacOfSecret) => hmac(b"secret"),
        }
    }
}

/// (r, n - s) for a signature (r, s) on P-256.
fn mirrored(mut signature: Vec<u8>) -> Vec<u8> {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    assert_eq!(signature.len(), 64, "ES256 alone has a mirrored signature");
    let mut borrow = 0;
    for (s, n) in signature[32..].iter_mut().zip(N).rev() {
        let difference = i16::from(n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = difference.rem_euclid(256) as u8;
    }
    signature
}
