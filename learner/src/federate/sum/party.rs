//! A party's side of one sum.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretBox};

use super::super::entropy::Entropy;
use super::super::mask::{KeyPair, Secret, add_mask};
use super::super::shamir::{Share, split};
use super::super::terms::threshold;
use super::super::wire::{Advert, Blob, Bytes, Digest, Named, NamedShare};
use super::super::{Notary, PARTIES_MAX, Refusal};
use super::{is_sized, keys_message, survivors_message};

/// What a party remembers of a sum; each step takes it to the next, and no step can be done twice.
pub(in super::super) struct SumParty {
    context: Digest,
    parties_min: usize,
    advert: Advert,
    share_keys: KeyPair,
    mask_keys: KeyPair,
    step: Step,
}

enum Step {
    Advertised,
    Shared(Shared),
    Masked(Shared),
    Confirmed(Shared, BTreeSet<String>),
    Over,
}

/// What is known once everybody's keys are.
struct Shared {
    /// Everybody in the sum, with their places, from 1.
    peers: BTreeMap<String, (u8, Advert)>,
    threshold: usize,
    seed: Secret,
    own_shares: Pair,
    /// Shares of the parties that sent some; without what could not be opened.
    held: BTreeMap<String, Pair>,
    /// Who sent shares: the parties whose masks are in our vector.
    sharing: BTreeSet<String>,
}

/// This party's shares of another's two secrets.
struct Pair {
    key: [u8; 32],
    seed: [u8; 32],
}

impl SumParty {
    /// Makes the keys of a sum. `context` says which sum it is, under which terms, from which state.
    pub(in super::super) fn new(
        context: Digest,
        parties_min: usize,
        notary: &dyn Notary,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Refusal> {
        let (share_keys, mask_keys) = (KeyPair::generate(entropy)?, KeyPair::generate(entropy)?);
        let mut advert = Advert {
            name: notary.name().to_owned(),
            certificates: notary.certificates().into_iter().map(Blob).collect(),
            share_key: share_keys.public,
            mask_key: mask_keys.public,
            signature: Blob(Vec::new()),
        };
        advert.signature = Blob(notary.sign(&keys_message(&context, &advert)).map_err(Refusal::Signing)?);
        Ok(Self { context, parties_min, advert, share_keys, mask_keys, step: Step::Advertised })
    }

    pub(in super::super) fn advert(&self) -> &Advert {
        &self.advert
    }

    /// Parties in the sum, once they are known.
    pub(in super::super) fn parties(&self) -> usize {
        match &self.step {
            Step::Shared(shared) | Step::Masked(shared) | Step::Confirmed(shared, _) => shared.peers.len(),
            Step::Advertised | Step::Over => 0,
        }
    }

    /// Whose certificates stand behind the sum.
    pub(in super::super) fn certificates(&self) -> BTreeMap<String, Vec<Vec<u8>>> {
        match &self.step {
            Step::Shared(shared) | Step::Masked(shared) | Step::Confirmed(shared, _) => {
                let chain = |advert: &Advert| advert.certificates.iter().map(|c| c.0.clone()).collect();
                shared.peers.iter().map(|(name, (_, advert))| (name.clone(), chain(advert))).collect()
            }
            Step::Advertised | Step::Over => BTreeMap::new(),
        }
    }

    /// Step 2: everybody's keys are checked against their certificates; answers the seed's digest and the sealed shares.
    pub(in super::super) fn roster(
        &mut self,
        adverts: Vec<Advert>,
        notary: &dyn Notary,
        entropy: &mut dyn Entropy,
    ) -> Result<(Digest, Vec<Named>), Refusal> {
        let Step::Advertised = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(Refusal::OutOfTurn("the roster"));
        };
        let peers = self.checked(adverts, notary)?;
        let threshold = threshold(peers.len());
        let mut seed = [0; 32];
        entropy.fill(&mut seed)?;
        let key_shares = split(self.mask_keys.secret.expose_secret(), threshold, peers.len(), entropy)?;
        let seed_shares = split(&seed, threshold, peers.len(), entropy)?;
        let mut own_shares = None;
        let mut sealed = Vec::new();
        let pairs = key_shares.iter().zip(&seed_shares);
        for ((name, (_, peer)), (Share { bytes: key, .. }, Share { bytes: seed, .. })) in
            peers.iter().zip(pairs)
        {
            if *name == self.advert.name {
                own_shares = Some(Pair { key: *key, seed: *seed });
                continue;
            }
            let plain = [key.as_slice(), seed.as_slice()].concat();
            let bytes = Blob(self.share_keys.seal(peer.share_key, &self.context, &plain)?);
            sealed.push(Named { name: name.clone(), bytes });
        }
        let own_shares = own_shares.ok_or(Refusal::Roster("this party is not in it".to_owned()))?;
        let digest = Digest::of(&[&seed]);
        let seed = SecretBox::new(Box::new(seed));
        let (held, sharing) = (BTreeMap::new(), BTreeSet::new());
        self.step = Step::Shared(Shared { peers, threshold, seed, own_shares, held, sharing });
        Ok((digest, sealed))
    }

