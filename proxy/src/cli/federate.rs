//! `gatehouse federate`: banks train one model without showing their rows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Subcommand;
use learner::evaluate::{Ranking, Scored, ranking};
use learner::federate::state::State;
use learner::federate::table::{numbers, propose};
use learner::federate::terms::{CLIPS, STATISTICS_RELEASES, threshold};
use learner::federate::wire::{Bytes, Real};
use learner::federate::{
    Bank, End, Limits, Method, Model, Outcome, PARTIES_MAX, PARTIES_MIN, PROTOCOL, Record, Schema, Table,
    Terms, ToParty, plain, privacy,
};
use learner::table::Mapping;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::audit::{self, AuditLog};
use crate::clock::SystemClock;
use crate::federate::{Certificates, Enrolment, Joining, coordinate, take_part};

mod rows;

use rows::{Rows, read_by, recorded, rows_of, serve};

/// File of the model in `--out`.
const MODEL_FILE: &str = "federated.json";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Propose a schema for a file: the features' names and bounds, for all parties to agree on.
    Schema {
        /// Own rows: a CSV file of numbers, any table with a mapping, or with `--transfers` what `train fraud` reads.
        #[arg(long, value_name = "FILE")]
        data: PathBuf,
        /// The mapping; the features are then those of behaviour that it gives.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["label", "unit"])]
        mapping: Option<PathBuf>,
        /// The data are transfers as gateways record them, or `simulate:SEED`; the features are those that gateways serve.
        #[arg(long, conflicts_with_all = ["label", "unit", "mapping"])]
        transfers: bool,
        /// Column of the label, 0 or 1; only for a CSV file of numbers.
        #[arg(long, value_name = "COLUMN", required_unless_present_any = ["mapping", "transfers"])]
        label: Option<String>,
        /// Column that says whose row it is; noise then hides a whole customer rather than a row.
        #[arg(long, value_name = "COLUMN")]
        unit: Option<String>,
        /// The schema. Its bounds are quantiles of the data: look at them before you show them.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Bring parties together for one training.
    Coordinator(Box<Coordinator>),
    /// Take part in a training with own rows.
    Party(Box<Party>),
}

/// Who one is, and whom one believes.
#[derive(Debug, clap::Args)]
struct Identity {
    /// The agreed schema; every party has the same file.
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// Own certificate chain, PEM. Its first DNS name, else its common name, is the own name.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Certificates of the authority that all parties trust, PEM.
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
}

impl Identity {
    fn read(&self) -> anyhow::Result<(Schema, Certificates)> {
        let text = std::fs::read_to_string(&self.schema)
            .with_context(|| format!("schema {}", self.schema.display()))?;
        let schema = Schema::from_toml(&text).with_context(|| self.schema.display().to_string())?;
        Ok((schema, Certificates::read(&self.certificate, &self.key, &self.authority)?))
    }
}

