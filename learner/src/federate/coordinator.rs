//! The coordinator: takes the parties from sum to sum, and keeps nothing from them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::commitment::{Commitment, Participant, Record};
use super::party::context;
use super::state::State;
use super::sum::{Answer, Next, SumCoordinator, SumFailure, SumResult, is_short, vote_message};
use super::terms::{Purpose, Schema, Terms};
use super::wire::{Blob, Bytes, Digest, Real, ToCoordinator, ToParty};
use super::{Fault, Notary, plain};

/// A party that missed a deadline in so many sums in a row is no longer asked.
const MISSES_MAX: u32 = 2;

/// A party's vote on a sum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Whose.
    pub name: String,
    /// Whether it takes the new state.
    pub accept: bool,
    /// By its certificate's key, over the commitment and the vote.
    pub signature: Blob,
}

/// What became of a sum that was opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The training.
    pub session: Bytes<16>,
    /// The sum.
    pub sum: u32,
    /// Digest of its commitment.
    pub commitment: Digest,
    /// Votes that came, by name; none on what is void.
    pub votes: Vec<Vote>,
    /// Whether the state is the new one.
    pub accepted: bool,
    /// The party that is left out from now on, as sums went well without it and not with it.
    pub suspended: Option<String>,
}

impl Decision {
    /// Whether the votes carry the new state: more than half of the participants voted, and more than half of them for it.
    pub fn carries(&self, participants: usize) -> bool {
        let votes = self.votes.len();
        let accepts = self.votes.iter().filter(|vote| vote.accept).count();
        2 * votes > participants && 2 * accepts > votes
    }
}

/// How a training ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// All rounds were accepted.
    Complete,
    /// It could not go on; the state is the last one that was accepted.
    Stopped(String),
}

/// What a training came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The training.
    pub session: Bytes<16>,
    /// How it ended.
    pub end: End,
    /// Rounds accepted.
    pub rounds: u32,
    /// Sums that were opened.
    pub opened: u32,
    /// Digest of the last state that was accepted.
    pub state: Digest,
    /// Parties that stayed to the end.
    pub parties: Vec<String>,
    /// Parties that went or were lost.
    pub gone: Vec<String>,
    /// Parties that were left out because sums went wrong with them.
    pub suspended: Vec<String>,
    /// Privacy loss of all sums that parties gave vectors for, opened or not; without noise there is no bound.
    pub epsilon: Option<Real>,
    /// Digest of the last commitment.
    pub commitment: Option<Digest>,
}

/// What the caller has to do, in this order: put on record, send, close.
#[derive(Default)]
pub struct Step {
    /// For the decision log; what is sent may only go out once these are on disk.
    pub records: Vec<Record>,
    /// Messages by party.
    pub send: Vec<(String, ToParty)>,
    /// Parties whose connections end, with the reason that is told them.
    pub close: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Present,
    Gone,
    Suspended,
}

struct Member {
    standing: Standing,
    /// Sums in a row in which it missed a deadline, and the newest of them.
    misses: u32,
    missed_in: u32,
}

enum Phase {
    Terms { waits_for: BTreeSet<String> },
    Summing { purpose: Purpose, sum: Box<SumCoordinator> },
    Voting(Box<Voting>),
    Over,
}

struct Voting {
    commitment: Digest,
    candidate: State,
    participants: usize,
    waits_for: BTreeSet<String>,
    votes: BTreeMap<String, Vote>,
    certificates: BTreeMap<String, Vec<Vec<u8>>>,
}

/// The coordinator of a training.
pub struct Coordinator {
    terms: Terms,
    digest: Digest,
    schema: Schema,
    notary: Box<dyn Notary>,
    members: BTreeMap<String, Member>,
    state: State,
    phase: Phase,
    /// Number of the newest sum, and how many were opened.
    number: u32,
    opened: u32,
    /// Releases of all sums for which parties gave vectors.
    spent: u32,
    previous: Option<Digest>,
    decided: Option<Decision>,
    /// Sums in a row that were void or rolled back.
    failures: u32,
    search: Option<Search>,
    outcome: Option<Outcome>,
}

/// Parties are left out in turn until a sum goes well.
struct Search {
    left_out: String,
    next: VecDeque<String>,
}

