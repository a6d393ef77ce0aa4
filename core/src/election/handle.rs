//! How an application follows and steers an election that runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::command::Command;
use crate::{Clock, Disablement, Error, FencingToken, Holder};

pub use super::machine::Standing;

/// Where an election stands, as one instance sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What this instance is.
    pub standing: Standing,
    /// The term that this instance leads or is about to stop leading.
    pub token: Option<FencingToken>,
    /// Who was last seen to lead: this instance, or another as of its latest attempt.
    pub leader: Option<Holder>,
    /// Set while the name is disabled, as of the latest attempt.
    pub disabled: Option<Disablement>,
    /// How many terms this instance has led.
    pub terms: u64,
    /// How many of them did not stop within their grace and were aborted.
    pub overruns: u64,
    /// The latest failure of the store, until it answers again.
    pub error: Option<Error>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            standing: Standing::Candidate,
            token: None,
            leader: None,
            disabled: None,
            terms: 0,
            overruns: 0,
            error: None,
        }
    }
}

impl Status {
    /// Whether this instance leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.standing == Standing::Leading
    }
}

/// An election that runs in the background.
///
/// Dropping the handle shuts the election down in the background: the job is stopped and the
/// lease released. [`shutdown`](Self::shutdown) waits for it.
#[derive(Debug)]
#[must_use = "the election is shut down as soon as its handle is dropped"]
pub struct ElectionHandle {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) clock: Arc<dyn Clock>,
}

impl ElectionHandle {
    /// Where the election stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The status as it changes. Its sender is dropped when the election has ended.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Gives up the lead, if this instance has it, and returns when the term is over.
    ///
    /// The instance stays a candidate, but lets others go first for a poll interval.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the request: once it was sent, it takes effect.
    pub async fn resign(&self) {
        let Some(term) = self.status.borrow().token else { return };
        let _ = self.commands.send(Command::Resign(term));
        let mut status = self.status.clone();
        // An error means that the election has ended, and the term with it.
        let _ = status.wait_for(|status| status.token != Some(term)).await;
    }

    /// Leaves the election: stops the job if it runs, releases the lease, and returns when this is
    /// done.
    ///
    /// This takes as long as the job takes to stop, plus at most the
    /// [leave timeout](crate::Timing::leave_timeout), even when the store hangs: with the default
    /// settings 5 s for each. A job that neither awaits nor returns delays it without limit; see
    /// [`shutdown_within`](Self::shutdown_within).
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the request: once it was sent, it takes effect.
    pub async fn shutdown(self) {
        let _ = self.commands.send(Command::ShutDown);
        self.join().await;
    }

    /// Does the same as [`shutdown`](Self::shutdown), but waits at most `limit`. It returns whether
    /// the election has ended; if not, the election continues to end in the background.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the request: once it was sent, it takes effect.
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

    /// Returns when the election has ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn join(&self) {
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }
}

impl Drop for ElectionHandle {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.commands.send(Command::ShutDown);
    }
}
