//! A party: answers what the coordinator sends, and refuses what it did not agree to.

use std::collections::{BTreeMap, BTreeSet};

use super::bank::{Comparison, VOTE_BOUND, Work};
use super::commitment::Commitment;
use super::coordinator::{Decision, Outcome};
use super::entropy::{Entropy, normal};
use super::fixed;
use super::state::{State, noise_share};
use super::sum::{SumParty, vote_message};
use super::terms::{Method, Purpose, Schema, Terms, TermsError};
use super::wire::{Blob, Digest, ToCoordinator, ToParty};
use super::{Notary, PROTOCOL, Refusal, plain};

/// A party votes against a state whose loss on its held-out rows is higher by more than this share, or this many nats …
const RISE_MAX: (f64, f64) = (0.02, 1e-4);
/// … or, where votes are private, by more nats a unit than this, beyond what noise alone makes.
const PRIVATE_RISE_MAX: f64 = 0.002;

/// What a party insists on, whatever the coordinator proposes.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Most privacy loss, where noise is insisted on.
    pub epsilon_max: Option<f64>,
    /// Fewest parties in a sum; at least [`super::PARTIES_MIN`] in any case.
    pub parties_min: usize,
}

/// What a party does next.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// Waits.
    Nothing,
    /// Answers.
    Send(Box<ToCoordinator>),
    /// Is done.
    Finished {
        /// How it went, as the coordinator says.
        outcome: Box<Outcome>,
        /// The last state.
        state: Box<State>,
        /// Whether this party knows that the parties settled on the state: it trained from it, or saw the votes for it. One
        /// that missed the last sum has the coordinator's word alone.
        verified: bool,
    },
}

/// A party of a training.
pub struct Party {
    schema: Schema,
    limits: Limits,
    notary: Box<dyn Notary>,
    entropy: Box<dyn Entropy>,
    work: Box<dyn Work>,
    training: Option<Training>,
}

/// Since the terms are agreed.
struct Training {
    terms: Terms,
    digest: Digest,
    /// Releases so far; a sum counts once this party's vector has left it, whether or not it is opened.
    spent: u32,
    /// Number of the newest sum that began.
    number: u32,
    purpose: Purpose,
    state: State,
    sum: Option<SumParty>,
    masked: Digest,
    /// Whose vectors are in the newest sum that was opened, with their certificates.
    opened: Option<Opened>,
    /// Whose vectors were in the first sum that was opened from each state.
    summed_from: BTreeMap<Digest, BTreeSet<String>>,
    committed: Option<Committed>,
}

/// The newest commitment that this party saw.
struct Committed {
    number: u32,
    digest: Digest,
    /// The state that it gives; the one before where it is void.
    candidate: State,
}

