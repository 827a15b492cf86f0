//! Whole trainings, message by message, with parties and coordinators that misbehave.

use std::collections::{BTreeMap, BTreeSet};

use super::party::Reply;
use super::play::{Fate, Played, Simulated, play};
use super::state::State;
use super::sum::tests::Keys;
use super::table::Table;
use super::terms::{Method, Purpose, Schema, Terms};
use super::wire::{Blob, Bytes, Digest, Real};
use super::*;
use crate::evaluate::{Scored, auprc};
use crate::frame::Frame;
use crate::simulate::Random;

mod hostile;
mod served;

const NAMES: [&str; 5] = ["ada", "bob", "cyd", "dan", "eve"];

fn schema() -> Schema {
    let feature = |name: &str, missing| {
        format!("\n[[features]]\nname = \"{name}\"\nlow = -3\nhigh = 3\nmissing = {missing}")
    };
    let features: String =
        [("a", false), ("b", false), ("c", true)].map(|(name, m)| feature(name, m)).concat();
    Schema::from_toml(&format!("label = \"y\"\nunit = \"who\"{features}")).unwrap()
}

/// Rows of a known logistic regression; `shift` moves a bank's customers away from the others'.
fn rows(customers: u64, shift: f64, seed: u64) -> Table {
    let mut random = Random::new(seed);
    let mut table = Table { frame: Frame::new(schema().names()), positive: Vec::new(), unit: None };
    for customer in 0..customers {
        for _ in 0..5 {
            let x = [random.normal() + shift, random.normal(), random.normal()];
            let raw = -3.0 + 1.5 * x[0] - 1.0 * x[1] + 0.5 * x[2];
            table.positive.push(random.chance(1.0 / (1.0 + (-raw).exp())));
            table.unit.get_or_insert_default().push(customer);
            let c = if random.chance(0.1) { f32::NAN } else { x[2] as f32 };
            table.frame.push(&[x[0] as f32, x[1] as f32, c]);
        }
    }
    table
}

fn terms(method: Method, rounds: u32) -> Terms {
    Terms {
        protocol: PROTOCOL,
        session: Bytes([1; 16]),
        schema: schema().digest(),
        parties_min: 3,
        rounds,
        rounds_summed_max: rounds + 12,
        method,
        clip: Real(2.0),
        learning_rate: Real(0.1),
        l2: Real(1e-4),
        leave_out: true,
        deadline_ms: 1000,
    }
}

fn averaging() -> Terms {
    terms(Method::Averaging { epochs: 1, batch: 64 }, 6)
}

fn private(epsilon: f64) -> Terms {
    let releases = f64::from(30 + 12 + terms::STATISTICS_RELEASES);
    let noise_multiplier = Real(privacy::noise_multiplier(epsilon, releases, 1e-5).unwrap());
    terms(Method::Private { noise_multiplier, epsilon: Real(epsilon), delta: Real(1e-5) }, 30)
}

fn party(name: &str, work: Box<dyn Work>) -> Party {
    let seed = name.bytes().fold(0, |seed, byte| seed << 8 | u64::from(byte));
    let entropy = Box::new(SeededEntropy::new(seed));
    Party::new(schema(), Limits::default(), Box::new(Simulated(name.to_owned())), entropy, work)
}

fn bank(at: usize) -> Bank {
    Bank::new(rows(300, at as f64 * 0.4, at as u64 + 1))
}

fn parties(count: usize) -> BTreeMap<String, Party> {
    let honest = |at: usize| (NAMES[at].to_owned(), party(NAMES[at], Box::new(bank(at))));
    (0..count).map(honest).collect()
}

fn begun(terms: Terms, parties: &BTreeMap<String, Party>) -> (Coordinator, Step) {
    let names = parties.keys().cloned().collect();
    Coordinator::new(terms, schema(), names, Box::new(Simulated("coordinator".into())))
}

