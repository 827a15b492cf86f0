//! Capacity control: what the upstream gets, who gets it, and who decides.
//!
//! * [`plane`] decides about one request: thresholds, floors, queues. The proxy and the simulator share it.
//! * [`meter`] counts what happens and turns it, once a tick, into an [`Observation`].
//! * A [`Controller`] turns the observation into an [`Allocation`]; [`Rails`] confine what it asks for.
//! * [`control_loop`] joins these for one pool and keeps the record of every decision.
//! * [`sim`] is the discrete-event simulator in which controllers are compared and trained.

#![deny(clippy::indexing_slicing)]

pub mod aimd;
pub mod allocation;
pub mod base;
pub mod class;
pub mod config;
pub mod control_loop;
pub mod controller;
pub mod fixed;
pub mod gradient2;
pub mod lanes;
pub mod meter;
pub mod observation;
pub mod plane;
pub mod q_learning;
pub mod record;
pub mod sim;
pub mod train;
pub mod train_report;

pub use allocation::{Allocation, Rails};
pub use class::{Class, PerClass};
pub use config::{CONTROLLERS, CapacityConfig, ControllerKind};
pub use control_loop::ControlLoop;
pub use controller::{ActionValues, Controller, Explanation, Mode};
pub use meter::{Meter, MeterReader, Outcome};
pub use observation::{ClassObservation, Observation};
pub use plane::{FairKey, Offer, Plane, PlaneConfig, ShedReason, Ticket, Wake};
pub use record::{PoolSnapshot, TickRecord};

#[cfg(test)]
mod guard_tests;
