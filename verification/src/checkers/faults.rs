//! This module tracks the faults of each instance. They excuse only that instance.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::history::{Event, InstanceId};

/// These are the instances that have faults, and the times since when the others have none.
#[derive(Debug, Default)]
pub(super) struct InstanceFaults {
    frozen: HashSet<InstanceId>,
    thawed: HashMap<InstanceId, Duration>,
    cut: HashSet<InstanceId>,
    last: HashMap<InstanceId, Duration>,
}

impl InstanceFaults {
    /// Adds an event. If a fault of an instance begins or ends with it, returns that instance.
    pub(super) fn see(&mut self, now: Duration, event: &Event) -> Option<InstanceId> {
        let process = match event {
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

    /// Returns the time since when the instance has no faults, or `None` while it has one.
    pub(super) fn over_since(&self, process: InstanceId) -> Option<Duration> {
        let now = self.frozen.contains(&process) || self.cut.contains(&process);
        (!now).then(|| self.last.get(&process).copied().unwrap_or_default())
    }

    /// Returns when the instance last continued after a freeze.
    pub(super) fn last_thaw(&self, process: InstanceId) -> Duration {
        self.thawed.get(&process).copied().unwrap_or_default()
    }

    pub(super) fn is_frozen(&self, process: InstanceId) -> bool {
        self.frozen.contains(&process)
    }
}
