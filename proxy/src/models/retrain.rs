//! Retraining: a child process of low priority, with a deadline and a bound on its memory, so that neither its work nor its
//! end disturbs requests.

use std::collections::VecDeque;
use std::fs;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::Context;
use learner::artifact;
use learner::lifecycle::{Answer, Challenge, Challenger, JudgedVector, Model, answer, join, train};
use learner::train::ModelKind;
use serde::{Deserialize, Serialize};

use super::labels;
use super::log::Reader;
use super::record::{Entry, Judged, hash_bytes};
use super::step_back::NICENESS;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What is kept of a failed child's words.
const SAID_BYTES_MAX: usize = 500;
const CHALLENGER: &str = "challenger.json";
const SAID: &str = "said";

/// What the child is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Folder of the log of vectors.
    pub vectors: PathBuf,
    /// File of labels.
    pub labels: PathBuf,
    /// Artifact of the champion.
    pub champion: PathBuf,
    /// The latest row that the champion has seen, Unix milliseconds.
    pub champion_seen_ms: Option<i64>,
    /// How long labels take.
    pub delay_ms: i64,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
    /// The newest vectors whose truth is known that are used at most.
    pub rows_max: usize,
    /// Which kind of model; the champion's own where none is named.
    pub kind: Option<ModelKind>,
    /// Seed of everything random.
    pub seed: u64,
    /// Folder for what comes of it.
    pub out: PathBuf,
}

/// What the child may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The gateway's own binary.
    pub program: PathBuf,
    /// Longest time.
    pub time_max: Duration,
    /// Most memory, bytes.
    pub memory_bytes_max: u64,
}

/// Trains in a child process; a sentence where nothing came of it. The child ends with whoever waits here.
pub async fn in_child(job: &Job, limits: &Limits) -> Result<(Vec<u8>, Challenger), String> {
    let done = tried(job, limits).await;
    let said = fs::read_to_string(job.out.join(SAID)).unwrap_or_default();
    let made = done.and_then(|()| made(job)).map_err(|error| {
        let said = said.lines().next_back().unwrap_or_default();
        let said = said.get(..SAID_BYTES_MAX).unwrap_or(said);
        if said.is_empty() { format!("{error:#}") } else { format!("{error:#}: {said}") }
    });
    if let Err(error) = fs::remove_dir_all(&job.out) {
        tracing::warn!(%error, folder = %job.out.display(), "what retraining left behind stays");
    }
    made
}

async fn tried(job: &Job, limits: &Limits) -> anyhow::Result<()> {
    fs::create_dir_all(&job.out).with_context(|| format!("cannot make {}", job.out.display()))?;
    let file = job.out.join("job.json");
    fs::write(&file, serde_json::to_vec(job)?)?;
    let mut child = start(&file, job, limits).context("the training process cannot be started")?;
    let began = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(status) = child.0.try_wait()? {
            anyhow::ensure!(status.success(), "the training process ended with {status}");
            return Ok(());
        }
        if began.elapsed() > limits.time_max {
            anyhow::bail!("training took longer than {} s", limits.time_max.as_secs());
        }
        if child.resident_bytes().is_some_and(|bytes| bytes > limits.memory_bytes_max) {
            anyhow::bail!("training took more than {} MiB", limits.memory_bytes_max >> 20);
        }
    }
}

/// A child that does not outlive whoever waits for it. Where this process ends without a word, the child's standard input
/// ends with it, and the child by itself.
struct Kept(Child);

impl Kept {
    /// What it has in memory; `None` where the system does not say.
    fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // One that has ended is collected, and nothing else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The child, by `nice` where the system has it.
fn start(file: &Path, job: &Job, limits: &Limits) -> std::io::Result<Kept> {
    let said = fs::File::create(job.out.join(SAID))?;
    let spawn = |mut command: Command| -> std::io::Result<Kept> {
        command
            .args(["retrain", "--job"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said.try_clone()?)
            .spawn()
            .map(Kept)
    };
    let mut nice = Command::new("nice");
    nice.args(["-n", NICENESS]).arg(&limits.program);
    match spawn(nice) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => spawn(Command::new(&limits.program)),
        started => started,
    }
}

/// What the child made, checked like any other artifact.
fn made(job: &Job) -> anyhow::Result<(Vec<u8>, Challenger)> {
    let bytes = artifact::read(&job.out.join(artifact::FILE))?;
    let model = Model::from_bytes(&bytes)?;
    let made: Challenger = serde_json::from_slice(&fs::read(job.out.join(CHALLENGER))?)?;
    anyhow::ensure!(
        made.baseline.is_sound() && made.baseline.names == model.names(),
        "its bins do not fit the model"
    );
    Ok((bytes, made))
}

/// The child: does the job in `file`, and ends early when its standard input does.
///
/// # Errors
/// What of the job cannot be done.
pub fn child(file: &Path) -> anyhow::Result<()> {
    // Where memory runs out, this goes and not the gateway. Systems without such a file have another way, or none.
    let _said = fs::write("/proc/self/oom_score_adj", "1000");
    let job: Job = serde_json::from_slice(&fs::read(file)?)?;
    let (done, waiting) = sync_channel(2);
    let orphaned = done.clone();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ended = std::io::stdin().read_to_end(&mut rest);
        let _ = orphaned.send(Err(anyhow::anyhow!("the gateway ended")));
    });
    std::thread::spawn(move || {
        let _ = done.send(work(&job));
    });
    waiting.recv().context("the training thread panicked")?
}

