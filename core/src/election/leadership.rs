//! A leadership tells the job of a leader whether its instance still leads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::command::Command;
use crate::fencing_token::TokenFloor;
use crate::lease::TrustDeadline;
use crate::{FencingToken, LeaseId, LockName, Moment};

/// A leadership is passed to the job for one term; its clones describe the same term.
#[derive(Clone)]
pub struct Leadership {
    pub(super) name: LockName,
    pub(super) token: FencingToken,
    pub(super) floor: Arc<TokenFloor>,
    pub(super) first_floor: FencingToken,
    pub(super) lease: LeaseId,
    pub(super) trust: Arc<TrustDeadline>,
    pub(super) cancellation: CancellationToken,
    pub(super) commands: mpsc::UnboundedSender<Command>,
}

impl Leadership {
    /// Returns the name of the election.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// Returns the fencing token of the term, which is larger than that of every earlier term.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Returns the smallest token whose holder may still lead, as the latest heartbeat has shown it.
    /// In an election of one leader it is the [token](Self::token) itself.
    ///
    /// In an election of [several leaders](super::Election::leaders) a resource keeps the largest
    /// floor that it was given, and refuses the tokens below it: those leaders have left or expired.
    #[must_use]
    pub fn floor(&self) -> FencingToken {
        self.floor.get()
    }

    /// Returns the [floor](Self::floor) at the start of the term, which does not change.
    ///
    /// The election raises its [fence](super::Election::fence) to this floor or to a later one. A
    /// check of the fence with a floor that was not raised fails, so checks use this one throughout
    /// the term.
    #[must_use]
    pub fn first_floor(&self) -> FencingToken {
        self.first_floor
    }

    /// Returns the id of the term's lease, for code outside this process that releases the lease
    /// if this process is killed.
    ///
    /// Release it only when the term's work has certainly ended: another instance may then start at
    /// once.
    #[must_use]
    pub fn lease_id(&self) -> LeaseId {
        self.lease
    }

    /// Returns whether the lease may be trusted at the moment of this call.
    ///
    /// It is still true while the job is being stopped, for as long as the lease lasts.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.trust.is_held()
    }

    /// Returns how long the lease may be trusted if no further heartbeat succeeds.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.trust.remaining()
    }

    /// Returns the moment until which the lease may be trusted, on the client's
    /// [`Clock`](crate::Clock). It is the clock's origin once the lease has ended.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.trust.deadline()
    }

    /// Waits until the deadline differs from `seen`, and returns it, for code that enforces the
    /// deadline elsewhere.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn deadline_changed(&self, seen: Moment) -> Moment {
        self.trust.deadline_changed(seen).await
    }

    /// Returns a token that is cancelled when the term has to end; the work should stop then.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.cancellation.clone()
    }

    /// Waits until the term has to end.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.cancellation.clone().cancelled_owned()
    }

    /// Asks this instance to give up the lead: the job is stopped, and the instance stays a
    /// candidate.
    pub fn resign(&self) {
        // This fails only if the election, and so this term, has ended.
        let _ = self.commands.send(Command::Resign(self.token));
    }

    /// Reports that a newer term has raised the fence, as a check of the fence has shown: the term
    /// ends with [`StopReason::Stale`](super::StopReason::Stale).
    pub fn report_stale(&self) {
        // This fails only if the election, and so this term, has ended.
        let _ = self.commands.send(Command::Stale(self.token));
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