/// Arguments of `coordinator`.
#[derive(Debug, clap::Args)]
pub struct Coordinator {
    #[command(flatten)]
    identity: Identity,
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Parties to wait for, 3 to 64.
    #[arg(long, value_name = "N", value_parser = parties_range())]
    parties: usize,
    /// Fewest parties of a sum [default: more than two thirds of `--parties`]. With fewer, a few banks that work with the
    /// coordinator can be most of a sum.
    #[arg(long, value_name = "N", value_parser = parties_range())]
    min_parties: Option<usize>,
    /// Rounds.
    #[arg(long, default_value_t = 40)]
    rounds: u32,
    /// Bound of the privacy loss of everything that training gives away. Without it and `--noise`, none is promised.
    #[arg(long, value_name = "EPSILON", conflicts_with = "noise")]
    epsilon: Option<f64>,
    /// The same as a noise multiplier: standard deviation in units of the clip.
    #[arg(long, value_name = "SIGMA")]
    noise: Option<f64>,
    /// Probability with which the bound may not hold.
    #[arg(long, default_value_t = 1e-6)]
    delta: f64,
    /// Bound of the norm of a unit's gradient or, without noise, of a party's update. The defaults suit features within
    /// their bounds.
    #[arg(long)]
    clip: Option<f64>,
    /// Step length of the optimiser in the first round (default 0.1; without noise 0.01).
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Weight of the L2 penalty.
    #[arg(long, default_value_t = 1e-5)]
    l2: f64,
    /// Epochs that each party trains in a round; only without noise.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["epsilon", "noise"])]
    local_epochs: u32,
    /// Rows of a local step; only without noise.
    #[arg(long, default_value_t = 256, conflicts_with_all = ["epsilon", "noise"])]
    batch: u32,
    /// Leave parties out in turn to find one that spoils rounds. With noise this is always done; without noise, sums over
    /// different parties from the same weights tell about the one left out, so parties have to agree.
    #[arg(long)]
    leave_out: bool,
    /// Seconds that parties have for each answer.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    deadline: f64,
    /// Seconds to wait for the parties at first.
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS")]
    enrol: f64,
    /// Folder of the decision log, which `gatehouse audit verify` checks.
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// Folder for the model.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print what happens and, last, the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `party`.
#[derive(Debug, clap::Args)]
pub struct Party {
    #[command(flatten)]
    identity: Identity,
    /// The coordinator.
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: String,
    /// Name in the coordinator's certificate, if it is not the host.
    #[arg(long, value_name = "NAME")]
    coordinator_name: Option<String>,
    /// Own rows: CSV with a header, with the schema's columns (`.gz` is read too), any table with a mapping, or with
    /// `--transfers` what `train fraud` reads.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Makes the features of behaviour from the table; its training part trains, its validation part calibrates, its test
    /// part measures the model.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The data are transfers as gateways record them, or `simulate:SEED`: the model serves in the gateway.
    #[arg(long, conflicts_with_all = ["mapping", "test"])]
    transfers: bool,
    /// Later rows to measure the trained model on.
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Refuse terms with more privacy loss, or without noise.
    #[arg(long, value_name = "EPSILON")]
    epsilon_max: Option<f64>,
    /// Refuse terms with sums over fewer parties [default: more than two thirds of `--peers` and oneself, else 3].
    #[arg(long, value_name = "N", value_parser = parties_range())]
    min_parties: Option<usize>,
    /// Names of the other parties; sums with others are refused.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    peers: Option<Vec<String>>,
    /// Longest wait for the coordinator, seconds.
    #[arg(long, default_value_t = 900.0, value_name = "SECONDS")]
    patience: f64,
    /// Folder for the model.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the outcome as one JSON object, last.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn federate(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Schema { data, mapping, transfers, label, unit, out } => {
            let schema = match mapping {
                None if transfers => propose(&recorded(&data)?.train.frame, "fraud", Some("customer")),
                Some(mapping) => {
                    let mapping = Mapping::read(&mapping)?;
                    let columns = mapping.columns.clone();
                    let train = read_by(&data, None, mapping)?.train;
                    propose(
                        &train.frame,
                        columns.label.as_deref().unwrap_or("label"),
                        columns.customer.as_deref(),
                    )
                }
                None => {
                    let label = label.context("a label")?;
                    propose(&numbers(&data, &label, unit.as_deref())?, &label, unit.as_deref())
                }
            };
            // Read back, so that no schema is written that nobody can read.
            let schema = Schema::from_toml(&schema.to_toml())?;
            std::fs::write(&out, schema.to_toml()).with_context(|| out.display().to_string())?;
            println!("{} features; look at their bounds in {}", schema.features.len(), out.display());
            Ok(())
        }
        Command::Coordinator(arguments) => super::control_runtime()?.block_on(coordinator(*arguments)),
        Command::Party(arguments) => super::control_runtime()?.block_on(party(*arguments)),
    }
}

async fn coordinator(arguments: Coordinator) -> anyhow::Result<()> {
    let began = Instant::now();
    let (schema, certificates) = arguments.identity.read()?;
    let terms = terms(&arguments, &schema)?;
    let log = AuditLog::open(audit::Settings::in_dir(&arguments.log), Arc::new(SystemClock))?;
    let listener = TcpListener::bind(arguments.listen).await.with_context(|| arguments.listen.to_string())?;
    let address = listener.local_addr()?;
    let name = certificates.name();
    if arguments.json {
        println!("{}", json!({ "listening": address, "name": name, "schema": schema.digest() }));
    } else {
        println!("{name} listens on {address} for {} parties, schema {}", arguments.parties, schema.digest());
    }
    let enrolment = Enrolment { parties: arguments.parties, within: seconds(arguments.enrol)? };
    let rounds = terms.rounds;
    let told = |record: &Record| tell(record, rounds, arguments.json);
    let trained =
        coordinate(listener, &certificates, terms.clone(), schema.clone(), enrolment, &log, told).await;
    log.close();
    let (outcome, state) = trained?;
    let model = keep(&arguments.out, schema, state)?;
    let mut said = json!({ "outcome": outcome, "model": model, "seconds": began.elapsed().as_secs_f64() });
    add_privacy(&mut said, &terms, &outcome);
    if arguments.json {
        println!("{said}");
    } else {
        summarise(&outcome, &terms);
    }
    ended(&outcome)
}

/// A training that stopped early is no success, whatever it has learnt by then.
fn ended(outcome: &Outcome) -> anyhow::Result<()> {
    match &outcome.end {
        End::Complete => Ok(()),
        End::Stopped(why) => {
            anyhow::bail!("training stopped after {} rounds: {}", outcome.rounds, plain(why))
        }
    }
}

