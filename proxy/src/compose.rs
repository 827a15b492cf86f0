//! The composition root: from a checked configuration to everything that serves, in the order of its dependencies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use learner::anomaly::AnomalyScorer;
use learner::artifact::{self, ArtifactError};
use learner::capacity::{CapacityConfig, q_learning, train_report};
use learner::fraud::FraudScorer;
use policies::ports::{Clock, HotStore, RecordStore};
use policies::{Name, Policy, Pseudonymizer};

use crate::audit::{AuditLog, Settings};
use crate::config::{Config, Models, Server};
use crate::gateway::{Core, Live, Parts, Pool, Scorers};
use crate::habits;
use crate::keys;
use crate::metrics::Metrics;
use crate::models::Lifecycle;
use crate::outbound::{self, Outbound};
use crate::stages::admission::{Admission, steady_clock};
use crate::stages::identity::{ApplicationIdentity, GatewayKeys, IdentityStage, Setup};
use crate::stages::transfer::Customers;
use crate::stores::{Bounds, Cases, SledHot, SledRecords, Spent};

/// A reviewer's release is good for this long.
const RELEASE_VALID_MS: i64 = 24 * 3600 * 1000;

/// Where state is kept.
pub struct Stores {
    /// What may be lost: sessions, replay memory.
    pub hot: Arc<dyn HotStore>,
    /// What may not: cases, revocations.
    pub records: Arc<dyn RecordStore>,
}

impl Stores {
    /// The embedded stores under `data`.
    ///
    /// # Errors
    /// The records cannot be opened.
    pub fn open(server: &Server) -> anyhow::Result<Self> {
        let data = &server.data_dir;
        let bounds = Bounds { entries_max: server.store_entries_max, ..Bounds::default() };
        std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        Ok(Self { records: Arc::new(open_records(data, bounds)?), hot: Arc::new(open_hot(data, bounds)?) })
    }
}