fn played(
    terms: Terms,
    mut parties: BTreeMap<String, Party>,
    fate: impl FnMut(&str, &mut ToCoordinator) -> Fate,
) -> Played {
    let begun = begun(terms, &parties);
    let played = play(begun, &mut parties, fate).unwrap();
    followed(&played.records).unwrap();
    played
}

fn followed(records: &[Record]) -> Result<(), Misfit> {
    let mut trainings = Trainings::default();
    records.iter().try_for_each(|record| trainings.follow(record))
}

fn quality(state: &State) -> f64 {
    let model = Model::of(schema(), state.clone()).unwrap();
    let table = rows(2000, 0.6, 99);
    let mut row = [0.0; 3];
    let score = |(at, positive): (usize, &bool)| {
        table.frame.row(at, &mut row);
        Scored { score: model.score(&row), positive: *positive }
    };
    auprc(&table.positive.iter().enumerate().map(score).collect::<Vec<_>>())
}

fn step_of(message: &ToCoordinator) -> &'static str {
    match message {
        ToCoordinator::Hello { .. } => "hello",
        ToCoordinator::Ready { .. } => "ready",
        ToCoordinator::Advert { .. } => "advert",
        ToCoordinator::Shares { .. } => "shares",
        ToCoordinator::Masked { .. } => "masked",
        ToCoordinator::Confirm { .. } => "confirm",
        ToCoordinator::Unmask { .. } => "unmask",
        ToCoordinator::Vote { .. } => "vote",
        ToCoordinator::Refuse { .. } => "refuse",
    }
}

#[test]
fn parties_train_one_model() {
    let good = played(averaging(), parties(4), |_, _| Fate::Arrives);
    assert_eq!((&good.outcome.end, good.outcome.rounds), (&End::Complete, 6));
    assert_eq!((good.outcome.parties.len(), good.outcome.epsilon), (4, None));
    assert!(good.refused.is_empty(), "{:?}", good.refused);
    let best = quality(&good.state);
    assert!(best > 0.5, "{best}");

    let private = played(private(2.0), parties(4), |_, _| Fate::Arrives);
    assert_eq!(private.outcome.end, End::Complete, "{:?}", private.refused);
    let epsilon = private.outcome.epsilon.unwrap().0;
    assert!(epsilon > 1.0 && epsilon <= 2.0, "{epsilon}");
    assert!(quality(&private.state) > best - 0.05, "{} for {best}", quality(&private.state));

    // The same again, to the byte; with another seed of noise another state.
    let again = played(averaging(), parties(4), |_, _| Fate::Arrives);
    assert_eq!(again.records, good.records);
}

#[test]
fn everybody_sees_the_same_record_and_the_chain_of_it_holds() {
    let mut seated = parties(4);
    let begun = begun(averaging(), &seated);
    let played = play(begun, &mut seated, |_, _| Fate::Arrives).unwrap();
    for party in seated.values() {
        assert_eq!(party.commitment(), played.outcome.commitment);
    }
    let (mut previous, mut state) = (None, State::default().digest());
    let mut sums = 0;
    for record in &played.records {
        match record {
            Record::Summed(commitment) => {
                assert_eq!((commitment.previous, commitment.state), (previous, state));
                previous = Some(commitment.digest());
                state = commitment.candidate.unwrap();
                sums += 1;
            }
            Record::Decided(decision) => {
                assert_eq!(Some(decision.commitment), previous);
                assert!(decision.accepted && decision.votes.len() == 4);
            }
            _ => {}
        }
    }
    assert_eq!((sums, state), (7, played.outcome.state));
    for (what, alter) in [
        ("a round left out", (|records| drop(records.drain(5..7))) as fn(&mut Vec<Record>)),
        ("rounds in another order", |records| records.swap(5, 7)),
        ("votes left out", |records| {
            let Some(Record::Decided(decision)) = records.get_mut(6) else { panic!() };
            decision.votes.truncate(1);
        }),
        ("a vote twice", |records| {
            let Some(Record::Decided(decision)) = records.get_mut(6) else { panic!() };
            decision.votes[1] = decision.votes[0].clone();
        }),
        ("a vote of one who was not in the sum", |records| {
            let Some(Record::Decided(decision)) = records.get_mut(6) else { panic!() };
            decision.votes[3].name = "eve".into();
        }),
        ("something after the end", |records| {
            let (session, party) = (Bytes([1; 16]), "bob".to_owned());
            records.push(Record::Gone { session, party, reason: String::new() });
        }),
        ("another beginning after the end", |records| records.push(records[0].clone())),
        ("a masked vector exchanged", |records| {
            let Some(Record::Summed(commitment)) = records.get_mut(5) else { panic!() };
            commitment.participants[0].masked = commitment.total;
        }),
        ("another end", |records| {
            let Some(Record::Closed(outcome)) = records.last_mut() else { panic!() };
            outcome.state = Digest::of(&[]);
        }),
    ] {
        let mut records = played.records.clone();
        alter(&mut records);
        assert!(followed(&records).is_err(), "{what}");
    }
    let text = serde_json::to_string(&played.records).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Record>>(&text).unwrap(), played.records);
}

