//! A gateway made of memory: every port of the admin API, for tests and for looking at the console.
#![allow(dead_code, reason = "every user of this module needs a part of it")]

pub mod records;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use admin::access::{Operator, Role};
use admin::ports::*;
use admin::views::*;
use admin::{AdminState, Settings};
use learner::capacity::{Mode, PoolSnapshot};
use learner::train::ModelKind;
use policies::DecisionRecord;
use policies::ports::{Clock, DecisionPage, DecisionQuery, DecisionReader};
use policies::record::Pseudonym;
use tokio::sync::broadcast;

pub const ORIGIN: &str = "http://127.0.0.1:9901";
pub const START_MS: i64 = 1_790_000_000_000;

pub struct World {
    pub now_ms: AtomicI64,
    /// Whether the audit trail takes entries.
    pub trail_up: AtomicBool,
    /// Whether somebody else is always faster.
    pub overtaken: AtomicBool,
    pub calls: Mutex<Vec<AdminCall>>,
    /// Writes that reached a port.
    pub writes: AtomicU64,
    pub revoked_tokens: Mutex<HashSet<String>>,
    /// When every token ends, Unix seconds.
    pub tokens_end_s: AtomicI64,
    /// Token that a console login yields.
    pub login_token: Mutex<String>,
    pub decisions: Mutex<Vec<(u64, DecisionRecord)>>,
    pub feed: broadcast::Sender<Arc<FeedItem>>,
    pub cases: Mutex<Vec<Case>>,
    /// What cases turned out to be, by their ids.
    pub labelled: Mutex<Vec<(String, bool)>>,
    pub pools: Mutex<Vec<PoolSnapshot>>,
    pub figures: Mutex<LiveFigures>,
    pub models: Mutex<Vec<LoadedModel>>,
    pub policies: Mutex<Vec<PolicyDocument>>,
    pub sessions: Mutex<Vec<CustomerSession>>,
    pub revocations: Mutex<Vec<RevocationInForce>>,
    pub limits: Mutex<Vec<Limit>>,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            now_ms: AtomicI64::new(START_MS),
            trail_up: AtomicBool::new(true),
            overtaken: AtomicBool::new(false),
            calls: Mutex::default(),
            writes: AtomicU64::new(0),
            revoked_tokens: Mutex::default(),
            tokens_end_s: AtomicI64::new(START_MS / 1000 + 3600),
            login_token: Mutex::new("t-all".to_owned()),
            decisions: Mutex::default(),
            feed: broadcast::channel(64).0,
            labelled: Mutex::default(),
            cases: Mutex::default(),
            pools: Mutex::default(),
            figures: Mutex::default(),
            models: Mutex::default(),
            policies: Mutex::default(),
            sessions: Mutex::default(),
            revocations: Mutex::default(),
            limits: Mutex::default(),
        })
    }

    pub fn state(self: &Arc<Self>, origin: &str) -> AdminState {
        AdminState {
            clock: self.clone(),
            authenticator: self.clone(),
            login: self.clone(),
            decisions: self.clone(),
            feed: self.clone(),
            figures: self.clone(),
            capacity: self.clone(),
            models: self.clone(),
            labels: self.clone(),
            policies: self.clone(),
            sessions: self.clone(),
            revocations: self.clone(),
            cases: self.clone(),
            limits: self.clone(),
            config: self.clone(),
            trail: self.clone(),
            proof: self.clone(),
            settings: Settings { origins: vec![origin.to_owned()], ..Settings::default() },
        }
    }

    pub fn decide(&self, record: DecisionRecord) {
        let mut decisions = self.decisions.lock().unwrap();
        let position = decisions.last().map_or(1, |(position, _)| position + 1);
        decisions.push((position, record.clone()));
        if decisions.len() > 2_000 {
            decisions.remove(0);
        }
        let _ = self.feed.send(Arc::new(FeedItem { position, record }));
    }

    pub fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Tokens: `t-` and a role, `t-all`, `t-none`, `t-expired`, `t-foreign`, `t-down`; the rest is invalid.
pub fn roles_of(token: &str) -> Option<BTreeSet<Role>> {
    match token.strip_prefix("t-")? {
        "all" => Some(Role::ALL.into()),
        "none" => Some(BTreeSet::new()),
        name => Role::from_name(name).map(|role| [role].into()),
    }
}

