//! This module starts a search through the model.

use stateright::HasDiscoveries;

use super::protocol::FenceModel;
use super::step::FenceStep;
use crate::explored::{Explored, search};

impl FenceModel {
    /// Searches every state until a rule is broken.
    #[must_use]
    pub fn explore(self) -> Explored<FenceStep> {
        search(self, None, HasDiscoveries::AnyFailures)
    }

    /// Searches every state until that rule is broken, whatever else is broken.
    #[must_use]
    pub fn find_counterexample(self, rule: &'static str) -> Explored<FenceStep> {
        search(self, None, HasDiscoveries::AnyOf([rule].into()))
    }
}