/// Builds the gateway.
///
/// # Errors
/// The first part that cannot be built, with what to do about it.
pub async fn compose(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Core>> {
    let stores = Stores::open(&config.server)?;
    compose_over(stores, config, clock).await
}

/// Builds the gateway over stores of the caller's choice.
///
/// # Errors
/// As [`compose`].
pub async fn compose_over(
    stores: Stores,
    config: Config,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<Core>> {
    let Stores { hot, records } = stores;
    let data = config.server.data_dir.clone();
    let metrics = Arc::new(Metrics::new()?);
    let pseudonyms = Pseudonymizer::new(&keys::pseudonym_key(&data.join("keys"))?);
    let log = AuditLog::open(Settings::in_dir(data.join("decisions")), Arc::clone(&clock))?;

    let cases = Arc::new(Cases::new(records.clone(), RELEASE_VALID_MS));
    let spent = Spent::new(records.clone());
    let identity = Arc::new(IdentityStage::new(identity_setup(&config, hot.clone(), records)?));
    identity.load(clock.now_ms()).await.context("revocations cannot be read")?;
    identity.prime(clock.now_ms()).await;

    let policy = Arc::new(policy(&config, &pseudonyms)?);
    let pools = pools(&config, &metrics)?;
    let customers = Customers::new(pseudonyms.clone(), config.server.utc_offset_hours);
    let profiles = Arc::new(habits::restore(&config, &customers)?);
    let taught = Arc::clone(&profiles);
    let lifecycle = Lifecycle::open(
        config.learning,
        &data,
        Arc::clone(&clock),
        metrics.models.clone(),
        Some(Box::new(move |judged, fraud| habits::learn_of_label(&taught, judged, fraud))),
    )?;
    let models = Arc::new(first_scorers(&config.models, &lifecycle, &metrics, clock.now_ms()));
    let live = Live::new(config, policy, models, &metrics);
    Ok(Core::new(Parts {
        live,
        lifecycle,
        clock,
        hot,
        identity,
        log,
        cases,
        spent,
        profiles,
        customers,
        pseudonyms,
        pools,
        metrics,
    }))
}

/// What the identity stage is made of. The admin API counts as one more application, behind the others: its tokens are
/// verified, remembered and revoked like everybody's.
fn identity_setup(
    config: &Config,
    hot: Arc<dyn HotStore>,
    records: Arc<dyn RecordStore>,
) -> anyhow::Result<Setup> {
    let mut apps: Vec<(Name, Option<ApplicationIdentity>)> =
        config.applications.iter().map(|app| (app.name.clone(), app.identity.clone())).collect();
    if let Some(admin) = &config.admin {
        let identity = ApplicationIdentity {
            issuers: vec![admin.issuer.clone()],
            audience: admin.audience.clone(),
            upstream_audience: admin.audience.clone(),
            external_url: admin.external_url.clone(),
            proof_age_ms: 60_000,
            proof_nonce: false,
            step_up_acr_values: Vec::new(),
            session: None,
        };
        apps.push(("admin".into(), Some(identity)));
    }
    let issuer =
        config.applications.first().map(|app| app.external_url.as_str().trim_end_matches('/').to_owned());
    let key = keys::signing_key(&config.server.data_dir.join("keys").join("gateway.pem"))?;
    Ok(Setup {
        issuers: config.issuers.clone(),
        apps,
        bounds: config.identity,
        hot,
        records,
        outbound: Outbound::new(outbound::Bounds::default())?,
        gateway_keys: GatewayKeys::new(key, &[]),
        gateway_issuer: issuer.unwrap_or_default(),
    })
}

/// Puts what can change while serving into force: routes, limits, policy, models. `config` is from [`Config::reload`].
///
/// # Errors
/// What is wrong with the new files; the old ones stay in force.
pub fn reload(core: &Core, config: Config) -> anyhow::Result<()> {
    let _one_at_a_time = core.changes.lock();
    let now_ms = core.clock.now_ms();
    let configured = configured_fraud(&config.models)?;
    let anomaly = anomaly(&config.models)?;
    let policy = Arc::new(policy(&config, &core.pseudonyms)?);
    let fraud = configured.map(|bytes| core.lifecycle.in_force(Some(&bytes)).unwrap_or(bytes));
    let models = Arc::new(Scorers::new(fraud.as_deref(), anomaly, now_ms)?);
    core.replace(Live::new(config, policy, models, &core.metrics));
    Ok(())
}

/// Serves the fraud model in `artifact` from the next request on.
///
/// # Errors
/// It does not load; then the old one stays.
pub fn serve_fraud(core: &Core, artifact: &[u8]) -> Result<(), ArtifactError> {
    let live = core.live();
    let models = Scorers::new(Some(artifact), live.models.anomaly.clone(), core.clock.now_ms())?;
    core.replace(live.with_models(models));
    Ok(())
}

/// The models that the configuration names.
///
/// # Errors
/// An artifact that is refused, by file and name of the refusal.
pub fn scorers(models: &Models, now_ms: i64) -> anyhow::Result<Scorers> {
    Ok(Scorers::new(configured_fraud(models)?.as_deref(), anomaly(models)?, now_ms)?)
}

/// The models to begin with. One that is refused does not keep the gateway from starting: the policy says what happens
/// without scores, and what was promoted before serves in place of what the configuration names.
fn first_scorers(models: &Models, lifecycle: &Lifecycle, metrics: &Metrics, now_ms: i64) -> Scorers {
    let said = |error: &anyhow::Error| {
        metrics.models.refused.inc();
        tracing::error!(error = format!("{error:#}"), "the gateway starts without this model");
    };
    let configured = configured_fraud(models).inspect_err(said);
    let fraud = match configured {
        Ok(None) => None,
        Ok(Some(bytes)) => lifecycle.in_force(Some(&bytes)),
        Err(_) => lifecycle.in_force(None),
    };
    let anomaly = anomaly(models).inspect_err(said).unwrap_or_default();
    Scorers::new(fraud.as_deref(), anomaly.clone(), now_ms)
        .or_else(|error| {
            said(&error.into());
            Scorers::new(None, anomaly, now_ms)
        })
        .unwrap_or_default()
}

/// The bytes of the configuration's fraud model, which loads.
fn configured_fraud(models: &Models) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(path) = &models.fraud else { return Ok(None) };
    let bytes = artifact::read(path).with_context(|| refused(path))?;
    FraudScorer::from_bytes(&bytes).with_context(|| refused(path))?;
    Ok(Some(bytes))
}

fn anomaly(models: &Models) -> anyhow::Result<Option<AnomalyScorer>> {
    let load = |path: &PathBuf| AnomalyScorer::load(path).with_context(|| refused(path));
    models.anomaly.as_ref().map(load).transpose()
}

fn refused(path: &Path) -> String {
    format!("the model {} is refused; train it again with `gatehouse train`", path.display())
}

/// The policy document that the configuration names, keyed for this installation.
///
/// # Errors
/// Every problem of the document, with file, line and column.
pub fn policy(config: &Config, pseudonyms: &Pseudonymizer) -> anyhow::Result<Policy> {
    let file = &config.policy;
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the policy {}", file.display()))?;
    let policy = policies::document::parse(&text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|e| format!("{}:{e}", file.display())).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })?;
    let routes: Vec<&str> =
        config.applications.iter().flat_map(|a| a.routes.iter().map(|r| &*r.name)).collect();
    let mut idle: Vec<&Name> = policy.idle_routes(&routes).map(|(rule, _)| &rule.id).collect();
    idle.dedup();
    // A rule that covers at least one route is fine: patterns may be written for several sites.
    for rule in
        policy.rules().iter().filter(|r| idle.contains(&&r.id) && !routes.iter().any(|name| r.covers(name)))
    {
        tracing::warn!(rule = %rule.id, "no route of this configuration is covered by the rule");
    }
    Ok(policy.keyed(pseudonyms.clone()))
}