impl Coordinator {
    /// A training of these parties under these terms; answers what to do first.
    pub fn new(
        terms: Terms,
        schema: Schema,
        parties: BTreeSet<String>,
        notary: Box<dyn Notary>,
    ) -> (Self, Step) {
        let record = Record::Opened {
            terms: Box::new(terms.clone()),
            schema: Box::new(schema.clone()),
            parties: parties.iter().cloned().collect(),
        };
        let welcome = |name: &String| (name.clone(), ToParty::Welcome { terms: Box::new(terms.clone()) });
        let send = parties.iter().map(welcome).collect();
        let member =
            |name: &String| (name.clone(), Member { standing: Standing::Present, misses: 0, missed_in: 0 });
        let coordinator = Self {
            digest: Digest::of_json(&terms),
            terms,
            schema,
            notary,
            members: parties.iter().map(member).collect(),
            state: State::default(),
            phase: Phase::Terms { waits_for: parties },
            number: 0,
            opened: 0,
            spent: 0,
            previous: None,
            decided: None,
            failures: 0,
            search: None,
            outcome: None,
        };
        (coordinator, Step { records: vec![record], send, close: Vec::new() })
    }

    /// Whose answers the training waits for. Once nobody's, or at the deadline, [`Coordinator::advance`] is due.
    pub fn waits_for(&self) -> &BTreeSet<String> {
        static NOBODY: BTreeSet<String> = BTreeSet::new();
        match &self.phase {
            Phase::Terms { waits_for } => waits_for,
            Phase::Summing { sum, .. } => sum.waits_for(),
            Phase::Voting(voting) => &voting.waits_for,
            Phase::Over => &NOBODY,
        }
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The last state that was accepted.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes a party's message. One that is late is passed over.
    ///
    /// # Errors
    /// [`Fault`]: the party misbehaved; the caller closes its connection and calls [`Coordinator::lost`].
    pub fn receive(&mut self, name: &str, message: ToCoordinator) -> Result<(), Fault> {
        if self.members.get(name).is_none_or(|member| member.standing != Standing::Present) {
            return Ok(());
        }
        let answer = match message {
            ToCoordinator::Refuse { reason } => return Err(Fault::Refused(plain(&reason))),
            ToCoordinator::Hello { .. } => return Err(Fault::OutOfTurn),
            ToCoordinator::Ready { terms } => {
                if let Phase::Terms { waits_for } = &mut self.phase {
                    waits_for.remove(name);
                }
                return if terms == self.digest { Ok(()) } else { Err(Fault::Terms) };
            }
            ToCoordinator::Vote { sum, accept, signature } => return self.vote(name, sum, accept, signature),
            ToCoordinator::Advert { sum, advert } => (sum, Answer::Advert(advert)),
            ToCoordinator::Shares { sum, seed, sealed } => (sum, Answer::Shares(seed, sealed)),
            ToCoordinator::Masked { sum, values, unopened } => (sum, Answer::Masked(values, unopened)),
            ToCoordinator::Confirm { sum, signature } => (sum, Answer::Confirm(signature)),
            ToCoordinator::Unmask { sum, seeds, keys } => (sum, Answer::Unmask(seeds, keys)),
        };
        if let Phase::Summing { sum, .. } = &mut self.phase
            && answer.0 == self.number
        {
            sum.receive(name, answer.1, self.notary.as_ref())?;
        }
        Ok(())
    }

    fn vote(&mut self, name: &str, sum: u32, accept: bool, signature: Blob) -> Result<(), Fault> {
        let Phase::Voting(voting) = &mut self.phase else { return Ok(()) };
        if sum != self.number || !voting.waits_for.remove(name) {
            return Ok(());
        }
        if !is_short(&signature) {
            return Err(Fault::Size("a signature"));
        }
        let chain = voting.certificates.get(name).map(Vec::as_slice).unwrap_or_default();
        let message = vote_message(&voting.commitment, accept);
        self.notary.verify(name, chain, &message, &signature.0).map_err(Fault::Signature)?;
        voting.votes.insert(name.to_owned(), Vote { name: name.to_owned(), accept, signature });
        if let Some(member) = self.members.get_mut(name).filter(|member| member.missed_in != sum) {
            member.misses = 0;
        }
        Ok(())
    }

    /// A party's connection is gone, or it was closed for `reason`.
    pub fn lost(&mut self, name: &str, reason: &str) -> Step {
        let mut step = Step::default();
        // Nothing goes on record of a training after its end.
        if self.outcome.is_some() {
            return step;
        }
        let Some(member) = self.members.get_mut(name).filter(|m| m.standing == Standing::Present) else {
            return step;
        };
        member.standing = Standing::Gone;
        let (session, party) = (self.terms.session, name.to_owned());
        step.records.push(Record::Gone { session, party, reason: plain(reason) });
        match &mut self.phase {
            Phase::Terms { waits_for } => drop(waits_for.remove(name)),
            Phase::Summing { sum, .. } => sum.lost(name),
            Phase::Voting(voting) => drop(voting.waits_for.remove(name)),
            Phase::Over => {}
        }
        step
    }

    /// Goes on with those who answered; the others missed a deadline.
    pub fn advance(&mut self) -> Step {
        let mut step = Step::default();
        for name in self.waits_for().clone() {
            let Some(member) = self.members.get_mut(&name) else { continue };
            if member.missed_in != self.number {
                (member.misses, member.missed_in) = (member.misses + 1, self.number);
            }
            if member.misses >= MISSES_MAX || matches!(self.phase, Phase::Terms { .. }) {
                let lost = self.lost(&name, "it did not answer in time");
                step.records.extend(lost.records);
                step.close.push((name, "it did not answer in time".to_owned()));
            }
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Terms { .. } => self.begin(&mut step),
            Phase::Summing { purpose, mut sum } => match sum.advance() {
                Ok(Next::Send(messages)) => {
                    let present = |(name, _): &(String, ToParty)| self.is_present(name);
                    let (send, away): (Vec<_>, Vec<_>) = messages.into_iter().partition(present);
                    away.iter().for_each(|away| sum.lost(&away.0));
                    step.send.extend(send);
                    self.phase = Phase::Summing { purpose, sum };
                }
                Ok(Next::Done(result)) => self.commit(purpose, &sum, result, &mut step),
                Err(failure) => {
                    if sum.has_asked_for_vectors() {
                        self.spent += Terms::releases(purpose);
                    }
                    self.failed(failure, &mut step);
                }
            },
            Phase::Voting(voting) => self.decide(*voting, &mut step),
            Phase::Over => {}
        }
        step
    }

    fn is_present(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|member| member.standing == Standing::Present)
    }

