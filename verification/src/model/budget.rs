//! This module defines the faults and commands of one run.

/// This is the number of faults and commands that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// The faults: messages are lost, fail or are delayed, hints are missed, clocks slip, jobs fail
    /// to start, and participants pause or crash.
    pub faults: u8,
    /// The commands: disable, enable, resign and shut down, and for a lock release and give up.
    pub commands: u8,
}
