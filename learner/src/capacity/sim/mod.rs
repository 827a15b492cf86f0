//! The simulator: a seeded, discrete-event model of customers, attackers, the gateway's admission and an
//! upstream, in which controllers are compared and trained. Virtual time costs no wall clock.
//!
//! The admission decision is the very [`Plane`](super::plane::Plane) of the proxy, the measurements its
//! [`Meter`](super::meter::Meter), the control loop its [`ControlLoop`](super::control_loop::ControlLoop).

mod clients;
mod compare;
mod engine;
mod figures;
mod random;
mod scenario;
mod upstream;

pub use compare::{Contender, Row, compare};
pub use engine::{Control, PlaneMode, Run, run};
pub use figures::{Figures, KindFigures};
pub use scenario::{Episode, Family, Kind, Scenario, ScenarioError, load_scenarios};

#[cfg(test)]
mod tests;
