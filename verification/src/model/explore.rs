//! A search through the model, and what came of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::lease_model::LeaseModel;
use super::step::ModelStep;

/// What a search found.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Transitions that led to them.
    pub transitions: usize,
    /// Steps from the first state to the farthest.
    pub depth: usize,
    /// No state was left out: the search did not end at a depth that it was given.
    pub is_complete: bool,
    /// What was broken, and one of the shortest ways there.
    pub counterexamples: Vec<(&'static str, Vec<ModelStep>)>,
    /// How long it took.
    pub took: Duration,
}

impl LeaseModel {
    /// Searches every state until a rule is broken, or those that so many steps lead to.
    #[must_use]
    pub fn explore(self, steps: Option<NonZeroUsize>) -> Explored {
        self.search(steps, HasDiscoveries::AnyFailures)
    }

    /// Searches every state until that rule is broken, whatever else is.
    #[must_use]
    pub fn find_counterexample(self, rule: &'static str) -> Explored {
        self.search(None, HasDiscoveries::AnyOf([rule].into()))
    }

    fn search(self, steps: Option<NonZeroUsize>, until: HasDiscoveries) -> Explored {
        let begun = Instant::now();
        let checker = self.checker().finish_when(until);
        let checker = match steps {
            // Several threads do not search level by level, and would miss a state that is met on
            // a longer path first. The library counts states, and judges none at the last level.
            Some(steps) => checker.threads(1).target_max_depth(steps.get() + 2),
            None => {
                let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
                checker.threads(threads)
            }
        };
        let checker = checker.spawn_bfs().join();
        let path = |(rule, path): (&'static str, stateright::Path<_, ModelStep>)| {
            (rule, path.into_actions())
        };
        let counterexamples: Vec<_> = checker.discoveries().into_iter().map(path).collect();
        let depth = checker.max_depth().saturating_sub(1);
        Explored {
            states: checker.unique_state_count(),
            transitions: checker.state_count(),
            depth: steps.map_or(depth, |steps| depth.min(steps.get())),
            is_complete: counterexamples.is_empty()
                && steps.is_none_or(|steps| depth <= steps.get()),
            counterexamples,
            took: begun.elapsed(),
        }
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, transitions, depth, took, .. } = self;
        let extent = if self.is_complete { "all there are" } else { "no further" };
        write!(
            f,
            "{states} states, {transitions} transitions, {depth} steps deep ({extent}), {took:.1?}"
        )?;
        for (rule, path) in &self.counterexamples {
            write!(f, "\nbroken: {rule}\n  {path:?}")?;
        }
        Ok(())
    }
}
