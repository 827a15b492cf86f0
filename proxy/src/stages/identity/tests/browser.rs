//! A browser's side: one cookie jar, the gateway's own paths, and the issuer's answers.

use std::collections::{BTreeMap, HashMap};

use http::header::{LOCATION, SET_COOKIE};

use super::*;

/// A browser at one application's host.
pub struct Browser<'a> {
    pub(super) house: &'a House,
    /// The application by its place in the house; the bank at first.
    pub app: usize,
    pub cookies: BTreeMap<String, String>,
    pub now_ms: i64,
}

/// How the issuer answers a log-in.
pub struct Answer {
    /// Put over the ID token's claims.
    pub id_token: Value,
    /// Put over the token response.
    pub response: Value,
    /// Put over the callback's parameters; null takes one away.
    pub callback: Value,
}

impl Default for Answer {
    fn default() -> Self {
        Self { id_token: json!({}), response: json!({}), callback: json!({}) }
    }
}

impl<'a> Browser<'a> {
    pub fn new(house: &'a House) -> Self {
        Self { house, app: 0, cookies: BTreeMap::new(), now_ms: NOW_MS }
    }

    pub fn parts(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let jar = jar.join("; ");
        let mut all = fields.to_vec();
        if !jar.is_empty() {
            all.push(("cookie", &jar));
        }
        request(method, target, &all)
    }

    /// Asks one of the gateway's own paths and keeps the cookies of the answer.
    pub async fn own(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<Bytes>, Refusal> {
        let parts = self.parts(method, target, fields);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let response =
            self.house.stage.owned(self.app, &parts, body, self.now_ms).await?.expect("an own path");
        for cookie in response.headers().get_all(SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            assert!(text.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{text}");
            assert!(!text.contains("Domain"), "{text}");
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.ends_with("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(response)
    }

    /// Begins a log-in; gives what the issuer was asked for.
    pub async fn begin(&mut self, target: &str) -> HashMap<String, String> {
        let response = self.own("GET", target, &[], "").await.unwrap();
        assert_eq!(response.status(), 303);
        let url = Url::parse(location(&response)).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.house.issuer.url)), "{url}");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        if self.house.issuer.offers_par {
            assert_eq!(query.len(), 2, "only a reference goes through the browser: {url}");
            self.house.issuer.pushed.lock().last().cloned().unwrap()
        } else {
            query
        }
    }

    /// Comes back from the issuer, which has answered the log-in `asked` for.
    pub async fn complete(
        &mut self,
        asked: &HashMap<String, String>,
        answer: Answer,
    ) -> Result<Response<Bytes>, Refusal> {
        self.house.grant(
            asked.get("nonce").map(String::as_str),
            self.now_ms,
            answer.id_token,
            answer.response,
        );
        let mut parameters = json!({ "code": "c1", "state": asked["state"], "iss": self.house.issuer.url });
        merge(&mut parameters, answer.callback);
        let query: Vec<(String, String)> = parameters
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        self.own("GET", &format!("/.gatehouse/callback?{query}"), &[("sec-fetch-site", "cross-site")], "")
            .await
    }

    /// A whole log-in.
    pub async fn log_in(&mut self) -> String {
        let asked = self.begin("/.gatehouse/login?return_to=/accounts").await;
        let response = self.complete(&asked, Answer::default()).await.unwrap();
        assert_eq!(location(&response), "https://bank.example/accounts");
        self.cookies[SESSION_COOKIE].clone()
    }

    pub async fn get(&self, target: &str) -> Result<Arc<Identity>, Reason> {
        self.send("GET", target, &[]).await
    }

    pub async fn send(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<Arc<Identity>, Reason> {
        let parts = self.parts(method, target, fields);
        known(self.house.stage.identify(self.app, &Requirement::default(), &parts, &PEER, self.now_ms).await)
    }
}

impl House {
    /// The claims of a good ID token.
    pub fn id_claims(&self, nonce: Option<&str>, now_ms: i64) -> Value {
        let now_s = now_ms / 1000;
        let mut claims = json!({
            "iss": self.issuer.url, "sub": "alice", "aud": "gateway", "iat": now_s, "exp": now_s + 300,
            "acr": "normal", "auth_time": now_s, "sid": "s1", "roles": ["teller"],
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        claims
    }

    /// Puts one answer of the token endpoint in place.
    pub fn grant(&self, nonce: Option<&str>, now_ms: i64, id_changes: Value, changes: Value) {
        let mut claims = self.id_claims(nonce, now_ms);
        merge(&mut claims, id_changes);
        let id_token = self.issuer.sign("es", &json!({ "alg": "ES256", "kid": "es" }), &claims);
        let mut response = json!({
            "access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "refresh_token": "r1",
            "scope": "openid read pay", "id_token": id_token,
        });
        merge(&mut response, changes);
        self.issuer.grants.lock().push(response);
    }

    /// The claims of a good logout token for the log-in `s1`.
    pub fn logout_claims(&self, now_ms: i64) -> Value {
        let now_s = now_ms / 1000;
        json!({
            "iss": self.issuer.url, "aud": "gateway", "iat": now_s, "exp": now_s + 120, "jti": "l1", "sub": "alice",
            "sid": "s1", "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        })
    }

    /// Has the issuer log out the log-in `sid`.
    pub async fn log_out_by_issuer(&self, sid: &str, now_ms: i64) {
        assert_eq!(self.told_to_log_out(sid, now_ms).await.unwrap().status(), 200);
    }

    /// What the issuer is answered to a good logout token for the log-in `sid`.
    pub async fn told_to_log_out(&self, sid: &str, now_ms: i64) -> Result<Response<Bytes>, Refusal> {
        let mut claims = self.logout_claims(now_ms);
        claims["sid"] = json!(sid);
        let token =
            self.issuer.sign("es", &json!({ "alg": "ES256", "kid": "es", "typ": "logout+jwt" }), &claims);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let parts = request("POST", "/.gatehouse/backchannel-logout", &form);
        let body = Bytes::from(format!("logout_token={token}"));
        self.stage.owned(0, &parts, body, now_ms).await.map(Option::unwrap)
    }
}

pub fn location(response: &Response<Bytes>) -> &str {
    response.headers()[LOCATION].to_str().unwrap()
}