fn terms(arguments: &Coordinator, schema: &Schema) -> anyhow::Result<Terms> {
    let mut session = [0; 16];
    aws_lc_rs::rand::fill(&mut session).context("no random bytes")?;
    let rounds = arguments.rounds;
    // Enough to find one party that spoils rounds, and for some that go wrong by chance.
    let parties = u32::try_from(arguments.parties)?;
    let rounds_summed_max = rounds.saturating_add(rounds / 10).saturating_add(parties).saturating_add(2);
    let releases = f64::from(rounds_summed_max.saturating_add(STATISTICS_RELEASES));
    let delta = arguments.delta;
    let noise = match (arguments.epsilon, arguments.noise) {
        (Some(epsilon), _) => Some(
            privacy::noise_multiplier(epsilon, releases, delta)
                .with_context(|| format!("no noise gives epsilon {epsilon} at delta {delta}"))?,
        ),
        (None, noise) => noise,
    };
    let method = match noise {
        Some(noise) => Method::Private {
            noise_multiplier: Real(noise),
            // What is given holds; what is worked out is stated a little above, as logarithms differ in the last bit.
            epsilon: Real(
                arguments.epsilon.unwrap_or_else(|| privacy::epsilon(noise, releases, delta) * (1.0 + 1e-9)),
            ),
            delta: Real(delta),
        },
        None => Method::Averaging { epochs: arguments.local_epochs, batch: arguments.batch },
    };
    let has_noise = noise.is_some();
    let min_parties = arguments.min_parties.unwrap_or_else(|| threshold(arguments.parties));
    let terms = Terms {
        protocol: PROTOCOL,
        session: Bytes(session),
        schema: schema.digest(),
        parties_min: u32::try_from(min_parties)?,
        rounds,
        rounds_summed_max,
        method,
        clip: Real(arguments.clip.unwrap_or(if has_noise { CLIPS.1 } else { CLIPS.0 })),
        learning_rate: Real(arguments.learning_rate.unwrap_or(if has_noise { 0.1 } else { 0.01 })),
        l2: Real(arguments.l2),
        leave_out: arguments.leave_out || has_noise,
        deadline_ms: u64::try_from(seconds(arguments.deadline)?.as_millis())?,
    };
    terms.check()?;
    anyhow::ensure!(
        arguments.parties >= min_parties,
        "{} parties are fewer than the least, {min_parties}",
        arguments.parties
    );
    Ok(terms)
}

fn parties_range() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(PARTIES_MIN as u64..=PARTIES_MAX as u64)
}

fn seconds(value: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(value).with_context(|| format!("{value} seconds"))
}

async fn party(arguments: Party) -> anyhow::Result<()> {
    let began = Instant::now();
    let (schema, certificates) = arguments.identity.read()?;
    let origin = arguments.origin();
    let Rows { table, test, dataset } = rows_of(&arguments, &schema)?;
    let least = arguments.peers.as_ref().map_or(PARTIES_MIN, |peers| threshold(peers.len() + 1));
    let parties_min = arguments.min_parties.unwrap_or(least.max(PARTIES_MIN));
    let rows = table.positive.len();
    tracing::info!(rows, name = certificates.name(), "rows are read");
    let joining = Joining {
        coordinator: arguments.coordinator,
        coordinator_name: arguments.coordinator_name,
        peers: arguments.peers.map(|peers| peers.into_iter().map(|peer| peer.to_ascii_lowercase()).collect()),
        limits: Limits { epsilon_max: arguments.epsilon_max, parties_min },
        patience: seconds(arguments.patience)?,
    };
    let work = Box::new(Bank::new(table));
    let quiet = arguments.json;
    let took =
        take_part(joining, &certificates, schema.clone(), work, |message| show(message, quiet)).await?;
    if !took.verified {
        tracing::warn!(
            "the model is unverified: this party missed the last sum and saw no votes; compare it with another party's"
        );
    }
    let measured = test.and_then(|test| measure(&schema, &took.state, &test));
    let mut served = None;
    if let (Some(out), Some(dataset)) = (&arguments.out, &dataset) {
        served = serve(out, &schema, &took, dataset, origin);
    }
    let model = arguments.out.as_deref().map(|out| keep(out, schema, took.state)).transpose()?.flatten();
    if arguments.json {
        let said = json!({
            "outcome": took.outcome, "verified": took.verified, "epsilon": took.epsilon, "commitment": took.commitment, "rows": rows,
            "test": measured, "model": model, "artifact": served, "seconds": began.elapsed().as_secs_f64(),
        });
        println!("{said}");
    } else {
        println!("{} rounds; {:?}", took.outcome.rounds, took.outcome.end);
        if let Some(epsilon) = took.epsilon {
            println!("given away: epsilon {epsilon:.3} of each unit");
        }
        if let Some(commitment) = took.commitment {
            println!(
                "last commitment {commitment}: the other parties and the coordinator's log have the same"
            );
        }
        if let Some(artifact) = served {
            println!("{} serves where {} did; see its report", artifact.display(), arguments.data.display());
        }
        if let Some(test) = measured {
            println!("on {} test rows: AUPRC {:.4}, AUROC {:.4}", test.rows, test.auprc, test.auroc);
        }
    }
    ended(&took.outcome)
}

