//! The store of model artifacts: what was in force, is, and would like to be.
//!
//! Beside each artifact lies its card, and beside all of them the state; both are signed with the installation's own key, and
//! a card names its artifact's SHA-256. What is altered, cut or unsigned is refused by name, and never in the way of the
//! others.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use learner::artifact;
use learner::lifecycle::{Baseline, Challenger, Model};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::training::Retraining;
use crate::stages::identity::signing::SigningKey;

/// Earlier champions that are kept for rollback, and as many that were rolled back from.
const PREVIOUS_MAX: usize = 8;
/// Cards hold bins of every feature, some hundred bytes each.
const SEALED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How a model came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The configuration named it.
    Configured,
    /// The gateway trained it.
    Trained,
}

/// What is known of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// SHA-256 of the artifact, hex.
    pub digest: String,
    /// How it came here.
    pub origin: Origin,
    /// When, Unix milliseconds.
    pub made_ms: i64,
    /// What training said of it.
    pub challenger: Option<Challenger>,
    /// Bins of its training part, where its artifact came with them.
    #[serde(default)]
    pub training: Option<Baseline>,
    /// For want of these: bins of the first transfers that it judged.
    #[serde(default)]
    pub reference: Option<Baseline>,
}

impl Card {
    /// Whether drift is measured against what the model was trained on.
    pub fn is_trained(&self) -> bool {
        self.challenger.is_some() || self.training.is_some()
    }

    /// What drift is measured against.
    pub fn baseline(&self) -> Option<&Baseline> {
        let trained = self.challenger.as_ref().map(|made| &made.baseline).or(self.training.as_ref());
        trained.or(self.reference.as_ref())
    }
}

/// A promotion that waits for somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The challenger.
    pub digest: String,
    /// Subject of the operator.
    pub by: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// Which artifact is what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Goes up with every change.
    pub revision: u64,
    /// In force.
    pub champion: Option<String>,
    /// In force before, the latest last.
    pub previous: Vec<String>,
    /// Rolled back from, the latest last; their files are kept.
    pub displaced: Vec<String>,
    /// Scores in shadow.
    pub challenger: Option<String>,
    /// A promotion of it that waits for approval.
    pub proposal: Option<Proposal>,
    /// What the configuration named last.
    pub configured: Option<String>,
    /// When a challenger was last trained or tried, Unix milliseconds.
    pub retrained_ms: Option<i64>,
}

impl State {
    /// Puts `digest` into force; what was in force can be rolled back to.
    pub fn enthrone(&mut self, digest: String) {
        if let Some(before) = self.champion.replace(digest.clone()).filter(|before| *before != digest) {
            self.previous.retain(|one| *one != before && *one != digest);
            self.previous.push(before);
            keep_latest(&mut self.previous);
        }
        self.displaced.retain(|one| *one != digest);
        if self.challenger.as_ref() == Some(&digest) {
            self.challenger = None;
        }
        self.proposal = None;
    }

    /// Puts `digest`, which was in force before, back into force. What was in force since is displaced: the champion
    /// scores in shadow, and nothing of it is forgotten.
    pub fn roll_back(&mut self, digest: String) {
        let place = self.previous.iter().position(|one| *one == digest).unwrap_or(self.previous.len());
        let since = self.previous.split_off(place).into_iter().skip(1);
        let fallen = self.champion.replace(digest.clone());
        self.displaced.extend(since.chain(fallen.clone()));
        let mut seen = HashSet::from([digest]);
        self.displaced.reverse();
        self.displaced.retain(|one| seen.insert(one.clone()));
        self.displaced.reverse();
        keep_latest(&mut self.displaced);
        self.challenger = fallen;
        self.proposal = None;
    }

    fn names(&self, digest: &str) -> bool {
        let named = [&self.champion, &self.challenger, &self.configured];
        named.iter().any(|one| one.as_deref() == Some(digest))
            || self.previous.iter().chain(&self.displaced).any(|one| one == digest)
    }
}

fn keep_latest(digests: &mut Vec<String>) {
    digests.drain(..digests.len().saturating_sub(PREVIOUS_MAX));
}

