//! The API's handlers, one file a subject.

pub(crate) mod audit;
pub(crate) mod capacity;
pub(crate) mod cases;
pub(crate) mod decisions;
pub(crate) mod document;
pub(crate) mod figures;
pub(crate) mod insight;
pub(crate) mod labels;
pub(crate) mod me;
pub(crate) mod models;
pub(crate) mod sessions;
pub(crate) mod stream;
