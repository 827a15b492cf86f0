//! The simulator: a seeded, discrete-event model of customers, attackers, the gateway's admission and an
//! upstream, in which controllers are compared and trained. Virtual time costs no wall clock.
//!
//! The admission decision is the very [`Plane`](super::plane::Plane) of the proxy, the measurements its
//! [`Meter`](super::meter::Meter), the control loop its [`ControlLoop`](super::control_loop::ControlLoop).

// A slot always comes from the world that indexes with it; nothing here serves traffic.
#![allow(clippy::indexing_slicing)]

mod clients;
mod compare;
mod contenders;
mod engine;
mod figures;
mod random;
mod scenario;
mod upstream;

pub use compare::{Contender, Row, compare, mean_and_ci95};
pub use contenders::{REFERENCES, contender, contender_names};
pub use engine::{Control, PlaneMode, Run, run};
pub use figures::{Figures, KindFigures};
pub use scenario::{Episode, Family, Kind, Scenario, ScenarioError, load_scenarios};

#[cfg(test)]
mod tests;
