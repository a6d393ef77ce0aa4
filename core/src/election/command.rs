//! An application sends these commands to a running election.

use crate::FencingToken;

#[derive(Debug)]
pub(crate) enum Command {
    /// The instance should give up the lead if it still leads that term.
    Resign(FencingToken),
    /// A newer term than that one has raised the fence.
    Stale(FencingToken),
    ShutDown,
}