impl Party {
    /// What the data are called, and the command, without what only this machine knows.
    fn origin(&self) -> (String, String) {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let how = match &self.mapping {
            Some(mapping) => format!("--mapping {}", name(mapping)),
            None => "--transfers".to_owned(),
        };
        let (data, schema) = (name(&self.data), name(&self.identity.schema));
        let command = format!(
            "gatehouse federate party --data {data} {how} --schema {schema} --out DIR, with other banks"
        );
        (data, command)
    }
}

fn measure(schema: &Schema, state: &State, test: &Table) -> Option<Ranking> {
    let model = Model::of(schema.clone(), state.clone())?;
    let mut row = vec![0.0; schema.features.len()];
    let score = |(at, positive): (usize, &bool)| {
        test.frame.row(at, &mut row);
        Scored { score: model.score(&row), positive: *positive }
    };
    Some(ranking(&test.positive.iter().enumerate().map(score).collect::<Vec<_>>()))
}

/// Writes the model; `None` where training ended before there was one.
fn keep(out: &Path, schema: Schema, state: State) -> anyhow::Result<Option<PathBuf>> {
    let Some(model) = Model::of(schema, state) else { return Ok(None) };
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let file = out.join(MODEL_FILE);
    let mut text = serde_json::to_vec_pretty(&model)?;
    text.push(b'\n');
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    Ok(Some(file))
}

fn add_privacy(said: &mut Value, terms: &Terms, outcome: &Outcome) {
    let Method::Private { noise_multiplier, epsilon, delta } = &terms.method else { return };
    let spent = outcome.epsilon.map(|spent| spent.0);
    let figures = json!({
        "epsilon": spent, "epsilon_agreed": epsilon.0, "delta": delta.0, "noise_multiplier": noise_multiplier.0,
    });
    if let Some(members) = said.as_object_mut() {
        members.insert("privacy".to_owned(), figures);
    }
}

fn tell(record: &Record, rounds: u32, json: bool) {
    if json {
        return;
    }
    match record {
        Record::Opened { parties, .. } => println!("training begins: {}", parties.join(", ")),
        Record::Summed(commitment) => {
            let parties = commitment.participants.len();
            let void = commitment.void.as_deref().map(|why| format!(", void: {why}")).unwrap_or_default();
            println!("sum {}: {:?} of {rounds}, {parties} parties{void}", commitment.sum, commitment.purpose);
        }
        Record::Decided(decision) => {
            let accepts = decision.votes.iter().filter(|vote| vote.accept).count();
            let what = if decision.accepted { "accepted" } else { "rolled back" };
            println!("sum {}: {what}, {accepts} of {} votes", decision.sum, decision.votes.len());
            if let Some(name) = &decision.suspended {
                println!("{name} is left out from now on: rounds are spoiled with it and not without");
            }
        }
        Record::Failed { sum, reason, .. } => println!("sum {sum} came to nothing: {reason}"),
        Record::Gone { party, reason, .. } => println!("{party} is gone: {reason}"),
        Record::Closed(_) => {}
    }
}

fn show(message: &ToParty, quiet: bool) {
    match message {
        ToParty::Welcome { terms } if !quiet => {
            println!("training of {} rounds begins: {:?}", terms.rounds, terms.method);
        }
        ToParty::Begin { sum, purpose, .. } => tracing::info!(sum, ?purpose, "a sum begins"),
        _ => {}
    }
}

fn summarise(outcome: &Outcome, terms: &Terms) {
    println!("{} rounds accepted, {} sums opened; {:?}", outcome.rounds, outcome.opened, outcome.end);
    match (&terms.method, outcome.epsilon) {
        (Method::Private { delta, .. }, Some(spent)) => {
            println!(
                "given away: epsilon {:.3} at delta {} of each unit (customer or row)",
                spent.0, delta.0
            );
        }
        _ => {
            println!("no noise was added: sums hide parties from each other, but promise nothing about rows")
        }
    }
    for (what, names) in [("gone", &outcome.gone), ("left out", &outcome.suspended)] {
        if !names.is_empty() {
            println!("{what}: {}", names.join(", "));
        }
    }
}
