//! Limits how many calls may be abandoned while the server still works on them.
//!
//! A server that waits for a lock or for a standby does not notice that its client stopped waiting,
//! and each retry would occupy one more session, until no client can connect. So a connection whose
//! call was abandoned is kept and counted until the server answers. When too many are counted, one
//! call at a time is admitted, to find out whether the server answers again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{Connection, Database};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// When too many calls are abandoned, a new call waits this long for one of them to be answered.
const WAIT: Duration = Duration::from_secs(1);

/// An abandoned call is waited for this long, since its connection may be dead without any sign.
const LIMIT: Duration = Duration::from_secs(600);

/// An orderly close may take this long.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Counts the abandoned calls of a store.
pub(crate) struct AbandonedCalls(Arc<Inner>);

struct Inner {
    most: usize,
    count: AtomicUsize,
    /// Permits the one call that is admitted when too many are abandoned.
    trial: Arc<Semaphore>,
    answered: Notify,
}

/// The right to make one call.
pub(crate) struct Admission {
    inner: Arc<Inner>,
    trial: Option<OwnedSemaphorePermit>,
}

impl AbandonedCalls {
    pub(crate) fn new(most: usize) -> Self {
        let (count, trial) = (AtomicUsize::new(0), Arc::new(Semaphore::new(1)));
        Self(Arc::new(Inner { most, count, trial, answered: Notify::new() }))
    }

    /// Admits a call, or returns the number of abandoned calls if there are too many.
    pub(crate) async fn admit(&self) -> Result<Admission, usize> {
        let admission = |trial| Admission { inner: Arc::clone(&self.0), trial };
        if self.0.has_room() {
            return Ok(admission(None));
        }
        let trial = Arc::clone(&self.0.trial).acquire_owned();
        let admitted = async {
            tokio::select! {
                biased;
                () = self.0.room() => None,
                permit = trial => permit.ok(),
            }
        };
        // The trial also counts as abandoned until it is answered.
        let count = || self.0.count.load(Ordering::Relaxed) + 1;
        timeout(WAIT, admitted).await.map(admission).map_err(|_| count())
    }
}

impl Inner {
    fn has_room(&self) -> bool {
        self.count.load(Ordering::Relaxed) < self.most
    }

    async fn room(&self) {
        loop {
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            if self.has_room() {
                return;
            }
            answered.await;
        }
    }
}

impl Admission {
    /// Spawns a task that waits until the server answers the abandoned call, and then closes the
    /// connection. Outside of a runtime the connection is closed at once.
    pub(crate) fn abandon<DB: Database>(self, mut connection: DB::Connection) {
        let Ok(runtime) = Handle::try_current() else { return };
        let counted = Counted::new(self);
        runtime.spawn(async move {
            // The reply to a ping comes after the reply to the call; an error is a reply too.
            if let Ok(Ok(())) = timeout(LIMIT, connection.ping()).await {
                _ = timeout(CLOSE_LIMIT, connection.close()).await;
            }
            drop(counted);
        });
    }
}

/// An abandoned call, until it is answered.
struct Counted(Admission);

impl Counted {
    fn new(admission: Admission) -> Self {
        if admission.trial.is_none() {
            admission.inner.count.fetch_add(1, Ordering::Relaxed);
        }
        Self(admission)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.trial.is_none() {
            self.0.inner.count.fetch_sub(1, Ordering::Relaxed);
            self.0.inner.answered.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_the_bound_one_call_at_a_time_is_admitted() {
        let calls = AbandonedCalls::new(2);
        let mut abandoned = Vec::new();
        for _ in 0..2 {
            abandoned.push(Counted::new(calls.admit().await.unwrap()));
        }
        let trial = calls.admit().await.unwrap();
        assert_eq!(calls.admit().await.err(), Some(3));
        // An answered trial lets the next one through.
        drop(trial);
        let trial = Counted::new(calls.admit().await.unwrap());
        assert_eq!(calls.admit().await.err(), Some(3));
        abandoned.pop();
        assert!(calls.admit().await.unwrap().trial.is_none());
        drop(trial);
        assert!(calls.admit().await.unwrap().trial.is_none());
    }

    #[tokio::test]
    async fn a_call_that_waits_is_admitted_when_an_abandoned_one_is_answered() {
        let calls = AbandonedCalls::new(1);
        let abandoned = Counted::new(calls.admit().await.unwrap());
        let _trial = Counted::new(calls.admit().await.unwrap());
        let (admitted, ()) = tokio::join!(calls.admit(), async { drop(abandoned) });
        assert!(admitted.unwrap().trial.is_none());
    }
}
