//! This module tracks the leases and the entries of each name that may be in force.

use std::collections::{BTreeSet, HashMap};

use crate::history::{Event, NameId};

/// These are the tokens of the latest lease of each name, or of the entries of its queue, that were
/// not released. Some of them may have expired.
#[derive(Debug, Default)]
pub(super) struct InForce {
    tokens: HashMap<NameId, BTreeSet<u64>>,
}

impl InForce {
    pub(super) fn see(&mut self, event: &Event) {
        match event {
            Event::Entered(_, name, token, _) => {
                self.tokens.entry(*name).or_default().insert(*token);
            }
            Event::Granted(_, name, token) => {
                let tokens = self.tokens.entry(*name).or_default();
                // An entry, or a lease that a retry is granted again, is known already. Another lease
                // replaces the one before.
                if !tokens.contains(token) {
                    *tokens = BTreeSet::from([*token]);
                }
            }
            Event::Released(name, token) => {
                self.tokens.entry(*name).or_default().remove(token);
            }
            _ => {}
        }
    }

    /// Returns the tokens of that name.
    pub(super) fn of(&self, name: NameId) -> impl Iterator<Item = u64> {
        self.tokens.get(&name).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(events: &[Event]) -> Vec<u64> {
        let mut in_force = InForce::default();
        events.iter().for_each(|event| in_force.see(event));
        in_force.of(0).collect()
    }

    #[test]
    fn a_lease_replaces_the_one_before() {
        let granted = |token| Event::Granted(1, 0, token);
        assert_eq!(tokens(&[granted(7), granted(9), granted(9)]), [9]);
        assert!(tokens(&[granted(7), Event::Released(0, 7)]).is_empty());
    }

    #[test]
    fn entries_are_in_force_beside_each_other() {
        let entered = |token| Event::Entered(1, 0, token, 1);
        let granted = Event::Granted(1, 0, 7);
        assert_eq!(tokens(&[entered(7), entered(9), granted.clone()]), [7, 9]);
        assert_eq!(tokens(&[entered(7), entered(9), granted, Event::Released(0, 7)]), [9]);
    }
}
