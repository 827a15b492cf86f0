use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use proptest::prelude::*;

use super::super::entropy::{Entropy, SeededEntropy};
use super::super::wire::{Blob, Bytes, Named, ToParty};
use super::super::{Fault, Notary, Refusal};
use super::*;

/// Keys without an authority: a certificate is a name and its public key, and everybody knows which are right.
pub(crate) struct Keys {
    name: String,
    pair: Ed25519KeyPair,
}

impl Keys {
    pub(crate) fn of(name: &str) -> Self {
        let mut seed = [0; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(slot, byte)| *slot = byte);
        Self { name: name.to_owned(), pair: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap() }
    }
}

impl Notary for Keys {
    fn name(&self) -> &str {
        &self.name
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        vec![self.pair.public_key().as_ref().to_vec()]
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }

    fn verify(&self, name: &str, chain: &[Vec<u8>], message: &[u8], signature: &[u8]) -> Result<(), String> {
        let known = Self::of(name).certificates();
        if chain != known {
            return Err(format!("not the certificate of {name}"));
        }
        let key = UnparsedPublicKey::new(&ED25519, known.first().unwrap());
        key.verify(message, signature).map_err(|_| "wrong signature".to_owned())
    }
}

const NAMES: [&str; 5] = ["ada", "bob", "cyd", "dan", "eve"];

/// Parties in the middle of a sum, and a coordinator that may be asked to lie.
struct Room {
    context: Digest,
    entropy: SeededEntropy,
    parties: BTreeMap<String, SumParty>,
    coordinator: SumCoordinator,
}

impl Room {
    fn of(count: usize, length: usize, seed: u64) -> Self {
        let context = Digest::of(&[b"sum"]);
        let mut entropy = SeededEntropy::new(seed);
        let names: BTreeSet<String> = NAMES[..count].iter().map(|name| (*name).to_owned()).collect();
        let mut party = |name: &String| {
            let party = SumParty::new(context, 3, &Keys::of(name), &mut entropy).unwrap();
            (name.clone(), party)
        };
        let parties = names.iter().map(&mut party).collect();
        let coordinator = SumCoordinator::new(1, context, length, 3, names);
        Self { context, entropy, parties, coordinator }
    }

    fn take(&mut self, name: &str, answer: Answer) -> Result<(), Fault> {
        self.coordinator.receive(name, answer, &Keys::of("coordinator"))
    }

    fn answer(&mut self, name: &str, message: ToParty, values: &[u64]) -> Result<Answer, Refusal> {
        let keys = Keys::of(name);
        let party = self.parties.get_mut(name).unwrap();
        match message {
            ToParty::Roster { adverts, .. } => {
                let (seed, sealed) = party.roster(adverts, &keys, &mut self.entropy)?;
                Ok(Answer::Shares(seed, sealed))
            }
            ToParty::Shares { sealed, .. } => party
                .masked(sealed, values.to_vec())
                .map(|(values, unopened)| Answer::Masked(values, unopened)),
            ToParty::Survivors { names, .. } => party.survivors(names, &keys).map(Answer::Confirm),
            ToParty::Confirmations { confirmations, .. } => {
                party.unmask(confirmations, &keys).map(|(seeds, keys)| Answer::Unmask(seeds, keys))
            }
            other => panic!("not of a sum: {other:?}"),
        }
    }

    /// Runs to the end; who is away in a step (0 to 4) does not answer in it or later.
    fn run(
        &mut self,
        values: &BTreeMap<String, Vec<u64>>,
        away: impl Fn(usize, &str) -> bool,
    ) -> Result<SumResult, SumFailure> {
        for name in self.parties.keys().cloned().collect::<Vec<_>>() {
            if !away(0, &name) {
                let advert = Box::new(self.parties[&name].advert().clone());
                self.take(&name, Answer::Advert(advert)).unwrap();
            }
        }
        for step in 1.. {
            let messages = match self.coordinator.advance()? {
                Next::Done(result) => return Ok(result),
                Next::Send(messages) => messages,
            };
            for (name, message) in messages {
                if !(0..=step).any(|step| away(step, &name)) {
                    let answer = self.answer(&name, message, &values[&name]).unwrap();
                    self.take(&name, answer).unwrap();
                }
            }
        }
        unreachable!()
    }

