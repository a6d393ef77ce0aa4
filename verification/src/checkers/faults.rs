//! What goes wrong for each instance by itself, so that it excuses no other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::history::{Event, InstanceId};

/// Which instances have faults, and since when the others are without it.
#[derive(Debug, Default)]
pub(super) struct InstanceFaults {
    frozen: HashSet<InstanceId>,
    thawed: HashMap<InstanceId, Duration>,
    cut: HashSet<InstanceId>,
    last: HashMap<InstanceId, Duration>,
}

impl InstanceFaults {
    /// Takes a fact in; whether it is a fault, or the end of one, and whose.
    pub(super) fn see(&mut self, now: Duration, fact: &Event) -> Option<InstanceId> {
        let process = match fact {
            Event::Frozen(process) => {
                self.frozen.insert(*process);
                process
            }
            Event::Thawed(process) => {
                self.frozen.remove(process);
                self.thawed.insert(*process, now);
                process
            }
            Event::LinkDegraded(process) => {
                self.cut.insert(*process);
                process
            }
            Event::LinkRestored(process) => {
                self.cut.remove(process);
                process
            }
            Event::MessageFault(process) => process,
            _ => return None,
        };
        self.last.insert(*process, now);
        Some(*process)
    }

    /// Since when nothing is wrong with it; `None` while something is.
    pub(super) fn over_since(&self, process: InstanceId) -> Option<Duration> {
        let now = self.frozen.contains(&process) || self.cut.contains(&process);
        (!now).then(|| self.last.get(&process).copied().unwrap_or_default())
    }

    /// When it was last frozen, if ever.
    pub(super) fn last_thaw(&self, process: InstanceId) -> Duration {
        self.thawed.get(&process).copied().unwrap_or_default()
    }

    pub(super) fn is_frozen(&self, process: InstanceId) -> bool {
        self.frozen.contains(&process)
    }
}