    fn checked(
        &self,
        adverts: Vec<Advert>,
        notary: &dyn Notary,
    ) -> Result<BTreeMap<String, (u8, Advert)>, Refusal> {
        let refuse = |why: String| Err(Refusal::Roster(why));
        let least = self.parties_min;
        if !(least..=PARTIES_MAX).contains(&adverts.len()) {
            return refuse(format!("{} parties, not {least} to {PARTIES_MAX}", adverts.len()));
        }
        if !adverts.is_sorted_by(|a, b| a.name < b.name) {
            return refuse("it is not in the order of names, or has one twice".to_owned());
        }
        // Two parties with one key would have one mask, and take it off each other.
        let keys = adverts.iter().flat_map(|advert| [advert.share_key, advert.mask_key]);
        if keys.collect::<BTreeSet<_>>().len() != 2 * adverts.len() {
            return refuse("it has a key twice".to_owned());
        }
        for advert in &adverts {
            if !is_sized(advert) {
                return refuse("certificates of more bytes than any need".to_owned());
            }
            if advert.name == self.advert.name {
                if *advert != self.advert {
                    return refuse("it has other keys for this party".to_owned());
                }
                continue;
            }
            let chain: Vec<Vec<u8>> = advert.certificates.iter().map(|c| c.0.clone()).collect();
            let message = keys_message(&self.context, advert);
            notary
                .verify(&advert.name, &chain, &message, &advert.signature.0)
                .map_err(|why| Refusal::Roster(format!("keys of {}: {why}", advert.name)))?;
        }
        let places = adverts.into_iter().zip(1..=PARTIES_MAX as u8);
        Ok(places.map(|(advert, place)| (advert.name.clone(), (place, advert))).collect())
    }

