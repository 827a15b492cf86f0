//! An issuer on a port of this machine that does whatever a test wants of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use axum::Router;
use axum::body::Body;
use axum::extract::{RawForm, State};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What an endpoint answers.
#[derive(Clone, Debug)]
pub enum Mood {
    /// What it should.
    Good,
    /// A status with a body of this type.
    Says(u16, &'static str, String),
    /// Nothing for this long, then what it should.
    Slow(Duration),
    /// A redirect to itself.
    Loop,
    /// A body without end, in chunks.
    Endless,
}

pub enum Signer {
    Es(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub struct FakeIssuer {
    pub url: String,
    pub signers: HashMap<&'static str, Signer>,
    /// The `kid`s published, in order.
    pub published: Mutex<Vec<Value>>,
    pub jwks_mood: Mutex<Mood>,
    pub token_mood: Mutex<Mood>,
    pub introspection_mood: Mutex<Mood>,
    pub jwks_fetches: AtomicUsize,
    pub token_calls: AtomicUsize,
    pub pushed: Mutex<Vec<HashMap<String, String>>>,
    pub forms: Mutex<Vec<HashMap<String, String>>>,
    /// What was asked of the introspection endpoint.
    pub introspected: Mutex<Vec<HashMap<String, String>>>,
    /// What the introspection endpoint answers, by token; any other is not active.
    pub opaque: Mutex<HashMap<String, Value>>,
    /// What the token endpoint answers.
    pub grants: Mutex<Vec<Value>>,
    pub offers_par: bool,
}

impl FakeIssuer {
    pub async fn start() -> Arc<Self> {
        Self::start_with(true).await
    }

    pub async fn start_with(offers_par: bool) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let signers = HashMap::from([("es", es()), ("es-other", es()), ("rs", rsa()), ("ed", ed())]);
        let issuer = Arc::new(Self {
            published: Mutex::new(["es", "rs", "ed"].iter().map(|kid| jwk(kid, &signers[kid])).collect()),
            url,
            signers,
            jwks_mood: Mutex::new(Mood::Good),
            token_mood: Mutex::new(Mood::Good),
            introspection_mood: Mutex::new(Mood::Good),
            introspected: Mutex::default(),
            opaque: Mutex::default(),
            jwks_fetches: AtomicUsize::new(0),
            token_calls: AtomicUsize::new(0),
            pushed: Mutex::default(),
            forms: Mutex::default(),
            grants: Mutex::default(),
            offers_par,
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/par", post(par))
            .route("/token", post(token))
            .route("/introspect", post(introspect))
            .with_state(Arc::clone(&issuer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        issuer
    }

    /// The address of an issuer that is not there.
    pub fn jwk(&self, kid: &'static str) -> Value {
        jwk(kid, &self.signers[kid])
    }

    /// A compact JWS by one of the keys.
    pub fn sign(&self, signer: &str, header: &Value, claims: &Value) -> String {
        self.sign_text(signer, &header.to_string(), &claims.to_string())
    }

    /// The same over texts that need not be JSON.
    pub fn sign_text(&self, signer: &str, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let pss = header.contains("PS256");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(self.signature(signer, pss, input.as_bytes())))
    }

    pub fn signature(&self, signer: &str, pss: bool, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.signers[signer] {
            Signer::Es(key) => key.sign(&random, input).unwrap().as_ref().to_vec(),
            Signer::Ed(key) => key.sign(input).as_ref().to_vec(),
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                if pss {
                    key.sign(&RSA_PSS_SHA256, &random, input, &mut signature).unwrap();
                } else {
                    key.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature).unwrap();
                }
                signature
            }
        }
    }

    pub fn jwks_fetches(&self) -> usize {
        self.jwks_fetches.load(Ordering::SeqCst)
    }

    pub fn token_calls(&self) -> usize {
        self.token_calls.load(Ordering::SeqCst)
    }

    /// Calls of the introspection endpoint.
    pub fn introspections(&self) -> usize {
        self.introspected.lock().len()
    }

    pub fn last_form(&self) -> HashMap<String, String> {
        self.forms.lock().last().cloned().unwrap()
    }

    fn metadata(&self) -> Value {
        let url = &self.url;
        let mut metadata = json!({
            "issuer": url, "jwks_uri": format!("{url}/jwks"), "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"), "end_session_endpoint": format!("{url}/end"),
            "authorization_response_iss_parameter_supported": true,
            "introspection_endpoint": format!("{url}/introspect"),
        });
        if self.offers_par {
            metadata["pushed_authorization_request_endpoint"] = json!(format!("{url}/par"));
        }
        metadata
    }
}

fn es() -> Signer {
    Signer::Es(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

fn ed() -> Signer {
    Signer::Ed(Ed25519KeyPair::generate().unwrap())
}

/// RSA keys take long to make; one serves all tests.
fn rsa() -> Signer {
    static DER: OnceLock<Vec<u8>> = OnceLock::new();
    let der = DER.get_or_init(|| {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        der.as_ref().to_vec()
    });
    Signer::Rsa(RsaKeyPair::from_pkcs8(der).unwrap())
}

fn jwk(kid: &str, signer: &Signer) -> Value {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match signer {
        Signer::Es(key) => {
            let point = key.public_key().as_ref();
            json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": b64(&point[1..33]), "y": b64(&point[33..]) })
        }
        Signer::Ed(key) => {
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(key.public_key().as_ref()) })
        }
        Signer::Rsa(key) => {
            let public = key.public_key();
            let (n, e) = (public.modulus(), public.exponent());
            json!({ "kty": "RSA", "kid": kid, "n": b64(n.big_endian_without_leading_zero()), "e": b64(e.big_endian_without_leading_zero()) })
        }
    }
}

async fn discovery(State(issuer): State<Arc<FakeIssuer>>) -> Response {
    json_answer(200, &issuer.metadata())
}

async fn jwks(State(issuer): State<Arc<FakeIssuer>>) -> Response {
    issuer.jwks_fetches.fetch_add(1, Ordering::SeqCst);
    let mood = issuer.jwks_mood.lock().clone();
    let good = json!({ "keys": *issuer.published.lock() });
    in_mood(mood, &good).await
}

async fn in_mood(mood: Mood, good: &Value) -> Response {
    match mood {
        Mood::Good => json_answer(200, good),
        Mood::Says(status, media, body) => answer(status, media, Body::from(body)),
        Mood::Slow(pause) => {
            tokio::time::sleep(pause).await;
            json_answer(200, good)
        }
        Mood::Loop => {
            Response::builder().status(302).header("location", "/jwks").body(Body::empty()).unwrap()
        }
        Mood::Endless => {
            let chunk = Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 16 * 1024]));
            let endless = futures_util::stream::repeat_with(move || {
                chunk.as_ref().cloned().map_err(|_| std::io::Error::other(""))
            });
            answer(200, "application/json", Body::from_stream(endless))
        }
    }
}

