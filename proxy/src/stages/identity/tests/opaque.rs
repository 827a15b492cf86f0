//! Opaque tokens: issuers that are asked about them. What may be wrong with their answers stands in
//! `tests/cases/identity/introspection.yaml`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use policies::facts::Credential;

use super::dpop::{Client, asked};
use super::fake_issuer::Mood;
use super::*;

pub(super) const CERTIFICATE: [u8; 32] = [7; 32];

/// A stage whose first application takes opaque tokens of a fake issuer, and whose second takes those of two.
pub(super) struct Opaque {
    pub issuer: Arc<FakeIssuer>,
    pub second: Arc<FakeIssuer>,
    pub stage: Arc<IdentityStage>,
}

impl Opaque {
    pub async fn new(changes: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("client.jwk"), CLIENT_JWK).unwrap();
        let mut section = json!({ "client_id": "gateway", "client_key_file": "client.jwk" });
        merge(&mut section, changes);
        let (first, second) = (FakeIssuer::start().await, FakeIssuer::start().await);
        let issuers: Vec<IssuerConfig> = [&first, &second]
            .map(|fake| {
                let raw = json!({ "issuer": fake.url, "algorithms": ["ES256"], "introspection": section });
                issuer(raw_issuer(raw), folder.path()).unwrap()
            })
            .to_vec();
        let app = |accepted: &[&str]| {
            let raw = serde_json::from_value(json!({ "issuers": accepted, "audience": AUDIENCE })).unwrap();
            let url = Url::parse("https://bank.example").unwrap();
            Some(application(raw, &url, &issuers, folder.path()).unwrap())
        };
        let apps = vec![("bank".into(), app(&[&first.url])), ("two".into(), app(&[&first.url, &second.url]))];
        let bounds = OutboundBounds { deadline: Duration::from_millis(700), body_bytes_max: 128 * 1024 };
        let stage = IdentityStage::new(Setup {
            issuers,
            apps,
            bounds: Bounds::default(),
            hot: Arc::new(MemoryHot::new(StoreBounds::default())),
            records: Arc::new(MemoryRecords::new(StoreBounds::default())),
            outbound: Outbound::new(bounds).unwrap(),
            gateway_keys: GatewayKeys::new(SigningKey::generate().unwrap(), &[]),
            gateway_issuer: "https://bank.example".into(),
        });
        stage.load(NOW_MS).await.unwrap();
        stage.prime(NOW_MS).await;
        Self { issuer: first, second, stage: Arc::new(stage) }
    }

    /// Has the issuer say good things, with some changes, of a token.
    fn give(&self, token: &str, changes: Value) {
        self.issuer.opaque.lock().insert(token.to_owned(), good_answer(&self.issuer.url, changes));
    }

    pub async fn refusal(&self, app: usize, token: &str, peer: &Peer, now_ms: i64) -> Option<Refusal> {
        self.stage.identify(app, &Requirement::default(), &bearer(token), peer, now_ms).await.err()
    }

    async fn ask(&self, token: &str, now_ms: i64) -> Result<Arc<Identity>, Reason> {
        let parts = bearer(token);
        known(self.stage.identify(0, &Requirement::default(), &parts, &PEER, now_ms).await)
    }

    pub fn calls(&self) -> usize {
        self.issuer.introspections()
    }

    pub fn mood(&self, mood: Mood) {
        *self.issuer.introspection_mood.lock() = mood;
    }
}

pub(super) fn bearer(token: &str) -> Parts {
    request("GET", "/", &[("authorization", &format!("Bearer {token}"))])
}

pub(super) fn good_answer(issuer: &str, changes: Value) -> Value {
    let mut answer = good_claims(issuer);
    merge(&mut answer, json!({ "active": true, "token_type": "Bearer" }));
    merge(&mut answer, changes);
    answer
}

fn broken() -> Mood {
    Mood::Says(500, "application/json", "{}".into())
}

