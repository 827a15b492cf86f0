//! The request's journey, one file or folder a stage, in the order in which a request meets them.

pub mod admission;
pub mod forwarded;
pub mod identity;
pub mod inspection;
pub mod limits;
pub mod normalize;
pub mod respond;
pub mod transfer;
pub mod upstream;