    /// Messages of the coordinator up to a step, all answered.
    fn up_to(&mut self, step: usize, values: &BTreeMap<String, Vec<u64>>) -> BTreeMap<String, ToParty> {
        for name in self.parties.keys().cloned().collect::<Vec<_>>() {
            let advert = Box::new(self.parties[&name].advert().clone());
            self.take(&name, Answer::Advert(advert)).unwrap();
        }
        for now in 1.. {
            let Ok(Next::Send(messages)) = self.coordinator.advance() else { panic!("no step {step}") };
            if now == step {
                return messages.into_iter().collect();
            }
            for (name, message) in messages {
                let answer = self.answer(&name, message, &values[&name]).unwrap();
                self.take(&name, answer).unwrap();
            }
        }
        unreachable!()
    }
}

fn vectors(count: usize, length: usize, seed: u64) -> BTreeMap<String, Vec<u64>> {
    let mut entropy = SeededEntropy::new(seed);
    let mut value = || {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    NAMES[..count].iter().map(|name| ((*name).to_owned(), (0..length).map(|_| value()).collect())).collect()
}

fn added<'a>(of: impl Iterator<Item = &'a Vec<u64>>, length: usize) -> Vec<u64> {
    of.fold(vec![0; length], |sum, v| sum.iter().zip(v).map(|(a, b)| a.wrapping_add(*b)).collect())
}

#[test]
fn whoever_drops_out_in_whichever_step_the_sum_is_of_those_who_sent_theirs() {
    // Of five, four must last.
    for step in 0..=5 {
        for name in &NAMES {
            let values = vectors(5, 3, 7);
            let mut room = Room::of(5, 3, 1);
            let result = room.run(&values, |at, who| at == step && who == *name).unwrap();
            // Who drops out before step 3 has sent no vector.
            let is_in = |who: &str| who != *name || step >= 3;
            let expected = added(values.iter().filter(|(who, _)| is_in(who)).map(|(_, v)| v), 3);
            assert_eq!(result.values, expected, "{name} in step {step}");
            assert_eq!(result.participants.len(), if step >= 3 { 5 } else { 4 });
            // One that sent no keys was in no roster.
            assert_eq!(result.dropped.len(), usize::from(step == 1 || step == 2));
        }
    }
}

#[test]
fn too_few_give_no_sum() {
    for step in 0..=4 {
        let values = vectors(5, 2, 7);
        let failure = Room::of(5, 2, 1).run(&values, |at, who| at == step && who > "bob").err();
        // Without the keys of three nothing begins; later four of five must last.
        let (parties, needed) = if step == 0 { (2, 3) } else { (5, 4) };
        assert_eq!(failure, Some(SumFailure::TooFew { parties, found: 2, needed }), "step {step}");
    }
}

#[test]
fn what_the_coordinator_sees_says_nothing_about_a_vector() {
    // The same masks over other vectors: what is sent differs by just that, so any vector fits what was sent.
    let masked = |values: &BTreeMap<String, Vec<u64>>| {
        let mut room = Room::of(3, 64, 1);
        let messages = room.up_to(2, values);
        let message = messages["ada"].clone();
        let Ok(Answer::Masked(masked, _)) = room.answer("ada", message, &values["ada"]) else { panic!() };
        masked
    };
    let zeros = NAMES.map(|name| (name.to_owned(), vec![0; 64])).into_iter().collect();
    let sent = masked(&zeros);
    let ones = sent.iter().map(|v| v.count_ones()).sum::<u32>();
    assert!((1850..2250).contains(&ones), "{ones} of 4096 bits");
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), 64);
}

