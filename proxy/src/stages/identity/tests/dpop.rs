//! Proofs of possession: how they are used. What each line of RFC 9449 4.3 refuses stands in `tests/cases/identity/dpop.yaml`.

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
    pub fn public(&self) -> Value {
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

    pub fn algorithm(&self) -> &'static str {
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

pub(super) fn hash(text: &str) -> String {
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
async fn a_bound_token_is_revoked_like_others_and_remembered_for_one_application() {
    let house = House::new().await;
    let owner = Client { issuer: &house.issuer, signer: "es-other" };
    let token = owner.token(&house, json!({}));
    let by = |jti: &str| asked(&token, &owner.proof(&token, json!({}), json!({ "jti": jti })));
    assert!(answer(&house, 0, &by("a"), NOW_MS).await.is_ok());
    // Another application has its own memory and its own nonce, and does not take this one's proof.
    let elsewhere = answer(&house, 1, &by("b"), NOW_MS).await.unwrap_err();
    assert_eq!(elsewhere.reason, Reason::DpopNonce);
    let revoked = Revocation {
        issuer: house.issuer.url.clone(),
        target: Target::Token("t1".into()),
        issued_before_s: i64::MAX,
        expires_ms: NOW_MS + 3_600_000,
    };
    house.stage.revocations().revoke(&revoked).await.unwrap();
    let refusal = answer(&house, 0, &by("c"), NOW_MS).await.unwrap_err();
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
    let house =
        House::built(fake, hot, Arc::new(MemoryRecords::new(StoreBounds::default())), bounds, json!({}))
            .await;
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
