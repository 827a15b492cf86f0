//! The directory of people who may log in: customers and staff of the demo bank.
//!
//! A person is known by an immutable username that is never given to anybody else; it is the `sub` of every token.
//! Passwords are kept as argon2id hashes only. Hashing costs tens of milliseconds and 19 MiB on purpose:
//! [`Directory::register`] and [`Directory::authenticate`] block; [`Directory::register_in_turn`] and
//! [`Directory::authenticate_in_turn`] wait for one of a few threads that may.

mod desk;
mod password;
mod username;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use desk::Busy;
use desk::Desk;
use password::Hasher;
pub use username::{InvalidUsername, PersonId};

/// Longest full name, in bytes.
pub const FULL_NAME_BYTES_MAX: usize = 80;
/// Shortest password, in bytes (NIST SP 800-63B, section 5.1.1.2).
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Longest password, in bytes: an unbounded one would let a stranger buy hashing time.
pub const PASSWORD_BYTES_MAX: usize = 128;
/// The password of every demo login.
pub const DEMO_PASSWORD: &str = "gatehouse-demo";
/// The second factor of every demo login; the page shows it.
pub const DEMO_SECOND_FACTOR: &str = "000000";

/// Hashes made at once for people who register, and for people who log in: neither crowd keeps the other waiting.
const HASHES_AT_ONCE: usize = 2;
/// People who may wait to be registered: about a second's work.
const REGISTRATIONS_WAITING_MAX: usize = 30;
/// People who may wait for their password to be checked: a few seconds' work.
const LOG_INS_WAITING_MAX: usize = 100;

/// Who the demo starts with: username, full name, roles (none for customers).
const DEMO_PEOPLE: [(&str, &str, &[&str]); 7] = [
    ("alice", "Alice Archer", &[]),
    ("bob", "Bob Baker", &[]),
    ("carol", "Carol Carter", &[]),
    ("mallory", "Mallory Miller", &[]),
    ("olivia", "Olivia Owen", &["operator", "viewer"]),
    ("ana", "Ana Abbott", &["analyst", "viewer"]),
    ("petra", "Petra Page", &["approver", "viewer"]),
];

/// Somebody the directory knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The immutable username; the `sub` of every token.
    pub username: String,
    /// The name shown on pages, at most [`FULL_NAME_BYTES_MAX`] bytes.
    pub full_name: String,
    /// Staff roles (`viewer`, `analyst`, `operator`, `approver`); empty for customers.
    pub roles: Vec<String>,
}

impl Person {
    /// Whether this person works for the bank.
    pub fn is_staff(&self) -> bool {
        !self.roles.is_empty()
    }
}

/// What somebody enters to register as a customer.
pub struct NewPerson {
    /// Wanted username, `[a-z][a-z0-9_-]{2,31}`.
    pub username: String,
    /// Chosen password, [`PASSWORD_BYTES_MIN`] to [`PASSWORD_BYTES_MAX`] bytes.
    pub password: SecretString,
    /// Name shown on pages, 1 to [`FULL_NAME_BYTES_MAX`] bytes without control characters.
    pub full_name: String,
}

