//! The command line: one file a command.

mod audit;
mod demo;
mod federate;
mod learn;
mod run;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A security gateway that a bank puts in front of the sites and APIs it already has.
#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, max_term_width = 100)]
struct Cli {
    /// What is logged: `error`, `warn`, `info`, `debug`, or filters such as `proxy=debug`.
    #[arg(long, global = true, default_value = "info", value_name = "FILTER")]
    log_filter: String,
    /// Log lines as JSON.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the demo bank, its identity provider and the gateway in one process.
    Demo(demo::Arguments),
    /// Run the gateway.
    Run(run::Arguments),
    /// Check a configuration with its policies, keys and models.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Train a model; writes the artifact and a report with plots.
    Train(learn::Train),
    /// Measure a model on events it was not trained on.
    Evaluate(learn::Evaluate),
    /// Score recorded events, one JSON object a line from standard input; or the rows of a table.
    Score(learn::Score),
    /// Train a challenger: what the gateway starts beside itself.
    #[command(hide = true)]
    Retrain {
        /// What to do, as the gateway wrote it.
        #[arg(long, value_name = "FILE")]
        job: PathBuf,
    },
    /// Play overload scenarios against capacity controllers.
    Simulate(learn::Simulate),
    /// Train one model with other banks: sums of masked updates over mutual TLS, no rows.
    #[command(subcommand)]
    Federate(federate::Command),
    /// Work with the decision log, without a running gateway.
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(&cli.log_filter, cli.log_json);
    // Whoever comes first would choose the provider; say it once.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed already");
    }
    let done = match cli.command {
        Command::Demo(arguments) => demo::demo(arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check { config } => run::check(&config),
        Command::Train(arguments) => learn::train(arguments),
        Command::Evaluate(arguments) => learn::evaluate(&arguments),
        Command::Score(arguments) => learn::score(arguments),
        Command::Retrain { job } => crate::models::retrain::child(&job),
        Command::Simulate(arguments) => learn::simulate(&arguments),
        Command::Federate(command) => federate::federate(command),
        Command::Audit(command) => audit::audit(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        lines.json().init();
    } else {
        lines.with_target(false).init();
    }
}

/// The runtime of everything but the clients' requests.
fn control_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()?)
}
