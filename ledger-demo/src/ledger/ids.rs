//! The names of things, checked once where they come in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest id of an account or customer, in bytes.
pub const ID_BYTES_MAX: usize = 80;
/// Longest id of a transfer, in bytes: its customer, a colon, and an id of the customer's own making.
pub const TRANSFER_ID_BYTES_MAX: usize = 160;

/// A text that cannot be an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing at all.
    #[error("an id must not be empty")]
    Empty,
    /// Longer than the bound.
    #[error("an id is too long")]
    TooLong,
    /// Something else than ASCII letters, digits and `- _ .` (in a transfer's id also `:` and `@`).
    #[error("an id holds a character that ids do not have")]
    Character,
    /// A currency that is not three capital letters.
    #[error("a currency is three capital letters (ISO 4217)")]
    Currency,
}

fn check(text: &str, bytes_max: usize, extra: &[u8]) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > bytes_max {
        return Err(IdError::TooLong);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b) || extra.contains(&b);
    if text.bytes().all(allowed) { Ok(()) } else { Err(IdError::Character) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr, $extra:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it as an id.
            ///
            /// # Errors
            /// [`IdError`] when it is empty, too long or holds a character that ids do not have.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text, $max, $extra)?;
                Ok(Self(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An account, such as `alice-current`: letters, digits, `- _ .`, at most 80 bytes.
    AccountId,
    ID_BYTES_MAX,
    b""
);
text_id!(
    /// A customer: the subject of the identity, which is the immutable username.
    CustomerId,
    ID_BYTES_MAX,
    b""
);
text_id!(
    /// A transfer. Those that a customer starts are `customer:own-id`, so that no customer can take or probe another's ids;
    /// those of the bank's own making begin with `@`, which no customer's name does.
    TransferId,
    TRANSFER_ID_BYTES_MAX,
    b":@"
);

/// An ISO 4217 currency code such as `EUR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");
    /// The United States dollar.
    pub const USD: Self = Self(*b"USD");
    /// The pound sterling.
    pub const GBP: Self = Self(*b"GBP");

    /// Checks `text` and takes it as a currency code.
    ///
    /// # Errors
    /// [`IdError::Currency`] unless it is three capital ASCII letters.
    pub fn new(text: &str) -> Result<Self, IdError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(IdError::Currency),
        }
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only capital ASCII letters get in.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl TryFrom<String> for Currency {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_what_they_should_and_nothing_else() {
        let long = "a".repeat(ID_BYTES_MAX + 1);
        for (text, expected) in [
            ("alice-current", Ok(())),
            ("A.b_c-9", Ok(())),
            ("", Err(IdError::Empty)),
            (long.as_str(), Err(IdError::TooLong)),
            ("alice/../bob", Err(IdError::Character)),
            ("alice:pay", Err(IdError::Character)),
            ("alice\0", Err(IdError::Character)),
            ("älice", Err(IdError::Character)),
        ] {
            assert_eq!(AccountId::new(text).map(|_| ()), expected, "{text:?}");
        }
        assert!(TransferId::new("alice:pay-1").is_ok());
    }

    #[test]
    fn currencies_are_three_capitals() {
        for bad in ["", "EU", "EURO", "eur", "E1R", "ÄR"] {
            assert_eq!(Currency::new(bad), Err(IdError::Currency), "{bad:?}");
        }
        assert_eq!(Currency::new("EUR"), Ok(Currency::EUR));
    }
}