#[test]
fn training_survives_a_party_that_goes_at_any_step() {
    for step in ["ready", "advert", "shares", "masked", "confirm", "unmask", "vote"] {
        let mut seen = 0;
        let played = played(averaging(), parties(4), |name, message| {
            let is_it = name == "bob" && step_of(message) == step;
            seen += usize::from(is_it);
            if is_it && (seen == 3 || step == "ready") { Fate::Gone } else { Fate::Arrives }
        });
        assert_eq!(played.outcome.end, End::Complete, "{step}: {:?}", played.refused);
        assert_eq!((&played.outcome.gone, played.outcome.rounds), (&vec!["bob".to_owned()], 6), "{step}");
        assert!(quality(&played.state) > 0.45, "{step}: {}", quality(&played.state));
    }
}

#[test]
fn a_slow_party_misses_a_sum_and_is_dropped_only_when_it_stays_slow() {
    for step in ["advert", "shares", "masked", "confirm", "unmask", "vote"] {
        let mut seen = 0;
        let once = played(averaging(), parties(4), |name, message| {
            let is_it = name == "cyd" && step_of(message) == step;
            seen += usize::from(is_it);
            if is_it && seen == 2 { Fate::Late } else { Fate::Arrives }
        });
        assert_eq!((&once.outcome.end, once.outcome.parties.len()), (&End::Complete, 4), "{step}");
        let always = played(averaging(), parties(4), |name, message| {
            if name == "cyd" && step_of(message) == step { Fate::Late } else { Fate::Arrives }
        });
        assert_eq!((&always.outcome.end, always.outcome.parties.len()), (&End::Complete, 3), "{step}");
    }
}

#[test]
fn a_party_that_sends_rubbish_is_dropped_by_name() {
    let rubbish = |message: &mut ToCoordinator| match message {
        ToCoordinator::Ready { terms } => *terms = Digest::of(&[b"others"]),
        ToCoordinator::Advert { advert, .. } => advert.signature.0[0] ^= 1,
        ToCoordinator::Shares { sealed, .. } => sealed.truncate(1),
        ToCoordinator::Masked { values, .. } => values.push(1),
        ToCoordinator::Unmask { seeds, .. } => seeds.iter_mut().for_each(|share| share.name = "zoe".into()),
        ToCoordinator::Vote { signature, .. } => *signature = Blob(vec![]),
        _ => {}
    };
    for step in ["ready", "advert", "shares", "masked", "unmask", "vote"] {
        let mut seen = 0;
        let played = played(averaging(), parties(4), |name, message| {
            if name == "dan" && step_of(message) == step {
                seen += 1;
                if seen == 2 || step == "ready" {
                    rubbish(message);
                }
            }
            Fate::Arrives
        });
        assert_eq!(played.outcome.end, End::Complete, "{step}: {:?}", played.refused);
        assert_eq!(played.outcome.gone, ["dan"], "{step}");
        let gone = |record: &&Record| matches!(record, Record::Gone { party, .. } if party == "dan");
        assert_eq!(played.records.iter().filter(gone).count(), 1, "{step}");
    }
}

