//! What an application asks of a running election.

use crate::FencingToken;

#[derive(Debug)]
pub(crate) enum Command {
    /// Give up the lead of that term.
    Resign(FencingToken),
    ShutDown,
}
