//! The admission classes and a table that has exactly one entry for each of them.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// What a request is worth to the bank when there is not room for all of them. Lower is more important.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Class {
    /// Authenticated and about to move money (class 0).
    MoneyMoving = 0,
    /// Authenticated reads (class 1).
    AuthenticatedRead = 1,
    /// Anonymous requests and log-ins (class 2).
    Anonymous = 2,
    /// Judged suspicious by a score, by reputation or by refused attempts (class 3).
    Suspicious = 3,
}

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = 4;
    /// All classes, the most important first: the order of the drain.
    pub const ALL: [Self; Self::COUNT] =
        [Self::MoneyMoving, Self::AuthenticatedRead, Self::Anonymous, Self::Suspicious];

    /// The label used in metrics, records and the console.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MoneyMoving => "money_moving",
            Self::AuthenticatedRead => "authenticated_read",
            Self::Anonymous => "anonymous",
            Self::Suspicious => "suspicious",
        }
    }
}

/// One value for each class; indexing by [`Class`] cannot fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerClass<T>(pub [T; Class::COUNT]);

impl<T> PerClass<T> {
    /// A table filled by asking for every class in order.
    pub fn from_fn(mut value: impl FnMut(Class) -> T) -> Self {
        Self(Class::ALL.map(&mut value))
    }

    /// The entry of `class`.
    #[must_use]
    pub fn get(&self, class: Class) -> &T {
        &self[class]
    }

    /// The entries with their classes, the most important class first.
    pub fn iter(&self) -> impl Iterator<Item = (Class, &T)> {
        Class::ALL.into_iter().zip(self.0.iter())
    }
}

impl<T> Index<Class> for PerClass<T> {
    type Output = T;

    fn index(&self, class: Class) -> &T {
        let [money_moving, authenticated_read, anonymous, suspicious] = &self.0;
        match class {
            Class::MoneyMoving => money_moving,
            Class::AuthenticatedRead => authenticated_read,
            Class::Anonymous => anonymous,
            Class::Suspicious => suspicious,
        }
    }
}

impl<T> IndexMut<Class> for PerClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        let [money_moving, authenticated_read, anonymous, suspicious] = &mut self.0;
        match class {
            Class::MoneyMoving => money_moving,
            Class::AuthenticatedRead => authenticated_read,
            Class::Anonymous => anonymous,
            Class::Suspicious => suspicious,
        }
    }
}
