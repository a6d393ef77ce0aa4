//! What goes wrong for each instance by itself, so that it excuses no other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::history::{Fact, Process};

/// Which instances are in trouble, and since when the others are out of it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    frozen: HashSet<Process>,
    thawed: HashMap<Process, Duration>,
    cut: HashSet<Process>,
    last: HashMap<Process, Duration>,
}

impl Trouble {
    /// Takes a fact in; whether it is trouble, or the end of some, and whose.
    pub(super) fn see(&mut self, now: Duration, fact: &Fact) -> Option<Process> {
        let process = match fact {
            Fact::Froze(process) => {
                self.frozen.insert(*process);
                process
            }
            Fact::Thawed(process) => {
                self.frozen.remove(process);
                self.thawed.insert(*process, now);
                process
            }
            Fact::Cut(process) => {
                self.cut.insert(*process);
                process
            }
            Fact::Mended(process) => {
                self.cut.remove(process);
                process
            }
            Fact::Mishap(process) => process,
            _ => return None,
        };
        self.last.insert(*process, now);
        Some(*process)
    }

    /// Since when nothing is wrong with it; `None` while something is.
    pub(super) fn over_since(&self, process: Process) -> Option<Duration> {
        let now = self.frozen.contains(&process) || self.cut.contains(&process);
        (!now).then(|| self.last.get(&process).copied().unwrap_or_default())
    }

    /// When it was last frozen, if ever.
    pub(super) fn last_thaw(&self, process: Process) -> Duration {
        self.thawed.get(&process).copied().unwrap_or_default()
    }

    pub(super) fn is_frozen(&self, process: Process) -> bool {
        self.frozen.contains(&process)
    }
}
