//! This module starts a search through the model.

use std::num::NonZeroUsize;

use stateright::HasDiscoveries;

use super::protocol::QueueModel;
use super::step::QueueStep;
use crate::explored::{Explored, search};

impl QueueModel {
    /// Searches every state until a rule is broken, or all states that this many steps lead to.
    #[must_use]
    pub fn explore(self, steps: Option<NonZeroUsize>) -> Explored<QueueStep> {
        search(self, steps, HasDiscoveries::AnyFailures)
    }

    /// Searches every state until that rule is broken, whatever else is broken.
    #[must_use]
    pub fn find_counterexample(self, rule: &'static str) -> Explored<QueueStep> {
        search(self, None, HasDiscoveries::AnyOf([rule].into()))
    }
}