struct Opened {
    number: u32,
    state: Digest,
    participants: BTreeSet<String>,
    certificates: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Party {
    /// A party that works by `work` on the agreed schema.
    pub fn new(
        schema: Schema,
        limits: Limits,
        notary: Box<dyn Notary>,
        entropy: Box<dyn Entropy>,
        work: Box<dyn Work>,
    ) -> Self {
        Self { schema, limits, notary, entropy, work, training: None }
    }

    /// The first word to the coordinator.
    pub fn hello(&self) -> ToCoordinator {
        let (schema, features) = (self.schema.digest(), self.schema.names());
        ToCoordinator::Hello { protocol: PROTOCOL, schema, features }
    }

    /// The terms, once they are agreed.
    pub fn terms(&self) -> Option<&Terms> {
        self.training.as_ref().map(|training| &training.terms)
    }

    /// Privacy loss of what this party has given away so far; `None` without noise.
    pub fn epsilon_spent(&self) -> Option<f64> {
        self.training.as_ref().and_then(|training| training.terms.spent(training.spent))
    }

    /// The newest commitment that this party saw. All parties of a sum have the same: comparing it with another bank, or
    /// with the coordinator's log, shows whether they were told the same.
    pub fn commitment(&self) -> Option<Digest> {
        self.training
            .as_ref()
            .and_then(|training| training.committed.as_ref().map(|committed| committed.digest))
    }

    /// Answers a message.
    ///
    /// # Errors
    /// [`Refusal`]: the party does not go on, and the training is over for it.
    pub fn handle(&mut self, message: ToParty) -> Result<Reply, Refusal> {
        let send = |message| Ok(Reply::Send(Box::new(message)));
        match message {
            ToParty::Welcome { terms } => send(self.agree(*terms)?),
            ToParty::Begin { sum, purpose, state, decided } => {
                send(self.begin(sum, purpose, state, decided)?)
            }
            ToParty::Roster { sum, adverts } => {
                let notary = self.notary.as_ref();
                let entropy = self.entropy.as_mut();
                let secure = current(&mut self.training, sum)?.sum.as_mut();
                let secure = secure.ok_or(Refusal::OutOfTurn("the roster"))?;
                let (seed, sealed) = secure.roster(adverts, notary, entropy)?;
                send(ToCoordinator::Shares { sum, seed, sealed })
            }
            ToParty::Shares { sum, sealed } => send(self.masked(sum, sealed)?),
            ToParty::Survivors { sum, names } => {
                let secure = current(&mut self.training, sum)?.sum.as_mut();
                let secure = secure.ok_or(Refusal::OutOfTurn("survivors"))?;
                let signature = secure.survivors(names, self.notary.as_ref())?;
                send(ToCoordinator::Confirm { sum, signature })
            }
            ToParty::Confirmations { sum, confirmations } => send(self.unmask(sum, confirmations)?),
            ToParty::Result { commitment, values } => self.result(&commitment, &values),
            ToParty::Finished { outcome, state, decided } => self.finished(outcome, state, decided.as_ref()),
            ToParty::Refused { reason } => Err(Refusal::Told(plain(&reason))),
        }
    }

    fn agree(&mut self, terms: Terms) -> Result<ToCoordinator, Refusal> {
        if self.training.is_some() {
            return Err(Refusal::OutOfTurn("terms"));
        }
        terms.check()?;
        let refuse = |why: String| Err(Refusal::Terms(TermsError::Terms(why)));
        if terms.schema != self.schema.digest() {
            return refuse(format!("schema {}, this party has {}", terms.schema, self.schema.digest()));
        }
        if (terms.parties_min as usize) < self.limits.parties_min {
            return refuse(format!("{} parties are enough for it", terms.parties_min));
        }
        match (&terms.method, self.limits.epsilon_max) {
            (Method::Averaging { .. }, Some(_)) => return refuse("there is no noise".to_owned()),
            (Method::Private { epsilon, .. }, Some(most)) if epsilon.0 > most => {
                return refuse(format!("epsilon {} where {most} is the most", epsilon.0));
            }
            _ => {}
        }
        let digest = Digest::of_json(&terms);
        self.training = Some(Training {
            terms,
            digest,
            spent: 0,
            number: 0,
            purpose: Purpose::Statistics,
            state: State::default(),
            sum: None,
            masked: Digest::of(&[]),
            opened: None,
            summed_from: BTreeMap::new(),
            committed: None,
        });
        Ok(ToCoordinator::Ready { terms: digest })
    }

    fn begin(
        &mut self,
        number: u32,
        purpose: Purpose,
        state: State,
        decided: Option<Decision>,
    ) -> Result<ToCoordinator, Refusal> {
        let training = self.training.as_mut().ok_or(Refusal::OutOfTurn("a sum"))?;
        if number <= training.number {
            return Err(Refusal::OutOfTurn("an old sum"));
        }
        let due = match purpose {
            Purpose::Statistics => state == State::default(),
            Purpose::Round(round) => {
                state.scaling.is_some() && round == state.rounds + 1 && round <= training.terms.rounds
            }
        };
        if !due || !state.fits(&self.schema) {
            return Err(Refusal::State("it does not fit the schema or the round".to_owned()));
        }
        if training.number + 1 == number {
            training.follows(&state, decided.as_ref(), self.notary.as_ref())?;
        }
        if training.spent + Terms::releases(purpose) > training.terms.releases_max() {
            return Err(Refusal::Spent);
        }
        let context = context(&training.digest, number, purpose, &state.digest());
        let parties_min = training.terms.parties_min as usize;
        let sum = SumParty::new(context, parties_min, self.notary.as_ref(), self.entropy.as_mut())?;
        let advert = Box::new(sum.advert().clone());
        (training.number, training.purpose, training.state) = (number, purpose, state);
        training.sum = Some(sum);
        Ok(ToCoordinator::Advert { sum: number, advert })
    }

    fn masked(&mut self, sum: u32, sealed: Vec<super::wire::Named>) -> Result<ToCoordinator, Refusal> {
        let training = current(&mut self.training, sum)?;
        let (terms, purpose) = (&training.terms, training.purpose);
        let secure = training.sum.as_mut().ok_or(Refusal::OutOfTurn("shares"))?;
        let mut vector = self.work.contribution(terms, &self.schema, &training.state, purpose);
        vector.resize(terms.length(purpose, &self.schema), 0.0);
        let mut values = fixed::encode(&vector);
        let deviation = noise_share(terms, &self.schema, purpose, secure.parties());
        fixed::add_noise(&mut values, deviation, self.entropy.as_mut())?;
        let (values, unopened) = secure.masked(sealed, values)?;
        training.masked = Digest::of_values(&values);
        training.spent += Terms::releases(purpose);
        Ok(ToCoordinator::Masked { sum, values, unopened })
    }

    fn unmask(&mut self, sum: u32, confirmations: Vec<super::wire::Named>) -> Result<ToCoordinator, Refusal> {
        let training = current(&mut self.training, sum)?;
        let secure = training.sum.as_mut().ok_or(Refusal::OutOfTurn("confirmations"))?;
        let participants = secure.confirmed().ok_or(Refusal::OutOfTurn("confirmations"))?.clone();
        let state = training.state.digest();
        let has_noise = matches!(training.terms.method, Method::Private { .. });
        if !has_noise
            && !training.terms.leave_out
            && let Some(before) = training.summed_from.get(&state)
            && *before != participants
        {
            return Err(Refusal::Differencing);
        }
        let certificates = secure.certificates();
        let (seeds, keys) = secure.unmask(confirmations, self.notary.as_ref())?;
        training.summed_from.entry(state).or_insert_with(|| participants.clone());
        training.opened = Some(Opened { number: sum, state, participants, certificates });
        Ok(ToCoordinator::Unmask { sum, seeds, keys })
    }

    fn result(&mut self, commitment: &Commitment, values: &[u64]) -> Result<Reply, Refusal> {
        let training = current(&mut self.training, commitment.sum)?;
        // A vote says something about the rows held out: one a sum is what the terms allow.
        if training.sum.take().is_none() {
            return Err(Refusal::OutOfTurn("a result"));
        }
        let candidate = training.check(commitment, values, &self.schema)?;
        let (number, digest) = (commitment.sum, commitment.digest());
        let Some(candidate) = candidate else {
            // What is void is not voted on; the next commitment follows it all the same.
            training.committed = Some(Committed { number, digest, candidate: training.state.clone() });
            return Ok(Reply::Nothing);
        };
        let accept = match training.purpose {
            Purpose::Statistics => true,
            Purpose::Round(_) => {
                let terms = &training.terms;
                let comparison = self.work.compare(terms, &self.schema, &training.state, &candidate);
                is_no_worse(terms, comparison, self.entropy.as_mut())?
            }
        };
        let signature = self.notary.sign(&vote_message(&digest, accept)).map_err(Refusal::Signing)?;
        training.committed = Some(Committed { number, digest, candidate });
        let vote = ToCoordinator::Vote { sum: number, accept, signature: Blob(signature) };
        Ok(Reply::Send(Box::new(vote)))
    }

    fn finished(
        &mut self,
        outcome: Box<Outcome>,
        state: State,
        decided: Option<&Decision>,
    ) -> Result<Reply, Refusal> {
        let training = self.training.as_ref().ok_or(Refusal::OutOfTurn("the end"))?;
        if outcome.session != training.terms.session
            || outcome.state != state.digest()
            || outcome.rounds != state.rounds
            || !state.fits(&self.schema)
        {
            return Err(Refusal::State("the last one is not the one on record".to_owned()));
        }
        let verified = training.follows(&state, decided, self.notary.as_ref())?;
        Ok(Reply::Finished { outcome, state: Box::new(state), verified })
    }
}

/// The training, where `sum` is its newest.
fn current(training: &mut Option<Training>, sum: u32) -> Result<&mut Training, Refusal> {
    let training = training.as_mut().filter(|training| training.number == sum && sum > 0);
    training.ok_or(Refusal::OutOfTurn("a message of another sum"))
}

/// What a sum is bound to: whoever signs keys for another one is not in it.
pub(super) fn context(terms: &Digest, sum: u32, purpose: Purpose, state: &Digest) -> Digest {
    Digest::of(&[&terms.0, &sum.to_be_bytes(), &Digest::of_json(&purpose).0, &state.0])
}

impl Training {
    /// Whether the parties settled on this state after the newest sum; `false` where this party did not see its end.
    fn follows(
        &self,
        state: &State,
        decided: Option<&Decision>,
        notary: &dyn Notary,
    ) -> Result<bool, Refusal> {
        if *state == self.state {
            // Rolled back, void, or never opened.
            return Ok(true);
        }
        let committed = self.committed.as_ref().filter(|committed| committed.number == self.number);
        let (Some(committed), Some(opened)) = (committed, &self.opened) else { return Ok(false) };
        if *state != committed.candidate {
            return Err(Refusal::State("it is neither the one before the sum nor the one after".to_owned()));
        }
        let refuse = |why: &str| Err(Refusal::State(format!("its acceptance: {why}")));
        let Some(decided) = decided.filter(|decided| decided.commitment == committed.digest) else {
            return refuse("no votes are shown");
        };
        if !decided.votes.is_sorted_by(|a, b| a.name < b.name) {
            return refuse("votes out of order");
        }
        for vote in &decided.votes {
            let chain = opened.certificates.get(&vote.name);
            let Some(chain) = chain.filter(|_| opened.participants.contains(&vote.name)) else {
                return refuse("a vote of one who is not in the sum");
            };
            let message = vote_message(&committed.digest, vote.accept);
            if notary.verify(&vote.name, chain, &message, &vote.signature.0).is_err() {
                return refuse("a vote is not signed");
            }
        }
        if decided.carries(opened.participants.len()) { Ok(true) } else { refuse("there is no majority") }
    }