fn ready<'a, T: Send + 'a, E: Send + 'a>(result: Result<T, E>) -> Answer<'a, T, E> {
    Box::pin(std::future::ready(result))
}

impl Clock for World {
    fn now_ms(&self) -> i64 {
        self.now()
    }
}

impl Authenticator for World {
    fn authenticate<'a>(&'a self, token: &'a str) -> Answer<'a, Operator, AuthenticationError> {
        ready(match token {
            "t-expired" => Err(AuthenticationError::Expired),
            "t-foreign" => Err(AuthenticationError::Scope),
            "t-down" => {
                Err(AuthenticationError::Unavailable("keys out of reach: https://idp.internal".to_owned()))
            }
            _ if self.revoked_tokens.lock().unwrap().contains(token) => Err(AuthenticationError::Revoked),
            _ => roles_of(token)
                .map(|roles| Operator {
                    subject: token.replace("t-", "staff-"),
                    roles,
                    expires_at: self.tokens_end_s.load(Ordering::SeqCst),
                })
                .ok_or_else(|| AuthenticationError::Invalid("bad signature of kid internal-7".to_owned())),
        })
    }
}

impl ConsoleLogin for World {
    fn begin<'a>(&'a self, return_to: &'a str) -> Answer<'a, LoginStart> {
        let place = return_to.strip_prefix("/#/").unwrap_or_default().replace('/', ".");
        ready(Ok(LoginStart {
            authorize_url: format!("/callback?code=good&state=s-{place}"),
            login_state: "browser-1".to_owned(),
        }))
    }

    fn finish<'a>(&'a self, callback: LoginCallback, login_state: &'a str) -> Answer<'a, LoginEnd> {
        if callback.code != "good" || login_state != "browser-1" {
            return ready(Err(PortError::Refused("this sign-in cannot be completed".to_owned())));
        }
        let place = callback.state.strip_prefix("s-").unwrap_or_default().replace('.', "/");
        let access_token = self.login_token.lock().unwrap().clone().into();
        ready(Ok(LoginEnd { access_token, return_to: format!("/#/{place}") }))
    }
}

impl DecisionReader for World {
    fn page(&self, query: DecisionQuery) -> policies::ports::Answer<'_, DecisionPage> {
        let all = self.decisions.lock().unwrap();
        let mut found = all.iter().rev().filter(|(position, record)| {
            query.before.is_none_or(|before| *position < before)
                && query.outcome.is_none_or(|outcome| record.outcome == outcome)
                && query.route.as_deref().is_none_or(|route| &*record.route == route)
                && query.reason.as_deref().is_none_or(|code| record.reasons.iter().any(|r| &*r.code == code))
        });
        let decisions: Vec<_> = found.by_ref().take(query.limit).cloned().collect();
        let next = found.next().and(decisions.last().map(|(position, _)| *position));
        ready(Ok(DecisionPage { decisions, next }))
    }

    fn get<'a>(&'a self, id: &'a str) -> policies::ports::Answer<'a, Option<(u64, DecisionRecord)>> {
        ready(Ok(self.decisions.lock().unwrap().iter().find(|(_, record)| record.id == id).cloned()))
    }
}

impl DecisionFeed for World {
    fn subscribe(&self) -> broadcast::Receiver<Arc<FeedItem>> {
        self.feed.subscribe()
    }
}

impl Figures for World {
    fn live(&self) -> Answer<'_, LiveFigures> {
        ready(Ok(self.figures.lock().unwrap().clone()))
    }
}

impl Capacity for World {
    fn pools(&self) -> Answer<'_, Vec<PoolSnapshot>> {
        ready(Ok(self.pools.lock().unwrap().clone()))
    }

    fn set_mode<'a>(&'a self, pool: &'a str, mode: Mode) -> Answer<'a, ()> {
        let mut pools = self.pools.lock().unwrap();
        let Some(pool) = pools.iter_mut().find(|one| one.pool == pool) else {
            return ready(Err(PortError::NotFound));
        };
        if pool.mode.is_none() {
            return ready(Err(PortError::Refused("the static controller has no modes".to_owned())));
        }
        self.wrote();
        pool.mode = Some(mode);
        ready(Ok(()))
    }
}

