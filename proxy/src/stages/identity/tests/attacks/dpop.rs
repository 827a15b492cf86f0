//! `dpop.yaml`: stolen tokens, stolen proofs, and keys of others.

use serde_json::Map;

use super::super::dpop::{Client, asked as one_proof, hash};
use super::token::{Good, Token, Words};
use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    app: At,
    #[serde(default = "get")]
    method: String,
    #[serde(default = "accounts")]
    target: String,
    fields: Option<Fields>,
    #[serde(default)]
    token: Token,
    #[serde(default)]
    key: Key,
    /// Put over the public key in the proof's header.
    #[serde(default)]
    jwk: Map<String, Value>,
    #[serde(default)]
    proof: Token,
    /// A proof that was accepted before.
    seen: Option<Token>,
    #[serde(default)]
    later_ms: i64,
    /// What the log must say.
    #[serde(default)]
    because: String,
    /// `ok` or a reason code.
    expect: String,
}

/// Whose key makes a proof.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Key {
    #[default]
    EsOther,
    Es,
    Ed,
    Rs,
}

impl Key {
    fn signer(self) -> &'static str {
        match self {
            Self::EsOther => "es-other",
            Self::Es => "es",
            Self::Ed => "ed",
            Self::Rs => "rs",
        }
    }
}

fn get() -> String {
    "GET".into()
}

fn accounts() -> String {
    "/accounts?page=2".into()
}

/// A case with its token and its good proof.
struct Made<'a> {
    house: &'a House,
    case: &'a Case,
    token: String,
    words: Words,
}

#[tokio::test]
async fn every_proof_meets_its_reason() {
    let house = House::new().await;
    let mut tally = Tally::default();
    for (number, case) in cases::<Case>("dpop").iter().enumerate() {
        let made = Made::new(&house, case, number);
        if let Some(seen) = &case.seen {
            let parts = made.parts(&made.proof(seen), &standard());
            assert_eq!(made.answer(&parts, 0).await, "ok", "{}: what was seen before", case.name);
        }
        let proof = made.proof(&case.proof);
        let parts = made.parts(&proof, case.fields.as_ref().unwrap_or(&standard()));
        let first = made.answer(&parts, case.later_ms).await;
        if case.expect != "ok" {
            made.remember().await;
        }
        let again = made.answer(&parts, case.later_ms).await;
        if case.expect == "ok" {
            tally.expect(&case.name, "ok, token.dpop_replayed", &[&format!("{first}, {again}")]);
        } else {
            tally.expect(&case.name, &case.expect, &[&first, &again]);
        }
    }
    tally.close();
}

fn standard() -> Fields {
    [("authorization", "DPoP {token}"), ("dpop", "{proof}")]
        .map(|(name, value)| BTreeMap::from([(name.to_owned(), value.to_owned())]))
        .to_vec()
}

impl<'a> Made<'a> {
    fn new(house: &'a House, case: &'a Case, number: usize) -> Self {
        let client = |signer| Client { issuer: &house.issuer, signer };
        let probe = request("GET", "/", &[("dpop", "")]);
        let nonce = house.stage.next_nonce(At::Api as usize, &probe, NOW_MS).unwrap();
        let mut words = Words::default()
            .with("iss", &house.issuer.url)
            .with("nonce", nonce.to_str().unwrap())
            .with("number", number.to_string());
        for signer in ["es-other", "rs", "ed"] {
            words = words.with(format!("jkt-{signer}"), client(signer).thumbprint());
        }
        let mut claims = good_claims(&house.issuer.url);
        claims["jti"] = json!(format!("t{number}"));
        claims["cnf"] = json!({ "jkt": client("es-other").thumbprint() });
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es" });
        let token = case.token.made(&house.issuer, &Good { header, claims, signer: "es" }, &words);
        let words = words.with("ath", hash(&token)).with("token", &token);
        Self { house, case, token, words }
    }

    /// A proof with these differences from the good one.
    fn proof(&self, differences: &Token) -> String {
        let signer = self.case.key.signer();
        let client = Client { issuer: &self.house.issuer, signer };
        let mut jwk = client.public();
        self.words.change(&mut jwk, &self.case.jwk);
        let good = Good {
            header: json!({ "typ": "dpop+jwt", "alg": client.algorithm(), "jwk": jwk }),
            claims: self.words.fill_value(&json!({
                "jti": "p{number}", "htm": "GET", "htu": "https://bank.example/accounts", "iat": NOW_S,
                "ath": "{ath}",
            })),
            signer,
        };
        differences.made(&self.house.issuer, &good, &self.words)
    }

    fn parts(&self, proof: &str, fields: &Fields) -> Parts {
        let words = self.words.clone().with("proof", proof);
        asked(&self.case.method, &self.case.target, fields, |text| words.fill(text))
    }

    /// Has the token verified, where it is a good one: its owner uses it, and nothing that was refused used anything up.
    async fn remember(&self) {
        let (case, differs) = (self.case, &self.case.token);
        if !differs.claims.is_empty() || !differs.header.is_empty() || differs.sign.is_some() {
            return;
        }
        let owner = Client { issuer: &self.house.issuer, signer: "es-other" };
        let claims = self.words.fill_value(&json!({ "jti": "owner{number}", "nonce": "{nonce}" }));
        let parts = one_proof(&self.token, &owner.proof(&self.token, json!({}), claims));
        let requirement = Requirement::default();
        let found = self.house.stage.identify(case.app as usize, &requirement, &parts, &PEER, NOW_MS).await;
        assert!(found.is_ok(), "{}: the owner's own request: {found:?}", case.name);
    }

    async fn answer(&self, parts: &Parts, later_ms: i64) -> String {
        let (case, stage) = (self.case, &self.house.stage);
        let (app, now_ms) = (case.app as usize, NOW_MS + later_ms);
        // Without its proof a bound token is anybody's.
        assert!(stage.recognise(app, parts, &PEER, now_ms).is_none(), "{}: recognised", case.name);
        match stage.identify(app, &Requirement::default(), parts, &PEER, now_ms).await {
            Ok(Authentication::Known(identity)) => {
                assert_eq!(identity.credential, policies::facts::Credential::Dpop, "{}", case.name);
                "ok".into()
            }
            Ok(Authentication::Anonymous) => "anonymous".into(),
            Err(refusal) => {
                let found = code(&refusal, &case.name, &[&self.token]);
                let because = found != case.expect || refusal.inside.contains(&case.because);
                assert!(because, "{}: refused because {}", case.name, refusal.inside);
                challenged(&refusal, &found, &case.name);
                found
            }
        }
    }
}

/// RFC 9449 7.1 and 8: the challenge says by which scheme, and whether it is the proof or its nonce.
fn challenged(refusal: &Refusal, found: &str, name: &str) {
    let field = |name: &str| refusal.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    let challenge = field("www-authenticate").unwrap().to_str().unwrap();
    let error = match found {
        "token.dpop_proof" | "token.dpop_replayed" => r#"DPoP error="invalid_dpop_proof""#,
        "token.dpop_nonce" => r#"DPoP error="use_dpop_nonce""#,
        _ => r#"error="invalid_token""#,
    };
    assert!(challenge.contains(error), "{name}: {challenge}");
    assert!(found != "token.dpop_nonce" || field("dpop-nonce").is_some(), "{name}: no nonce to go on with");
}
