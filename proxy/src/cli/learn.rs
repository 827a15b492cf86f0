//! `gatehouse train | evaluate | score | simulate`: the learner from the command line.

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use learner::capacity::sim::{PlaneMode, compare, contender, contender_names, load_scenarios};
use learner::capacity::train::{TrainSettings, train as train_table};
use learner::capacity::train_report::{self, Summary};
use learner::score::Scorer;
use learner::train::anomaly::{self, TrainAnomaly, anomaly};
use learner::train::classify::Recipe;
use learner::train::data::Source;
use learner::train::derived::Wanted;
use learner::train::fraud::{self, TrainFraud, fraud};
use learner::train::scores::ScoreTable;
use learner::train::search::Search;
use learner::train::{Bar, Progress};
use serde_json::{Value, json};

use super::tables;
use crate::compose::capacity_table;

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
pub struct Train {
    /// What to train.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Fraud: a scorecard, boosted trees, a forest, a tree or a support vector machine, calibrated.
    Fraud {
        #[command(flatten)]
        with: Training,
        #[command(flatten)]
        making: Making,
    },
    /// Anomaly: an autoencoder that knows normal requests, or a table's normal rows, only.
    Anomaly(Training),
    /// Capacity: the tables of the Q-learning controller, in the simulator.
    Capacity {
        /// A scenario file, or a folder of them.
        #[arg(long, value_name = "PATH")]
        data: PathBuf,
        /// Folder for the table.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Episodes to play.
        #[arg(long, default_value_t = TrainSettings::default().episodes)]
        episodes: u32,
        /// Seed of the first episode.
        #[arg(long, default_value_t = TrainSettings::default().seed)]
        seed: u64,
        /// Print the figures as one JSON object, last.
        #[arg(long)]
        json: bool,
    },
}

/// What a scorer is trained with.
#[derive(Debug, clap::Args)]
struct Training {
    /// A table (CSV or Parquet, gzip allowed) with `--mapping`; without it the gateway's own recorded events, or
    /// `simulate:SEED`.
    #[arg(long, value_name = "FILE")]
    data: Source,
    /// Another table to test on.
    #[arg(long, value_name = "FILE", requires = "mapping")]
    test: Option<PathBuf>,
    /// What the table's columns are, and how to split it: see configs/mappings.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// logistic, tree, forest, svm, boosted, autoencoder, or auto to compare what fits.
    #[arg(long, default_value = "auto")]
    model: String,
    /// Folder for the model and its report.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print the figures as one JSON object, last.
    #[arg(long)]
    json: bool,
}

/// How the settings of a fraud model and where it acts are chosen.
#[derive(Debug, clap::Args)]
struct Making {
    /// Candidates of each kind that are drawn at random and compared beside the grid. Trials are kept in trials.jsonl in
    /// the output folder: the same command, run again after it was stopped, goes on from there.
    #[arg(long, value_name = "N", default_value_t = 0)]
    search: u16,
    /// Judge candidates on K expanding windows in the order of time, the validation rows last, instead of on the
    /// validation rows alone.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..=20))]
    folds: Option<u8>,
    /// Share of legitimate rows that may be challenged, such as 0.01: the challenge starts at the lowest probability that
    /// keeps within it on validation rows, the hold within a tenth of it. Without it, costs choose both.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    budget: Option<f64>,
    /// Inputs made of the others: `clusters` (by k-means; 8, or `clusters=K`), `autoencoder` (its error and bottleneck), or
    /// both with a comma between. They are fitted on training rows alone.
    #[arg(long, value_name = "LIST")]
    inputs: Option<Wanted>,
}

impl Making {
    fn recipe(&self, model: &str, seed: u64) -> anyhow::Result<Recipe> {
        let search = Search { random: self.search.into(), folds: self.folds.map(usize::from) };
        let model = tables::model_kind(model)?;
        let inputs = self.inputs.unwrap_or_default();
        Ok(Recipe { model, seed, search, inputs, budget: self.budget, ..Recipe::default() })
    }
}

/// A share, 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it is a share from 0 to 1".to_owned())
}

/// Arguments of `evaluate`.
#[derive(Debug, clap::Args)]
pub struct Evaluate {
    /// The model's folder.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Events that it was not trained on: a file, or `simulate:SEED`.
    #[arg(long, value_name = "FILE")]
    data: Source,
    /// What the columns of a table are. Of the table that the model was trained on its test part is measured, of another
    /// one all of it, or what lies in the mapping's test period.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The table that the model was tested on, where that was one of its own.
    #[arg(long, value_name = "FILE", requires = "mapping")]
    test: Option<PathBuf>,
    /// Folder for the report, of an anomaly model of requests.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the figures as one JSON object, last.
    #[arg(long)]
    json: bool,
}

