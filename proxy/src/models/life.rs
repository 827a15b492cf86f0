//! The parts of a model's life together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use learner::artifact;
use learner::lifecycle::{Drift, Model};
use learner::transfer;
use parking_lot::Mutex;
use policies::ports::Clock;

use super::FRAUD;
use super::labels::{Change, Label, Labels, Source};
use super::log::{Reader, Writer};
use super::metrics::ModelMetrics;
use super::record::{self, Judged};
use super::recorder::Recorder;
use super::settings::Settings;
use super::store::{Card, Fault, Kept, NotChanged, Origin, Proposal, State, Store};
use super::survey::Survey;
use super::training::Retraining;
use super::watch::{ShadowFigures, Watch};
use crate::keys;
use crate::stages::identity::signing::SigningKey;

/// Is told of an accepted transfer that it turned out to be fraud, or did not after all, so that profiles learn of it.
pub type OnLabel = Box<dyn Fn(&Judged, bool) + Send + Sync>;

/// Refusals of the store that are shown, the latest.
const REFUSED_MAX: usize = 20;
/// Labels that profiles learn of between two looks into the log.
const TAUGHT_AT_ONCE_MAX: usize = 10_000;

/// Why a change of models is not made. The sentence is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It changed since the caller looked.
    #[error("it changed since you looked")]
    Changed,
    /// Nobody approves what they proposed themselves.
    #[error("somebody else has to approve what you proposed")]
    OwnProposal,
    /// It makes no sense now.
    #[error("{0}")]
    Senseless(String),
    /// The store cannot be written.
    #[error("the store of models cannot be written: {0}")]
    Store(String),
}

/// What became of uploaded labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Labels that stand now, whether or not they stood before.
    pub accepted: u64,
    /// Of these, those that stood before.
    pub unchanged: u64,
    /// Of these, those that replaced the opposite.
    pub replaced: u64,
    /// Decisions of which no vector is kept.
    pub unknown: Vec<u128>,
    /// Labels for which there was no room.
    pub full: u64,
}

/// Everything there is to be said of the model's life.
pub struct Status {
    /// Which artifact is what.
    pub state: State,
    /// The champion's card.
    pub champion: Option<Card>,
    /// The challenger's.
    pub challenger: Option<Card>,
    /// Where training stands.
    pub retraining: Retraining,
    /// When the next training is due, Unix milliseconds.
    pub next_ms: Option<i64>,
    /// Why no training can ever come to anything, in a sentence.
    pub hindrance: Option<String>,
    /// The challenger's opinions.
    pub shadow: ShadowFigures,
    /// Drift, where there is enough to measure it on.
    pub drift: Option<Drift>,
    /// What drift is measured against, in words.
    pub drift_against: Option<String>,
    /// What the last survey found.
    pub survey: Survey,
    /// Bytes of vectors on the disk.
    pub bytes: u64,
    /// Vectors lost since the start.
    pub lost: u64,
    /// Labels, and those that say fraud.
    pub labels: (usize, usize),
}

/// The life of the fraud model.
pub struct Lifecycle {
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) recorder: Recorder,
    pub(super) labels: Mutex<Labels>,
    pub(super) watch: Arc<Watch>,
    pub(super) metrics: ModelMetrics,
    pub(super) retraining: Mutex<Retraining>,
    pub(super) survey: Mutex<Survey>,
    /// A survey is worth making before its time.
    pub(super) stale: AtomicBool,
    /// Where everything lies: the log of vectors, the labels, a training's work.
    pub(super) places: Places,
    on_label: Option<OnLabel>,
    /// Held while profiles are told, so that they hear of one transfer in order.
    teaching: Mutex<()>,
    refused: Mutex<Vec<String>>,
}

/// Folders and files.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub vectors: PathBuf,
    pub labels: PathBuf,
    pub work: PathBuf,
}