/// Why something in the store is not used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Its signature is not this installation's, or is over other bytes.
    #[error("{0}: not signed by this installation, or altered since")]
    Unsigned(PathBuf),
    /// Signed, and yet not what it should be.
    #[error("{0}: {1}")]
    Malformed(PathBuf, String),
    /// The artifact is not the one that its card names.
    #[error("{0}: altered since it was signed")]
    Altered(PathBuf),
    /// The artifact does not load.
    #[error("{0}: {1}")]
    Artifact(PathBuf, artifact::ArtifactError),
    /// The store was not opened, and stays untouched.
    #[error("{0}: left as it is until the next start: {1}")]
    Closed(PathBuf, String),
}

/// Why the state did not change.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged<E> {
    /// The change itself was refused.
    #[error("refused")]
    Refused(E),
    /// It cannot be written.
    #[error(transparent)]
    Store(#[from] Fault),
}

/// An artifact that was checked.
#[derive(Debug)]
pub struct Kept {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The model.
    pub model: Model,
    /// What is known of it.
    pub card: Card,
}

/// The artifacts of one model.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// The installation's key, or why nothing is read or written: what is there could not be told from what is altered, and
    /// must not be written over.
    key: Result<SigningKey, String>,
    state: Mutex<State>,
    /// Whether artifacts that the state does not name are forgotten: not after a state that was refused, as somebody may
    /// want to see what it named.
    forgets: bool,
}

impl Store {
    /// Opens the store with the installation's key. A state that is altered is set aside, answered beside the store, and
    /// nothing is known then. Without the key, or where the state cannot be read, the store is closed: everything in it
    /// stays as it is, and nothing is known.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path, key: Result<SigningKey, String>) -> Result<(Self, Option<Fault>), Fault> {
        fs::create_dir_all(folder).map_err(|error| Fault::Io(folder.to_owned(), error))?;
        let mut store = Self { folder: folder.to_owned(), key, state: Mutex::default(), forgets: true };
        let path = folder.join(STATE);
        let refused = match store.read_sealed::<State>(&path) {
            Ok(state) => {
                *store.state.lock() = state;
                return Ok((store, None));
            }
            Err(Fault::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => return Ok((store, None)),
            Err(refused) => refused,
        };
        store.forgets = false;
        let shut = match &refused {
            Fault::Unsigned(_) | Fault::Malformed(..) => {
                set_aside(&path).err().map(|error| format!("{refused}; it cannot be set aside: {error}"))
            }
            _ => Some(refused.to_string()),
        };
        if let (Some(why), true) = (shut, store.key.is_ok()) {
            store.key = Err(why);
        }
        Ok((store, Some(refused)))
    }

    /// Which artifact is what.
    pub fn state(&self) -> State {
        self.state.lock().clone()
    }

