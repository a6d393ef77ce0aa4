//! An application follows and controls a running election through its handle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::command::Command;
use crate::{Clock, Disablement, Error, FencingToken, Holder};

pub use super::machine::Role;

/// The status describes an election as one instance sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// This is the role of this instance in the election.
    pub role: Role,
    /// This is the token of the term that this instance leads or is about to stop leading.
    pub token: Option<FencingToken>,
    /// This is the latest known leader: this instance, or another one as of the latest attempt.
    pub leader: Option<Holder>,
    /// This many entries are ahead of this instance's own, which waits in a queue: those that hold
    /// the lock, and those that wait for it. `None` means that this instance waits in no queue.
    pub ahead: Option<usize>,
    /// This is set if the latest attempt found the name disabled.
    pub disabled: Option<Disablement>,
    /// This counts the terms that this instance has led.
    pub terms: u64,
    /// This counts the terms whose job did not stop within its grace and was aborted.
    pub overruns: u64,
    /// This is the latest failure of the store; it becomes `None` once a call succeeds again.
    pub error: Option<Error>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            role: Role::Candidate,
            token: None,
            leader: None,
            ahead: None,
            disabled: None,
            terms: 0,
            overruns: 0,
            error: None,
        }
    }
}

impl Status {
    /// Returns whether this instance leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.role == Role::Leading
    }
}

/// An election runs in the background for as long as its handle lives.
///
/// Dropping the handle shuts the election down in the background: the job is stopped and the lease
/// released. [`shutdown`](Self::shutdown) waits for that.
#[derive(Debug)]
#[must_use = "the election is shut down as soon as its handle is dropped"]
pub struct ElectionHandle {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) clock: Arc<dyn Clock>,
}

impl ElectionHandle {
    /// Returns the present status of the election.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Returns a receiver of the status as it changes. The channel closes when the election has
    /// ended.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Gives up the lead, if this instance has it, and returns when the term has ended.
    ///
    /// The instance stays a candidate, but waits for a poll interval so that others can lead first.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the request: once sent, it takes effect.
    pub async fn resign(&self) {
        let Some(term) = self.status.borrow().token else { return };
        let _ = self.commands.send(Command::Resign(term));
        let mut status = self.status.clone();
        // An error means that the election, and so the term, has ended.
        let _ = status.wait_for(|status| status.token != Some(term)).await;
    }

    /// Leaves the election: stops the job if it runs, releases the lease, and returns when this is
    /// done.
    ///
    /// This takes as long as the job takes to stop, plus at most the [leave
    /// timeout](crate::Timing::leave_timeout), even when the store hangs: with the default settings
    /// 5 s for each. A job that neither awaits nor returns delays it without limit; see
    /// [`shutdown_within`](Self::shutdown_within).
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the request: once sent, it takes effect.
    pub async fn shutdown(self) {
        let _ = self.commands.send(Command::ShutDown);
        self.join().await;
    }

    /// Does the same as [`shutdown`](Self::shutdown), but waits at most `limit`. It returns whether
    /// the election has ended; if not, the election continues to end in the background.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the request: once sent, it takes effect.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn shutdown_within(self, limit: Duration) -> bool {
        let _ = self.commands.send(Command::ShutDown);
        let late = self.clock.sleep_until(self.clock.now() + limit);
        tokio::select! {
            biased;
            () = self.join() => true,
            () = late => false,
        }
    }

    /// Waits until the election has ended.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn join(&self) {
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }
}

impl Drop for ElectionHandle {
    fn drop(&mut self) {
        // This fails only if the election has ended.
        let _ = self.commands.send(Command::ShutDown);
    }
}