#[test]
fn nobody_gives_both_shares_of_one_party() {
    let values = vectors(4, 2, 7);
    let names = |some: &[&str]| some.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut room = Room::of(4, 2, 1);
    room.up_to(3, &values);

    // The coordinator tells Ada that Dan is in, and the others that he is not.
    let sum = 1;
    let all = ToParty::Survivors { sum, names: names(&NAMES[..4]) };
    let three = ToParty::Survivors { sum, names: names(&NAMES[..3]) };
    let confirm = |room: &mut Room, name: &str, message: &ToParty| {
        let Answer::Confirm(bytes) = room.answer(name, message.clone(), &[])? else { panic!() };
        Ok::<_, Refusal>(Named { name: name.to_owned(), bytes })
    };
    let ada = confirm(&mut room, "ada", &all).unwrap();
    let bob = confirm(&mut room, "bob", &three).unwrap();
    let cyd = confirm(&mut room, "cyd", &three).unwrap();
    // A party that has signed one list signs no other.
    assert_eq!(confirm(&mut room, "ada", &three).err(), Some(Refusal::OutOfTurn("survivors")));

    // Two confirmations of the same are not three.
    let confirmations = ToParty::Confirmations { sum, confirmations: vec![ada, bob, cyd] };
    let refused = room.answer("bob", confirmations, &[]).err();
    assert!(matches!(refused, Some(Refusal::Survivors(why)) if why.starts_with("2 parties confirm")));
}

#[test]
fn shares_are_of_the_seed_or_of_the_key() {
    let values = vectors(4, 2, 7);
    let mut room = Room::of(4, 2, 1);
    // Dan's vector is late.
    let result = room.run(&values, |step, who| step == 2 && who == "dan");
    assert!(result.is_ok());
    let mut room = Room::of(4, 2, 1);
    room.up_to(3, &values);
    let three = NAMES[..3].iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut confirmations = Vec::new();
    for name in &three {
        let message = ToParty::Survivors { sum: 1, names: three.clone() };
        let Ok(Answer::Confirm(bytes)) = room.answer(name, message, &[]) else { panic!() };
        confirmations.push(Named { name: name.clone(), bytes });
    }
    let message = ToParty::Confirmations { sum: 1, confirmations };
    let Ok(Answer::Unmask(seeds, keys)) = room.answer("ada", message.clone(), &[]) else { panic!() };
    assert_eq!(seeds.iter().map(|share| share.name.as_str()).collect::<Vec<_>>(), NAMES[..3]);
    assert_eq!(keys.iter().map(|share| share.name.as_str()).collect::<Vec<_>>(), ["dan"]);
    assert_eq!(room.answer("ada", message, &[]).err(), Some(Refusal::OutOfTurn("confirmations")));
}