async fn par(State(issuer): State<Arc<FakeIssuer>>, RawForm(form): RawForm) -> Response {
    issuer.pushed.lock().push(read(&form));
    json_answer(201, &json!({ "request_uri": "urn:pushed:1", "expires_in": 60 }))
}

async fn token(State(issuer): State<Arc<FakeIssuer>>, RawForm(form): RawForm) -> Response {
    issuer.token_calls.fetch_add(1, Ordering::SeqCst);
    issuer.forms.lock().push(read(&form));
    let mood = issuer.token_mood.lock().clone();
    let grant = issuer.grants.lock().pop();
    match grant {
        Some(grant) => in_mood(mood, &grant).await,
        None => match mood {
            Mood::Good => json_answer(400, &json!({ "error": "invalid_grant" })),
            mood => in_mood(mood, &Value::Null).await,
        },
    }
}

async fn introspect(State(issuer): State<Arc<FakeIssuer>>, RawForm(form): RawForm) -> Response {
    let form = read(&form);
    let inactive = json!({ "active": false });
    let said = form.get("token").and_then(|token| issuer.opaque.lock().get(token).cloned());
    issuer.introspected.lock().push(form);
    let mood = issuer.introspection_mood.lock().clone();
    in_mood(mood, &said.unwrap_or(inactive)).await
}

fn read(form: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(form).into_owned().collect()
}

fn json_answer(status: u16, value: &Value) -> Response {
    answer(status, "application/json", Body::from(value.to_string()))
}

fn answer(status: u16, media: &str, body: Body) -> Response {
    Response::builder().status(status).header("content-type", media).body(body).unwrap()
}
