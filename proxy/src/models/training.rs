//! When a challenger is trained, and what becomes of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use learner::artifact;
use learner::lifecycle::{Challenger, Model};
use learner::train::ModelKind;
use serde::{Deserialize, Serialize};

use super::life::{Lifecycle, Refused};
use super::record::hash_bytes;
use super::retrain::{self, Job, Limits};
use super::settings::Settings;
use super::step_back::step_back;
use super::store::{Card, Origin, State};
use super::survey::{self, Question};

/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The log is walked this often, and sooner when another model is in force or challenges. Labels alone do not hurry it:
/// they may come one by one.
const SURVEY_EVERY: Duration = Duration::from_secs(10 * 60);

/// Where training stands; noted on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retraining {
    /// Since when one is under way, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// How the last one ended.
    pub last: Option<Ended>,
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Whether there is a new challenger.
    pub ok: bool,
    /// In a sentence.
    pub said: String,
}

impl Retraining {
    /// As an earlier run of the gateway left it: what it was training then is lost.
    pub(super) fn left_behind(self, now_ms: i64) -> Self {
        let lost = |_| Ended {
            at_ms: now_ms,
            ok: false,
            said: "the gateway ended before this training did".to_owned(),
        };
        Self { since_ms: None, last: self.since_ms.map(lost).or(self.last) }
    }
}

impl Lifecycle {
    /// Where training stands.
    pub fn retraining(&self) -> Retraining {
        self.retraining.lock().clone()
    }

    /// Begins to train a challenger, beside everything else; of the champion's kind where none is named.
    ///
    /// # Errors
    /// One is being trained, or there is no champion to compare it with.
    pub fn retrain(self: &Arc<Self>, kind: Option<ModelKind>) -> Result<Retraining, Refused> {
        let job = self.job(kind)?;
        {
            let mut retraining = self.retraining.lock();
            if retraining.since_ms.is_some() {
                return Err(Refused::Senseless("a challenger is being trained already".to_owned()));
            }
            retraining.since_ms = Some(self.clock.now_ms());
        }
        self.note_training();
        self.metrics.retraining.set(1);
        let life = Arc::clone(self);
        tokio::spawn(async move {
            let ended = life.trained(&job).await;
            let result = if ended.ok { "ok" } else { "failed" };
            life.metrics.retrainings.with_label_values(&[result]).inc();
            life.metrics.retraining.set(0);
            tracing::info!(result, said = ended.said, "a challenger was trained");
            *life.retraining.lock() = Retraining { since_ms: None, last: Some(ended) };
            let _noted = tokio::task::spawn_blocking(move || life.note_training()).await;
        });
        Ok(self.retraining())
    }

    /// Writes down where training stands, so that a restart can say it.
    fn note_training(&self) {
        if let Err(fault) = self.store.note_training(&self.retraining()) {
            tracing::error!(%fault, "a restart will not know of this training");
        }
    }

    fn job(&self, kind: Option<ModelKind>) -> Result<Job, Refused> {
        let state = self.store.state();
        let champion = state.champion.ok_or_else(|| {
            Refused::Senseless(
                "no fraud model is in force; the configuration has to name one first".to_owned(),
            )
        })?;
        let kept = self.checked(&champion);
        let kept = kept.ok_or_else(|| Refused::Senseless("the champion's file is broken".to_owned()))?;
        let now_ms = self.clock.now_ms();
        Ok(Job {
            vectors: self.places.vectors.clone(),
            labels: self.places.labels.clone(),
            champion: self.store.artifact(&champion),
            champion_seen_ms: kept.card.challenger.map(|made| made.seen_ms),
            delay_ms: self.settings.label_delay_ms(),
            now_ms,
            rows_max: self.settings.retrain_rows_max,
            kind,
            seed: 1,
            out: self.places.work.clone(),
        })
    }