#[test]
fn keys_that_are_not_the_parties_own_are_refused() {
    let values = vectors(4, 2, 7);
    let refused = |change: &dyn Fn(&mut Vec<Advert>)| {
        let mut room = Room::of(4, 2, 1);
        let mut messages = room.up_to(1, &values);
        let Some(ToParty::Roster { sum, mut adverts }) = messages.remove("ada") else { panic!() };
        change(&mut adverts);
        match room.answer("ada", ToParty::Roster { sum, adverts }, &[]) {
            Err(Refusal::Roster(why)) => why,
            other => panic!("{:?}", other.map(|_| "shares")),
        }
    };
    let other_key = Bytes([9; 32]);
    // The coordinator's own key in the place of Bob's.
    assert!(refused(&|adverts| adverts[1].share_key = other_key).contains("keys of bob: wrong signature"));
    assert!(refused(&|adverts| adverts[1].mask_key = other_key).contains("keys of bob"));
    // Signed, but with a certificate that is not Bob's.
    let why = refused(&|adverts| {
        let mallory = Keys::of("mallory");
        adverts[1].mask_key = other_key;
        adverts[1].certificates = mallory.certificates().into_iter().map(Blob).collect();
        let message = keys_message(&Digest::of(&[b"sum"]), &adverts[1]);
        adverts[1].signature = Blob(mallory.sign(&message).unwrap());
    });
    assert!(why.contains("not the certificate of bob"), "{why}");
    // Bob's keys of another sum.
    let why = refused(&|adverts| {
        let message = keys_message(&Digest::of(&[b"another sum"]), &adverts[1]);
        adverts[1].signature = Blob(Keys::of("bob").sign(&message).unwrap());
    });
    assert!(why.contains("wrong signature"), "{why}");
    // Bob's own signature, over a key that Cyd has as well, or with more certificates than anybody needs.
    let by_bob = |adverts: &mut Vec<Advert>| {
        let message = keys_message(&Digest::of(&[b"sum"]), &adverts[1]);
        adverts[1].signature = Blob(Keys::of("bob").sign(&message).unwrap());
    };
    let why = refused(&|adverts| {
        adverts[1].mask_key = adverts[2].mask_key;
        by_bob(adverts);
    });
    assert!(why.contains("a key twice"), "{why}");
    let why = refused(&|adverts| adverts[1].certificates = vec![Blob(vec![]); 9]);
    assert!(why.contains("more bytes"), "{why}");
    assert!(refused(&|adverts| adverts[0].mask_key = other_key).contains("other keys for this party"));
    assert!(refused(&|adverts| drop(adverts.remove(0))).contains("not in it"));
    assert!(refused(&|adverts| adverts.truncate(2)).contains("2 parties"));
    assert!(refused(&|adverts| adverts.swap(0, 1)).contains("order"));
    assert!(refused(&|adverts| adverts[2] = adverts[1].clone()).contains("twice"));
}

#[test]
fn survivors_that_cannot_be_are_refused() {
    let values = vectors(5, 2, 7);
    let refused = |names: &[&str]| {
        let mut room = Room::of(5, 2, 1);
        room.up_to(3, &values);
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let answer = room.answer("ada", ToParty::Survivors { sum: 1, names }, &[]);
        assert!(matches!(answer, Err(Refusal::Survivors(_))), "{:?}", answer.map(|_| "signed"));
    };
    refused(&NAMES[..3]);
    refused(&NAMES[1..]);
    refused(&["ada", "bob", "cyd", "zoe"]);
    refused(&["bob", "ada", "cyd", "dan"]);
    refused(&["ada", "ada", "bob", "cyd"]);
}