/// Arguments of `score`.
#[derive(Debug, clap::Args)]
pub struct Score {
    /// The model's folder.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A table to score, for a model that was trained on one; without it events come from standard input.
    #[arg(long, value_name = "FILE", requires = "mapping")]
    data: Option<PathBuf>,
    /// What its columns are, as in training.
    #[arg(long, value_name = "FILE", requires = "data")]
    mapping: Option<PathBuf>,
    /// A table of what came before its rows. Of a table without time, the one that the model was trained on.
    #[arg(long, value_name = "FILE", requires = "data")]
    history: Option<PathBuf>,
}

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
pub struct Simulate {
    /// Scenario files or folders of them.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    scenario: Vec<PathBuf>,
    /// Controllers, or `all`.
    #[arg(long, required = true, num_args = 1.., value_name = "NAME")]
    controller: Vec<String>,
    /// What the controllers are lent: the gateway's own data plane, or one blind limit.
    #[arg(long, value_enum, default_value = "own")]
    plane: PlaneName,
    /// Seeds, from (included) to (excluded).
    #[arg(long, default_value = "1000..1005", value_parser = seeds)]
    seeds: std::ops::Range<u64>,
    /// Trained table of the Q-learning controller.
    #[arg(long, value_name = "DIR")]
    table: Option<PathBuf>,
    /// One JSON object a row, instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PlaneName {
    Own,
    Blind,
}

/// Trains and says how good the result is.
pub fn train(arguments: Train) -> anyhow::Result<()> {
    let began = Instant::now();
    match arguments.what {
        What::Fraud { with, making } => {
            let recipe = making.recipe(&with.model, with.seed)?;
            if with.mapping.is_some() {
                return tables::train(with.table()?, recipe);
            }
            let settings = TrainFraud { data: with.data, recipe, out: with.out };
            let trained = with_progress(with.json, |progress| fraud(&settings, progress))?;
            tables::say(&trained, &settings.out, with.json, began);
            Ok(())
        }
        What::Anomaly(with) if with.mapping.is_some() => tables::train_anomaly(with.table()?),
        What::Anomaly(with) => {
            let settings = TrainAnomaly { data: with.data, out: with.out, seed: with.seed };
            let trained = with_progress(with.json, |progress| anomaly(&settings, progress))?;
            let [train, validate] = trained.rows;
            say(
                &json!({
                    "rows": { "train": train, "validate": validate },
                    "epochs": trained.epochs,
                    "tests": [serde_json::to_value(&trained.metrics)?],
                }),
                &settings.out,
                began,
            )
        }
        What::Capacity { data, out, episodes, seed, json } => {
            capacity(&data, &out, TrainSettings { episodes, seed, ..TrainSettings::default() }, json, began)
        }
    }
}

impl Training {
    /// The same for a table with a mapping.
    fn table(self) -> anyhow::Result<tables::Training> {
        let Source::File(data) = self.data else {
            anyhow::bail!("a mapping describes a file; leave --mapping out for simulate:SEED")
        };
        Ok(tables::Training {
            data,
            test: self.test,
            mapping: self.mapping.unwrap_or_default(),
            model: self.model,
            seed: self.seed,
            out: self.out,
            json: self.json,
        })
    }
}

/// Most memory that this process ever held, MiB; `None` where the system does not say.
pub(super) fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

pub(super) fn with_progress<T, E>(
    quiet: bool,
    work: impl FnOnce(&mut dyn Progress) -> Result<T, E>,
) -> Result<T, E> {
    if quiet { work(&mut ()) } else { work(&mut Bar::default()) }
}

