//! Keyed hashes that stand for identifiers.

use std::fmt;
use std::net::IpAddr;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::record::Pseudonym;

/// Makes [`Pseudonym`]s: HMAC-SHA-256 under a key that never leaves it, cut to 128 bits. Kinds of identifiers are told
/// apart, so that an account and a subject of the same spelling have different pseudonyms.
#[derive(Clone)]
pub struct Pseudonymizer {
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonymizer(key hidden)")
    }
}

impl Pseudonymizer {
    /// Keyed by 32 random bytes that the installation keeps secret and never changes: with another key, yesterday's
    /// customers are strangers.
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC takes a key of any length (RFC 2104); the padded block is what `new` of `KeyInit` takes infallibly.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        Self { keyed: <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block) }
    }

    /// A customer: issuer and subject together, as a subject alone may mean somebody else elsewhere.
    pub fn subject(&self, issuer: &str, subject: &str) -> Pseudonym {
        self.pseudonym("subject", &[issuer.as_bytes(), subject.as_bytes()])
    }

    /// An account or payee.
    pub fn account(&self, account: &str) -> Pseudonym {
        self.pseudonym("account", &[account.as_bytes()])
    }

    /// A client's address; an IPv4 address mapped into IPv6 is the same address.
    pub fn address(&self, address: IpAddr) -> Pseudonym {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.pseudonym("address", &[&v4.octets()]),
            IpAddr::V6(v6) => self.pseudonym("address", &[&v6.octets()]),
        }
    }

    /// An idempotency key.
    pub fn idempotency_key(&self, key: &str) -> Pseudonym {
        self.pseudonym("idempotency", &[key.as_bytes()])
    }

    /// A request as a whole, by the parts that make it the same request.
    pub fn request(&self, parts: &[&[u8]]) -> Pseudonym {
        self.pseudonym("request", parts)
    }

    /// Which of 10,000 equal shares of the customers `who` is in, for the ramp of `rule`. Another rule cuts the
    /// customers differently, and nobody without the key can tell which side of a ramp they are on.
    pub(crate) fn share(&self, rule: &str, who: &Pseudonym) -> u16 {
        let digest = self.digest("ramp", &[rule.as_bytes(), who.0.as_bytes()]);
        let number = digest.iter().take(8).fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
        u16::try_from(number % 10_000).unwrap_or(0)
    }

    fn pseudonym(&self, kind: &str, parts: &[&[u8]]) -> Pseudonym {
        Pseudonym(hex(self.digest(kind, parts).get(..16).unwrap_or_default()))
    }

    /// Parts are preceded by their length, so that no two lists of parts read the same.
    fn digest(&self, kind: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        mac.update(kind.as_bytes());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_are_stable_keyed_and_tell_kinds_apart() {
        let ours = Pseudonymizer::new(&[7; 32]);
        let theirs = Pseudonymizer::new(&[8; 32]);
        assert_eq!(ours.account("acc-1"), ours.account("acc-1"));
        assert_ne!(ours.account("acc-1"), theirs.account("acc-1"));
        assert_ne!(ours.account("x"), ours.idempotency_key("x"));
        assert_ne!(ours.subject("ab", "c"), ours.subject("a", "bc"), "parts must not run together");
        assert_eq!(ours.account("acc-1").0.len(), 32);
    }

    #[test]
    fn a_mapped_address_is_the_same_address() {
        let p = Pseudonymizer::new(&[7; 32]);
        let (plain, mapped) = ("10.1.2.3".parse().unwrap(), "::ffff:10.1.2.3".parse().unwrap());
        assert_eq!(p.address(plain), p.address(mapped));
    }

    #[test]
    fn the_key_is_never_printed() {
        let text = format!("{:?}", Pseudonymizer::new(&[0xAB; 32]));
        assert!(!text.contains("ab") && !text.contains("171"), "{text}");
    }
}
