//! The controllers that can be compared, by name.

use super::compare::Contender;
use super::engine::{Control, PlaneMode};
use super::scenario::Episode;
use crate::capacity::config::{CONTROLLERS, CapacityConfig, ControllerKind};
use crate::capacity::control_loop::ControlLoop;
use crate::capacity::q_learning::Artifact;

/// Names that a comparison knows beside the configurable controllers: nobody at all, and somebody who knows the
/// capacity at every moment.
pub const REFERENCES: [&str; 2] = ["none", "oracle"];

/// Every name that [`contender`] knows.
pub fn contender_names() -> impl Iterator<Item = &'static str> {
    REFERENCES.into_iter().chain(CONTROLLERS)
}

/// The contender of that name, made for each episode by the very code that makes the proxy's controllers.
///
/// `table` is what the learner starts with. `None` when there is no such name.
#[must_use]
pub fn contender<'a>(name: &str, plane: PlaneMode, table: Option<&'a Artifact>) -> Option<Contender<'a>> {
    let make: Box<dyn Fn(&Episode) -> Control + Sync + 'a> = match name {
        "none" => Box::new(|_| Control::None),
        "oracle" => Box::new(|_| Control::Oracle),
        _ => {
            let controller = ControllerKind::from_name(name)?;
            Box::new(move |episode| {
                let limit = episode.guess();
                let config =
                    CapacityConfig { controller, limit, seed: episode.seed, ..CapacityConfig::default() };
                let made = config.controller(table.cloned());
                Control::Loop(Box::new(ControlLoop::new(made, config.rails, config.initial())))
            })
        }
    };
    Some(Contender { name: name.to_owned(), plane, make })
}
