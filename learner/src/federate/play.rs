//! Coordinator and parties in one process, message by message: for tests, and for figures on data at hand.

use std::collections::BTreeMap;

use super::bank::Work;
use super::commitment::Record;
use super::coordinator::{Coordinator, Outcome, Step};
use super::fixed;
use super::party::{Party, Reply};
use super::state::State;
use super::terms::{Purpose, Schema, Terms};
use super::wire::{ToCoordinator, ToParty};

/// What becomes of a party's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives,
    /// It comes after the deadline.
    Late,
    /// The party is gone before it is sent.
    Gone,
}

/// How a training went.
pub struct Played {
    /// Its outcome.
    pub outcome: Outcome,
    /// The last state that was accepted.
    pub state: State,
    /// What would stand in the decision log.
    pub records: Vec<Record>,
    /// Why parties refused, by name.
    pub refused: BTreeMap<String, String>,
}

/// Plays a training to its end. `fate` sees every message of a party, may alter it, and says what becomes of it.
/// `None` if the coordinator does not come to an end within so many steps as no training has.
pub fn play(
    begun: (Coordinator, Step),
    parties: &mut BTreeMap<String, Party>,
    mut fate: impl FnMut(&str, &mut ToCoordinator) -> Fate,
) -> Option<Played> {
    const STEPS_MAX: usize = 10_000_000;
    let (mut coordinator, mut step) = begun;
    let mut records = Vec::new();
    let mut refused = BTreeMap::new();
    let mut late: Vec<(String, ToCoordinator)> = Vec::new();
    for _ in 0..STEPS_MAX {
        records.append(&mut step.records);
        for (name, reason) in std::mem::take(&mut step.close) {
            refused.insert(name.clone(), reason);
            parties.remove(&name);
        }
        let mut answers = std::mem::take(&mut late);
        for (name, message) in std::mem::take(&mut step.send) {
            let Some(mut answer) = answered(parties, &name, message, &mut refused) else { continue };
            match fate(&name, &mut answer) {
                Fate::Arrives => answers.push((name, answer)),
                Fate::Late => late.push((name, answer)),
                Fate::Gone => {
                    parties.remove(&name);
                    records.append(&mut coordinator.lost(&name, "its connection ended").records);
                }
            }
        }
        if let Some(outcome) = coordinator.outcome() {
            let (outcome, state) = (outcome.clone(), coordinator.state().clone());
            return Some(Played { outcome, state, records, refused });
        }
        for (name, answer) in answers {
            if let Err(fault) = coordinator.receive(&name, answer) {
                parties.remove(&name);
                refused.insert(name.clone(), fault.to_string());
                records.append(&mut coordinator.lost(&name, &fault.to_string()).records);
            }
        }
        step = coordinator.advance();
    }
    None
}

fn answered(
    parties: &mut BTreeMap<String, Party>,
    name: &str,
    message: ToParty,
    refused: &mut BTreeMap<String, String>,
) -> Option<ToCoordinator> {
    match parties.get_mut(name)?.handle(message) {
        Ok(Reply::Send(answer)) => Some(*answer),
        Ok(Reply::Nothing | Reply::Finished { .. }) => None,
        Err(refusal) => {
            refused.insert(name.to_owned(), refusal.to_string());
            Some(ToCoordinator::Refuse { reason: refusal.to_string() })
        }
    }
}

/// The same training by one party alone, without masks, noise or votes: what a bank comes to by itself, or all of them if
/// their rows were in one place. `None` where its rows give no statistics.
pub fn alone(terms: &Terms, schema: &Schema, work: &mut dyn Work) -> Option<State> {
    let mut state = State::default();
    let rounds = (1..=terms.rounds).map(Purpose::Round);
    for purpose in std::iter::once(Purpose::Statistics).chain(rounds) {
        let sum = fixed::encode(&work.contribution(terms, schema, &state, purpose));
        (state, _) = state.after(terms, schema, purpose, 1, &sum).ok()?;
    }
    Some(state)
}

/// A notary for parties that all run in one process, where nobody has to prove who he is.
pub struct Simulated(pub String);

impl super::Notary for Simulated {
    fn name(&self) -> &str {
        &self.0
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(super::wire::Digest::of(&[self.0.as_bytes(), message]).0.to_vec())
    }

    fn verify(&self, name: &str, _: &[Vec<u8>], message: &[u8], signature: &[u8]) -> Result<(), String> {
        let right = super::wire::Digest::of(&[name.as_bytes(), message]).0 == *signature;
        if right { Ok(()) } else { Err("it is not this party's".to_owned()) }
    }
}
