//! Proofs of possession: what each line of RFC 9449 4.3 refuses, and what a stolen token is worth.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::*;

/// A client whose key is one of the fake issuer's others.
pub(super) struct Client<'a> {
    pub issuer: &'a FakeIssuer,
    pub signer: &'static str,
}

impl Client<'_> {
    fn public(&self) -> Value {
        let mut jwk = self.issuer.jwk(self.signer);
        jwk.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "kid" | "use" | "alg"));
        jwk
    }

    /// RFC 7638, by hand.
    pub fn thumbprint(&self) -> String {
        let jwk = self.public();
        let names: &[&str] = match jwk["kty"].as_str().unwrap() {
            "EC" => &["crv", "kty", "x", "y"],
            "RSA" => &["e", "kty", "n"],
            _ => &["crv", "kty", "x"],
        };
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":{}", jwk[name])).collect();
        hash(&format!("{{{}}}", members.join(",")))
    }

    fn algorithm(&self) -> &'static str {
        match self.signer {
            "rs" => "PS256",
            "ed" => "EdDSA",
            _ => "ES256",
        }
    }

    /// A token bound to the key.
    fn token(&self, house: &House, changes: Value) -> String {
        let mut claims = json!({ "cnf": { "jkt": self.thumbprint() } });
        merge(&mut claims, changes);
        house.token(claims)
    }

    /// A proof for `GET /accounts` with some header members and claims changed.
    pub fn proof(&self, token: &str, header: Value, claims: Value) -> String {
        let mut members = json!({ "typ": "dpop+jwt", "alg": self.algorithm(), "jwk": self.public() });
        merge(&mut members, header);
        let mut payload = json!({
            "jti": "p1", "htm": "GET", "htu": "https://bank.example/accounts", "iat": NOW_S, "ath": hash(token),
        });
        merge(&mut payload, claims);
        self.issuer.sign(self.signer, &members, &payload)
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

pub(super) fn asked(token: &str, proof: &str) -> Parts {
    request("GET", "/accounts?page=2", &[("authorization", &format!("DPoP {token}")), ("dpop", proof)])
}

async fn answer(house: &House, app: usize, parts: &Parts, now_ms: i64) -> Result<Arc<Identity>, Refusal> {
    let found = house.stage.identify(app, &Requirement::default(), parts, &PEER, now_ms).await;
    found.map(|found| match found {
        Authentication::Known(identity) => identity,
        Authentication::Anonymous => panic!("anonymous where an identity was needed"),
    })
}

#[tokio::test]
async fn a_bound_token_and_its_proof_are_accepted_once_whatever_the_key() {
    for signer in ["es-other", "rs", "ed"] {
        let house = House::new().await;
        let client = Client { issuer: &house.issuer, signer };
        let token = client.token(&house, json!({}));
        let parts = asked(&token, &client.proof(&token, json!({}), json!({})));
        let identity = answer(&house, 0, &parts, NOW_MS).await.unwrap();
        assert_eq!(identity.credential, policies::facts::Credential::Dpop, "{signer}");
        assert!(
            house.stage.recognise(0, &parts, &PEER, NOW_MS).is_none(),
            "without its proof it is anybody's"
        );
        let again = answer(&house, 0, &parts, NOW_MS + 1).await.unwrap_err();
        assert_eq!(again.reason, Reason::DpopReplayed, "{signer}");
        // The token is remembered by now; the next proof is looked at all the same.
        let next = client.proof(&token, json!({}), json!({ "jti": "p2" }));
        assert!(answer(&house, 0, &asked(&token, &next), NOW_MS).await.is_ok(), "{signer}");
        let forged = client.proof(&token, json!({}), json!({ "jti": "p3", "htm": "POST" }));
        let refusal = answer(&house, 0, &asked(&token, &forged), NOW_MS).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::DpopProof, "{signer}");
    }
}

