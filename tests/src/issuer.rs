//! An issuer of access tokens (RFC 9068) that live as long as a test wants.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY_ID: &str = "test";

/// An issuer on a loopback port, for as long as the test's runtime lives.
pub struct Issuer {
    /// Its `iss`.
    pub url: String,
    key: EncodingKey,
}

impl Issuer {
    /// Starts one with a fresh key.
    ///
    /// # Errors
    /// No key, or no port.
    pub async fn start() -> anyhow::Result<Self> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no P-256 key"))?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("no PKCS#8"))?;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        let keys = published(pair.public_key().as_ref())?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who asks again gets another answer.
                let _ = answer(stream, &discovery, &keys).await;
            }
        });
        Ok(Self { url, key: EncodingKey::from_ec_der(pkcs8.as_ref()) })
    }

    /// A token of customer `subject` for `audience` that expires `lifetime_s` from now, and when that is, Unix seconds.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn token(&self, subject: &str, audience: &str, lifetime_s: u64) -> anyhow::Result<(String, u64)> {
        self.token_with(subject, audience, lifetime_s, Map::new())
    }

    /// The same with `more` claims.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn token_with(
        &self,
        subject: &str,
        audience: &str,
        lifetime_s: u64,
        more: Map<String, Value>,
    ) -> anyhow::Result<(String, u64)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let expires_s = now.as_secs() + lifetime_s;
        let mut claims = json!({
            "iss": self.url, "aud": audience, "sub": subject, "client_id": "test", "sid": format!("{subject}-session"),
            "iat": now.as_secs(), "exp": expires_s, "auth_time": now.as_secs(), "jti": now.as_nanos().to_string(),
        });
        if let Some(claims) = claims.as_object_mut() {
            claims.extend(more);
        }
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(KEY_ID.to_owned());
        Ok((jsonwebtoken::encode(&header, &claims, &self.key)?, expires_s))
    }
}

/// RFC 7518 section 6: an uncompressed P-256 point is 0x04, 32 bytes x, 32 bytes y.
fn published(point: &[u8]) -> anyhow::Result<Value> {
    let coordinates = point.get(1..).and_then(|rest| rest.split_at_checked(32));
    let (x, y) = coordinates.ok_or_else(|| anyhow!("no P-256 point"))?;
    Ok(json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "kid": KEY_ID, "alg": "ES256", "use": "sig",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }]}))
}

/// One request a connection.
async fn answer(mut stream: TcpStream, discovery: &Value, keys: &Value) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let body = if head.starts_with(b"GET /jwks ") { keys } else { discovery }.to_string();
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await
}