#[test]
fn a_party_whose_shares_cannot_be_opened_is_dropped_by_name() {
    let played = played(private(3.0), parties(4), |name, message| {
        if let ("bob", ToCoordinator::Shares { sum: 3, sealed, .. }) = (name, message) {
            sealed.iter_mut().for_each(|sealed| sealed.bytes.0[5] ^= 1);
        }
        Fate::Arrives
    });
    assert_eq!((&played.outcome.end, &played.outcome.gone), (&End::Complete, &vec!["bob".to_owned()]));
    // Nothing was opened, so nothing was given away.
    assert_eq!(played.outcome.opened, 31);
}

#[test]
fn a_party_that_gives_wrong_shares_is_found_when_others_are_missing() {
    // Of four, three must last: with all there, the wrong shares are passed over. With one late in each sum they are needed.
    let played = played(private(3.0), parties(5), |name, message| {
        if let ("bob", ToCoordinator::Unmask { seeds, .. }) = (name, &mut *message) {
            seeds.iter_mut().for_each(|share| share.share.0[5] ^= 1);
        }
        match message {
            ToCoordinator::Unmask { sum: 2, .. } if name == "cyd" => Fate::Late,
            ToCoordinator::Unmask { sum: 3, .. } if name == "dan" => Fate::Late,
            _ => Fate::Arrives,
        }
    });
    assert_eq!(played.outcome.end, End::Complete, "{:?}", played.refused);
    let failed = |record: &&Record| matches!(record, Record::Failed { .. });
    assert_eq!(played.records.iter().filter(failed).count(), 2);
}

/// A party that gives its honest vector times a factor, and always votes for the outcome.
struct Poison(Bank, f64);

impl Work for Poison {
    fn contribution(&mut self, terms: &Terms, schema: &Schema, state: &State, purpose: Purpose) -> Vec<f64> {
        let honest = self.0.contribution(terms, schema, state, purpose);
        match (purpose, &terms.method) {
            (Purpose::Statistics, _) => honest,
            // The party's weight, last, stays as it is: a strange one would be noticed at once.
            (_, Method::Averaging { .. }) => {
                let last = honest.len() - 1;
                honest.iter().enumerate().map(|(at, v)| if at == last { *v } else { v * self.1 }).collect()
            }
            _ => honest.iter().map(|value| value * self.1).collect(),
        }
    }

    fn compare(&mut self, _: &Terms, _: &Schema, _: &State, _: &State) -> Comparison {
        Comparison { before: 1.0, rise: -1.0, units: 1000 }
    }
}

fn poisoned(factor: f64) -> BTreeMap<String, Party> {
    let mut parties = parties(4);
    parties.insert("bob".into(), party("bob", Box::new(Poison(bank(1), factor))));
    parties
}

#[test]
fn a_poisoned_party_is_found_left_out_and_does_no_harm() {
    for (what, terms, factor) in [
        ("sign flipped, 100 times", averaging(), -100.0),
        ("sign flipped, 10 times", averaging(), -10.0),
        ("sign flipped, 100 times, with noise", private(3.0), -100.0),
    ] {
        let without: BTreeMap<_, _> = parties(4).into_iter().filter(|(name, _)| name != "bob").collect();
        let without = played(terms.clone(), without, |_, _| Fate::Arrives);
        let played = played(terms, poisoned(factor), |_, _| Fate::Arrives);
        assert_eq!(played.outcome.end, End::Complete, "{what}: {:?}", played.refused);
        assert_eq!(played.outcome.suspended, ["bob"], "{what}");
        let (with, without) = (quality(&played.state), quality(&without.state));
        assert!(with > without - 0.03, "{what}: {with} for {without}");
    }
}