#[tokio::test]
async fn proofs_that_prove_nothing_are_refused() {
    let house = House::new().await;
    let client = Client { issuer: &house.issuer, signer: "es-other" };
    let other = Client { issuer: &house.issuer, signer: "es" };
    let token = client.token(&house, json!({}));
    let private = json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": client.public()["x"], "y": client.public()["y"], "d": "AA" } });
    let secret = json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "c2VjcmV0" } });
    let mut cases: Vec<(&str, String)> = Vec::new();
    for (what, header) in [
        ("typ JWT", json!({ "typ": "JWT" })),
        ("typ of an access token", json!({ "typ": "at+jwt" })),
        ("no typ", json!({ "typ": null })),
        ("alg none", json!({ "alg": "none" })),
        ("alg symmetric", json!({ "alg": "HS256" })),
        ("alg of another key", json!({ "alg": "RS256" })),
        ("alg not offered", json!({ "alg": "ES384" })),
        ("no key", json!({ "jwk": null })),
        ("private key", private),
        ("symmetric key", secret),
        ("another's key", json!({ "jwk": other.public() })),
        ("key by reference", json!({ "jwk": null, "jku": "https://evil.example/jwks" })),
        ("key for encryption", {
            let mut jwk = client.public();
            jwk["use"] = json!("enc");
            json!({ "jwk": jwk })
        }),
        ("point off its curve", {
            let mut jwk = client.public();
            jwk["y"] = jwk["x"].clone();
            json!({ "jwk": jwk })
        }),
        ("critical extension", json!({ "crit": ["exp"], "exp": 1 })),
        ("unencoded payload", json!({ "b64": false })),
    ] {
        cases.push((what, client.proof(&token, header, json!({}))));
    }
    for (what, claims) in [
        ("no jti", json!({ "jti": null })),
        ("jti no string", json!({ "jti": 7 })),
        ("empty jti", json!({ "jti": "" })),
        ("long jti", json!({ "jti": "x".repeat(256) })),
        ("no htm", json!({ "htm": null })),
        ("another method", json!({ "htm": "POST" })),
        ("method in small letters", json!({ "htm": "get" })),
        ("no htu", json!({ "htu": null })),
        ("another path", json!({ "htu": "https://bank.example/transfers" })),
        ("trailing slash", json!({ "htu": "https://bank.example/accounts/" })),
        ("another host", json!({ "htu": "https://evil.example/accounts" })),
        ("another scheme", json!({ "htu": "http://bank.example/accounts" })),
        ("another port", json!({ "htu": "https://bank.example:8443/accounts" })),
        ("a path alone", json!({ "htu": "/accounts" })),
        ("with a user", json!({ "htu": "https://bank.example@evil.example/accounts" })),
        ("htu a list", json!({ "htu": ["https://bank.example/accounts"] })),
        ("no iat", json!({ "iat": null })),
        ("iat a string", json!({ "iat": NOW_S.to_string() })),
        ("iat a fraction", json!({ "iat": 0.5 })),
        ("too old", json!({ "iat": NOW_S - 61 })),
        ("from the future", json!({ "iat": NOW_S + 11 })),
        ("no ath", json!({ "ath": null })),
        ("another token's ath", json!({ "ath": hash("another") })),
        ("ath with padding", json!({ "ath": format!("{}=", hash(&token)) })),
    ] {
        cases.push((what, client.proof(&token, json!({}), claims)));
    }
    let good = client.proof(&token, json!({}), json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    cases.extend([
        ("empty", String::new()),
        ("signature taken off", format!("{signed}.")),
        ("signature of another", format!("{signed}.{}", signature.chars().rev().collect::<String>())),
        ("the access token itself", token.clone()),
        ("two in one field", format!("{good}, {good}")),
        ("with a space", format!(" {good}")),
        ("very long", format!("{good}{}", "A".repeat(9_000))),
    ]);
    assert!(cases.len() >= 40, "{}", cases.len());
    for (what, proof) in &cases {
        let refusal = answer(&house, 0, &asked(&token, proof), NOW_MS).await.expect_err(what);
        assert_eq!(refusal.reason, Reason::DpopProof, "{what}: {}", refusal.inside);
        let challenge = refusal.headers.iter().find(|(name, _)| name == "www-authenticate").unwrap();
        assert!(challenge.1.to_str().unwrap().contains(r#"DPoP error="invalid_dpop_proof""#), "{what}");
    }
    let mut twice = asked(&token, &good);
    twice.headers.append("dpop", good.parse().unwrap());
    assert_eq!(answer(&house, 0, &twice, NOW_MS).await.unwrap_err().reason, Reason::DpopProof);
    let mut none = asked(&token, &good);
    none.headers.remove("dpop");
    assert_eq!(answer(&house, 0, &none, NOW_MS).await.unwrap_err().reason, Reason::DpopProof);
    // Nothing of all this used the good proof up.
    assert!(answer(&house, 0, &asked(&token, &good), NOW_MS).await.is_ok());
}

#[tokio::test]
async fn a_token_is_worth_nothing_without_the_key_it_is_bound_to() {
    let house = House::new().await;
    let owner = Client { issuer: &house.issuer, signer: "es-other" };
    let thief = Client { issuer: &house.issuer, signer: "ed" };
    let token = owner.token(&house, json!({}));
    let unbound = house.token(json!({}));
    let odd = house.token(json!({ "cnf": { "jkt": owner.thumbprint(), "x5t#S256": hash("certificate") } }));
    let certificate = house.token(json!({ "cnf": { "x5t#S256": hash("certificate") } }));
    let by = |client: &Client<'_>, token: &str, jti: &str| {
        asked(token, &client.proof(token, json!({}), json!({ "jti": jti })))
    };
    for round in ["never seen", "remembered"] {
        for (what, parts) in [
            ("the thief's key", by(&thief, &token, "a")),
            ("not bound", by(&owner, &unbound, "b")),
            ("bound in two ways", by(&owner, &odd, "c")),
            ("bound to a certificate", by(&owner, &certificate, "d")),
            (
                "as a bearer token",
                request("GET", "/accounts", &[("authorization", &format!("Bearer {token}"))]),
            ),
        ] {
            let refusal = answer(&house, 0, &parts, NOW_MS).await.expect_err(what);
            assert_eq!(refusal.reason, Reason::TokenBinding, "{what}, {round}: {}", refusal.inside);
        }
        assert!(answer(&house, 0, &by(&owner, &token, round), NOW_MS).await.is_ok(), "{round}");
        house.bearer(&unbound, NOW_MS).await.unwrap();
    }
    // Another application has its own memory and its own nonce, and does not take this one's proof.
    let elsewhere = answer(&house, 1, &by(&owner, &token, "e"), NOW_MS).await.unwrap_err();
    assert_eq!(elsewhere.reason, Reason::DpopNonce);
    let revoked = Revocation {
        issuer: house.issuer.url.clone(),
        target: Target::Token("t1".into()),
        issued_before_s: i64::MAX,
        expires_ms: NOW_MS + 3_600_000,
    };
    house.stage.revocations().revoke(&revoked).await.unwrap();
    let refusal = answer(&house, 0, &by(&owner, &token, "f"), NOW_MS).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::TokenRevoked);
    let challenge = refusal.headers.iter().find(|(name, _)| name == "www-authenticate").unwrap();
    assert!(challenge.1.to_str().unwrap().starts_with(r#"Bearer, DPoP error="invalid_token""#));
}

#[tokio::test]
async fn where_a_nonce_is_asked_for_a_proof_carries_a_current_one() {
    let house = House::new().await;
    let client = Client { issuer: &house.issuer, signer: "es-other" };
    let token = client.token(&house, json!({}));
    let with = |nonce: Value, jti: &str| {
        asked(&token, &client.proof(&token, json!({}), json!({ "nonce": nonce, "jti": jti })))
    };
    let refusal = answer(&house, 1, &with(Value::Null, "a"), NOW_MS).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::DpopNonce);
    let field = |name: &str| {
        let (_, value) = refusal.headers.iter().find(|(field, _)| field == name).unwrap();
        value.to_str().unwrap().to_owned()
    };
    assert!(field("www-authenticate").contains(r#"DPoP error="use_dpop_nonce""#));
    let nonce = json!(field("dpop-nonce"));
    for (what, nonce) in
        [("number", json!(7)), ("list", json!([nonce])), ("empty", json!("")), ("made up", json!("abc"))]
    {
        let refusal = answer(&house, 1, &with(nonce, "b"), NOW_MS).await.expect_err(what);
        assert_eq!(refusal.reason, Reason::DpopNonce, "{what}");
    }
    assert!(answer(&house, 1, &with(nonce.clone(), "c"), NOW_MS).await.is_ok());
    let replayed = answer(&house, 1, &with(nonce.clone(), "c"), NOW_MS).await.unwrap_err();
    assert_eq!(replayed.reason, Reason::DpopReplayed);
    let parts = with(nonce, "d");
    assert!(house.stage.next_nonce(1, &parts, NOW_MS).is_some());
    assert!(house.stage.next_nonce(0, &parts, NOW_MS).is_none(), "asks for none");
    assert!(house.stage.next_nonce(1, &request("GET", "/", &[]), NOW_MS).is_none(), "makes no proofs");
}

#[tokio::test]
async fn one_subject_leaves_room_for_the_proofs_of_others() {
    const SHARE: u32 = 20;
    let fake = FakeIssuer::start().await;
    let hot = Arc::new(MemoryHot::new(StoreBounds { entries_max: 50, ..StoreBounds::default() }));
    let bounds = Bounds { proofs_of_subject: SHARE, ..Bounds::default() };
    let house = House::built(fake, hot, Arc::new(MemoryRecords::new(StoreBounds::default())), bounds).await;
    house.stage.prime(NOW_MS).await;
    let client = Client { issuer: &house.issuer, signer: "es-other" };
    let ask = async |token: &str, jti: String, now_ms: i64| {
        let proof = client.proof(token, json!({}), json!({ "jti": jti, "iat": now_ms / 1000 }));
        answer(&house, 0, &asked(token, &proof), now_ms).await.map(|_| ())
    };
    // Whatever tokens the subject has.
    let flood = ["t1", "t2"].map(|jti| client.token(&house, json!({ "jti": jti })));
    let mut accepted = 0;
    for number in 0..100 {
        match ask(&flood[number % 2], format!("flood-{number}"), NOW_MS).await {
            Ok(()) => accepted += 1,
            Err(refusal) => {
                assert_eq!(refusal.reason, Reason::LimitCustomer);
                assert!(refusal.retry_after_s.is_some());
            }
        }
    }
    assert_eq!(accepted, SHARE);
    let other = client.token(&house, json!({ "sub": "bob", "jti": "t3" }));
    for number in 0..SHARE {
        assert!(ask(&other, format!("other-{number}"), NOW_MS).await.is_ok(), "{number}");
    }
    // Once the proofs are forgotten, their subject may prove again.
    let later = NOW_MS + 2 * 190_000;
    let fresh = client.token(&house, json!({ "jti": "t4", "exp": later / 1000 + 300 }));
    assert!(ask(&fresh, "later".into(), later).await.is_ok());
}
