//! Federated training: banks train one logistic regression without showing each other, or the coordinator, a row or an
//! update.
//!
//! Everything here is pure: messages go in, messages come out. Sockets, certificates, deadlines and the decision log are the
//! caller's. [`Party`] and [`Coordinator`] are the two sides, [`play`] joins them in one process.
//!
//! * [`terms`]: the schema and terms that are agreed before anything is summed.
//! * [`sum`]: one secure sum, of which the coordinator learns nothing but the total; `mask` and `shamir` under it.
//! * [`state`]: what a sum does to the shared state; everybody computes it.
//! * [`bank`]: what a party puts into a sum, from its rows. [`privacy`] says what that gives away.
//! * [`commitment`]: what goes on record of each sum.
//!
//! # What it protects from, and what not
//!
//! The coordinator learns sums over at least `parties_min` parties, and which parties took part. It cannot put itself in the
//! middle of the parties, give them different states, or get both secrets of one party, as long as the certificate authority
//! gives certificates to the agreed banks alone and fewer than a third of a sum's work with it. It can end the training at any
//! time, and say another sum than came: then, or where a party poisons, only bounds of the norm and votes hold the model. A party that poisons can move the model within the norm bound until the others' votes roll it back; what harms less
//! than the votes' tolerance, or only rows that no honest party holds out, goes through.

#![deny(clippy::indexing_slicing)]

pub mod bank;
pub mod commitment;
pub mod coordinator;
mod entropy;
mod fixed;
mod mask;
pub mod model;
pub mod party;
pub mod play;
pub mod privacy;
mod shamir;
pub mod state;
pub mod sum;
pub mod table;
pub mod terms;
pub mod wire;

#[cfg(test)]
mod tests;

pub use bank::{Bank, Comparison, Work};
pub use commitment::{Commitment, Misfit, Record, Trainings};
pub use coordinator::{Coordinator, Decision, End, Outcome, Step};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use model::Model;
pub use party::{Limits, Party};
pub use table::Table;
pub use terms::{Method, Purpose, Schema, Terms};
pub use wire::{ToCoordinator, ToParty};

/// Version of the messages; both sides must have the same.
pub const PROTOCOL: u32 = 1;
/// Fewest parties of a sum: of two, each could take its own part off and have the other's.
pub const PARTIES_MIN: usize = 3;
/// Most parties of a training.
pub const PARTIES_MAX: usize = 64;
/// Longest message either side needs to take, bytes: a roster of all parties with their chains of certificates.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Longest name of a party, bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Most certificates of a party's chain, and their bytes together: a roster of all parties stays well below
/// [`MESSAGE_BYTES_MAX`], so that no party's chain can take the training from the others.
pub const CHAIN_MAX: (usize, usize) = (8, 32 << 10);
/// Longest signature, bytes: RSA of 8192 bits with what says how it was made.
pub const SIGNATURE_BYTES_MAX: usize = 1100;
/// Longest reason of the other side that is kept, shown or logged, characters.
const REASON_CHARS_MAX: usize = 200;

/// What the other side gave as a reason, short and without control characters: it goes to terminals and logs.
pub fn plain(reason: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    reason.chars().take(REASON_CHARS_MAX).map(shown).collect()
}

/// A party's certificate and key, and the authority that all trust: whoever calls knows how they look.
pub trait Notary: Send {
    /// The name in the own certificate.
    fn name(&self) -> &str;
    /// The own certificate and intermediate ones, DER.
    fn certificates(&self) -> Vec<Vec<u8>>;
    /// Signs with the certificate's key.
    ///
    /// # Errors
    /// Why it cannot.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
    /// Checks that the certificate is a party's, is of this name, and made this signature.
    ///
    /// # Errors
    /// What is wrong.
    fn verify(
        &self,
        name: &str,
        certificates: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String>;
}

/// The cryptographic library would not: a bad key, no random bytes, something that was sealed for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a cryptographic operation failed")]
pub struct CryptoError;

/// Why a party does not go on; said to the coordinator and to the operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The coordinator asked for what is not due.
    #[error("{0} out of turn")]
    OutOfTurn(&'static str),
    /// The terms are not what this party agreed to.
    #[error(transparent)]
    Terms(#[from] terms::TermsError),
    /// The state is not the one that was agreed.
    #[error("state: {0}")]
    State(String),
    /// The parties of the sum are not right.
    #[error("roster: {0}")]
    Roster(String),
    /// Those who are said to be left are not.
    #[error("survivors: {0}")]
    Survivors(String),
    /// What the coordinator put on record is not what happened.
    #[error("commitment: {0}")]
    Commitment(String),
    /// One more sum would give away more than was agreed.
    #[error("the agreed privacy loss is used up")]
    Spent,
    /// Without noise, sums over different parties from the same weights would show who is not in both.
    #[error("these weights were summed over other parties already, and there is no noise")]
    Differencing,
    /// The own key would not sign.
    #[error("signing: {0}")]
    Signing(String),
    /// See [`CryptoError`].
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The coordinator said that it does not go on with this party.
    #[error("the coordinator: {0}")]
    Told(String),
}

/// How a party misbehaved so that the coordinator knows it by name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// It advertises keys of somebody else.
    #[error("keys in the name of {0}")]
    Name(String),
    /// Its signature or certificate is wrong.
    #[error("signature: {0}")]
    Signature(String),
    /// Shares for or of the wrong parties, or not of their size.
    #[error("shares of the wrong parties or size")]
    Shares,
    /// Certificates or a signature that are larger than any need to be.
    #[error("{0} of more bytes than any needs")]
    Size(&'static str),
    /// A key that another party has, or twice the same.
    #[error("a key that is in the sum already")]
    Key,
    /// A vector of another length.
    #[error("{found} numbers where {expected} are summed")]
    Length {
        /// Numbers of the sum.
        expected: usize,
        /// Numbers sent.
        found: usize,
    },
    /// It has other terms.
    #[error("it has other terms")]
    Terms,
    /// A message that is not due from anybody.
    #[error("it said what is not due")]
    OutOfTurn,
    /// It would not go on.
    #[error("it refuses: {0}")]
    Refused(String),
}
