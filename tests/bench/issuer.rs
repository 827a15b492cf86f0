//! An issuer for the benchmark: discovery and keys on a loopback port, and access tokens in files.
//!
//! `bench-issuer FOLDER AUDIENCE CUSTOMERS` writes into FOLDER, each token on a line of its own and good for two hours:
//! `es256.tokens` for the gateway, `rs256.tokens` for peers that verify RSA alone, `rsa.pub` (PEM) for them to verify
//! with, and, once all of it is served, `issuer` with the issuer's URL.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const LIFETIME_S: u64 = 7_200;
/// Longest request head that is read, bytes.
const HEAD_BYTES_MAX: u64 = 8 * 1024;

struct Keys {
    random: SystemRandom,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Keys {
    fn generate() -> anyhow::Result<Self> {
        let ec =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no P-256 key"))?;
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key"))?;
        Ok(Self { random: SystemRandom::new(), ec, rsa })
    }

    /// RFC 7518 section 6: an uncompressed P-256 point is 0x04, 32 bytes x, 32 bytes y.
    fn published(&self) -> anyhow::Result<Value> {
        let point = self.ec.public_key().as_ref().get(1..).context("P-256 point")?;
        let (x, y) = point.split_at_checked(32).context("P-256 point")?;
        let rsa = self.rsa.public_key();
        let number =
            |n: aws_lc_rs::io::Positive<'_>| URL_SAFE_NO_PAD.encode(n.big_endian_without_leading_zero());
        Ok(json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "ES256", "alg": "ES256", "use": "sig",
              "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) },
            { "kty": "RSA", "kid": "RS256", "alg": "RS256", "use": "sig",
              "n": number(rsa.modulus()), "e": number(rsa.exponent()) },
        ]}))
    }

    fn token(&self, algorithm: &str, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": algorithm, "kid": algorithm, "typ": "at+jwt" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = if algorithm == "ES256" {
            let signed = self.ec.sign(&self.random, message.as_bytes());
            signed.map_err(|_| anyhow!("ES256 signature"))?.as_ref().to_vec()
        } else {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa
                .sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature)
                .map_err(|_| anyhow!("RS256 signature"))?;
            signature
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn rsa_pem(&self) -> anyhow::Result<String> {
        let der: PublicKeyX509Der<'_> =
            self.rsa.public_key().as_der().map_err(|_| anyhow!("RSA public key"))?;
        let text = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (position, letter) in text.chars().enumerate() {
            if position > 0 && position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        Ok(pem + "\n-----END PUBLIC KEY-----\n")
    }
}

/// What an access token of the demo bank says (RFC 9068), of a customer who has just logged in strongly.
fn claims(issuer: &str, audience: &str, customer: usize, now_s: u64) -> Value {
    json!({
        "iss": issuer, "aud": audience, "sub": format!("customer-{customer}"), "client_id": "bench",
        "iat": now_s, "exp": now_s + LIFETIME_S, "jti": format!("{now_s}-{customer}"),
        "sid": format!("session-{customer}"), "auth_time": now_s, "acr": "urn:gatehouse:acr:stepup",
        "scope": "accounts:read payments:write",
    })
}

fn write_tokens(
    keys: &Keys,
    folder: &Path,
    issuer: &str,
    audience: &str,
    customers: usize,
) -> anyhow::Result<()> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for (algorithm, file) in [("ES256", "es256.tokens"), ("RS256", "rs256.tokens")] {
        let mut lines = String::new();
        for customer in 1..=customers {
            lines += &keys.token(algorithm, &claims(issuer, audience, customer, now_s))?;
            lines.push('\n');
        }
        std::fs::write(folder.join(file), lines)?;
    }
    std::fs::write(folder.join("rsa.pub"), keys.rsa_pem()?)?;
    Ok(())
}

/// One request a connection.
fn answer(mut stream: TcpStream, discovery: &str, jwks: &str) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new((&stream).take(HEAD_BYTES_MAX)).lines();
    let first = lines.next().context("no request")??;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = match first.split(' ').nth(1) {
        Some("/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server") => {
            ("200 OK", discovery)
        }
        Some("/jwks") => ("200 OK", jwks),
        _ => ("404 Not Found", "{}"),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, audience, customers] = words.as_slice() else {
        anyhow::bail!("usage: bench-issuer FOLDER AUDIENCE CUSTOMERS");
    };
    let (folder, customers) = (PathBuf::from(folder), customers.parse()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let keys = Keys::generate()?;
    write_tokens(&keys, &folder, &issuer, audience, customers)?;
    let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") }).to_string();
    let jwks = keys.published()?.to_string();
    // Written last, and in one step: whoever waits for it finds the rest.
    std::fs::write(folder.join("issuer.new"), &issuer)?;
    std::fs::rename(folder.join("issuer.new"), folder.join("issuer"))?;
    for stream in listener.incoming() {
        if let Err(error) = stream.map_err(anyhow::Error::from).and_then(|s| answer(s, &discovery, &jwks)) {
            eprintln!("bench-issuer: {error:#}");
        }
    }
    Ok(())
}
