//! `gatehouse audit`: the decision log, checked without a running gateway.

use std::path::PathBuf;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use policies::chain::Checkpoint;

use crate::audit::{Progress, verify};

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check every entry and every link of the chain; exit status 1 when something is wrong.
    Verify {
        /// Folder of the log: `decisions` in the gateway's data folder.
        #[arg(long, value_name = "DIR")]
        log: PathBuf,
        /// A checkpoint kept elsewhere, as printed by an earlier run; without it the log's own is used.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub fn audit(command: Command) -> anyhow::Result<()> {
    let Command::Verify { log, checkpoint, json } = command;
    let kept: Option<Checkpoint> = match checkpoint {
        None => None,
        Some(file) => Some(serde_json::from_slice(&std::fs::read(&file)?)?),
    };
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let report = verify(&log, kept, |Progress { bytes, bytes_total }| {
        bar.set_length(bytes_total);
        bar.set_position(bytes);
    });
    bar.finish_and_clear();
    let report = report?;
    if json {
        let head = report.head.to_string();
        println!(
            "{}",
            serde_json::json!({
                "sound": true, "entries": report.entries, "decisions": report.decisions, "intents": report.intents,
                "unfinished": report.unfinished, "federated": report.federated, "lost": report.lost, "starts": report.starts, "abrupt": report.abrupt,
                "torn_bytes": report.torn_bytes, "head": head, "from_ms": report.from_ms, "to_ms": report.to_ms,
            })
        );
        return Ok(());
    }
    println!(
        "sound: {} entries in {} files, {} bytes, chain head {}",
        report.entries, report.segments, report.bytes, report.head
    );
    println!(
        "  {} decisions; {} money-moving requests recorded before they were forwarded, {} of them unfinished",
        report.decisions, report.intents, report.unfinished
    );
    println!(
        "  {} starts, {} after an abrupt end; {} entries lost (each loss is in a gap entry)",
        report.starts, report.abrupt, report.lost
    );
    if report.federated > 0 {
        println!("  {} of federated trainings, whose sums and votes fit together", report.federated);
    }
    if report.checkpoint.is_none() {
        println!("  there is no checkpoint to hold it against: whether its end was cut off cannot be told");
    }
    if report.torn_bytes > 0 {
        println!(
            "  the last {} bytes are an unfinished line: being written now, or cut off by a crash",
            report.torn_bytes
        );
    }
    Ok(())
}
