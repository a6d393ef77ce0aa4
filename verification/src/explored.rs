//! This module defines a search through a model, and its result.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

/// This is the result of a search through a model with such steps.
#[derive(Clone, Debug)]
pub struct Explored<Step> {
    /// This is the number of different states.
    pub states: usize,
    /// This is the number of transitions that led to them.
    pub transitions: usize,
    /// This is the number of steps from the first state to the farthest one.
    pub depth: usize,
    /// This is true if no state was left out, so that the search did not end at a depth limit.
    pub is_complete: bool,
    /// These are the rules that were broken, each with one of the shortest sequences of steps that
    /// break it.
    pub counterexamples: Vec<(&'static str, Vec<Step>)>,
    /// This is the duration of the search.
    pub took: Duration,
}

/// Searches every state, or those that this many steps lead to, until rules are broken as given.
pub(crate) fn search<M>(
    model: M,
    steps: Option<NonZeroUsize>,
    until: HasDiscoveries,
) -> Explored<M::Action>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + PartialEq,
{
    let begun = Instant::now();
    let checker = model.checker().finish_when(until);
    let checker = match steps {
        // Several threads do not search level by level, and would miss a state that is first
        // reached on a longer path. The library counts states and checks none at the last level.
        Some(steps) => checker.threads(1).target_max_depth(steps.get() + 2),
        None => {
            let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            checker.threads(threads)
        }
    };
    let checker = checker.spawn_bfs().join();
    let discoveries = checker.discoveries().into_iter();
    let counterexamples: Vec<_> =
        discoveries.map(|(rule, path)| (rule, path.into_actions())).collect();
    let depth = checker.max_depth().saturating_sub(1);
    Explored {
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: steps.map_or(depth, |steps| depth.min(steps.get())),
        is_complete: counterexamples.is_empty() && steps.is_none_or(|steps| depth <= steps.get()),
        counterexamples,
        took: begun.elapsed(),
    }
}

impl<Step: fmt::Debug> fmt::Display for Explored<Step> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, transitions, depth, took, .. } = self;
        let extent = if self.is_complete { "complete" } else { "limited" };
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