    /// The state that the sum gives, if it is what the coordinator says; `None` where both find it void.
    fn check(&self, said: &Commitment, values: &[u64], schema: &Schema) -> Result<Option<State>, Refusal> {
        let refuse = |why: &str| Err(Refusal::Commitment(why.to_owned()));
        let Some(opened) = self.opened.as_ref().filter(|opened| opened.number == self.number) else {
            return Err(Refusal::OutOfTurn("a result"));
        };
        let same = said.session == self.terms.session
            && said.terms == self.digest
            && said.purpose == self.purpose
            && said.state == opened.state
            && said.total == Digest::of_values(values);
        if !same {
            return refuse("it is of another sum");
        }
        if !said.participants.iter().map(|p| &p.name).eq(&opened.participants) {
            return refuse("it has other participants");
        }
        if !said.participants.iter().any(|participant| participant.masked == self.masked) {
            return refuse("this party's vector is not in it");
        }
        let before = self.committed.as_ref().filter(|committed| committed.number + 1 == said.sum);
        if before.is_some_and(|before| said.previous != Some(before.digest)) {
            return refuse("it does not follow the one before");
        }
        let parties = opened.participants.len();
        let candidate = self.state.after(&self.terms, schema, self.purpose, parties, values).ok();
        if said.candidate != candidate.as_ref().map(|(state, _)| state.digest()) {
            return refuse("the sum gives another state");
        }
        Ok(candidate.map(|(state, _)| state))
    }
}

fn is_no_worse(terms: &Terms, comparison: Comparison, entropy: &mut dyn Entropy) -> Result<bool, Refusal> {
    let Comparison { before, rise, units } = comparison;
    let noise = terms.noise(Purpose::Round(1));
    if noise == 0.0 {
        let (share, nats) = RISE_MAX;
        return Ok(rise.is_finite() && rise <= units as f64 * (share * before + nats));
    }
    // One unit more or less moves `beyond` by no more than this; as many votes as rounds are within the agreed loss, as
    // units that vote are in no sum.
    let deviation = noise * (VOTE_BOUND + PRIVATE_RISE_MAX);
    let beyond = rise - units as f64 * PRIVATE_RISE_MAX;
    Ok(beyond + deviation * normal(entropy)? <= 3.0 * deviation)
}
