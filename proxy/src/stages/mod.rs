//! The request's journey, one file or folder a stage, in the order in which a request meets them.