    /// Step 3: opens the shares, and masks `values` for all who sent some. Answers also whose shares it could not open.
    pub(in super::super) fn masked(
        &mut self,
        sealed: Vec<Named>,
        mut values: Vec<u64>,
    ) -> Result<(Vec<u64>, Vec<String>), Refusal> {
        let Step::Shared(mut shared) = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(Refusal::OutOfTurn("shares"));
        };
        let own = self.advert.name.clone();
        shared.sharing.insert(own.clone());
        for Named { name, bytes } in sealed {
            let Some((_, peer)) = shared.peers.get(&name).filter(|_| name != own) else {
                return Err(Refusal::Survivors(format!("shares of {name}, who is not in the sum")));
            };
            let opened = self.share_keys.open(peer.share_key, &self.context, &bytes.0);
            if let Some((key, seed)) =
                opened.ok().as_deref().and_then(|plain| plain.split_first_chunk::<32>())
                && let Ok(seed) = seed.try_into()
            {
                shared.held.insert(name.clone(), Pair { key: *key, seed });
            }
            // A party whose shares are no good is masked for all the same: who lied is not for one party to say.
            shared.sharing.insert(name);
        }
        if shared.sharing.len() < shared.threshold {
            return Err(Refusal::Survivors(format!("{} parties sent shares", shared.sharing.len())));
        }
        add_mask(&mut values, *shared.seed.expose_secret(), true)?;
        for name in shared.sharing.iter().filter(|name| **name != own) {
            if let Some((_, peer)) = shared.peers.get(name) {
                let seed = self.mask_keys.mask_seed(peer.mask_key, &self.context)?;
                add_mask(&mut values, seed, own < *name)?;
            }
        }
        let is_open = |name: &&String| **name == own || shared.held.contains_key(*name);
        let unopened = shared.sharing.iter().filter(|name| !is_open(name)).cloned().collect();
        self.step = Step::Masked(shared);
        Ok((values, unopened))
    }

    /// Step 4: signs whose vectors came.
    pub(in super::super) fn survivors(
        &mut self,
        names: Vec<String>,
        notary: &dyn Notary,
    ) -> Result<Blob, Refusal> {
        let Step::Masked(shared) = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(Refusal::OutOfTurn("survivors"));
        };
        let refuse = |why: String| Err(Refusal::Survivors(why));
        if !names.is_sorted_by(|a, b| a < b) {
            return refuse("they are not in order".to_owned());
        }
        let survivors: BTreeSet<String> = names.into_iter().collect();
        if !survivors.is_subset(&shared.sharing) || !survivors.contains(&self.advert.name) {
            return refuse("they are not those who sent shares".to_owned());
        }
        if survivors.len() < shared.threshold {
            return refuse(format!("{} parties, {} are needed", survivors.len(), shared.threshold));
        }
        let list: Vec<&str> = survivors.iter().map(String::as_str).collect();
        let signature = notary.sign(&survivors_message(&self.context, &list)).map_err(Refusal::Signing)?;
        self.step = Step::Confirmed(shared, survivors);
        Ok(Blob(signature))
    }

    /// Who is in the sum that the next step opens.
    pub(in super::super) fn confirmed(&self) -> Option<&BTreeSet<String>> {
        match &self.step {
            Step::Confirmed(_, survivors) => Some(survivors),
            _ => None,
        }
    }

    /// Step 5: gives away shares of the seeds of those who are in the sum, and of the keys of those who are not.
    pub(in super::super) fn unmask(
        &mut self,
        confirmations: Vec<Named>,
        notary: &dyn Notary,
    ) -> Result<(Vec<NamedShare>, Vec<NamedShare>), Refusal> {
        let Step::Confirmed(shared, survivors) = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(Refusal::OutOfTurn("confirmations"));
        };
        let list: Vec<&str> = survivors.iter().map(String::as_str).collect();
        let message = survivors_message(&self.context, &list);
        let mut confirmed = BTreeSet::from([self.advert.name.clone()]);
        for Named { name, bytes } in confirmations {
            let Some((_, peer)) = shared.peers.get(&name).filter(|_| survivors.contains(&name)) else {
                continue;
            };
            let chain: Vec<Vec<u8>> = peer.certificates.iter().map(|c| c.0.clone()).collect();
            if name != self.advert.name && notary.verify(&name, &chain, &message, &bytes.0).is_ok() {
                confirmed.insert(name);
            }
        }
        if confirmed.len() < shared.threshold {
            let (some, needed) = (confirmed.len(), shared.threshold);
            return Err(Refusal::Survivors(format!("{some} parties confirm them, {needed} are needed")));
        }
        let share = |name: &String, bytes: [u8; 32]| NamedShare { name: name.clone(), share: Bytes(bytes) };
        let mut seeds = vec![share(&self.advert.name, shared.own_shares.seed)];
        let mut keys = Vec::new();
        for (name, pair) in &shared.held {
            if survivors.contains(name) {
                seeds.push(share(name, pair.seed));
            } else {
                keys.push(share(name, pair.key));
            }
        }
        Ok((seeds, keys))
    }
}
