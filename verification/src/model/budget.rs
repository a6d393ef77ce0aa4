//! What may go wrong or be commanded in one run.

/// The number of faults and commands that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Messages lost, failed or delayed, hints missed, clocks that slip, jobs that fail to start,
    /// participants that pause or crash.
    pub faults: u8,
    /// Disable, enable, resign, shut down; and of a lock, release and giving up.
    pub commands: u8,
}
