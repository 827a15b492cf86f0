//! The life of the fraud model in the gateway: vectors are recorded, labels come in, a challenger is trained beside the
//! traffic, scores in shadow, and is promoted by two people; drift is watched, and a rollback is one call.
//!
//! [`Lifecycle`] has the parts together. What is computed is in [`learner::lifecycle`]; here is what is kept and done.
//!
//! | where | what |
//! |---|---|
//! | `vectors/` | the log of vectors ([`log`], [`record`]), written by a thread of its own ([`recorder`]) |
//! | `labels.jsonl` | labels ([`labels`]) |
//! | `models/fraud/` | artifacts, cards and the state, signed ([`store`]) |

pub mod labels;
mod life;
pub mod log;
pub mod metrics;
pub mod record;
mod recorder;
pub mod retrain;
mod settings;
mod step_back;
pub mod store;
mod survey;
mod training;
pub mod watch;

pub use life::{Lifecycle, OnLabel, Receipt, Refused, Status};
pub use settings::Settings;
pub use survey::Survey;
pub use training::{Ended, Retraining};

/// The name of the model that has a life here.
pub const FRAUD: &str = "fraud";
