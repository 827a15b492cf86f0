//! The coordinator's side of one sum.

use std::collections::{BTreeMap, BTreeSet};

use super::super::mask::{KeyPair, add_mask};
use super::super::shamir::{Share, combine_checked};
use super::super::terms::threshold;
use super::super::wire::{Advert, Blob, Bytes, Digest, Named, NamedShare, ToParty};
use super::super::{Fault, Notary, plain};
use super::{SEALED_BYTES, is_short, is_sized, keys_message};

/// A sum under way. Answers are taken as they come; [`SumCoordinator::advance`] goes on with those that did.
pub(in super::super) struct SumCoordinator {
    number: u32,
    context: Digest,
    length: usize,
    parties_min: usize,
    step: Step,
    /// Who has not answered in this step.
    waits_for: BTreeSet<String>,
    /// Everybody in the sum, by name, with their places.
    roster: BTreeMap<String, (u8, Advert)>,
    threshold: usize,
    seeds: BTreeMap<String, Digest>,
    sealed: BTreeMap<String, BTreeMap<String, Blob>>,
    masked: BTreeMap<String, Vec<u64>>,
    /// How many could not open a party's shares.
    unopened: BTreeMap<String, usize>,
    confirmations: Vec<Named>,
    /// Shares by whose secret it is.
    seed_shares: BTreeMap<String, Vec<Share>>,
    key_shares: BTreeMap<String, Vec<Share>>,
    stayed: BTreeSet<String>,
    answered: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Step {
    Adverts,
    Shares,
    Masked,
    Confirmations,
    Unmasking,
}

/// What a party says in a sum.
pub(in super::super) enum Answer {
    Advert(Box<Advert>),
    Shares(Digest, Vec<Named>),
    Masked(Vec<u64>, Vec<String>),
    Confirm(Blob),
    Unmask(Vec<NamedShare>, Vec<NamedShare>),
}

/// Why a sum came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SumFailure {
    /// Too many parties dropped out or were late.
    #[error("{found} of {parties} parties are left, {needed} are needed")]
    TooFew {
        /// Parties that began.
        parties: usize,
        /// Parties left.
        found: usize,
        /// Parties needed.
        needed: usize,
    },
    /// So many could not open a party's shares that its secret is lost; fewer than a third are believed to lie about it.
    #[error("{party} sealed its shares wrongly")]
    Sealed {
        /// The party.
        party: String,
    },
    /// The shares of a party's secret do not fit together: it, or those who hold them, lied.
    #[error("the shares of {party}'s secret do not give it")]
    Shares {
        /// The party.
        party: String,
    },
}

/// A sum.
pub(in super::super) struct SumResult {
    pub(in super::super) values: Vec<u64>,
    /// Whose vectors are in it, with the digests of their masked vectors.
    pub(in super::super) participants: BTreeMap<String, Digest>,
    /// Who began and is not in it.
    pub(in super::super) dropped: Vec<String>,
    /// Who stayed to the last step: only they know that the sum was opened.
    pub(in super::super) stayed: BTreeSet<String>,
}

/// What comes next.
pub(in super::super) enum Next {
    Send(Vec<(String, ToParty)>),
    Done(SumResult),
}

impl SumCoordinator {
    pub(in super::super) fn new(
        number: u32,
        context: Digest,
        length: usize,
        parties_min: usize,
        parties: BTreeSet<String>,
    ) -> Self {
        Self {
            number,
            context,
            length,
            parties_min,
            step: Step::Adverts,
            threshold: 0,
            waits_for: parties,
            roster: BTreeMap::new(),
            seeds: BTreeMap::new(),
            sealed: BTreeMap::new(),
            masked: BTreeMap::new(),
            unopened: BTreeMap::new(),
            confirmations: Vec::new(),
            seed_shares: BTreeMap::new(),
            key_shares: BTreeMap::new(),
            stayed: BTreeSet::new(),
            answered: 0,
        }
    }

    pub(in super::super) fn waits_for(&self) -> &BTreeSet<String> {
        &self.waits_for
    }

    pub(in super::super) fn lost(&mut self, name: &str) {
        self.waits_for.remove(name);
    }

    /// Whether parties were asked for their masked vectors: from then on they count the sum as given away.
    pub(in super::super) fn has_asked_for_vectors(&self) -> bool {
        self.step >= Step::Masked
    }

    /// The certificates of a party in the sum.
    pub(in super::super) fn certificates(&self, name: &str) -> Vec<Vec<u8>> {
        let advert = self.roster.get(name).map(|(_, advert)| advert);
        advert.map(|a| a.certificates.iter().map(|c| c.0.clone()).collect()).unwrap_or_default()
    }