#[tokio::test]
async fn an_active_token_becomes_an_identity() {
    let house = Opaque::new(json!({})).await;
    house.give("good", json!({ "roles": ["teller"] }));
    let identity = house.ask("good", NOW_MS).await.unwrap();
    let expected = Identity {
        issuer: house.issuer.url.as_str().into(),
        subject: "alice".into(),
        client_id: "app".into(),
        scopes: vec!["read".into(), "pay".into()],
        roles: vec!["teller".into()],
        acr: Some("normal".into()),
        auth_time: Some(NOW_S - 60),
        issued_at: NOW_S - 10,
        expires_at: NOW_S + 300,
        token_id: Some("t1".into()),
        session_id: Some("s1".into()),
        credential: Credential::Introspected,
        authorization_details: None,
    };
    assert_eq!(*identity, expected);
    let found = house.stage.recognise(0, &bearer("good"), &PEER, NOW_MS);
    assert!(Arc::ptr_eq(found.unwrap().identity(), &identity));
    let cnf = json!({ "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode(CERTIFICATE) } });
    house.give("bound", cnf);
    let peer = Peer { client_cert_sha256: Some(CERTIFICATE) };
    let requirement = Requirement::default();
    let bound = known(house.stage.identify(0, &requirement, &bearer("bound"), &peer, NOW_MS).await).unwrap();
    assert_eq!(bound.credential, Credential::MtlsBound);
    assert_eq!(
        house.ask("bound", NOW_MS).await.err(),
        Some(Reason::TokenBinding),
        "without it, although held"
    );
    // The route's own demands hold for opaque tokens as for others.
    let strong = Requirement { acr_values: vec!["strong".into()], ..Requirement::default() };
    let refused = house.stage.identify(0, &strong, &bearer("good"), &PEER, NOW_MS).await.err().unwrap();
    assert_eq!(refused.reason, Reason::StepUpNeeded);
}

#[tokio::test]
async fn an_opaque_token_bound_to_a_key_needs_its_proof() {
    let house = Opaque::new(json!({})).await;
    let [owner, thief] = ["es-other", "ed"].map(|signer| Client { issuer: &house.issuer, signer });
    let bound = json!({ "token_type": "DPoP", "cnf": { "jkt": owner.thumbprint() } });
    house.give("bound", bound);
    house.give("loose", json!({}));
    let ask = async |client: &Client<'_>, token: &str, jti: &str| {
        let parts = asked(token, &client.proof(token, json!({}), json!({ "jti": jti })));
        known(house.stage.identify(0, &Requirement::default(), &parts, &PEER, NOW_MS).await)
    };
    for round in ["never seen", "held"] {
        assert_eq!(ask(&thief, "bound", "a").await.err(), Some(Reason::TokenBinding), "{round}");
        assert_eq!(house.ask("bound", NOW_MS).await.err(), Some(Reason::TokenBinding), "{round}");
        assert_eq!(ask(&owner, "loose", "b").await.err(), Some(Reason::TokenBinding), "{round}");
        let identity = ask(&owner, "bound", round).await.unwrap();
        assert_eq!(identity.credential, Credential::Dpop, "{round}");
        assert_eq!(ask(&owner, "bound", round).await.err(), Some(Reason::DpopReplayed), "{round}");
    }
    assert_eq!(house.calls(), 2, "one for each token");
}

#[tokio::test]
async fn the_gateway_proves_itself_with_an_assertion_for_the_issuer_alone() {
    let house = Opaque::new(json!({})).await;
    for token in ["a", "b"] {
        house.give(token, json!({}));
        house.ask(token, NOW_MS).await.unwrap();
    }
    let forms = house.issuer.introspected.lock().clone();
    let mut ids = Vec::new();
    for (form, token) in forms.iter().zip(["a", "b"]) {
        assert_eq!(form["token"], token);
        assert_eq!(form["token_type_hint"], "access_token");
        assert_eq!(form["client_id"], "gateway");
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let key = SigningKey::from_text(CLIENT_JWK).unwrap().public_jwk();
        let key = jsonwebtoken::DecodingKey::from_jwk(&serde_json::from_value(key).unwrap()).unwrap();
        let mut wanted = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        wanted.set_audience(&[&house.issuer.url]);
        wanted.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(&form["client_assertion"], &key, &wanted).unwrap();
        assert_eq!(read.claims["aud"], house.issuer.url);
        assert_eq!((&read.claims["iss"], &read.claims["sub"]), (&json!("gateway"), &json!("gateway")));
        assert_eq!(read.claims["exp"], NOW_S + 60);
        ids.push(read.claims["jti"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn fifty_requests_with_a_new_token_make_one_call() {
    let house = Opaque::new(json!({})).await;
    house.give("good", json!({}));
    for (token, good) in [("good", true), ("made-up", false)] {
        house.mood(Mood::Slow(Duration::from_millis(100)));
        let before = house.calls();
        let results = join_all((0..50).map(|_| house.ask(token, NOW_MS))).await;
        assert!(results.iter().all(|r| r.is_ok() == good), "{token}");
        assert_eq!(house.calls() - before, 1, "{token}");
    }
}

#[tokio::test]
async fn a_request_is_judged_by_what_its_issuer_has_said() {
    let house = Opaque::new(json!({})).await;
    house.give("good", json!({}));
    let (parts, requirement) = (bearer("good"), Requirement::default());
    let judged = |recognised| {
        let judging = house.stage.judge(recognised, 0, &requirement, &parts, &PEER, NOW_MS);
        known(futures_util::FutureExt::now_or_never(judging).expect("it waits"))
    };
    assert_eq!(judged(None).err(), Some(Reason::IssuerUnavailable), "and is not asked");
    let consulted = house.stage.consult(None, 0, &requirement, &parts, &PEER, NOW_MS).await.unwrap();
    assert!(matches!(consulted, Some(Recognised::Opaque(_))), "{consulted:?}");
    assert!(judged(consulted).is_ok());
    assert_eq!(house.calls(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cut_the_call_short() {
    let house = Opaque::new(json!({})).await;
    house.give("good", json!({}));
    house.mood(Mood::Slow(Duration::from_millis(100)));
    let gone = {
        let mut first = std::pin::pin!(house.ask("good", NOW_MS));
        futures_util::poll!(first.as_mut()).is_pending()
    };
    assert!(gone);
    assert!(house.ask("good", NOW_MS).await.is_ok());
    assert_eq!(house.calls(), 1);
}

#[tokio::test]
async fn answers_are_believed_for_their_time_and_never_past_exp() {
    let house = Opaque::new(json!({ "cache_s": 60 })).await;
    house.give("long", json!({}));
    house.give("short", json!({ "exp": NOW_S + 5 }));
    let at = |seconds: i64| NOW_MS + seconds * 1000;
    for (token, later_ms, calls, result) in [
        ("long", 0, 1, None),
        ("long", 59_999, 1, None),
        ("long", 60_000, 2, None),
        ("short", 0, 3, None),
        ("short", 4_999, 3, None),
        ("short", 5_000, 4, Some(Reason::TokenExpired)),
        ("short", 14_999, 4, Some(Reason::TokenExpired)),
        ("made-up", 0, 5, Some(Reason::TokenInactive)),
        ("made-up", 9_999, 5, Some(Reason::TokenInactive)),
        ("made-up", 10_000, 6, Some(Reason::TokenInactive)),
    ] {
        assert_eq!(house.ask(token, NOW_MS + later_ms).await.err(), result, "{token} {later_ms}");
        assert_eq!(house.calls(), calls, "{token} {later_ms}");
    }
    // What the issuer ended meanwhile is over when its answer is.
    house.issuer.opaque.lock().clear();
    assert!(house.ask("long", at(119)).await.is_ok());
    assert_eq!(house.ask("long", at(120)).await.err(), Some(Reason::TokenInactive));
    assert!(house.stage.recognise(0, &bearer("long"), &PEER, at(120)).is_none());
    let status = &house.stage.introspection()[0];
    assert_eq!((status.calls, status.failures, status.last_error.clone()), (7, 0, None));
    assert_eq!((status.hits, status.misses), (5, 7));
}

#[tokio::test]
async fn what_is_revoked_is_refused_at_once_although_its_answer_is_held() {
    for (target, before, hit) in [
        (Target::Token("t1".into()), i64::MAX, true),
        (Target::Session("s1".into()), i64::MAX, true),
        (Target::Subject("alice".into()), NOW_S, true),
        (Target::Subject("alice".into()), NOW_S - 11, false),
        (Target::Token("t2".into()), i64::MAX, false),
    ] {
        let house = Opaque::new(json!({})).await;
        house.give("good", json!({}));
        // Nobody knows when this one was issued: every revocation of its subject covers it.
        house.give("undated", json!({ "iat": null }));
        let identity = house.ask("good", NOW_MS).await.unwrap();
        house.ask("undated", NOW_MS).await.unwrap();
        let opened = house.stage.opened(0, &bearer("good"), &identity);
        let issuer = house.issuer.url.clone();
        let by_subject = matches!(target, Target::Subject(_));
        let revocation =
            Revocation { issuer, target, issued_before_s: before, expires_ms: NOW_MS + 3_600_000 };
        house.stage.revocations().revoke(&revocation).await.unwrap();
        let expected = hit.then_some(Reason::TokenRevoked);
        assert_eq!(house.ask("good", NOW_MS).await.err(), expected, "{revocation:?}");
        assert_eq!(house.stage.recognise(0, &bearer("good"), &PEER, NOW_MS).is_none(), hit, "{revocation:?}");
        if by_subject {
            assert_eq!(
                house.ask("undated", NOW_MS).await.err(),
                Some(Reason::TokenRevoked),
                "{revocation:?}"
            );
        }
        if hit {
            let clock = revoking::From(NOW_MS, std::time::Instant::now());
            assert_eq!(house.stage.ended(&opened, &clock).await, Reason::TokenRevoked);
        }
        assert_eq!(house.calls(), 2, "revocation costs no call");
    }
}

#[tokio::test]
async fn issuers_that_do_not_answer_are_bounded_in_time_and_size() {
    let house = Opaque::new(json!({})).await;
    let huge = format!(r#"{{"active":true,"x":"{}"}}"#, "a".repeat(70_000));
    for (number, mood) in [
        Mood::Slow(Duration::from_secs(10)),
        Mood::Endless,
        Mood::Loop,
        Mood::Says(200, "application/json", huge),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("t{number}");
        house.give(&token, json!({}));
        let said = format!("{mood:?}");
        let said = said.get(..8).unwrap_or(&said);
        house.mood(mood);
        let began = std::time::Instant::now();
        assert_eq!(house.ask(&token, NOW_MS).await.err(), Some(Reason::IssuerUnavailable), "{said}");
        assert!(began.elapsed() < Duration::from_secs(3), "{said}");
        house.mood(Mood::Good);
        assert!(house.ask(&token, NOW_MS).await.is_ok(), "{said}: nothing stays behind");
    }
}

#[tokio::test]
async fn an_outage_costs_nothing_while_answers_are_believed_and_then_503() {
    let house = Opaque::new(json!({})).await;
    house.give("good", json!({}));
    house.give("new", json!({}));
    assert!(house.ask("good", NOW_MS).await.is_ok());
    house.mood(broken());
    assert!(house.ask("good", NOW_MS + 29_999).await.is_ok());
    for (token, later_ms) in [("good", 30_000), ("new", 0)] {
        let refusal = house.refusal(0, token, &PEER, NOW_MS + later_ms).await.unwrap();
        assert_eq!((refusal.reason, refusal.retry_after_s), (Reason::IssuerUnavailable, Some(30)), "{token}");
    }
    let status = &house.stage.introspection()[0];
    assert!(status.last_error.as_ref().unwrap().contains("status 500") && status.failures == 2);
    // JWTs of the same issuer are none the worse.
    assert!(house.stage.issuers(NOW_MS)[0].usable);
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es" });
    let jwt = house.issuer.sign("es", &header, &good_claims(&house.issuer.url));
    assert!(house.ask(&jwt, NOW_MS).await.is_ok());
    house.mood(Mood::Good);
    assert!(house.ask("good", NOW_MS + 30_001).await.is_ok() && house.ask("new", NOW_MS).await.is_ok());
    assert_eq!(house.stage.introspection()[0].last_error, None);
}

#[tokio::test]
async fn a_flood_of_made_up_tokens_is_bounded_and_keeps_out_nobody_who_is_known() {
    let house = Opaque::new(json!({ "calls_per_s": 50, "entries_max": 160 })).await;
    let good: Vec<String> = (0..20).map(|n| format!("good{n}")).collect();
    for token in &good {
        house.give(token, json!({}));
        assert!(house.ask(token, NOW_MS).await.is_ok());
    }
    for second in 1..=40 {
        let now_ms = NOW_MS + second * 1000;
        let before = house.calls();
        let made_up: Vec<String> = (0..500).map(|n| format!("made-up-{second}-{n}")).collect();
        let refused = join_all(made_up.iter().map(|t| house.refusal(0, t, &PEER, now_ms))).await;
        let busy = |r: &&Option<Refusal>| r.as_ref().is_some_and(|r| r.retry_after_s == Some(1));
        assert!(refused.iter().all(Option::is_some));
        assert!(refused.iter().filter(busy).count() >= 450, "{second}");
        assert!(house.calls() - before <= 50, "{second}: {} calls", house.calls() - before);
        // Answered from memory, or asked about again (at second 30) beside the flood.
        let found = join_all(good.iter().map(|token| house.ask(token, now_ms))).await;
        assert!(found.iter().all(Result::is_ok), "{second}");
    }
    let status = &house.stage.introspection()[0];
    assert!(status.held.0 == 20 && status.held.1 <= 176 && status.shed > 15_000, "{status:?}");
}

#[tokio::test]
async fn calls_under_way_are_bounded() {
    let house = Opaque::new(json!({ "parallel_max": 2 })).await;
    house.mood(Mood::Slow(Duration::from_secs(10)));
    let tokens: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    let began = std::time::Instant::now();
    let results = join_all(tokens.iter().map(|t| house.ask(t, NOW_MS))).await;
    assert!(results.iter().all(|r| matches!(r, Err(Reason::IssuerUnavailable))));
    assert!(began.elapsed() < Duration::from_secs(4));
    // Two until the deadline of 700 ms, and two more within the second that others wait; some leeway for a busy machine.
    assert!((2..=8).contains(&house.calls()), "{}", house.calls());
}

#[tokio::test]
async fn tokens_are_bounded_in_length() {
    let house = Opaque::new(json!({})).await;
    for (length, calls, reason) in
        [(16 * 1024, 1, Reason::TokenInactive), (16 * 1024 + 1, 1, Reason::TokenMalformed)]
    {
        assert_eq!(house.ask(&"a".repeat(length), NOW_MS).await.err(), Some(reason));
        assert_eq!(house.calls(), calls);
    }
}

#[tokio::test]
async fn several_issuers_are_asked_until_one_knows_the_token() {
    let house = Opaque::new(json!({})).await;

    let ask = |token: &'static str, now_ms| house.refusal(1, token, &PEER, now_ms);
    let calls = || (house.issuer.introspections(), house.second.introspections());
    assert!(ask("seconds", NOW_MS).await.is_some_and(|r| r.reason == Reason::TokenInactive));
    assert_eq!(calls(), (1, 1));
    house.second.opaque.lock().insert("its".into(), good_answer(&house.second.url, json!({})));
    assert!(ask("its", NOW_MS).await.is_none());
    assert_eq!(calls(), (2, 2));
    // From then on only the one that knows it is asked.
    assert!(ask("its", NOW_MS + 30_000).await.is_none());
    assert_eq!(calls(), (2, 3));
    // One that cannot say leaves it open, whatever the other says.
    house.mood(broken());
    let refusal = ask("unknown", NOW_MS).await.unwrap();
    assert_eq!(refusal.reason, Reason::IssuerUnavailable);
    assert!(ask("its", NOW_MS + 60_000).await.is_none(), "the one that knows it is well");
    // An application that does not accept the second issuer does not accept its tokens.
    house.mood(Mood::Good);
    assert_eq!(house.ask("its", NOW_MS).await.err(), Some(Reason::TokenInactive));
}

#[tokio::test]
async fn without_introspection_an_opaque_token_is_malformed() {
    let house = House::new().await;
    assert_eq!(house.bearer("opaque", NOW_MS).await.err(), Some(Reason::TokenMalformed));
    assert_eq!(house.issuer.introspections(), 0);
}
