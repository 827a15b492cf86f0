//! An issuer for the benchmark: discovery and keys on a loopback port, and access tokens in files.
//!
//! `bench-issuer FOLDER AUDIENCE CUSTOMERS [TOKENS URL]` writes into FOLDER, each token on a line of its own and good for two
//! hours: `es256.tokens` and `rs256.tokens`, one for each customer; `ec.pub` and `rsa.pub` (PEM) for peers to verify them with;
//! and, once all of it is served, `issuer` with the issuer's URL. With TOKENS, as many more of each algorithm in `*.fresh`,
//! as many with a bad signature in `*.forged`, and in `dpop.fresh` proofs (RFC 9449) for `GET URL`, each after the token
//! that it is for.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
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
        let message = message(&header, claims);
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.signature(algorithm, message.as_bytes())?)))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        if algorithm == "ES256" {
            let signed = self.ec.sign(&self.random, message);
            return Ok(signed.map_err(|_| anyhow!("ES256 signature"))?.as_ref().to_vec());
        }
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .map_err(|_| anyhow!("RS256 signature"))?;
        Ok(signature)
    }

    /// The public halves, by file.
    fn pems(&self) -> anyhow::Result<[(&'static str, String); 2]> {
        let der = |key: Result<PublicKeyX509Der<'_>, _>| key.map(|der| pem(der.as_ref()));
        let ec = der(self.ec.public_key().as_der()).map_err(|_| anyhow!("P-256 public key"))?;
        let rsa = der(self.rsa.public_key().as_der()).map_err(|_| anyhow!("RSA public key"))?;
        Ok([("ec.pub", ec), ("rsa.pub", rsa)])
    }

    /// A proof for `GET url` by the key that `jwk` is the public half of, and that is this issuer's own.
    fn proof(
        &self,
        jwk: &Value,
        url: &str,
        token: &str,
        number: usize,
        now_s: u64,
    ) -> anyhow::Result<String> {
        let header = json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": jwk });
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let claims = json!({
            "jti": format!("{now_s}-{number}"), "htm": "GET", "htu": url, "iat": now_s,
            "ath": URL_SAFE_NO_PAD.encode(hash),
        });
        let message = message(&header, &claims);
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.signature("ES256", message.as_bytes())?)))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (position, letter) in text.chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + "\n-----END PUBLIC KEY-----\n"
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
    for (algorithm, file) in ALGORITHMS {
        let tokens =
            (1..=customers).map(|customer| keys.token(algorithm, &claims(issuer, audience, customer, now_s)));
        write_lines(&folder.join(format!("{file}.tokens")), tokens)?;
    }
    for (file, pem) in keys.pems()? {
        std::fs::write(folder.join(file), pem)?;
    }
    Ok(())
}

const ALGORITHMS: [(&str, &str); 2] = [("ES256", "es256"), ("RS256", "rs256")];

fn write_lines(file: &Path, lines: impl Iterator<Item = anyhow::Result<String>>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    for line in lines {
        writeln!(out, "{}", line?)?;
    }
    Ok(out.flush()?)
}

/// Tokens that are sent once each: `count` good ones, as many bad ones, and as many proofs for `GET url`.
fn write_single_use(
    keys: &Keys,
    folder: &Path,
    issuer: &str,
    audience: &str,
    count: usize,
    url: &str,
) -> anyhow::Result<()> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = |number: usize| {
        let mut claims = claims(issuer, audience, 1 + number % 64, now_s);
        claims["jti"] = json!(format!("once-{number}"));
        claims
    };
    for (algorithm, file) in ALGORITHMS {
        write_lines(
            &folder.join(format!("{file}.fresh")),
            (0..count).map(|number| keys.token(algorithm, &claims(number))),
        )?;
        // One signature of something else will do: what it is checked against differs.
        let other = URL_SAFE_NO_PAD.encode(keys.signature(algorithm, b"something else")?);
        let forged = |number: usize| {
            let token = keys.token("ES256", &claims(number))?;
            let header = json!({ "alg": algorithm, "kid": algorithm, "typ": "at+jwt" });
            let claims = token.split('.').nth(1).context("claims")?.to_owned();
            Ok(format!("{}.{claims}.{other}", URL_SAFE_NO_PAD.encode(header.to_string())))
        };
        write_lines(&folder.join(format!("{file}.forged")), (0..count).map(forged))?;
    }
    // Whose key it is does not matter; its thumbprint (RFC 7638) has the members in this order.
    let published = keys.published()?;
    let (x, y) = (&published["keys"][0]["x"], &published["keys"][0]["y"]);
    let jwk = json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y });
    let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, jwk.to_string().as_bytes());
    let mut bound = self::claims(issuer, audience, 1, now_s);
    bound["cnf"] = json!({ "jkt": URL_SAFE_NO_PAD.encode(thumbprint) });
    let token = keys.token("ES256", &bound)?;
    let proved = |number| Ok(format!("{token} {}", keys.proof(&jwk, url, &token, number, now_s)?));
    write_lines(&folder.join("dpop.fresh"), (0..count).map(proved))
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
    let (folder, audience, customers, single_use) = match words.as_slice() {
        [folder, audience, customers] => (folder, audience, customers, None),
        [folder, audience, customers, tokens, url] => {
            (folder, audience, customers, Some((tokens.parse()?, url)))
        }
        _ => anyhow::bail!("usage: bench-issuer FOLDER AUDIENCE CUSTOMERS [TOKENS URL]"),
    };
    let (folder, customers) = (PathBuf::from(folder), customers.parse()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let keys = Keys::generate()?;
    write_tokens(&keys, &folder, &issuer, audience, customers)?;
    if let Some((count, url)) = single_use {
        write_single_use(&keys, &folder, &issuer, audience, count, url)?;
    }
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