impl Models for World {
    fn list(&self) -> Answer<'_, Vec<LoadedModel>> {
        ready(Ok(self.models.lock().unwrap().clone()))
    }

    fn retrain<'a>(&'a self, name: &'a str, _: Option<ModelKind>) -> Answer<'a, LoadedModel> {
        self.live_on(name, None, |life| life.retraining.since_ms = Some(START_MS))
    }

    fn promote<'a>(&'a self, name: &'a str, revision: u64, by: &'a str) -> Answer<'a, LoadedModel> {
        let (hash, by) = ("new".to_owned(), by.to_owned());
        self.live_on(name, Some(revision), |life| {
            life.proposal = Some(PromotionProposal { hash, by, at_ms: START_MS });
        })
    }

    fn approve<'a>(&'a self, name: &'a str, revision: u64, _: &'a str) -> Answer<'a, LoadedModel> {
        self.live_on(name, Some(revision), |life| {
            life.proposal = None;
            life.previous.insert(0, "old".to_owned());
            life.champion = life.challenger.take();
        })
    }

    fn rollback<'a>(
        &'a self,
        name: &'a str,
        revision: Option<u64>,
        from: Option<&'a str>,
    ) -> Answer<'a, LoadedModel> {
        assert!(from.is_none_or(|from| from == "new"), "the router has looked");
        self.live_on(name, revision, |life| {
            let hash = life.previous.remove(0);
            life.champion = life.champion.take().map(|champion| ModelVersion { hash, ..champion });
        })
    }
}

impl World {
    fn live_on(
        &self,
        name: &str,
        revision: Option<u64>,
        change: impl FnOnce(&mut ModelLife),
    ) -> Answer<'_, LoadedModel> {
        let mut models = self.models.lock().unwrap();
        let Some(model) = models.iter_mut().find(|model| model.name == name) else {
            return ready(Err(PortError::NotFound));
        };
        let life = model.life.as_mut().unwrap();
        let overtaken = self.overtaken.load(Ordering::SeqCst);
        if overtaken || revision.is_some_and(|revision| revision != life.revision) {
            return ready(Err(PortError::Conflict));
        }
        self.wrote();
        life.revision += 1;
        change(life);
        if let Some(champion) = &life.champion {
            model.hash.clone_from(&champion.hash);
        }
        ready(Ok(model.clone()))
    }
}

impl Labels for World {
    fn put<'a>(&'a self, labels: Vec<DecisionLabel>, _: u64, _: &'a str) -> Answer<'a, LabelsTaken> {
        self.wrote();
        ready(Ok(LabelsTaken { accepted: labels.len() as u64, ..LabelsTaken::default() }))
    }
}

impl PolicyDocuments for World {
    fn list(&self) -> Answer<'_, Vec<PolicySummary>> {
        ready(Ok(self.policies.lock().unwrap().iter().map(|document| document.summary.clone()).collect()))
    }

    fn get<'a>(&'a self, version: &'a str) -> Answer<'a, Option<PolicyDocument>> {
        let all = self.policies.lock().unwrap();
        ready(Ok(all.iter().find(|document| document.summary.version == version).cloned()))
    }
}

impl Sessions for World {
    fn page(&self, query: SessionQuery) -> Answer<'_, SessionPage> {
        let all = self.sessions.lock().unwrap();
        let start = query.after.map_or(0, |after| {
            all.iter().position(|session| session.handle == after).map_or(all.len(), |at| at + 1)
        });
        let rest = all.get(start..).unwrap_or_default();
        let sessions: Vec<_> = rest.iter().take(query.limit).cloned().collect();
        let next =
            (rest.len() > sessions.len()).then(|| sessions.last().map(|last| last.handle.clone())).flatten();
        ready(Ok(SessionPage { sessions, next }))
    }
}