    fn named(&self, standing: Standing) -> impl Iterator<Item = &String> {
        self.members.iter().filter(move |(_, member)| member.standing == standing).map(|(name, _)| name)
    }

    /// Parties of the next sum.
    fn cohort(&self) -> BTreeSet<String> {
        let left_out = self.search.as_ref().map(|search| &search.left_out);
        self.named(Standing::Present).filter(|name| Some(*name) != left_out).cloned().collect()
    }

    fn begin(&mut self, step: &mut Step) {
        if self.state.rounds >= self.terms.rounds {
            return self.finish(End::Complete, step);
        }
        let purpose = match self.state.scaling {
            None => Purpose::Statistics,
            Some(_) => Purpose::Round(self.state.rounds + 1),
        };
        let cohort = self.cohort();
        let stop = |why: String| End::Stopped(why);
        if cohort.len() < self.terms.parties_min as usize {
            let least = self.terms.parties_min;
            return self.finish(stop(format!("{} parties are left, {least} are agreed", cohort.len())), step);
        }
        // Sums that come to nothing cost nobody anything but time.
        let tries_max = 4 * self.terms.releases_max();
        if self.spent + Terms::releases(purpose) > self.terms.releases_max() || self.number >= tries_max {
            return self.finish(stop("the agreed number of sums is used up".to_owned()), step);
        }
        self.number += 1;
        let state = self.state.digest();
        let context = context(&self.digest, self.number, purpose, &state);
        let length = self.terms.length(purpose, &self.schema);
        for name in &cohort {
            let (sum, state, decided) = (self.number, self.state.clone(), self.decided.clone());
            step.send.push((name.clone(), ToParty::Begin { sum, purpose, state, decided }));
        }
        let parties_min = self.terms.parties_min as usize;
        let sum = Box::new(SumCoordinator::new(self.number, context, length, parties_min, cohort));
        self.phase = Phase::Summing { purpose, sum };
    }

    fn commit(&mut self, purpose: Purpose, sum: &SumCoordinator, result: SumResult, step: &mut Step) {
        self.opened += 1;
        self.spent += Terms::releases(purpose);
        let SumResult { values, participants, dropped, stayed } = result;
        let after = self.state.after(&self.terms, &self.schema, purpose, participants.len(), &values);
        let commitment = Commitment {
            session: self.terms.session,
            terms: self.digest,
            sum: self.number,
            purpose,
            state: self.state.digest(),
            participants: participants
                .iter()
                .map(|(name, masked)| Participant { name: name.clone(), masked: *masked })
                .collect(),
            dropped,
            total: Digest::of_values(&values),
            norm: Real(after.as_ref().map_or(0.0, |(_, norm)| *norm)),
            candidate: after.as_ref().ok().map(|(state, _)| state.digest()),
            void: after.as_ref().err().map(ToString::to_string),
            previous: self.previous,
        };
        let digest = commitment.digest();
        self.previous = Some(digest);
        let present: BTreeSet<String> = stayed.into_iter().filter(|name| self.is_present(name)).collect();
        for name in &present {
            let (commitment, values) = (Box::new(commitment.clone()), values.clone());
            step.send.push((name.clone(), ToParty::Result { commitment, values }));
        }
        step.records.push(Record::Summed(Box::new(commitment)));
        let Ok((candidate, _)) = after else {
            let (session, sum, votes) = (self.terms.session, self.number, Vec::new());
            let decision =
                Decision { session, sum, commitment: digest, votes, accepted: false, suspended: None };
            return self.settle(decision, None, step);
        };
        let certificates = present.iter().map(|name| (name.clone(), sum.certificates(name))).collect();
        self.phase = Phase::Voting(Box::new(Voting {
            commitment: digest,
            candidate,
            participants: participants.len(),
            waits_for: present,
            votes: BTreeMap::new(),
            certificates,
        }));
    }