/// Why somebody could not be registered.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// The username has another form than `[a-z][a-z0-9_-]{2,31}`.
    #[error(transparent)]
    Username(#[from] InvalidUsername),
    /// Somebody has the username already.
    #[error("this username is taken")]
    Taken,
    /// The password is too short or too long.
    #[error("a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} characters")]
    Password,
    /// The full name is empty, too long or holds control characters.
    #[error("a name has 1 to {FULL_NAME_BYTES_MAX} characters and no control characters")]
    FullName,
    /// Too many people register at this moment.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The store failed; nothing was registered for certain.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// The directory itself failed.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The store could not be read or written.
    #[error("the directory's store failed")]
    Store(#[from] sled::Error),
    /// A stored entry cannot be read.
    #[error("an entry of the directory is damaged")]
    Damaged(#[from] serde_json::Error),
    /// A password could not be hashed.
    #[error("the password could not be hashed")]
    Hash,
}

/// The directory of people, kept in the store's tree `people`. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    people: sled::Tree,
    hasher: Hasher,
    registrations: Desk,
    log_ins: Desk,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    full_name: String,
    roles: Vec<String>,
    password_hash: String,
    registered_ms: i64,
}

impl Directory {
    /// Opens the directory in `db`.
    ///
    /// # Errors
    /// When the store does not open or no decoy hash can be made.
    pub fn open(db: &sled::Db) -> Result<Self, DirectoryError> {
        Ok(Self {
            people: db.open_tree("people")?,
            hasher: Hasher::new()?,
            registrations: Desk::new(HASHES_AT_ONCE, REGISTRATIONS_WAITING_MAX),
            log_ins: Desk::new(HASHES_AT_ONCE, LOG_INS_WAITING_MAX),
        })
    }

    /// Registers a customer. Once this returns `Ok`, the entry survives a crash.
    ///
    /// # Errors
    /// See [`RegisterError`]; whatever it is, nobody's entry was changed.
    pub fn register(&self, new: NewPerson, now_ms: i64) -> Result<PersonId, RegisterError> {
        self.enter(new, &[], now_ms)
    }

    /// [`Directory::register`], a few at once and a few more waiting.
    ///
    /// # Errors
    /// As there, and [`RegisterError::Busy`] when all places are taken.
    pub async fn register_in_turn(&self, new: NewPerson, now_ms: i64) -> Result<PersonId, RegisterError> {
        let directory = self.clone();
        self.registrations.serve(move || directory.register(new, now_ms)).await?
    }

    /// [`Directory::authenticate`], a few at once and a few more waiting.
    ///
    /// # Errors
    /// [`Busy`] when all places are taken; the password was not looked at then.
    pub async fn authenticate_in_turn(
        &self,
        username: String,
        password: SecretString,
    ) -> Result<Option<Person>, Busy> {
        let directory = self.clone();
        self.log_ins.serve(move || directory.authenticate(&username, &password)).await
    }

    /// Everything for which this person could not be registered now, in the order of [`NewPerson`]'s fields.
    pub fn faults(&self, new: &NewPerson) -> Vec<RegisterError> {
        let username = match PersonId::parse(&new.username) {
            Err(invalid) => Some(RegisterError::Username(invalid)),
            Ok(_) => self.get(&new.username).map(|_| RegisterError::Taken),
        };
        let password = (!password::length_is_valid(&new.password)).then_some(RegisterError::Password);
        let full_name = (!full_name_is_valid(&new.full_name)).then_some(RegisterError::FullName);
        [username, password, full_name].into_iter().flatten().collect()
    }

    /// The person with this username, if the password is theirs. An unknown username costs as much time as a wrong password.
    pub fn authenticate(&self, username: &str, password: &SecretString) -> Option<Person> {
        let entry = self.entry(username);
        let matches = self.hasher.verify(entry.as_ref().map(|found| found.password_hash.as_str()), password);
        entry.filter(|_| matches).map(|found| found.into_person(username))
    }

    /// The person with this username.
    pub fn get(&self, username: &str) -> Option<Person> {
        self.entry(username).map(|found| found.into_person(username))
    }

    /// Registers the demo's customers and staff; those already there stay as they are.
    ///
    /// # Errors
    /// When the store fails.
    pub fn seed_demo(&self, now_ms: i64) -> Result<(), RegisterError> {
        for (username, full_name, roles) in DEMO_PEOPLE {
            if self.get(username).is_some() {
                continue;
            }
            let new = NewPerson {
                username: username.to_owned(),
                password: SecretString::from(DEMO_PASSWORD),
                full_name: full_name.to_owned(),
            };
            match self.enter(new, roles, now_ms) {
                Ok(_) | Err(RegisterError::Taken) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn enter(&self, new: NewPerson, roles: &[&str], now_ms: i64) -> Result<PersonId, RegisterError> {
        if let Some(fault) = self.faults(&new).into_iter().next() {
            return Err(fault);
        }
        let id = PersonId::parse(&new.username)?;
        let entry = Entry {
            full_name: new.full_name.trim().to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            password_hash: self.hasher.hash(&new.password)?,
            registered_ms: now_ms,
        };
        let bytes = serde_json::to_vec(&entry).map_err(DirectoryError::from)?;
        // Compare-and-swap, so that of two simultaneous registrations exactly one gets the name.
        self.people
            .compare_and_swap(id.as_str(), None::<&[u8]>, Some(bytes))
            .map_err(DirectoryError::from)?
            .map_err(|_| RegisterError::Taken)?;
        self.people.flush().map_err(DirectoryError::from)?;
        Ok(id)
    }

    fn entry(&self, username: &str) -> Option<Entry> {
        let id = PersonId::parse(username).ok()?;
        match self.read(&id) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(%error, "the directory of people cannot be read");
                None
            }
        }
    }

    fn read(&self, id: &PersonId) -> Result<Option<Entry>, DirectoryError> {
        match self.people.get(id.as_str())? {
            Some(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            None => Ok(None),
        }
    }
}

impl Entry {
    fn into_person(self, username: &str) -> Person {
        Person { username: username.to_owned(), full_name: self.full_name, roles: self.roles }
    }
}

fn full_name_is_valid(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= FULL_NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
