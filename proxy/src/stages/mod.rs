//! The request's journey, one file or folder a stage, in the order in which a request meets them.

pub mod admission;
pub mod normalize;
pub mod identity;
pub mod limits;
pub mod inspection;
pub mod transfer;
pub mod upstream;
pub mod respond;
