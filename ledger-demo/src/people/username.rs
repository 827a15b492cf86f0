//! The one form a username may have.

use std::fmt;

use thiserror::Error;

const LENGTH: std::ops::RangeInclusive<usize> = 3..=32;

/// A checked username: `[a-z][a-z0-9_-]{2,31}`.
///
/// ASCII lower case only, so that no two names look or fold alike; no colon, so that no name can be mistaken for a
/// client's subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonId(String);

/// The username has another form than `[a-z][a-z0-9_-]{2,31}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a username has 3 to 32 of a-z, 0-9, _ and -, and begins with a letter")]
pub struct InvalidUsername;

impl PersonId {
    /// Checks a username.
    ///
    /// # Errors
    /// [`InvalidUsername`] for any other form.
    pub fn parse(username: &str) -> Result<Self, InvalidUsername> {
        let first_fits = username.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        let rest_fits = username.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if first_fits && rest_fits && LENGTH.contains(&username.len()) {
            Ok(Self(username.to_owned()))
        } else {
            Err(InvalidUsername)
        }
    }

    /// The username.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