    async fn trained(self: &Arc<Self>, job: &Job) -> Ended {
        let (life, queued) = (Arc::clone(self), job.clone());
        let made = tokio::task::spawn_blocking(move || life.recorder.flush()).await;
        let made = match (made, std::env::current_exe()) {
            (Err(error), _) => Err(error.to_string()),
            (_, Err(error)) => Err(error.to_string()),
            (Ok(()), Ok(program)) => {
                let limits = Limits {
                    program,
                    time_max: self.settings.retrain_time_max(),
                    memory_bytes_max: self.settings.retrain_memory_mib_max << 20,
                };
                retrain::in_child(&queued, &limits).await
            }
        };
        let life = Arc::clone(self);
        let champion = job.champion.clone();
        let kept = tokio::task::spawn_blocking(move || {
            let now_ms = life.clock.now_ms();
            let challenged = made.and_then(|(bytes, made)| life.challenged(&bytes, made, &champion, now_ms));
            if challenged.is_err() {
                // Said below; the schedule goes on from here in either case.
                let _noted = life.change(|state| {
                    state.retrained_ms = Some(now_ms);
                    Ok(())
                });
            }
            challenged
        });
        let done = kept.await.unwrap_or_else(|error| Err(error.to_string()));
        let (ok, said) = match done {
            Ok(said) => (true, said),
            Err(said) => (false, said),
        };
        Ended { at_ms: self.clock.now_ms(), ok, said }
    }

    /// Makes what was trained the challenger; a sentence in either case.
    fn challenged(
        &self,
        bytes: &[u8],
        made: Challenger,
        champion: &std::path::Path,
        now_ms: i64,
    ) -> Result<String, String> {
        let model = Model::from_bytes(bytes).map_err(|error| error.to_string())?;
        let digest = artifact::digest(bytes);
        let rows: usize = made.rows.iter().sum();
        let said = match &made.comparison {
            None => format!(
                "trained on {rows} transfers; the newest period holds too few frauds to compare it with the champion"
            ),
            Some(found) => format!(
                "trained on {rows} transfers; AUPRC {:.3} against {:.3} of the champion, gain {:+.3} (95 % interval {:+.3} \
                 to {:+.3})",
                found.challenger.auprc,
                found.champion.auprc,
                found.gain,
                found.interval[0],
                found.interval[1]
            ),
        };
        let card = Card {
            digest: digest.clone(),
            origin: Origin::Trained,
            made_ms: now_ms,
            challenger: Some(made),
            training: None,
            reference: None,
        };
        self.store.keep(bytes, &card).map_err(|fault| fault.to_string())?;
        let changed = self.change(|state| {
            let still = state.champion.as_ref().is_some_and(|one| self.store.artifact(one) == *champion);
            if !still || state.champion.as_ref() == Some(&digest) {
                let why = "the champion changed meanwhile, or is this very model";
                return Err(Refused::Senseless(why.to_owned()));
            }
            state.previous.retain(|one| *one != digest);
            state.challenger = Some(digest.clone());
            state.proposal = None;
            state.retrained_ms = Some(now_ms);
            Ok(())
        });
        changed.map_err(|refused| refused.to_string())?;
        self.watch.challenge(Some(model));
        self.stale.store(true, Ordering::Relaxed);
        Ok(said)
    }

