//! What servers count.

use anyhow::Result;
use async_trait::async_trait;

/// These are a server's counts since it started, without what reading them costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Clients sent this many statements, commands or requests.
    pub(crate) calls: f64,
    /// The server made this many durable writes, if it counts them.
    pub(crate) writes: Option<f64>,
    /// Clients opened this many connections.
    pub(crate) opened: Option<f64>,
    /// This many connections are open, without that of the reader.
    pub(crate) open: Option<f64>,
}

impl Counts {
    /// Returns what was added since that time. Open connections are those of now.
    pub(crate) fn since(self, before: Self) -> Self {
        let added = |now: Option<f64>, before: Option<f64>| Some(now? - before?);
        Self {
            calls: self.calls - before.calls,
            writes: added(self.writes, before.writes),
            opened: added(self.opened, before.opened),
            open: self.open,
        }
    }
}

/// A reader has a connection of its own.
#[async_trait]
pub(crate) trait CountsReader: Send + Sync {
    /// Reads the counts of now.
    async fn read(&self) -> Result<Counts>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_unknown_stay_unknown() {
        let before = Counts { calls: 5.0, writes: Some(2.0), opened: None, open: Some(1.0) };
        let after = Counts { calls: 9.0, writes: Some(3.0), opened: Some(1.0), open: Some(4.0) };
        let added = Counts { calls: 4.0, writes: Some(1.0), opened: None, open: Some(4.0) };
        assert_eq!(after.since(before), added);
    }
}