impl Revocations for World {
    fn revoke<'a>(&'a self, order: RevocationOrder, by: &'a str) -> Answer<'a, RevocationInForce> {
        let mut sessions = self.sessions.lock().unwrap();
        let before = sessions.len();
        if order.kind == RevocationKind::Session {
            sessions.retain(|session| session.handle != order.value);
            if sessions.len() == before {
                return ready(Err(PortError::NotFound));
            }
        }
        self.wrote();
        let done = RevocationInForce {
            kind: order.kind,
            value: Pseudonym("5f0c".repeat(8)),
            by: by.to_owned(),
            at_ms: self.now(),
            expires_at_ms: self.now() + 3_600_000,
            sessions_ended: (before - sessions.len()) as u64,
            note: order.note,
        };
        self.revocations.lock().unwrap().insert(0, done.clone());
        ready(Ok(done))
    }

    fn list(&self) -> Answer<'_, Vec<RevocationInForce>> {
        ready(Ok(self.revocations.lock().unwrap().clone()))
    }
}

impl Cases for World {
    fn page(&self, query: CaseQuery) -> Answer<'_, CasePage> {
        let all = self.cases.lock().unwrap();
        let start = query
            .after
            .map_or(0, |after| all.iter().position(|case| case.id == after).map_or(all.len(), |at| at + 1));
        let mut found =
            all.iter().skip(start).filter(|case| query.status.is_none_or(|status| case.status == status));
        let cases: Vec<_> = found.by_ref().take(query.limit).cloned().collect();
        let next = found.next().and(cases.last().map(|case| case.id.clone()));
        ready(Ok(CasePage { cases, next }))
    }

    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Case>> {
        ready(Ok(self.cases.lock().unwrap().iter().find(|case| case.id == id).cloned()))
    }

    fn judge<'a>(&'a self, id: &'a str, judgement: Judgement) -> Answer<'a, Case> {
        let mut cases = self.cases.lock().unwrap();
        let Some(case) = cases.iter_mut().find(|case| case.id == id) else {
            return ready(Err(PortError::NotFound));
        };
        if case.revision != judgement.revision || case.status != CaseStatus::Open {
            return ready(Err(PortError::Conflict));
        }
        self.wrote();
        case.revision += 1;
        case.status = match judgement.ruling {
            Ruling::Release => CaseStatus::Released,
            Ruling::Reject => CaseStatus::Rejected,
        };
        self.labelled.lock().unwrap().extend(judgement.fraud.map(|fraud| (case.id.clone(), fraud)));
        case.judged_by = Some(judgement.by);
        case.judged_at_ms = Some(judgement.at_ms);
        case.note = judgement.note;
        ready(Ok(case.clone()))
    }
}

impl Limits for World {
    fn list(&self) -> Answer<'_, Vec<Limit>> {
        ready(Ok(self.limits.lock().unwrap().clone()))
    }
}

impl ConfigView for World {
    fn redacted(&self) -> Answer<'_, serde_json::Value> {
        ready(Ok(serde_json::json!({
            "listen": { "gateway": "127.0.0.1:8080", "admin": "127.0.0.1:9901", "observe": "127.0.0.1:9902" },
            "applications": [{ "name": "bank", "hosts": ["127.0.0.1:8080"], "routes": 14,
                "oidc": { "issuer": "http://127.0.0.1:7002", "client_id": "demo-web", "client_secret": "***" } }],
            "audit": { "directory": "gatehouse-demo-data/audit", "flush_ms": 5 },
        })))
    }
}

impl AuditTrail for World {
    fn record(&self, call: AdminCall) -> Answer<'_, ()> {
        if !self.trail_up.load(Ordering::SeqCst) {
            return ready(Err(PortError::Unavailable("disk full".to_owned())));
        }
        self.calls.lock().unwrap().push(call);
        ready(Ok(()))
    }
}

impl AuditProof for World {
    fn checkpoint(&self) -> Answer<'_, Checkpoint> {
        let size = self.decisions.lock().unwrap().last().map_or(0, |(position, _)| *position);
        ready(Ok(Checkpoint { size, head: "9c4e51a7".repeat(8), at_ms: self.now() }))
    }

    fn verify(&self) -> Answer<'_, Verification> {
        let checked = self.decisions.lock().unwrap().last().map_or(0, |(position, _)| *position);
        ready(Ok(Verification {
            intact: true,
            checked,
            first_bad: None,
            head: "9c4e51a7".repeat(8),
            took_ms: 38,
            finding: format!("All {checked} entries are linked without a gap."),
        }))
    }
}