    /// Takes a party's answer. One that comes late, or twice, is passed over.
    pub(in super::super) fn receive(
        &mut self,
        name: &str,
        answer: Answer,
        notary: &dyn Notary,
    ) -> Result<(), Fault> {
        let step = match &answer {
            Answer::Advert(_) => Step::Adverts,
            Answer::Shares(..) => Step::Shares,
            Answer::Masked(..) => Step::Masked,
            Answer::Confirm(_) => Step::Confirmations,
            Answer::Unmask(..) => Step::Unmasking,
        };
        if step != self.step || !self.waits_for.remove(name) {
            return Ok(());
        }
        match answer {
            Answer::Advert(advert) => {
                if advert.name != name {
                    return Err(Fault::Name(plain(&advert.name)));
                }
                if !is_sized(&advert) {
                    return Err(Fault::Size("certificates"));
                }
                let own = [advert.share_key, advert.mask_key];
                let others = self.roster.values().flat_map(|(_, other)| [other.share_key, other.mask_key]);
                if own[0] == own[1] || others.into_iter().any(|key| own.contains(&key)) {
                    return Err(Fault::Key);
                }
                let chain: Vec<Vec<u8>> = advert.certificates.iter().map(|c| c.0.clone()).collect();
                let message = keys_message(&self.context, &advert);
                notary.verify(name, &chain, &message, &advert.signature.0).map_err(Fault::Signature)?;
                self.roster.insert(name.to_owned(), (0, *advert));
            }
            Answer::Shares(seed, sealed) => {
                let others = self.roster.keys().filter(|other| *other != name);
                if !others.eq(sealed.iter().map(|sealed| &sealed.name))
                    || sealed.iter().any(|sealed| sealed.bytes.0.len() != SEALED_BYTES)
                {
                    return Err(Fault::Shares);
                }
                self.seeds.insert(name.to_owned(), seed);
                let sealed = sealed.into_iter().map(|sealed| (sealed.name, sealed.bytes)).collect();
                self.sealed.insert(name.to_owned(), sealed);
            }
            Answer::Masked(values, unopened) => {
                if values.len() != self.length {
                    return Err(Fault::Length { expected: self.length, found: values.len() });
                }
                if !unopened.iter().all(|sender| sender != name && self.seeds.contains_key(sender)) {
                    return Err(Fault::Shares);
                }
                self.masked.insert(name.to_owned(), values);
                for sender in BTreeSet::from_iter(unopened) {
                    *self.unopened.entry(sender).or_default() += 1;
                }
            }
            Answer::Confirm(bytes) => {
                if !is_short(&bytes) {
                    return Err(Fault::Size("a signature"));
                }
                self.confirmations.push(Named { name: name.to_owned(), bytes });
            }
            Answer::Unmask(seeds, keys) => {
                self.keep_shares(name, seeds, keys)?;
                self.stayed.insert(name.to_owned());
            }
        }
        self.answered += 1;
        Ok(())
    }

    fn keep_shares(
        &mut self,
        from: &str,
        seeds: Vec<NamedShare>,
        keys: Vec<NamedShare>,
    ) -> Result<(), Fault> {
        let place = self.roster.get(from).map_or(0, |(place, _)| *place);
        let survived = |name: &str| self.masked.contains_key(name);
        let shared = |name: &str| self.seeds.contains_key(name);
        let right = seeds.iter().all(|share| survived(&share.name))
            && keys.iter().all(|share| shared(&share.name) && !survived(&share.name))
            && seeds.is_sorted_by(|a, b| a.name == from || a.name < b.name)
            && keys.is_sorted_by(|a, b| a.name < b.name);
        if !right {
            return Err(Fault::Shares);
        }
        for (kept, shares) in [(&mut self.seed_shares, seeds), (&mut self.key_shares, keys)] {
            for NamedShare { name, share } in shares {
                kept.entry(name).or_default().push(Share { place, bytes: share.0 });
            }
        }
        Ok(())
    }