/// The figures, one JSON object on one line: for eyes and for programs.
fn say(figures: &Value, out: &Path, began: Instant) -> anyhow::Result<()> {
    let mut figures = figures.clone();
    if let Some(members) = figures.as_object_mut() {
        members.insert("seconds".to_owned(), json!(began.elapsed().as_secs_f64()));
        members.insert("out".to_owned(), json!(out.display().to_string()));
    }
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn capacity(
    data: &Path,
    out: &Path,
    settings: TrainSettings,
    quiet: bool,
    began: Instant,
) -> anyhow::Result<()> {
    let scenarios = load_scenarios(data)?;
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(u64::from(settings.episodes)) };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} episodes, {eta} left {msg}")?);
    let (table, lessons) = train_table(&scenarios, &settings, |lesson| {
        bar.inc(1);
        bar.set_message(format!("{} {:.2}", lesson.scenario, lesson.goodput_weighted));
    });
    bar.finish_and_clear();
    let report = train_report::write(out, &table, &Summary::of(&table, &lessons))
        .with_context(|| format!("cannot write to {}", out.display()))?;
    tracing::info!(report = %report.display(), "trained");
    let last = lessons.len() / 10;
    let mean = |some: &[learner::capacity::train::Lesson]| {
        some.iter().map(|l| l.goodput_weighted).sum::<f64>() / (some.len().max(1) as f64)
    };
    let (first, end) =
        (lessons.get(..last).unwrap_or_default(), lessons.get(lessons.len() - last..).unwrap_or_default());
    say(
        &json!({
            "episodes": lessons.len(),
            "goodput_weighted_first_tenth": mean(first),
            "goodput_weighted_last_tenth": mean(end),
        }),
        out,
        began,
    )
}

/// Measures a model on events it never saw.
pub fn evaluate(arguments: &Evaluate) -> anyhow::Result<()> {
    let began = Instant::now();
    if let (Some(mapping), Source::File(data)) = (&arguments.mapping, &arguments.data) {
        let (data, test) = (data.clone(), arguments.test.clone());
        return tables::evaluate(&arguments.model, data, test, mapping, arguments.json);
    }
    let (model, out) = (arguments.model.as_path(), arguments.out.as_deref());
    let (figures, text) = match Scorer::load(model)? {
        Scorer::Fraud(..) => {
            tables::say_measured(&fraud::evaluate(model, &arguments.data)?, began);
            return Ok(());
        }
        Scorer::Anomaly(_) => told(&anomaly::evaluate(model, &arguments.data, out)?)?,
    };
    if arguments.json {
        return say(&json!({ "tests": [figures] }), model, began);
    }
    print!("{text}");
    Ok(())
}

/// Figures for programs and for people.
fn told(metrics: &(impl serde::Serialize + Display)) -> anyhow::Result<(Value, String)> {
    Ok((serde_json::to_value(metrics)?, metrics.to_string()))
}

/// Scores one JSON event a line from standard input, or a table's rows; prints one JSON object for each.
pub fn score(arguments: Score) -> anyhow::Result<()> {
    let Score { model, data, mapping, history } = arguments;
    if let (Some(data), Some(mapping)) = (data, mapping) {
        return tables::score(&ScoreTable { model, data, history, mapping });
    }
    let scorer = Scorer::load(&model)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            writeln!(out, "{}", scorer.line(&line))?;
        }
    }
    Ok(())
}

/// Plays overload scenarios against controllers.
pub fn simulate(arguments: &Simulate) -> anyhow::Result<()> {
    let plane = match arguments.plane {
        PlaneName::Own => PlaneMode::Own,
        PlaneName::Blind => PlaneMode::Blind,
    };
    let mut scenarios = Vec::new();
    for path in &arguments.scenario {
        scenarios.extend(load_scenarios(path)?);
    }
    let table = arguments.table.as_deref().map(capacity_table).transpose()?;
    let all = arguments.controller.iter().any(|name| name == "all");
    let names: Vec<&str> = if all {
        contender_names().collect()
    } else {
        arguments.controller.iter().map(String::as_str).collect()
    };
    let mut contenders = Vec::new();
    for name in names {
        let found = contender(name, plane, table.as_ref());
        let known: Vec<&str> = contender_names().collect();
        contenders.push(
            found.with_context(|| {
                format!("no controller is called {name}; choose from {}", known.join(", "))
            })?,
        );
    }
    if !arguments.json {
        println!(
            "{:34} {:14} {:>8} {:>9} {:>12} {:>8} {:>8}",
            "scenario", "controller", "goodput", "weighted", "effective ms", "p95 ms", "shed"
        );
    }
    let mut failed = None;
    compare(&scenarios, &contenders, arguments.seeds.clone(), |row| {
        if arguments.json {
            match serde_json::to_string(row) {
                Ok(line) => println!("{line}"),
                Err(error) => failed = Some(error),
            }
        } else {
            println!(
                "{:34} {:14} {:8.3} {:9.3} {:12.0} {:8.0} {:8.3}",
                row.scenario,
                row.controller,
                row.goodput,
                row.goodput_weighted,
                row.effective_ms,
                row.p95_ms,
                row.wrongful_shed
            );
        }
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// `1000..1030`.
fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    parsed.filter(|range| range.start < range.end).ok_or_else(|| "write them as 1000..1030".to_owned())
}