#[test]
fn a_party_that_seals_rubbish_spoils_the_sum_and_does_not_alter_it() {
    let values = vectors(4, 2, 7);
    let mut room = Room::of(4, 2, 1);
    let messages = room.up_to(1, &values);
    for (name, message) in messages {
        let Ok(Answer::Shares(seed, mut sealed)) = room.answer(&name, message, &[]) else { panic!() };
        if name == "bob" {
            sealed.iter_mut().for_each(|sealed| sealed.bytes.0[0] ^= 1);
        }
        room.take(&name, Answer::Shares(seed, sealed)).unwrap();
    }
    let failure = loop {
        match room.coordinator.advance() {
            Ok(Next::Send(messages)) => {
                for (name, message) in messages {
                    let answer = room.answer(&name, message, &values[&name]).unwrap();
                    room.take(&name, answer).unwrap();
                }
            }
            Ok(Next::Done(_)) => panic!("a sum"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure, SumFailure::Sealed { party: "bob".into() });
}

#[test]
fn answers_that_cannot_be_are_faults_of_their_sender() {
    let values = vectors(4, 2, 7);
    let mut room = Room::of(4, 2, 1);
    let messages = room.up_to(2, &values);
    assert_eq!(
        room.take("bob", Answer::Masked(vec![0; 3], vec![])),
        Err(Fault::Length { expected: 2, found: 3 })
    );
    // Late and doubled answers are passed over.
    room.take("bob", Answer::Masked(vec![0; 3], vec![])).unwrap();
    room.take("ada", Answer::Confirm(Blob(vec![]))).unwrap();
    drop(messages);
    // Nobody can have failed to open the shares of a stranger, or its own.
    for (name, unopened) in [("ada", "zoe"), ("cyd", "cyd")] {
        let masked = Answer::Masked(vec![0; 2], vec![unopened.to_owned()]);
        assert_eq!(room.take(name, masked), Err(Fault::Shares), "{unopened}");
    }

    let mut room = Room::of(4, 2, 1);
    let advert = Box::new(room.parties["bob"].advert().clone());
    assert_eq!(room.take("ada", Answer::Advert(advert.clone())), Err(Fault::Name("bob".into())));
    let mut unsigned = advert;
    unsigned.signature.0[0] ^= 1;
    assert!(matches!(room.take("bob", Answer::Advert(unsigned)), Err(Fault::Signature(_))));

    let mut room = Room::of(4, 2, 1);
    let mut messages = room.up_to(1, &values);
    assert_eq!(room.take("bob", Answer::Shares(room.context, vec![])), Err(Fault::Shares));
    let message = messages.remove("ada").unwrap();
    let Ok(Answer::Shares(seed, mut sealed)) = room.answer("ada", message, &[]) else { panic!() };
    sealed[0].bytes.0.push(0);
    assert_eq!(room.take("ada", Answer::Shares(seed, sealed)), Err(Fault::Shares), "a byte too many");
}

#[test]
fn no_party_makes_a_roster_too_large_or_takes_anothers_key() {
    let advert = |name: &str, change: &dyn Fn(&mut Advert)| {
        let mut room = Room::of(4, 2, 1);
        let ada = Box::new(room.parties["ada"].advert().clone());
        room.take("ada", Answer::Advert(ada)).unwrap();
        let mut advert = room.parties[name].advert().clone();
        change(&mut advert);
        advert.signature = match advert.signature {
            long if long.0.len() > 64 => long,
            _ => Blob(Keys::of(name).sign(&keys_message(&room.context, &advert)).unwrap()),
        };
        room.take(name, Answer::Advert(Box::new(advert)))
    };
    let ada = Room::of(4, 2, 1).parties["ada"].advert().clone();
    let size = |what| Err(Fault::Size(what));
    assert_eq!(advert("bob", &|_| ()), Ok(()));
    assert_eq!(advert("bob", &|bob| bob.certificates = vec![Blob(vec![0; 33 << 10])]), size("certificates"));
    assert_eq!(advert("bob", &|bob| bob.certificates = vec![Blob(vec![]); 9]), size("certificates"));
    assert_eq!(advert("bob", &|bob| bob.signature = Blob(vec![0; 1101])), size("certificates"));
    assert_eq!(advert("bob", &|bob| bob.mask_key = ada.mask_key), Err(Fault::Key));
    assert_eq!(advert("bob", &|bob| bob.share_key = bob.mask_key), Err(Fault::Key));
}

#[test]
fn a_wrong_share_is_passed_over() {
    // Of five, four must last: one lies about every share, the other four suffice.
    let values = vectors(5, 2, 7);
    let mut room = Room::of(5, 2, 1);
    let messages = room.up_to(4, &values);
    for (name, message) in messages {
        let Ok(Answer::Unmask(mut seeds, keys)) = room.answer(&name, message, &[]) else { panic!() };
        if name == "ada" {
            seeds.iter_mut().for_each(|share| share.share = Bytes([7; 32]));
        }
        room.take(&name, Answer::Unmask(seeds, keys)).unwrap();
    }
    let Ok(Next::Done(result)) = room.coordinator.advance() else { panic!("no sum") };
    assert_eq!(result.values, added(values.values(), 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn masks_cancel(seed in any::<u64>(), count in 3usize..=5, length in 0usize..40) {
        let values = vectors(count, length, seed ^ 1);
        let result = Room::of(count, length, seed).run(&values, |_, _| false).ok().unwrap();
        prop_assert_eq!(result.values, added(values.values(), length));
    }
}
