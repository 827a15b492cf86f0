//! One secure sum after Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning", 2017, in
//! its form against a coordinator that does not follow the protocol (sections 4 and 6.2).
//!
//! | step | a party sends | it learns |
//! |---|---|---|
//! | 1 | two keys for this sum, signed by its certificate's key | everybody's keys |
//! | 2 | shares of its mask key and of the seed of its self mask, sealed for each party | others' shares for it |
//! | 3 | its vector, plus a mask with each other party, which cancel, plus its self mask | whose vectors came |
//! | 4 | a signature of whose vectors came | everybody's signatures |
//! | 5 | of those whose vector came, shares of the seed; of the others, shares of the mask key | the sum |
//!
//! A party never gives both kinds of shares of the same party: it makes the two lists itself in step 5, once, from the list
//! that more than two thirds have signed. So the coordinator takes off all masks of the sum, or learns nothing.

mod coordinator;
mod party;

pub use coordinator::SumFailure;
pub(super) use coordinator::{Answer, Next, SumCoordinator, SumResult};
pub(super) use party::SumParty;

use super::wire::{Advert, Blob, Digest};
use super::{CHAIN_MAX, SIGNATURE_BYTES_MAX};

/// Bytes of two sealed shares: 32 each, and the tag of AES-GCM.
const SEALED_BYTES: usize = 2 * 32 + 16;

/// Whether a signature can be one.
pub(super) fn is_short(signature: &Blob) -> bool {
    signature.0.len() <= SIGNATURE_BYTES_MAX
}

/// Whether an advert's certificates and signature are of a size that honest ones have.
fn is_sized(advert: &Advert) -> bool {
    let bytes: usize = advert.certificates.iter().map(|certificate| certificate.0.len()).sum();
    advert.certificates.len() <= CHAIN_MAX.0 && bytes <= CHAIN_MAX.1 && is_short(&advert.signature)
}

/// What a party's signature over its keys says.
fn keys_message(context: &Digest, advert: &Advert) -> Vec<u8> {
    signed("keys", &[&context.0, advert.name.as_bytes(), &advert.share_key.0, &advert.mask_key.0])
}

/// What a party's signature over the survivors says.
fn survivors_message(context: &Digest, names: &[&str]) -> Vec<u8> {
    let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    signed("survivors", &[&context.0, &Digest::of(&names).0])
}

/// What a party's signature over its vote says.
pub(super) fn vote_message(commitment: &Digest, accept: bool) -> Vec<u8> {
    signed("vote", &[&commitment.0, &[u8::from(accept)]])
}

/// In the form that TLS 1.3 gives what it signs (RFC 8446, 4.4.3): 64 spaces, what it is, a zero, a digest. So no signature
/// made here is good in a handshake, and none made there is good here.
fn signed(what: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![b' '; 64];
    message.extend_from_slice(format!("Gatehouse federate, {what}").as_bytes());
    message.push(0);
    message.extend_from_slice(&Digest::of(parts).0);
    message
}

#[cfg(test)]
pub(super) mod tests;