fn pools(config: &Config, metrics: &Metrics) -> anyhow::Result<Vec<Pool>> {
    let table = match &config.models.capacity {
        None => None,
        Some(path) => Some(capacity_table(path)?),
    };
    let clock = steady_clock();
    config
        .applications
        .iter()
        .map(|app| {
            let learnt = learnt_file(&config.server.data_dir, &app.name);
            let table = restored_table(&learnt, metrics).or_else(|| table.clone());
            // Whoever could predict the exploration could teach the learner.
            let capacity = CapacityConfig { seed: rand::random(), ..app.capacity.clone() };
            let controller = capacity.controller(table);
            let admission = Admission::new(&app.name, &capacity, controller, Arc::clone(&clock));
            Pool::new(&app.name, &app.upstream, admission)
                .with_context(|| format!("upstream of {}", app.name))
        })
        .collect()
}

/// Where a pool's controller keeps what it learnt.
fn learnt_file(data_dir: &Path, pool: &str) -> PathBuf {
    data_dir.join("capacity").join(format!("{pool}.json"))
}

/// What a pool's controller learnt in earlier runs; a file that is damaged or of another version is said, counted, and left
/// out.
fn restored_table(file: &Path, metrics: &Metrics) -> Option<q_learning::Artifact> {
    let read = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        read => read.map_err(anyhow::Error::from),
    };
    let table = read.and_then(|text| Ok(q_learning::Artifact::from_text(&text)?));
    table
        .inspect_err(|error| {
            metrics.capacity_tables_refused.inc();
            tracing::error!(%error, file = %file.display(), "the capacity table starts from the shipped one");
        })
        .ok()
}

/// Writes down what every pool's controller learnt.
///
/// # Errors
/// A file cannot be written; the old one stays.
pub fn save_learnt(core: &Core) -> std::io::Result<()> {
    let data_dir = core.live().config.server.data_dir.clone();
    for pool in &core.pools {
        if let Some(learnt) = pool.admission.learnt() {
            let file = learnt_file(&data_dir, &pool.name);
            std::fs::create_dir_all(data_dir.join("capacity"))?;
            train_report::save(&file, &learnt)?;
        }
    }
    Ok(())
}

/// The trained table in `folder`.
///
/// # Errors
/// It cannot be read, or is of another version, altered or cut short.
pub fn capacity_table(folder: &Path) -> anyhow::Result<q_learning::Artifact> {
    let file = folder.join("q-learning.json");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    q_learning::Artifact::from_text(&text).with_context(|| refused(&file))
}

fn open_records(data: &Path, bounds: Bounds) -> anyhow::Result<SledRecords> {
    let folder = data.join("records");
    SledRecords::open(&folder, bounds).with_context(|| format!("cannot open {}", folder.display()))
}

/// Hot state may be lost: a store that does not open is set aside rather than keep the gateway down.
fn open_hot(data: &Path, bounds: Bounds) -> anyhow::Result<SledHot> {
    let folder = data.join("hot");
    match SledHot::open(&folder, bounds) {
        Ok(store) => Ok(store),
        Err(error) => {
            let aside = data.join("hot.damaged");
            tracing::error!(%error, folder = %folder.display(), "sessions could not be restored; people log in again");
            std::fs::remove_dir_all(&aside).or_else(|e| match e.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(e),
            })?;
            std::fs::rename(&folder, &aside)?;
            SledHot::open(&folder, bounds).with_context(|| format!("cannot open {}", folder.display()))
        }
    }
}
