//! What coordinator and parties say to each other. Every message is JSON, read strictly; bytes are hexadecimal, and
//! numbers with a fraction are text, as only that comes back bit by bit from every JSON reader.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::coordinator::{Decision, Outcome};
use super::terms::{Purpose, Terms};
use super::{commitment::Commitment, state::State};
use crate::artifact::hex;

/// A fixed number of bytes: a digest, a public key, a session's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// SHA-256.
pub type Digest = Bytes<32>;

impl Digest {
    /// SHA-256 over parts, each with its length before it, so that no two lists of parts have the same bytes.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Over a value as JSON. All values of the protocol are written in one way only.
    pub fn of_json(value: &impl Serialize) -> Self {
        // None of the protocol's types can fail to become JSON; if one did, all would agree on no value.
        Self::of(&[&serde_json::to_vec(value).unwrap_or_default()])
    }

    /// Over a vector of sums.
    pub fn of_values(values: &[u64]) -> Self {
        let mut hash = Sha256::new();
        values.iter().for_each(|value| hash.update(value.to_be_bytes()));
        Self(hash.finalize().into())
    }
}

impl<const N: usize> std::fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl<const N: usize> std::fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = from_hex(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| D::Error::custom("not bytes of that length in hexadecimal"))
    }
}

/// Bytes of any length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_hex(&text).map(Self).ok_or_else(|| D::Error::custom("not bytes in hexadecimal"))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// A finite number, written as the shortest text that reads back as the same bits.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
pub struct Real(pub f64);

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?.parse::<f64>().map_err(D::Error::custom)?;
        if value.is_finite() { Ok(Self(value)) } else { Err(D::Error::custom("not a finite number")) }
    }
}

/// A party's keys for one sum, bound to its certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advert {
    /// The party's name, as its certificate has it.
    pub name: String,
    /// Its certificate and the intermediate ones, DER.
    pub certificates: Vec<Blob>,
    /// X25519 key with which its shares are sealed.
    pub share_key: Bytes<32>,
    /// X25519 key from which pairwise masks come.
    pub mask_key: Bytes<32>,
    /// Over both keys and the context of the sum, by the certificate's key.
    pub signature: Blob,
}

/// Something from or for a party: a sealed pair of shares, or a signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Whom it is for on the way to the coordinator, whom it is from on the way back.
    pub name: String,
    /// What.
    pub bytes: Blob,
}

/// A share of one party's secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedShare {
    /// Whose secret.
    pub name: String,
    /// The share; its place is the sender's place in the roster.
    pub share: Bytes<32>,
}

/// From the coordinator.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToParty {
    /// What training will be; the party answers `Ready`.
    Welcome {
        /// The terms.
        terms: Box<Terms>,
    },
    /// A sum begins; the party answers `Advert`.
    Begin {
        /// Number of the sum in the session, from 1.
        sum: u32,
        /// What is summed.
        purpose: Purpose,
        /// The shared state that it starts from.
        state: State,
        /// How the sum before ended.
        decided: Option<Decision>,
    },
    /// Everybody's keys; the party answers `Shares`.
    Roster {
        /// The sum.
        sum: u32,
        /// By name.
        adverts: Vec<Advert>,
    },
    /// Shares sealed for this party; it answers `Masked`.
    Shares {
        /// The sum.
        sum: u32,
        /// By sender.
        sealed: Vec<Named>,
    },
    /// Whose masked vectors came; the party answers `Confirm`.
    Survivors {
        /// The sum.
        sum: u32,
        /// By name.
        names: Vec<String>,
    },
    /// Who confirmed them; the party answers `Unmask`.
    Confirmations {
        /// The sum.
        sum: u32,
        /// By party.
        confirmations: Vec<Named>,
    },
    /// The sum; the party answers `Vote`.
    Result {
        /// What the coordinator has put on record.
        commitment: Box<Commitment>,
        /// The sum, fixed point modulo 2^64.
        values: Vec<u64>,
    },
    /// Training is over.
    Finished {
        /// How it went.
        outcome: Box<Outcome>,
        /// The last state that was accepted.
        state: State,
        /// How the last sum that was opened ended.
        decided: Option<Decision>,
    },
    /// The coordinator does not go on with this party.
    Refused {
        /// Why.
        reason: String,
    },
}

/// From a party.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToCoordinator {
    /// First word.
    Hello {
        /// [`super::PROTOCOL`].
        protocol: u32,
        /// Digest of the party's schema.
        schema: Digest,
        /// Names of its features, for the message when the schema is another.
        features: Vec<String>,
    },
    /// Answers `Welcome`.
    Ready {
        /// Digest of the terms.
        terms: Digest,
    },
    /// Answers `Begin`.
    Advert {
        /// The sum.
        sum: u32,
        /// Keys.
        advert: Box<Advert>,
    },
    /// Answers `Roster`.
    Shares {
        /// The sum.
        sum: u32,
        /// SHA-256 of the seed of the party's self mask.
        seed: Digest,
        /// Shares of its secrets, by recipient.
        sealed: Vec<Named>,
    },
    /// Answers `Shares`.
    Masked {
        /// The sum.
        sum: u32,
        /// The party's vector under its masks.
        values: Vec<u64>,
        /// Whose shares it could not open.
        unopened: Vec<String>,
    },
    /// Answers `Survivors`.
    Confirm {
        /// The sum.
        sum: u32,
        /// Over the names of the survivors.
        signature: Blob,
    },
    /// Answers `Confirmations`.
    Unmask {
        /// The sum.
        sum: u32,
        /// Shares of survivors' seeds.
        seeds: Vec<NamedShare>,
        /// Shares of the mask keys of those who dropped out.
        keys: Vec<NamedShare>,
    },
    /// Answers `Result`.
    Vote {
        /// The sum.
        sum: u32,
        /// Whether the new state is taken.
        accept: bool,
        /// Over the commitment and the vote.
        signature: Blob,
    },
    /// The party does not go on.
    Refuse {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_bit_by_bit() {
        for value in [0.1, -1.0 / 3.0, f64::MIN_POSITIVE, 1e300, 5e-324, 123_456_789.123_456_79, -0.0] {
            let text = serde_json::to_string(&Real(value)).unwrap();
            let back: Real = serde_json::from_str(&text).unwrap();
            assert_eq!(back.0.to_bits(), value.to_bits(), "{text}");
        }
        let digest = Digest::of(&[b"a", b"bc"]);
        assert_ne!(digest, Digest::of(&[b"ab", b"c"]));
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
    }

    #[test]
    fn what_is_not_exactly_a_message_is_none() {
        for text in [
            r#"{"ready":{"terms":"00"}}"#,
            r#"{"masked":{"sum":1,"values":[-1],"unopened":[]}}"#,
            r#"{"masked":{"sum":1,"values":[1.5],"unopened":[]}}"#,
            r#"{"masked":{"sum":1,"values":[],"unopened":[],"more":1}}"#,
            r#"{"confirm":{"sum":1,"signature":"0g"}}"#,
            r#"{"confirm":{"sum":1,"signature":"abc"}}"#,
            r#"{"else":{}}"#,
            "",
        ] {
            assert!(serde_json::from_str::<ToCoordinator>(text).is_err(), "{text}");
        }
        for text in [r#""NaN""#, r#""inf""#, "1.5", r#""""#] {
            assert!(serde_json::from_str::<Real>(text).is_err(), "{text}");
        }
    }
}