    /// Goes on with those who answered.
    pub(in super::super) fn advance(&mut self) -> Result<Next, SumFailure> {
        if self.step == Step::Adverts {
            self.threshold = threshold(self.roster.len());
            if self.roster.len() < self.parties_min {
                let found = self.roster.len();
                return Err(SumFailure::TooFew { parties: found, found, needed: self.parties_min });
            }
        }
        if std::mem::take(&mut self.answered) < self.threshold {
            let found = match self.step {
                Step::Adverts => self.roster.len(),
                Step::Shares => self.seeds.len(),
                Step::Masked => self.masked.len(),
                Step::Confirmations => self.confirmations.len(),
                Step::Unmasking => self.stayed.len(),
            };
            return Err(SumFailure::TooFew { parties: self.roster.len(), found, needed: self.threshold });
        }
        let sum = self.number;
        let messages = match self.step {
            Step::Adverts => {
                self.roster.values_mut().zip(1..).for_each(|((place, _), next)| *place = next);
                let adverts: Vec<Advert> = self.roster.values().map(|(_, advert)| advert.clone()).collect();
                let names = self.roster.keys().cloned().collect();
                self.ask(names, Step::Shares, |_| ToParty::Roster { sum, adverts: adverts.clone() })
            }
            Step::Shares => {
                let sealed = std::mem::take(&mut self.sealed);
                let for_party = |name: &String| {
                    let of = |(from, all): (&String, &BTreeMap<String, Blob>)| {
                        all.get(name).map(|bytes| Named { name: from.clone(), bytes: bytes.clone() })
                    };
                    ToParty::Shares { sum, sealed: sealed.iter().filter_map(of).collect() }
                };
                self.ask(sealed.keys().cloned().collect(), Step::Masked, for_party)
            }
            Step::Masked => {
                let too_many = self.roster.len() - self.threshold;
                if let Some((party, _)) = self.unopened.iter().find(|(_, count)| **count > too_many) {
                    return Err(SumFailure::Sealed { party: party.clone() });
                }
                let names: Vec<String> = self.masked.keys().cloned().collect();
                let all = names.iter().cloned().collect();
                self.ask(all, Step::Confirmations, |_| ToParty::Survivors { sum, names: names.clone() })
            }
            Step::Confirmations => {
                let confirmations = self.confirmations.clone();
                let names = confirmations.iter().map(|confirmation| confirmation.name.clone()).collect();
                self.ask(names, Step::Unmasking, |_| ToParty::Confirmations {
                    sum,
                    confirmations: confirmations.clone(),
                })
            }
            Step::Unmasking => return self.total().map(Next::Done),
        };
        Ok(Next::Send(messages))
    }

    fn ask(
        &mut self,
        names: BTreeSet<String>,
        step: Step,
        message: impl Fn(&String) -> ToParty,
    ) -> Vec<(String, ToParty)> {
        self.step = step;
        let messages = names.iter().map(|name| (name.clone(), message(name))).collect();
        self.waits_for = names;
        messages
    }

    /// Adds the vectors up and takes off the masks.
    fn total(&mut self) -> Result<SumResult, SumFailure> {
        let mut values = vec![0u64; self.length];
        for vector in self.masked.values() {
            values.iter_mut().zip(vector).for_each(|(total, value)| *total = total.wrapping_add(*value));
        }
        let nothing = Vec::new();
        let failed = |party: &String| SumFailure::Shares { party: party.clone() };
        for (name, digest) in self.seeds.iter().filter(|(name, _)| self.masked.contains_key(*name)) {
            let shares = self.seed_shares.get(name).unwrap_or(&nothing);
            let right = |seed: &[u8; 32]| Digest::of(&[seed]) == *digest;
            let seed = combine_checked(shares, self.threshold, right).ok_or_else(|| failed(name))?;
            add_mask(&mut values, seed, false).map_err(|_| failed(name))?;
        }
        let dropped: Vec<&String> =
            self.seeds.keys().filter(|name| !self.masked.contains_key(*name)).collect();
        for name in &dropped {
            self.take_off_masks_with(name, &mut values).ok_or_else(|| failed(name))?;
        }
        let dropped = self.roster.keys().filter(|name| !self.masked.contains_key(*name)).cloned().collect();
        let participants = self.masked.iter().map(|(name, v)| (name.clone(), Digest::of_values(v))).collect();
        Ok(SumResult { values, participants, dropped, stayed: std::mem::take(&mut self.stayed) })
    }

    /// The masks that those in the sum share with one that is not in it.
    fn take_off_masks_with(&self, dropped: &String, values: &mut [u64]) -> Option<()> {
        let public: Bytes<32> = self.roster.get(dropped)?.1.mask_key;
        let right = |key: &[u8; 32]| KeyPair::of(*key).is_ok_and(|pair| pair.public == public);
        let key = combine_checked(self.key_shares.get(dropped)?, self.threshold, right)?;
        let keys = KeyPair::of(key).ok()?;
        for name in self.masked.keys() {
            let seed = keys.mask_seed(self.roster.get(name)?.1.mask_key, &self.context).ok()?;
            // The party added it where its name comes first.
            add_mask(values, seed, name >= dropped).ok()?;
        }
        Some(())
    }
}