fn work(job: &Job) -> anyhow::Result<()> {
    let champion = Model::from_bytes(&artifact::read(&job.champion)?)?;
    let joined = join(newest(job, &champion)?, job.delay_ms, job.now_ms);
    let kind = job.kind.unwrap_or_else(|| champion.kind());
    // A moment that has not come is one of a clock that was ahead: it says nothing of which rows the champion has seen. At
    // worst it knows some of the newest period, and looks the better for it.
    let champion_seen_ms = job.champion_seen_ms.filter(|seen_ms| *seen_ms <= job.now_ms);
    let challenge = Challenge { champion: &champion, champion_seen_ms, kind, seed: job.seed };
    let (bytes, made) = train(joined, &challenge)?;
    fs::write(job.out.join(CHALLENGER), serde_json::to_vec(&made)?)?;
    fs::write(job.out.join(artifact::FILE), bytes)?;
    Ok(())
}

/// The newest vectors that can teach, with their labels. What nobody knows yet takes up no room: a log that holds more young
/// vectors than are used would teach nothing else.
fn newest(job: &Job, champion: &Model) -> anyhow::Result<VecDeque<JudgedVector>> {
    let schema = hash_bytes(&champion.manifest().schema_hash);
    let labels = labels::read(&job.labels)?;
    let mut newest = VecDeque::new();
    Reader::new(&job.vectors).visit(i64::MIN, job.now_ms, &mut |entry| {
        if let Entry::Judged(judged) = entry
            && judged.schema == schema
        {
            let Judged { decision, at_ms, vector, cents, accepted, .. } = judged;
            let label = labels.get(&decision).copied();
            let known = answer(at_ms, accepted, label, job.delay_ms, job.now_ms);
            if matches!(known, Answer::Labelled(_) | Answer::Presumed) {
                newest.push_back(JudgedVector { at_ms, vector, cents, accepted, label });
            }
            if newest.len() > job.rows_max {
                newest.pop_front();
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::super::log::{Bounds, Writer};
    use super::super::record;
    use super::super::record::tests::judged;
    use super::*;

    fn job(folder: &Path) -> Job {
        Job {
            vectors: folder.join("vectors"),
            labels: folder.join("labels.jsonl"),
            champion: concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/fraud/model.artifact").into(),
            champion_seen_ms: None,
            delay_ms: 0,
            now_ms: 1,
            rows_max: 10,
            kind: None,
            seed: 1,
            out: folder.join("out"),
        }
    }

    fn limits(program: &Path) -> Limits {
        Limits { program: program.to_owned(), time_max: Duration::from_secs(60), memory_bytes_max: u64::MAX }
    }

    /// A program that stands for the training process.
    fn script(folder: &Path, lines: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join("program");
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[tokio::test]
    async fn whatever_becomes_of_the_child_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path());
        for (lines, time_max, memory_bytes_max, wanted) in [
            ("echo 'error: no frauds' >&2; exit 1", 60, u64::MAX, "no frauds"),
            ("nice >&2; exit 1", 60, u64::MAX, NICENESS),
            ("exit 0", 60, u64::MAX, "model.artifact"),
            ("kill -9 $$", 60, u64::MAX, "signal: 9"),
            ("exec sleep 60", 0, u64::MAX, "longer than 0 s"),
            ("exec sleep 60", 60, 1024, "more than 0 MiB"),
            ("exec cat >/dev/null", 1, u64::MAX, "longer than 1 s"),
        ] {
            let limits = Limits {
                time_max: Duration::from_secs(time_max),
                memory_bytes_max,
                ..limits(&script(folder.path(), lines))
            };
            let said = in_child(&job, &limits).await.unwrap_err();
            assert!(said.contains(wanted), "{lines}: {said}");
            assert!(!job.out.exists(), "nothing is left behind");
        }
        let said = in_child(&job, &limits(Path::new("/no/such/program"))).await.unwrap_err();
        assert!(!said.is_empty(), "{said}");
    }

    #[test]
    fn the_unit_lets_training_step_back_and_outlives_its_end() {
        let unit = include_str!("../../../configs/systemd/gatehouse.service");
        // Later lines add to earlier ones, or take from them.
        let mut filters = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
        let last = filters.rfind(|calls| ["setpriority", "@resources"].iter().any(|one| calls.contains(one)));
        assert_eq!(last, Some("setpriority"));
        assert!(unit.lines().any(|line| line == "OOMPolicy=continue"));
    }

    #[test]
    fn what_is_not_known_yet_takes_no_room_from_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let job = Job { delay_ms: 1_000, now_ms: 10_000, rows_max: 5, ..job(folder.path()) };
        let champion = Model::from_bytes(&artifact::read(&job.champion).unwrap()).unwrap();
        let schema = hash_bytes(&champion.manifest().schema_hash);
        let bounds = Bounds { bytes_max: 1 << 24, age_max_ms: i64::MAX };
        let mut writer = Writer::open(&job.vectors, bounds).unwrap();
        // Carried out and old; refused; young; of a clock that was ahead; of another model.
        let known = (0..8).map(|n| Judged { schema, ..judged(n << 80) });
        let refused = (0..20).map(|n| Judged { schema, accepted: false, ..judged(n << 80) });
        let young = (9_500..9_520).map(|at| Judged { schema, ..judged(at << 80) });
        let ahead = (90_000..90_020).map(|at| Judged { schema, ..judged(at << 80) });
        let others = (0..20).map(|n| judged(n << 80));
        let mut frames = Vec::new();
        for one in known.chain(refused).chain(young).chain(ahead).chain(others) {
            record::write(&Entry::Judged(one), &mut frames);
        }
        writer.append(&frames, 1).unwrap();
        let times: Vec<i64> = newest(&job, &champion).unwrap().iter().map(|row| row.at_ms).collect();
        assert_eq!(times, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_job_without_vectors_says_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("vectors")).unwrap();
        let said = work(&job(folder.path())).unwrap_err().to_string();
        assert!(said.contains("training part: 0 frauds"), "{said}");
    }
}