    fn decide(&mut self, voting: Voting, step: &mut Step) {
        let mut decision = Decision {
            session: self.terms.session,
            sum: self.number,
            commitment: voting.commitment,
            votes: voting.votes.into_values().collect(),
            accepted: false,
            suspended: None,
        };
        decision.accepted = decision.carries(voting.participants);
        let candidate = decision.accepted.then_some(voting.candidate);
        self.settle(decision, candidate, step);
    }

    /// Takes the new state, or looks for who spoils the sums.
    fn settle(&mut self, mut decision: Decision, candidate: Option<State>, step: &mut Step) {
        let went_well = candidate.is_some();
        if let Some(state) = candidate {
            self.state = state;
            self.failures = 0;
            if let Some(search) = self.search.take()
                && let Some(member) = self.members.get_mut(&search.left_out)
                && member.standing == Standing::Present
            {
                member.standing = Standing::Suspended;
                let why = "sums go wrong with this party, and well without it".to_owned();
                step.close.push((search.left_out.clone(), why));
                decision.suspended = Some(search.left_out);
            }
        }
        step.records.push(Record::Decided(Box::new(decision.clone())));
        self.decided = Some(decision);
        if went_well { self.begin(step) } else { self.suspect(step) }
    }

    /// A sum that was not opened.
    fn failed(&mut self, failure: SumFailure, step: &mut Step) {
        let (session, sum, reason) = (self.terms.session, self.number, failure.to_string());
        step.records.push(Record::Failed { session, sum, reason });
        match failure {
            // Who is gone or slow is known by name.
            SumFailure::TooFew { .. } => self.begin(step),
            SumFailure::Sealed { party } => {
                let why = "it sealed its shares wrongly";
                step.records.extend(self.lost(&party, why).records);
                step.close.push((party, why.to_owned()));
                self.begin(step);
            }
            SumFailure::Shares { .. } => self.suspect(step),
        }
    }

    /// The first failure may be chance. After a second, parties are left out in turn; with one gone that spoils the sums,
    /// they go well again. Two that spoil them at once are not found.
    fn suspect(&mut self, step: &mut Step) {
        self.failures += 1;
        if self.failures < 2 {
            return self.begin(step);
        }
        let mut next = match self.search.take() {
            Some(search) => search.next,
            None => {
                let cohort = self.cohort();
                let can = self.terms.leave_out && cohort.len() > self.terms.parties_min as usize;
                if !can {
                    let why = "rounds are spoiled, and no party can be left out to find by whom";
                    return self.finish(End::Stopped(why.to_owned()), step);
                }
                cohort.into_iter().collect()
            }
        };
        next.retain(|name| self.is_present(name));
        match next.pop_front() {
            Some(left_out) => {
                self.search = Some(Search { left_out, next });
                self.begin(step);
            }
            None => {
                let why = "rounds are spoiled whoever is left out: more than one party does it";
                self.finish(End::Stopped(why.to_owned()), step);
            }
        }
    }

    fn finish(&mut self, end: End, step: &mut Step) {
        let names = |standing| self.named(standing).cloned().collect::<Vec<_>>();
        let outcome = Outcome {
            session: self.terms.session,
            end,
            rounds: self.state.rounds,
            opened: self.opened,
            state: self.state.digest(),
            parties: names(Standing::Present),
            gone: names(Standing::Gone),
            suspended: names(Standing::Suspended),
            epsilon: self.terms.spent(self.spent).map(Real),
            commitment: self.previous,
        };
        step.records.push(Record::Closed(Box::new(outcome.clone())));
        for name in &outcome.parties {
            let (outcome, state) = (Box::new(outcome.clone()), self.state.clone());
            let decided = self.decided.clone();
            step.send.push((name.clone(), ToParty::Finished { outcome, state, decided }));
        }
        self.phase = Phase::Over;
        self.outcome = Some(outcome);
    }
}
