//! A search through the model, and what came of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::{Election, Step};

/// What a search found.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps that led to them.
    pub steps: usize,
    /// States on the way from the first to the farthest, both counted.
    pub depth: usize,
    /// No state was left out: the search did not end at a depth that it was given.
    pub whole: bool,
    /// What was broken, and one of the shortest ways there.
    pub counterexamples: Vec<(&'static str, Vec<Step>)>,
    /// How long it took.
    pub took: Duration,
}

impl Election {
    /// Searches every state until a rule is broken, or those up to a depth.
    ///
    /// The depth is counted in states, the first among them, and those at the depth itself are no
    /// longer judged: of depth 13, that is every path of 11 steps. Several threads do not search
    /// level by level, so a state that is met on a longer path first may be left out.
    #[must_use]
    pub fn explore(self, depth: Option<NonZeroUsize>) -> Explored {
        let begun = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let checker = self.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
        let checker = match depth {
            Some(depth) => checker.target_max_depth(depth.get()),
            None => checker,
        };
        let checker = checker.spawn_bfs().join();
        let steps =
            |(rule, path): (&'static str, stateright::Path<_, Step>)| (rule, path.into_actions());
        let counterexamples: Vec<_> = checker.discoveries().into_iter().map(steps).collect();
        Explored {
            states: checker.unique_state_count(),
            steps: checker.state_count(),
            depth: checker.max_depth(),
            whole: counterexamples.is_empty()
                && depth.is_none_or(|depth| checker.max_depth() < depth.get()),
            counterexamples,
            took: begun.elapsed(),
        }
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, depth, .. } = self;
        let extent = if self.whole { "all there are" } else { "no further" };
        write!(f, "{states} states, {steps} steps, depth {depth} ({extent}), {:.1?}", self.took)?;
        for (rule, path) in &self.counterexamples {
            write!(f, "\nbroken: {rule}\n  {path:?}")?;
        }
        Ok(())
    }
}
