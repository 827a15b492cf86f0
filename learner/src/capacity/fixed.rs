//! The static controller: what the operator configured, whatever happens.

use super::allocation::Allocation;
use super::controller::{Controller, Explanation};
use super::observation::Observation;

/// Always the same allocation.
#[derive(Clone, Copy, Debug)]
pub struct Static(pub Allocation);

impl Controller for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn tick(&mut self, _seen: &Observation) -> Allocation {
        self.0
    }

    fn explain(&self) -> Explanation {
        Explanation {
            state: "not looked at".to_owned(),
            action: format!("limit {:.0}", self.0.limit),
            reason: "the operator configured this limit".to_owned(),
            ..Explanation::default()
        }
    }
}
