//! An issuer of access tokens (RFC 9068) that live as long as a test wants, whose keys and answers a test may change.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY_ID: &str = "test";
const CHUNK: [u8; 16 * 1024] = [b' '; 16 * 1024];

/// What an issuer answers, whatever it is asked.
#[derive(Clone, Debug)]
pub enum Mood {
    /// What it should.
    Good,
    /// What it should, after this time.
    Slow(Duration),
    /// Something else with status 200: a media type and a body.
    Says(&'static str, String),
    /// JSON of this many bytes, in chunks so that its length is not known before.
    Huge(usize),
    /// A redirect to where it was asked.
    Loop,
}

/// A signing key.
#[derive(Clone)]
pub struct Key {
    /// Its id.
    pub kid: String,
    private: EncodingKey,
    /// Its public half, a JWK.
    pub public: Value,
}

impl Key {
    /// A fresh P-256 key.
    ///
    /// # Errors
    /// None can be made.
    pub fn new(kid: &str) -> anyhow::Result<Self> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no P-256 key"))?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("no PKCS#8"))?;
        // RFC 7518 section 6: an uncompressed P-256 point is 0x04, 32 bytes x, 32 bytes y.
        let point = pair.public_key().as_ref().get(1..).and_then(|rest| rest.split_at_checked(32));
        let (x, y) = point.ok_or_else(|| anyhow!("no P-256 point"))?;
        let public = json!({
            "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        Ok(Self { kid: kid.to_owned(), private: EncodingKey::from_ec_der(pkcs8.as_ref()), public })
    }

    /// The same key under another id, by which nobody publishes it.
    #[must_use]
    pub fn called(&self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self.clone() }
    }
}

/// An issuer on a loopback port, for as long as the test's runtime lives.
pub struct Issuer {
    /// Its `iss`.
    pub url: String,
    /// The key that signs where no other is named.
    pub key: Key,
    said: Arc<Said>,
}

/// What it says, and how often it was asked.
struct Said {
    url: String,
    keys: Mutex<Vec<Value>>,
    mood: Mutex<Mood>,
    fetches: AtomicUsize,
    waiting: AtomicUsize,
}

impl Issuer {
    /// Starts one with a fresh key.
    ///
    /// # Errors
    /// No key, or no port.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// The same at an address.
    ///
    /// # Errors
    /// No key, or the address is not free.
    pub async fn start_at(address: SocketAddr) -> anyhow::Result<Self> {
        let key = Key::new(KEY_ID)?;
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let said = Arc::new(Said {
            url: url.clone(),
            keys: Mutex::new(vec![key.public.clone()]),
            mood: Mutex::new(Mood::Good),
            fetches: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        });
        let saying = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let said = Arc::clone(&saying);
                // Who asks again gets another answer.
                tokio::spawn(async move { said.answer(stream).await });
            }
        });
        Ok(Self { url, key, said })
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&Key]) {
        *lock(&self.said.keys) = keys.iter().map(|key| key.public.clone()).collect();
    }

    /// Answers like this from now on.
    pub fn set_mood(&self, mood: Mood) {
        *lock(&self.said.mood) = mood;
    }

    /// How often it was asked for its keys.
    pub fn fetches(&self) -> usize {
        self.said.fetches.load(Ordering::SeqCst)
    }

    /// How many it keeps waiting for an answer now.
    pub fn waiting(&self) -> usize {
        self.said.waiting.load(Ordering::SeqCst)
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
        self.token_by(&self.key, subject, audience, lifetime_s, more)
    }

    /// The same, signed with `key`.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn token_by(
        &self,
        key: &Key,
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
        header.kid = Some(key.kid.clone());
        Ok((jsonwebtoken::encode(&header, &claims, &key.private)?, expires_s))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Said {
    /// One request a connection.
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let about_keys = head.starts_with(b"GET /jwks ");
        self.fetches.fetch_add(usize::from(about_keys), Ordering::SeqCst);
        let mood = lock(&self.mood).clone();
        match mood {
            Mood::Good => {}
            Mood::Slow(pause) => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                // Whoever hangs up waits no longer.
                let end = async { while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {} };
                let hung_up = tokio::time::timeout(pause, end).await.is_ok();
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                if hung_up {
                    return Ok(());
                }
            }
            Mood::Says(media, body) => return say(&mut stream, media, &body).await,
            Mood::Huge(bytes) => return flood(&mut stream, bytes).await,
            Mood::Loop => {
                let path = if about_keys { "/jwks" } else { "/.well-known/openid-configuration" };
                let fields = format!("location: {path}\r\ncontent-length: 0\r\nconnection: close");
                return stream.write_all(format!("HTTP/1.1 302 Found\r\n{fields}\r\n\r\n").as_bytes()).await;
            }
        }
        let body = if about_keys { json!({ "keys": *lock(&self.keys) }) } else { self.discovery() };
        say(&mut stream, "application/json", &body.to_string()).await
    }

    fn discovery(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url, "jwks_uri": format!("{url}/jwks"), "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "pushed_authorization_request_endpoint": format!("{url}/par"),
        })
    }
}

async fn say(stream: &mut TcpStream, media: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\nconnection: close\r\n");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await
}

/// A key set with a member that nobody asked for; blanks of JSON up to its length.
async fn flood(stream: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"keys\":[";
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..bytes / CHUNK.len() {
        stream.write_all(&CHUNK).await?;
    }
    stream.write_all(b"]}").await
}