    /// Changes the state, durably or not at all, and forgets artifacts that it names no more.
    ///
    /// # Errors
    /// What `change` refused, or the state cannot be written.
    pub fn change<E>(
        &self,
        change: impl FnOnce(&mut State) -> Result<(), E>,
    ) -> Result<State, NotChanged<E>> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        change(&mut next).map_err(NotChanged::Refused)?;
        next.revision += 1;
        self.write_sealed(&self.folder.join(STATE), &next)?;
        *state = next.clone();
        if self.forgets {
            self.prune(&next);
        }
        Ok(next)
    }

    /// Where training stood when it was noted last.
    ///
    /// # Errors
    /// The note is broken.
    pub fn training(&self) -> Result<Retraining, Fault> {
        match self.read_sealed(&self.folder.join(TRAINING)) {
            Err(Fault::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => Ok(Retraining::default()),
            read => read,
        }
    }

    /// Notes where training stands. That is no change of the state: whoever looked at that has seen enough.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_training(&self, training: &Retraining) -> Result<(), Fault> {
        self.write_sealed(&self.folder.join(TRAINING), training)
    }

    /// Keeps an artifact with its card.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep(&self, bytes: &[u8], card: &Card) -> Result<(), Fault> {
        let path = self.artifact(&card.digest);
        self.key(&path)?;
        write_whole(&path, bytes).map_err(|error| Fault::Io(path, error))?;
        self.write_card(card)
    }

    /// Writes an artifact's card anew.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_card(&self, card: &Card) -> Result<(), Fault> {
        self.write_sealed(&self.card(&card.digest), card)
    }

    /// An artifact, after every check.
    ///
    /// # Errors
    /// What is wrong with it, naming its file.
    pub fn load(&self, digest: &str) -> Result<Kept, Fault> {
        let (path, card_path) = (self.artifact(digest), self.card(digest));
        let card: Card = self.read_sealed(&card_path)?;
        if card.digest != digest {
            return Err(Fault::Malformed(card_path, "the card of another artifact".to_owned()));
        }
        let bytes = artifact::read(&path).map_err(|error| Fault::Artifact(path.clone(), error))?;
        if artifact::digest(&bytes) != digest {
            return Err(Fault::Altered(path));
        }
        let model = Model::from_bytes(&bytes).map_err(|error| Fault::Artifact(path, error))?;
        let unsound =
            card.baseline().is_some_and(|bins| !bins.is_sound() || bins.names.len() != model.names().len());
        if unsound {
            return Err(Fault::Malformed(card_path, "its bins do not fit the model".to_owned()));
        }
        Ok(Kept { bytes, model, card })
    }

    /// What is known of an artifact, whether or not it is whole itself.
    ///
    /// # Errors
    /// Its card is broken.
    pub fn card_of(&self, digest: &str) -> Result<Card, Fault> {
        self.read_sealed(&self.card(digest))
    }

    /// The file of an artifact.
    pub fn artifact(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}.artifact", file_name(digest)))
    }

    fn card(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}.card", file_name(digest)))
    }

    fn prune(&self, state: &State) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let ours = path.extension().is_some_and(|e| e == "artifact" || e == "card");
            let named = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| state.names(stem));
            if ours && !named && fs::remove_file(&path).is_err() {
                tracing::warn!(file = %path.display(), "an artifact that is not needed any more stays");
            }
        }
    }

    fn key(&self, path: &Path) -> Result<&SigningKey, Fault> {
        self.key.as_ref().map_err(|why| Fault::Closed(path.to_owned(), why.clone()))
    }

    /// A line with the signature in Base64, then the body.
    fn write_sealed<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), Fault> {
        let body = serde_json::to_vec(value)
            .map_err(|error| Fault::Malformed(path.to_owned(), error.to_string()))?;
        let unsigned = || Fault::Io(path.to_owned(), io::Error::other("the system has no randomness"));
        let signature = self.key(path)?.sign_bytes(&sealed(path, &body)).ok_or_else(unsigned)?;
        let text = [STANDARD.encode(signature).as_bytes(), b"\n", &body].concat();
        write_whole(path, &text).map_err(|error| Fault::Io(path.to_owned(), error))
    }

    fn read_sealed<T: DeserializeOwned>(&self, path: &Path) -> Result<T, Fault> {
        let key = self.key(path)?;
        let failed = |error| Fault::Io(path.to_owned(), error);
        if fs::metadata(path).map_err(failed)?.len() > SEALED_BYTES_MAX {
            return Err(Fault::Malformed(path.to_owned(), format!("over {SEALED_BYTES_MAX} bytes")));
        }
        let bytes = fs::read(path).map_err(failed)?;
        let line = bytes.iter().take(256).position(|&byte| byte == b'\n');
        let parts = line.and_then(|end| bytes.split_at_checked(end));
        let signed = parts.and_then(|(signature, body)| {
            let (signature, body) = (STANDARD.decode(signature).ok()?, body.strip_prefix(b"\n")?);
            key.signed(&sealed(path, body), &signature).then_some(body)
        });
        let body = signed.ok_or_else(|| Fault::Unsigned(path.to_owned()))?;
        serde_json::from_slice(body).map_err(|error| Fault::Malformed(path.to_owned(), error.to_string()))
    }
}

const STATE: &str = "state.signed";
const TRAINING: &str = "training.signed";

/// Renames what was refused, beside what was refused before.
fn set_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension("refused");
    let numbered = (2_u32..).map(|n| path.with_extension(format!("refused.{n}")));
    let free = std::iter::once(aside).chain(numbered).find(|aside| !aside.exists());
    fs::rename(path, free.unwrap_or_else(|| path.to_owned()))
}

/// What is signed: a body is good under its own file name alone.
fn sealed(path: &Path, body: &[u8]) -> Vec<u8> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    [b"gatehouse model store 1\n", name, b"\n", body].concat()
}

/// Digests are hexadecimal; whatever else is asked for has no file.
fn file_name(digest: &str) -> &str {
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { digest } else { "none" }
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests;
