//! `sessions.yaml`: what an attacker does with cookies, states and pages of another site.

use std::collections::HashMap;

use super::super::browser::{Answer, Browser, location};
use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    steps: Vec<Step>,
    /// What `asks` sends.
    #[serde(default = "get")]
    method: String,
    #[serde(default = "root")]
    target: String,
    #[serde(default)]
    fields: Fields,
    /// Whom the last step was answered as, `ok`, `begins anew`, or a reason code.
    expect: String,
}

fn get() -> String {
    "GET".into()
}

fn root() -> String {
    "/".into()
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
enum Step {
    /// Milliseconds.
    Pass(i64),
    /// By the victim (0) or the attacker (1).
    Do(usize, Act),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    LogIn,
    Begin,
    Finish,
    FinishTheOthers,
    StepUp,
    Get(&'static str),
    MakeUp,
    LoseCookies,
    LogOut(&'static str),
    LoggedOutByIssuer,
    Revoked,
    GoToOffice,
    Ask,
}

const ACTS: [(&str, Act); 15] = [
    ("logs in", Act::LogIn),
    ("begins a log-in", Act::Begin),
    ("finishes its log-in", Act::Finish),
    ("finishes the other's log-in", Act::FinishTheOthers),
    ("steps up", Act::StepUp),
    ("gets the other's session cookie", Act::Get(SESSION_COOKIE)),
    ("gets the other's log-in cookie", Act::Get(LOGIN_COOKIE)),
    ("makes up a session cookie", Act::MakeUp),
    ("loses its cookies", Act::LoseCookies),
    ("logs out", Act::LogOut("same-origin")),
    ("is logged out from another site", Act::LogOut("cross-site")),
    ("is logged out by the issuer", Act::LoggedOutByIssuer),
    ("is revoked", Act::Revoked),
    ("goes to the office", Act::GoToOffice),
    ("asks", Act::Ask),
];

impl TryFrom<String> for Step {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unknown = || format!("{text:?} is no step");
        if let Some(seconds) = text.strip_suffix(" seconds pass") {
            return seconds.parse::<i64>().map(|seconds| Self::Pass(seconds * 1000)).map_err(|_| unknown());
        }
        let (who, act) = text.split_once(' ').ok_or_else(unknown)?;
        let who = PEOPLE.iter().position(|(name, ..)| *name == who).ok_or_else(unknown)?;
        let (_, act) = ACTS.iter().find(|(phrase, _)| *phrase == act).ok_or_else(unknown)?;
        Ok(Self::Do(who, *act))
    }
}

/// Who they are to the case, to the issuer, and by which log-in.
const PEOPLE: [(&str, &str, &str); 2] = [("victim", "alice", "s1"), ("attacker", "mallory", "s2")];

/// Two browsers, each with its last log-in.
struct World<'a> {
    house: &'a House,
    case: &'a Case,
    browsers: [Browser<'a>; 2],
    asked: [HashMap<String, String>; 2],
}

#[tokio::test]
async fn a_session_is_its_owners_alone() {
    let mut tally = Tally::default();
    for case in cases::<Case>("sessions") {
        let house = House::new().await;
        let browsers = [Browser::new(&house), Browser::new(&house)];
        let mut world = World { house: &house, case: &case, browsers, asked: Default::default() };
        let (last, before) = case.steps.split_last().unwrap();
        for step in before {
            let came = world.take(*step).await;
            if !["alice", "mallory", "ok", "begins anew"].contains(&&*came) {
                tally.fail(&case.name, format!("{step:?} came to {came}"));
            }
        }
        let first = world.take(*last).await;
        let again = world.take(*last).await;
        tally.expect(&case.name, &case.expect, &[&first, &again]);
    }
    tally.close();
}

impl World<'_> {
    async fn take(&mut self, step: Step) -> String {
        match step {
            Step::Pass(ms) => {
                self.browsers.iter_mut().for_each(|browser| browser.now_ms += ms);
                "ok".into()
            }
            Step::Do(who, act) => self.act(who, act).await,
        }
    }

    async fn act(&mut self, who: usize, act: Act) -> String {
        let (other, (_, subject, sid)) = (1 - who, PEOPLE[who]);
        match act {
            Act::LogIn => {
                self.begin(who, "login").await;
                return self.finish(who, who, "normal").await;
            }
            Act::Begin => self.begin(who, "login").await,
            Act::Finish => return self.finish(who, who, "normal").await,
            Act::FinishTheOthers => return self.finish(who, other, "normal").await,
            Act::StepUp => {
                self.begin(who, "step-up").await;
                return self.finish(who, who, "strong").await;
            }
            Act::Get(cookie) => {
                let value = self.browsers[other].cookies[cookie].clone();
                self.browsers[who].cookies.insert(cookie.into(), value);
            }
            Act::MakeUp => {
                self.browsers[who].cookies.insert(SESSION_COOKIE.into(), "A".repeat(32));
            }
            Act::LoseCookies => self.browsers[who].cookies.clear(),
            Act::LogOut(from) => {
                let fields = [("sec-fetch-site", from)];
                return match self.browsers[who].own("GET", "/.gatehouse/logout", &fields, "").await {
                    Ok(_) => "ok".into(),
                    Err(refusal) => self.code(&refusal),
                };
            }
            Act::LoggedOutByIssuer => self.house.log_out_by_issuer(sid, self.browsers[who].now_ms).await,
            Act::Revoked => {
                let now_ms = self.browsers[who].now_ms;
                let revocation = Revocation {
                    issuer: self.house.issuer.url.clone(),
                    target: Target::Subject(subject.into()),
                    issued_before_s: now_ms / 1000,
                    expires_ms: now_ms + 3_600_000,
                };
                self.house.stage.revocations().revoke(&revocation).await.unwrap();
            }
            Act::GoToOffice => self.browsers[who].app = At::Office as usize,
            Act::Ask => return self.ask(who).await,
        }
        "ok".into()
    }

    async fn begin(&mut self, who: usize, action: &str) {
        self.asked[who] = self.browsers[who].begin(&format!("/.gatehouse/{action}")).await;
    }

    /// `who` comes back with the state and the code of `whose` log-in.
    async fn finish(&mut self, who: usize, whose: usize, acr: &str) -> String {
        let (_, subject, sid) = PEOPLE[whose];
        let id_token = json!({ "sub": subject, "sid": sid, "acr": acr });
        let asked = self.asked[whose].clone();
        let answer = Answer { id_token, ..Answer::default() };
        let host = ["https://bank.example", "https://office.example"]
            [usize::from(self.browsers[who].app == At::Office as usize)];
        match self.browsers[who].complete(&asked, answer).await {
            Ok(response) if location(&response).starts_with(&format!("{host}/.gatehouse/login?")) => {
                "begins anew".into()
            }
            Ok(response) => {
                assert_eq!(location(&response), format!("{host}/"), "{}", self.case.name);
                "ok".into()
            }
            Err(refusal) => self.code(&refusal),
        }
    }

    async fn ask(&self, who: usize) -> String {
        let (case, browser, stage) = (self.case, &self.browsers[who], &self.house.stage);
        let mut fields = case.fields.clone();
        let jar: Vec<String> =
            browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !jar.is_empty() {
            fields.push(BTreeMap::from([("cookie".to_owned(), jar.join("; "))]));
        }
        let parts = asked(&case.method, &case.target, &fields, str::to_owned);
        let recognised = stage.recognise(browser.app, &parts, &PEER, browser.now_ms);
        match stage.identify(browser.app, &Requirement::default(), &parts, &PEER, browser.now_ms).await {
            Ok(Authentication::Known(identity)) => identity.subject.clone(),
            Ok(Authentication::Anonymous) => "anonymous".into(),
            Err(refusal) => {
                // A write from another site is still the person's own for its share of capacity.
                let known = recognised.is_some() && refusal.reason != Reason::CrossSite;
                assert!(!known, "{}: recognised, then refused", case.name);
                self.code(&refusal)
            }
        }
    }

    fn code(&self, refusal: &Refusal) -> String {
        let cookies = self.browsers.iter().flat_map(|browser| browser.cookies.values());
        let states = self.asked.iter().flat_map(|asked| asked.values());
        let secrets: Vec<&str> =
            cookies.chain(states).map(String::as_str).filter(|s| s.len() == 32).collect();
        code(refusal, &self.case.name, &secrets)
    }
}