    /// Does what is due, for as long as it is polled: surveys, retraining, the end of old vectors.
    pub async fn go_on(self: Arc<Self>) {
        let mut surveyed: Option<Instant> = None;
        loop {
            let now_ms = self.clock.now_ms();
            let due = surveyed.is_none_or(|at| at.elapsed() >= SURVEY_EVERY);
            if self.stale.swap(false, Ordering::Relaxed) || due {
                surveyed = Some(Instant::now());
                let life = Arc::clone(&self);
                if tokio::task::spawn_blocking(move || life.look_around()).await.is_err() {
                    tracing::error!("the survey of recorded transfers panicked");
                }
            }
            let life = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || life.teach()).await.is_err() {
                tracing::error!("teaching labels to profiles panicked");
            }
            self.metrics.drift(self.watch.drift(now_ms).as_ref());
            if self.retraining_is_due(now_ms)
                && let Err(refused) = self.retrain(None)
            {
                tracing::warn!(%refused, "no challenger is trained");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn retraining_is_due(&self, now_ms: i64) -> bool {
        let next_ms = self.next_training_ms(&self.store.state(), now_ms);
        next_ms.is_some_and(|next_ms| now_ms >= next_ms) && self.retraining.lock().since_ms.is_none()
    }

    /// When the next training is due. The last one may be noted in the future, by a clock that was ahead: one that lies
    /// further off than the time between two says nothing.
    pub(super) fn next_training_ms(&self, state: &State, now_ms: i64) -> Option<i64> {
        let (last_ms, every_ms) = state.retrained_ms.zip(self.settings.retrain_every_ms())?;
        let ahead = last_ms.saturating_sub(now_ms) > every_ms;
        Some(if ahead { now_ms } else { last_ms.saturating_add(every_ms) })
    }

    /// Why nothing can ever be learnt: vectors go before their labels are due.
    pub fn hindrance(&self) -> Option<String> {
        let Settings { vectors_days_max, vectors_mib_max, label_delay_days, .. } = self.settings;
        if vectors_days_max <= label_delay_days {
            return Some(format!(
                "vectors are kept for {vectors_days_max} days and labels take {label_delay_days}: raise \
                 learning.vectors_days_max"
            ));
        }
        let extent = self.reader.extent().ok()?;
        let ripe_ms = self.clock.now_ms().saturating_sub(self.settings.label_delay_ms());
        let young = extent.oldest_ms.is_some_and(|oldest_ms| oldest_ms > ripe_ms);
        (young && self.settings.bounds().is_reached(extent.bytes)).then(|| {
            format!(
                "{vectors_mib_max} MiB hold less than {label_delay_days} days of vectors, and labels take so long: raise \
                 learning.vectors_mib_max"
            )
        })
    }

    /// Walks the log for what is known of the champion and the challenger.
    pub fn look_around(&self) {
        self.recorder.flush();
        let state = self.store.state();
        let Some(mut kept) = state.champion.and_then(|digest| self.checked(&digest)) else { return };
        let bins = kept.card.baseline();
        let question = Question {
            champion: hash_bytes(&kept.card.digest),
            challenger: state.challenger.as_deref().map(hash_bytes),
            reference: bins.is_none().then(|| kept.model.names().to_vec()),
            // Filled anew each time: a window that a clock ahead of time led astray is right again.
            window: bins,
            window_ms: self.settings.drift_window_ms(),
            delay_ms: self.settings.label_delay_ms(),
            now_ms: self.clock.now_ms(),
        };
        // Some seconds of work, on a thread that gives way to requests; what they may wait for is done on this one.
        let walked = std::thread::scope(|scope| {
            let walk = || {
                step_back();
                survey::survey(&self.reader, &self.labels, question)
            };
            let walking = std::thread::Builder::new().name("survey".to_owned()).spawn_scoped(scope, walk)?;
            walking.join().unwrap_or_else(|_| Err(io::Error::other("the survey panicked")))
        });
        let found = match walked {
            Ok(found) => found,
            Err(error) => return tracing::error!(%error, "recorded transfers cannot be read"),
        };
        // Of what comes between the walk and this moment the window misses a little.
        if let Some(window) = found.window {
            self.watch.measure(window);
        }
        if let Some(reference) = found.reference {
            kept.card.reference = Some(reference);
            if let Err(fault) = self.store.write_card(&kept.card) {
                tracing::error!(%fault, "what drift is measured against cannot be kept");
            }
            self.stale.store(true, Ordering::Relaxed);
        }
        self.metrics.calibration(found.survey.calibration.as_ref());
        *self.survey.lock() = found.survey;
    }
}
