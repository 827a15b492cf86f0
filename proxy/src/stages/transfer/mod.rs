//! Transfers: what the body asks for, what is known of the customer, and how likely it is fraud.

mod linking;
mod mapping;
mod repeats;
mod score;

pub use linking::{Authorisation, Linking, authorised};
pub use mapping::{AmountUnit, BodyFormat, TransferMapping, intent};
pub use repeats::{Claim, First, Repeat, Repeats};
pub use score::{Assessment, Customers, assess};