impl Lifecycle {
    /// Opens everything under `data`. What of it is broken is said and left out.
    ///
    /// # Errors
    /// A folder or file cannot be made or read at all.
    pub fn open(
        settings: Settings,
        data: &Path,
        clock: Arc<dyn Clock>,
        metrics: ModelMetrics,
        on_label: Option<OnLabel>,
    ) -> anyhow::Result<Arc<Self>> {
        let places = Places {
            vectors: data.join("vectors"),
            labels: data.join("labels.jsonl"),
            work: data.join("models").join("work"),
        };
        let (store, refused) = Store::open(&data.join("models").join(FRAUD), key(data))?;
        let writer = Writer::open(&places.vectors, settings.bounds())
            .with_context(|| format!("cannot open {}", places.vectors.display()))?;
        metrics.torn_bytes.inc_by(writer.torn_bytes());
        let oldest_ms = clock.now_ms().saturating_sub(settings.bounds().age_max_ms);
        let taught_after_ms = i64::from(transfer::schema().inputs().label_delay_s) * 1_000;
        let labels = Labels::open(&places.labels, settings.labels_max, oldest_ms, taught_after_ms)
            .with_context(|| format!("cannot open {}", places.labels.display()))?;
        if labels.damaged() > 0 {
            tracing::error!(lines = labels.damaged(), "labels of an earlier run cannot be read");
        }
        if let Some(error) = labels.stays() {
            metrics.labels_not_rewritten.inc();
            tracing::error!(%error, "the file of labels cannot be written anew, and goes on as it is");
        }
        let watch = Arc::new(Watch::new(metrics.clone()));
        let recorder = Recorder::start(
            writer,
            settings.queue_max,
            Arc::clone(&watch),
            Arc::clone(&clock),
            metrics.clone(),
        )?;
        let (training, broken) = match store.training() {
            Ok(training) => (training.left_behind(clock.now_ms()), None),
            Err(fault) => (Retraining::default(), Some(fault)),
        };
        let life = Self {
            settings,
            clock,
            store,
            reader: Reader::new(&places.vectors),
            recorder,
            labels: Mutex::new(labels),
            watch,
            metrics,
            retraining: Mutex::new(training),
            survey: Mutex::default(),
            stale: AtomicBool::new(true),
            places,
            on_label,
            teaching: Mutex::default(),
            refused: Mutex::default(),
        };
        refused.iter().chain(&broken).for_each(|fault| life.refuse(fault));
        Ok(Arc::new(life))
    }

    /// The artifact to serve, where the configuration names `configured`, which loads, or one that does not. The champion is
    /// served if it is whole, else the latest one before it that is, else the configured one. A configuration that names
    /// another artifact than before puts that one into force.
    pub fn in_force(&self, configured: Option<&[u8]>) -> Option<Vec<u8>> {
        if let Some(bytes) = configured {
            let digest = artifact::digest(bytes);
            if self.store.state().configured.as_ref() != Some(&digest) {
                self.adopt(bytes, &digest);
            }
        }
        let state = self.store.state();
        let candidates = state.champion.iter().chain(state.previous.iter().rev());
        let found = candidates.into_iter().find_map(|digest| self.checked(digest));
        let serves = found.as_ref().map(|kept| kept.card.digest.clone());
        self.metrics.fallback.set(i64::from(serves.is_none() || serves != state.champion));
        let Some(kept) = found else {
            let model = configured.and_then(|bytes| Model::from_bytes(bytes).ok());
            model.iter().for_each(|model| self.watch.crown(model));
            return configured.map(<[u8]>::to_vec);
        };
        self.watch.crown(&kept.model);
        self.watch.challenge(state.challenger.and_then(|digest| Some(self.checked(&digest)?.model)));
        self.stale.store(true, Ordering::Relaxed);
        Some(kept.bytes)
    }

    /// Takes the configuration's artifact into the store, and into force.
    fn adopt(&self, bytes: &[u8], digest: &str) {
        let now_ms = self.clock.now_ms();
        let card = Card {
            digest: digest.to_owned(),
            origin: Origin::Configured,
            made_ms: now_ms,
            challenger: None,
            training: Model::from_bytes(bytes).ok().and_then(|model| model.manifest().baseline.clone()),
            reference: None,
        };
        // One that was trained here keeps its card.
        let kept = if self.store.load(digest).is_ok() { Ok(()) } else { self.store.keep(bytes, &card) };
        let changed = kept.map_err(NotChanged::Store).and_then(|()| {
            self.store.change::<()>(|state| {
                state.enthrone(digest.to_owned());
                // Whoever challenges was compared with somebody else.
                state.challenger = None;
                state.configured = Some(digest.to_owned());
                state.retrained_ms.get_or_insert(now_ms);
                Ok(())
            })
        });
        if let Err(NotChanged::Store(fault)) = changed {
            tracing::error!(%fault, "the configured model is served, and cannot be kept in the store");
        }
    }

    /// An artifact of the store, or `None` with a word to everybody.
    pub(super) fn checked(&self, digest: &str) -> Option<Kept> {
        self.store.load(digest).inspect_err(|fault| self.refuse(fault)).ok()
    }