#[test]
fn where_nobody_may_be_left_out_a_poisoned_party_stops_the_training_and_no_more() {
    let terms = Terms { leave_out: false, ..averaging() };
    let played = played(terms, poisoned(-100.0), |_, _| Fate::Arrives);
    assert!(matches!(&played.outcome.end, End::Stopped(why) if why.contains("spoiled")));
    assert_eq!((played.outcome.rounds, played.outcome.suspended.len()), (0, 0));
}

/// A coordinator that means no good does not care who signs.
struct Credulous;

impl Notary for Credulous {
    fn name(&self) -> &str {
        "coordinator"
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("it never signs".into())
    }

    fn verify(&self, _: &str, _: &[Vec<u8>], _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Signed trainings of parties that notice what a coordinator does to them.
fn signed(terms: Terms, meddle: impl Fn(&str, &mut ToParty) + Copy) -> BTreeMap<String, String> {
    let mut parties: BTreeMap<String, Party> = (0..4)
        .map(|at| {
            let entropy = Box::new(SeededEntropy::new(at as u64));
            let notary = Box::new(Keys::of(NAMES[at]));
            let party = Party::new(schema(), Limits::default(), notary, entropy, Box::new(bank(at)));
            (NAMES[at].to_owned(), party)
        })
        .collect();
    let names: BTreeSet<String> = parties.keys().cloned().collect();
    let (mut coordinator, mut step) = Coordinator::new(terms, schema(), names, Box::new(Credulous));
    let mut refused = BTreeMap::new();
    while coordinator.outcome().is_none() {
        for (name, mut message) in std::mem::take(&mut step.send) {
            meddle(&name, &mut message);
            match parties.get_mut(&name).map(|party| party.handle(message)) {
                Some(Ok(Reply::Send(answer))) => coordinator.receive(&name, *answer).unwrap(),
                Some(Err(refusal)) => {
                    refused.insert(name.clone(), refusal.to_string());
                    parties.remove(&name);
                    coordinator.lost(&name, "refused");
                }
                _ => {}
            }
        }
        step = coordinator.advance();
    }
    refused
}

#[test]
fn a_coordinator_that_lies_is_refused() {
    type Meddle = fn(&str, &mut ToParty);
    let honest: Meddle = |_, _| {};
    assert_eq!(signed(averaging(), honest), BTreeMap::new());
    let cases: [(&str, &[&str], &str, Meddle); 8] = [
        ("another state for one party", &["ada"], "neither the one before", |name, message| {
            if let ("ada", ToParty::Begin { state, sum: 3, .. }) = (name, message) {
                state.weights[0].0 += 1.0;
            }
        }),
        ("another state for all but one", &["ada"], "keys of bob: wrong signature", |name, message| {
            if let ("bob" | "cyd" | "dan", ToParty::Begin { sum: 1, purpose, state, .. }) = (name, message) {
                (*purpose, *state) = (Purpose::Round(1), made_up());
            }
        }),
        ("a sum that is another", &["ada"], "another sum", |name, message| {
            if let ("ada", ToParty::Result { values, .. }) = (name, message) {
                values[0] += 1;
            }
        }),
        ("another effect of the sum", &["ada"], "another state", |name, message| {
            if let ("ada", ToParty::Result { commitment, .. }) = (name, message) {
                commitment.candidate = Some(commitment.state);
            }
        }),
        ("another chain of commitments", &["ada"], "does not follow", |name, message| {
            if let ("ada", ToParty::Result { commitment, .. }) = (name, message)
                && commitment.sum == 3
            {
                commitment.previous = None;
            }
        }),
        ("votes that were not cast", &["ada"], "no majority", |name, message| {
            if let ("ada", ToParty::Begin { decided: Some(decided), .. }) = (name, message) {
                decided.votes.truncate(1);
            }
        }),
        ("votes that were turned round", &["ada"], "not signed", |name, message| {
            if let ("ada", ToParty::Begin { decided: Some(decided), .. }) = (name, message) {
                decided.votes.iter_mut().for_each(|vote| vote.accept = !vote.accept);
            }
        }),
        ("a sum again", &["ada"], "an old sum", |name, message| {
            if let ("ada", ToParty::Begin { sum, .. }) = (name, message)
                && *sum == 2
            {
                *sum = 1;
            }
        }),
    ];
    for (what, who, because, meddle) in cases {
        let refused = signed(averaging(), meddle);
        for name in who {
            let why = refused.get(*name).unwrap_or_else(|| panic!("{what}: {refused:?}"));
            assert!(why.contains(because), "{what}: {why}");
        }
    }
}

/// A state that fits the schema and that no sum has given.
fn made_up() -> State {
    let sum: Vec<u64> = fixed::encode(&[0.0, 50.0, 0.0, 0.0, 50.0, 0.0, 0.0, 50.0, 0.0, 5.0, 100.0]);
    State::default().after(&averaging(), &schema(), Purpose::Statistics, 4, &sum).unwrap().0
}

/// A party that is never content.
struct Grumbler(Bank);

impl Work for Grumbler {
    fn contribution(&mut self, terms: &Terms, schema: &Schema, state: &State, purpose: Purpose) -> Vec<f64> {
        self.0.contribution(terms, schema, state, purpose)
    }

    fn compare(&mut self, _: &Terms, _: &Schema, _: &State, _: &State) -> Comparison {
        Comparison { before: 1.0, rise: 1e9, units: 1000 }
    }
}

#[test]
fn without_noise_no_party_is_summed_away() {
    // Sum 2 of all four is rolled back; sum 3 is over three of them, from the same weights: the difference is the fourth's.
    let refused = |terms: Terms| {
        let grumblers =
            (0..4).map(|at| (NAMES[at].to_owned(), party(NAMES[at], Box::new(Grumbler(bank(at))))));
        played(terms, grumblers.collect(), |name, message| match message {
            ToCoordinator::Advert { sum: 3, .. } if name == "dan" => Fate::Late,
            _ => Fate::Arrives,
        })
        .refused
    };
    let without_noise = refused(Terms { leave_out: false, ..averaging() });
    for name in &NAMES[..3] {
        assert!(without_noise[*name].contains("there is no noise"), "{without_noise:?}");
    }
    assert_eq!(refused(private(2.0)), BTreeMap::new());
}

#[test]
fn a_party_agrees_to_nothing_else_than_it_was_told_to() {
    let refused = |limits: Limits, terms: Terms| {
        let notary = Box::new(Simulated("ada".into()));
        let mut party =
            Party::new(schema(), limits, notary, Box::new(SeededEntropy::new(1)), Box::new(bank(0)));
        party.handle(ToParty::Welcome { terms: Box::new(terms) }).map(|_| ()).map_err(|r| r.to_string())
    };
    let none = Limits::default;
    assert_eq!(refused(none(), averaging()), Ok(()));
    for (limits, terms, because) in [
        (none(), Terms { schema: Digest::of(&[]), ..averaging() }, "schema"),
        (none(), Terms { protocol: 2, ..averaging() }, "protocol 2"),
        (Limits { parties_min: 4, ..none() }, averaging(), "3 parties are enough"),
        (Limits { epsilon_max: Some(1.0), ..none() }, averaging(), "no noise"),
        (Limits { epsilon_max: Some(1.0), ..none() }, private(2.0), "epsilon 2 where 1"),
    ] {
        let why = refused(limits, terms).unwrap_err();
        assert!(why.contains(because), "{why}");
    }
}
