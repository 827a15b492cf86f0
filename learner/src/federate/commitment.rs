//! What goes on record of a training: enough to show later who took part in which sum, what it gave, and who took it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::coordinator::{Decision, Outcome};
use super::state::State;
use super::terms::{Purpose, Schema, Terms};
use super::wire::{Bytes, Digest, Real};

/// One thing that happened, in the order of the decision log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// A training began.
    Opened {
        /// What was agreed.
        terms: Box<Terms>,
        /// The agreed table.
        schema: Box<Schema>,
        /// Who takes part.
        parties: Vec<String>,
    },
    /// A sum was opened; on record before the parties are told.
    Summed(Box<Commitment>),
    /// What the parties said to it.
    Decided(Box<Decision>),
    /// A sum came to nothing, and nobody knows any of it.
    Failed {
        /// The training.
        session: Bytes<16>,
        /// The sum.
        sum: u32,
        /// Why.
        reason: String,
    },
    /// A party is no longer in the training.
    Gone {
        /// The training.
        session: Bytes<16>,
        /// The party.
        party: String,
        /// Why.
        reason: String,
    },
    /// The training is over.
    Closed(Box<Outcome>),
}

/// A sum as the coordinator puts it on record. Each names the one before, so that who knows the last knows that no other can
/// be put in its place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// The training.
    pub session: Bytes<16>,
    /// Digest of its terms.
    pub terms: Digest,
    /// Number of the sum.
    pub sum: u32,
    /// What was summed.
    pub purpose: Purpose,
    /// Digest of the state that it started from.
    pub state: Digest,
    /// Who is in it, by name, with SHA-256 of the masked vector.
    pub participants: Vec<Participant>,
    /// Who began and is not in it.
    pub dropped: Vec<String>,
    /// SHA-256 of the sum.
    pub total: Digest,
    /// Euclidean norm of the update; 0 where there is none.
    pub norm: Real,
    /// Digest of the state that the sum gives.
    pub candidate: Option<Digest>,
    /// Why it gives none.
    pub void: Option<String>,
    /// Digest of the commitment before.
    pub previous: Option<Digest>,
}

/// A party in a sum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// Its name.
    pub name: String,
    /// SHA-256 of its masked vector.
    pub masked: Digest,
}

impl Commitment {
    /// What names it.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

/// Follows the records of trainings, as they stand in a log, and finds what does not fit together.
#[derive(Default, Debug)]
pub struct Trainings {
    under_way: BTreeMap<Bytes<16>, Followed>,
    ended: BTreeSet<Bytes<16>>,
}

/// A training as its records have it so far.
#[derive(Debug)]
struct Followed {
    terms: Digest,
    sum: u32,
    state: Digest,
    /// The newest commitment, until it is decided on, and what it would make of the state.
    open: Option<(Commitment, Digest)>,
    previous: Option<Digest>,
}

/// A record that does not fit those before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("training {session}: {problem}")]
pub struct Misfit {
    /// The training.
    pub session: Bytes<16>,
    /// What does not fit.
    pub problem: &'static str,
}

impl Trainings {
    /// Takes the next record of a log. Records that the log does not have from the beginning of a training are passed over.
    ///
    /// # Errors
    /// [`Misfit`]: a sum that does not follow the one before, a decision that its votes do not carry, an end that is not
    /// what the rounds gave, or anything after the end. Signatures are not checked, as certificates are not on record.
    pub fn follow(&mut self, record: &Record) -> Result<(), Misfit> {
        match record {
            Record::Opened { terms, .. } => {
                let (session, terms, state) =
                    (terms.session, Digest::of_json(terms), State::default().digest());
                let new = Followed { terms, sum: 0, state, open: None, previous: None };
                if self.ended.contains(&session) || self.under_way.insert(session, new).is_some() {
                    return Err(Misfit { session, problem: "it begins twice" });
                }
                Ok(())
            }
            Record::Summed(commitment) => self.with(commitment.session, |t| t.summed(commitment)),
            Record::Decided(decision) => self.with(decision.session, |t| t.decided(decision)),
            Record::Failed { session, sum, .. } => self.with(*session, |t| t.next(*sum)),
            Record::Gone { session, .. } => self.with(*session, |_| Ok(())),
            Record::Closed(outcome) => {
                let is_right =
                    |t: &mut Followed| t.state == outcome.state && t.previous == outcome.commitment;
                let ended = self.with(outcome.session, |t| {
                    if is_right(t) { Ok(()) } else { Err("it ends with another state than its rounds gave") }
                });
                if self.under_way.remove(&outcome.session).is_some() {
                    self.ended.insert(outcome.session);
                }
                ended
            }
        }
    }

    fn with(
        &mut self,
        session: Bytes<16>,
        follow: impl FnOnce(&mut Followed) -> Result<(), &'static str>,
    ) -> Result<(), Misfit> {
        if self.ended.contains(&session) {
            return Err(Misfit { session, problem: "it goes on after its end" });
        }
        let Some(training) = self.under_way.get_mut(&session) else { return Ok(()) };
        follow(training).map_err(|problem| Misfit { session, problem })
    }
}

impl Followed {
    fn next(&mut self, sum: u32) -> Result<(), &'static str> {
        if sum <= self.sum {
            return Err("sums are not in order");
        }
        self.sum = sum;
        Ok(())
    }

    fn summed(&mut self, commitment: &Commitment) -> Result<(), &'static str> {
        self.next(commitment.sum)?;
        if commitment.terms != self.terms || commitment.previous != self.previous {
            return Err("a sum does not follow the one before");
        }
        if commitment.state != self.state {
            return Err("a sum starts from another state");
        }
        let digest = commitment.digest();
        self.previous = Some(digest);
        self.open = Some((commitment.clone(), digest));
        Ok(())
    }

    fn decided(&mut self, decision: &Decision) -> Result<(), &'static str> {
        let open = self.open.take().filter(|(_, digest)| *digest == decision.commitment);
        let (commitment, _) = open.ok_or("a decision on no sum")?;
        let is_in =
            |name: &String| commitment.participants.iter().any(|participant| participant.name == *name);
        let votes = &decision.votes;
        if !votes.is_sorted_by(|a, b| a.name < b.name) || !votes.iter().all(|vote| is_in(&vote.name)) {
            return Err("a vote that is not one of each participant");
        }
        let carried = commitment.candidate.filter(|_| decision.carries(commitment.participants.len()));
        if carried.is_some() != decision.accepted {
            return Err("a decision that the votes do not carry");
        }
        self.state = carried.unwrap_or(self.state);
        Ok(())
    }
}