    pub(super) fn refuse(&self, fault: &Fault) {
        let said = fault.to_string();
        tracing::error!(fault = said, "a file of the model store is refused; the gateway goes on without it");
        self.metrics.refused.inc();
        let mut refused = self.refused.lock();
        refused.retain(|one| *one != said);
        refused.push(said);
        let excess = refused.len().saturating_sub(REFUSED_MAX);
        refused.drain(..excess);
    }

    /// What of the store was refused since the start.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().clone()
    }

    /// Whether another model serves than the one that was promoted.
    pub fn falls_back(&self) -> bool {
        self.metrics.fallback.get() != 0
    }

    /// Hands a judged transfer to the recorder. Never waits.
    pub fn record(&self, judged: Judged) {
        self.recorder.record(judged);
    }

    /// Takes labels in that somebody uploaded; those of decisions without a vector are answered as unknown.
    ///
    /// # Errors
    /// The log of vectors cannot be read, or the labels not be written.
    pub fn label(&self, labels: Vec<(u128, Label)>) -> std::io::Result<Receipt> {
        self.recorder.flush();
        let decisions: Vec<u128> = labels.iter().map(|(decision, _)| *decision).collect();
        let vectors = self.reader.find(&decisions)?;
        let (known, unknown): (Vec<_>, Vec<_>) = labels
            .into_iter()
            // The gateway knows its own cases, even one whose vector is being written just now.
            .partition(|(decision, label)| label.source == Source::Case || vectors.contains_key(decision));
        let taken = self.labels.lock().put(known).inspect_err(|_| self.count("failed", 1))?;
        let mut receipt = Receipt {
            unknown: unknown.iter().map(|(decision, _)| *decision).collect(),
            ..Receipt::default()
        };
        for change in taken {
            match change {
                Change::Full => receipt.full += 1,
                Change::Unchanged => receipt.unchanged += 1,
                Change::Replaced => receipt.replaced += 1,
                Change::New => {}
            }
            receipt.accepted += u64::from(change != Change::Full);
        }
        self.teach();
        self.count("accepted", receipt.accepted);
        self.count("unchanged", receipt.unchanged);
        self.count("replaced", receipt.replaced);
        self.count("unknown", receipt.unknown.len() as u64);
        self.count("failed", receipt.full);
        Ok(receipt)
    }

    /// Lets profiles learn of labels that are due.
    pub(super) fn teach(&self) {
        let Some(tell) = &self.on_label else { return };
        let _in_order = self.teaching.lock();
        loop {
            let due = self.labels.lock().due(self.clock.now_ms(), TAUGHT_AT_ONCE_MAX);
            if due.is_empty() {
                return;
            }
            let told = self.reader.find(&due).and_then(|mut vectors| {
                // What was refused shapes no behaviour.
                vectors.retain(|_, judged| judged.accepted);
                let accepted: Vec<u128> = vectors.keys().copied().collect();
                Ok((self.labels.lock().teach(&accepted)?, vectors))
            });
            match told {
                Ok((taught, vectors)) => {
                    for (decision, fraud) in taught {
                        vectors.get(&decision).into_iter().for_each(|judged| tell(judged, fraud));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "behaviour profiles do not learn of labels for now");
                    self.labels.lock().postpone(&due);
                    return;
                }
            }
        }
    }

    /// A reviewer's verdict on the case of a decision becomes its label; a failure is said and counted, and does not undo
    /// the verdict.
    pub fn judged(&self, decision: &str, fraud: bool, by: &str, at_ms: i64) {
        let Some(decision) = record::decision_number(decision) else { return };
        let label = Label { fraud, known_ms: at_ms, source: Source::Case, by: by.to_owned(), taught: false };
        if let Err(error) = self.label(vec![(decision, label)]) {
            tracing::error!(%error, "a verdict could not be kept as a label");
        }
    }

    /// Counts labels that were not understood.
    pub fn malformed(&self, count: u64) {
        self.count("malformed", count);
    }

    fn count(&self, result: &str, count: u64) {
        self.metrics.labels.with_label_values(&[result]).inc_by(count);
    }

    /// Which artifact is what.
    pub fn state(&self) -> State {
        self.store.state()
    }

    /// Proposes to promote the challenger.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn propose(&self, revision: u64, by: &str) -> Result<State, Refused> {
        let at_ms = self.clock.now_ms();
        self.change(|state| {
            at(state, revision)?;
            let digest = state.challenger.clone().ok_or_else(no_challenger)?;
            if state.proposal.is_some() {
                return Err(Refused::Senseless("its promotion is proposed already".to_owned()));
            }
            state.proposal = Some(Proposal { digest, by: by.to_owned(), at_ms });
            Ok(())
        })
    }

    /// Approves the proposed promotion: the challenger is champion from now on, and its artifact is to be served.
    ///
    /// # Errors
    /// [`Refused`]; then everything stays as it was.
    pub fn approve(&self, revision: u64, by: &str) -> Result<Vec<u8>, Refused> {
        let state = self.store.state();
        at(&state, revision)?;
        let none = || Refused::Senseless("no promotion is proposed".to_owned());
        let proposal = state.proposal.ok_or_else(none)?;
        if proposal.by == by {
            return Err(Refused::OwnProposal);
        }
        let kept = self.checked(&proposal.digest).ok_or_else(broken)?;
        self.change(|state| {
            at(state, revision)?;
            state.enthrone(proposal.digest.clone());
            Ok(())
        })?;
        self.installed(&kept, None);
        Ok(kept.bytes)
    }

    /// Puts the champion before this one back into force; its artifact is to be served. What was in force scores in shadow
    /// from now on. Earlier champions that are broken are passed over. With `from` only if that artifact serves now: told
    /// again, the call goes no further back.
    ///
    /// # Errors
    /// [`Refused`]; then everything stays as it was.
    pub fn roll_back(&self, revision: Option<u64>, from: Option<&str>) -> Result<Vec<u8>, Refused> {
        let state = self.store.state();
        let revision = revision.unwrap_or(state.revision);
        at(&state, revision)?;
        if from.is_some_and(|digest| !self.watch.crowned(digest)) {
            return Err(Refused::Changed);
        }
        let whole = state.previous.iter().rev().find_map(|digest| self.checked(digest));
        let none = || Refused::Senseless("there is no earlier champion to go back to".to_owned());
        let kept = whole.ok_or_else(none)?;
        self.change(|state| {
            at(state, revision)?;
            state.roll_back(kept.card.digest.clone());
            Ok(())
        })?;
        self.installed(&kept, state.champion.and_then(|digest| Some(self.checked(&digest)?.model)));
        Ok(kept.bytes)
    }

    fn installed(&self, champion: &Kept, challenger: Option<Model>) {
        self.watch.crown(&champion.model);
        self.watch.challenge(challenger);
        self.metrics.fallback.set(0);
        *self.survey.lock() = Survey::default();
        self.stale.store(true, Ordering::Relaxed);
    }

    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut State) -> Result<(), Refused>,
    ) -> Result<State, Refused> {
        self.store.change(change).map_err(|error| match error {
            NotChanged::Refused(refused) => refused,
            NotChanged::Store(fault) => Refused::Store(fault.to_string()),
        })
    }

    /// Everything there is to be said.
    pub fn status(&self) -> Status {
        let state = self.store.state();
        let card = |digest: &Option<String>| self.store.card_of(digest.as_deref()?).ok();
        let champion = card(&state.champion);
        let against = champion.as_ref().and_then(|card| match (card.baseline(), card.is_trained()) {
            (Some(bins), true) => Some(format!("its {} training rows", bins.rows)),
            (Some(bins), false) => {
                Some(format!("{} of the first transfers that it judged, over a week or more", bins.rows))
            }
            (None, _) => None,
        });
        let lost = ["dropped", "failed"].map(|what| self.metrics.vectors.with_label_values(&[what]).get());
        let now_ms = self.clock.now_ms();
        Status {
            champion,
            challenger: card(&state.challenger),
            retraining: self.retraining(),
            next_ms: self.next_training_ms(&state, now_ms),
            hindrance: self.hindrance(),
            shadow: self.watch.shadow(),
            drift: self.watch.drift(now_ms),
            drift_against: against,
            survey: self.survey.lock().clone(),
            bytes: self.reader.extent().map_or(0, |extent| extent.bytes),
            lost: lost.iter().sum(),
            labels: self.labels.lock().counts(),
            state,
        }
    }

    /// Writes down what is queued.
    pub fn close(&self) {
        self.recorder.close();
    }
}

fn at(state: &State, revision: u64) -> Result<(), Refused> {
    if state.revision == revision { Ok(()) } else { Err(Refused::Changed) }
}

fn no_challenger() -> Refused {
    Refused::Senseless("there is no challenger; have one trained first".to_owned())
}

fn broken() -> Refused {
    Refused::Senseless("the challenger's file is broken; have another one trained".to_owned())
}

/// The key that the store is signed with, or why there is none: then the store is closed, and the gateway serves what the
/// configuration names.
fn key(data: &Path) -> Result<SigningKey, String> {
    keys::signing_key(&data.join("keys").join("models.pem")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
