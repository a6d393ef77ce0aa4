//! What a leader's job is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::command::Command;
use crate::lease::TrustDeadline;
use crate::{FencingToken, LockName, Moment};

/// One term's lead, handed to the job; clones are of the same term.
#[derive(Clone)]
pub struct Leadership {
    pub(super) name: LockName,
    pub(super) token: FencingToken,
    pub(super) trust: Arc<TrustDeadline>,
    pub(super) cancellation: CancellationToken,
    pub(super) commands: mpsc::UnboundedSender<Command>,
}

impl Leadership {
    /// The name that is led.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// The number of the term, larger than that of every term before it.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Whether the lease may be trusted now, by the clock at this call.
    ///
    /// It stays true while the job is being stopped, as long as the lease lasts.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.trust.is_held()
    }

    /// For how long the lease may be trusted if no heartbeat succeeds any more.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.trust.remaining()
    }

    /// Until when the lease may be trusted, on the client's [`Clock`](crate::Clock); the clock's
    /// origin once it is over.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.trust.deadline()
    }

    /// Returns the deadline as soon as it is another than `seen`, for whoever enforces it
    /// elsewhere.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn deadline_changed(&self, seen: Moment) -> Moment {
        self.trust.deadline_changed(seen).await
    }

    /// Cancelled when the term is to end: the work should come to its end then.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.cancellation.clone()
    }

    /// Returns when the term is to end.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.cancellation.clone().cancelled_owned()
    }

    /// Asks to give up the lead; `stop` follows, and this instance stays a candidate.
    pub fn resign(&self) {
        // Fails only when the election has ended, and with it this term.
        let _ = self.commands.send(Command::Resign(self.token));
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("name", &self.name)
            .field("token", &self.token)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
