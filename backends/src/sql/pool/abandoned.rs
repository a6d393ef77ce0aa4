//! Limits how many calls may be abandoned while the server still works on them.
//!
//! A server that waits for a lock or for a standby does not notice that its client stopped waiting,
//! and each retry would occupy one more session, until no client can connect. So a connection whose
//! call was abandoned is kept and counted until the server answers. When too many are counted, one
//! call at a time is allowed as a probe, to find out whether the server answers again.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use sqlx::{Connection, Database};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::{Clock, Moment, SystemClock};

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
    calls: Mutex<AbandonedState>,
    answered: Notify,
}

/// This state has the calls that count, each until its moment. The moments are compared where a
/// call is allowed: no task needs to run for a call to stop counting.
#[derive(Default)]
struct AbandonedState {
    abandoned: HashMap<u64, Moment>,
    /// This one call was allowed although too many are abandoned.
    probe: Option<(u64, Moment)>,
    last: u64,
}

/// This is the right to make one call.
pub(crate) struct CallPermit {
    inner: Arc<Inner>,
    /// The call has this number if it is the probe or was abandoned.
    number: Option<u64>,
}

impl AbandonedCalls {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, calls: Mutex::default(), answered: Notify::new() }))
    }

    /// Admits a call, or returns the number of abandoned calls if there are too many.
    pub(crate) async fn acquire_permit(&self) -> Result<CallPermit, usize> {
        let admitted = async {
            loop {
                let mut answered = pin!(self.0.answered.notified());
                answered.as_mut().enable();
                if let Some(permit) = self.try_acquire_permit() {
                    return permit;
                }
                answered.await;
            }
        };
        // The probe also counts as abandoned until it is answered.
        timeout(WAIT, admitted).await.map_err(|_| self.0.calls().abandoned.len() + 1)
    }

    /// Admits a call if that is possible without waiting.
    pub(crate) fn try_acquire_permit(&self) -> Option<CallPermit> {
        let number = if self.0.has_room() { None } else { Some(self.0.start_probe()?) };
        Some(CallPermit { inner: Arc::clone(&self.0), number })
    }

    /// Returns whether the permit was given here and is still valid, after the call waited for a
    /// connection: other calls may have been abandoned in that time.
    pub(crate) fn is_still_valid(&self, permit: &CallPermit) -> bool {
        Arc::ptr_eq(&self.0, &permit.inner) && (permit.number.is_some() || self.0.has_room())
    }

    /// Returns whether a call is admitted without being a probe.
    pub(crate) fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// Stops counting the calls that are abandoned now, because their connections are dead.
    pub(crate) fn forget(&self) {
        {
            let mut calls = self.0.calls();
            calls.abandoned.clear();
            calls.probe = None;
        }
        self.0.answered.notify_waiters();
    }
}

impl Inner {
    fn calls(&self) -> MutexGuard<'_, AbandonedState> {
        let mut calls = self.calls.lock();
        let now = SystemClock.now();
        calls.abandoned.retain(|_, until| *until > now);
        calls.probe = calls.probe.filter(|(_, until)| *until > now);
        calls
    }

    fn has_room(&self) -> bool {
        self.calls().abandoned.len() < self.most
    }

    fn start_probe(&self) -> Option<u64> {
        let mut calls = self.calls();
        if calls.probe.is_some() {
            return None;
        }
        let number = calls.new_number();
        calls.probe = Some((number, SystemClock.now() + LIMIT));
        Some(number)
    }
}

impl AbandonedState {
    fn new_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl CallPermit {
    /// Spawns a task that waits until the server answers the abandoned call, and then closes the
    /// connection. Outside of a runtime the connection is closed at once.
    pub(crate) fn abandon<DB: Database>(mut self, mut connection: DB::Connection) {
        let Ok(runtime) = Handle::try_current() else { return };
        self.count();
        runtime.spawn(async move {
            // The reply to a ping comes after the reply to the call; an error is a reply too.
            if let Ok(Ok(())) = timeout(LIMIT, connection.ping()).await {
                _ = timeout(CLOSE_LIMIT, connection.close()).await;
            }
            drop(self);
        });
    }

    /// Counts the call as abandoned until this value is dropped.
    fn count(&mut self) {
        if self.number.is_none() {
            let mut calls = self.inner.calls();
            let number = calls.new_number();
            calls.abandoned.insert(number, SystemClock.now() + LIMIT);
            self.number = Some(number);
        }
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        {
            let mut calls = self.inner.calls();
            calls.abandoned.remove(&number);
            calls.probe = calls.probe.filter(|(probe, _)| *probe != number);
        }
        self.inner.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn abandoned(calls: &AbandonedCalls) -> CallPermit {
        let mut permit = calls.acquire_permit().await.unwrap();
        permit.count();
        permit
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_calls_are_probed_one_at_a_time() {
        let calls = AbandonedCalls::new(2);
        let first = abandoned(&calls).await;
        let second = abandoned(&calls).await;
        let probe = calls.acquire_permit().await.unwrap();
        assert_eq!(calls.acquire_permit().await.err(), Some(3));
        // An answered probe lets the next one through.
        drop(probe);
        let probe = abandoned(&calls).await;
        assert_eq!(calls.acquire_permit().await.err(), Some(3));
        drop(first);
        assert!(calls.acquire_permit().await.unwrap().number.is_none());
        drop((second, probe));
        assert!(calls.acquire_permit().await.unwrap().number.is_none());
    }

    #[tokio::test]
    async fn a_queued_call_runs_when_an_abandoned_one_is_answered() {
        let calls = AbandonedCalls::new(1);
        let first = abandoned(&calls).await;
        let _trial = abandoned(&calls).await;
        let (admitted, ()) = tokio::join!(calls.acquire_permit(), async { drop(first) });
        assert!(admitted.unwrap().number.is_none());
    }

    #[tokio::test]
    async fn a_permit_is_revoked_when_too_many_calls_are_abandoned() {
        let calls = AbandonedCalls::new(1);
        let early = calls.acquire_permit().await.unwrap();
        assert!(calls.is_still_valid(&early));
        let _other = abandoned(&calls).await;
        assert!(!calls.is_still_valid(&early));
        let probe = calls.try_acquire_permit().unwrap();
        assert!(calls.is_still_valid(&probe));
        assert!(calls.try_acquire_permit().is_none());
    }

    #[tokio::test]
    async fn forgotten_calls_are_not_counted() {
        let calls = AbandonedCalls::new(1);
        let before = abandoned(&calls).await;
        let probe = abandoned(&calls).await;
        calls.forget();
        let after = abandoned(&calls).await;
        drop((before, probe));
        assert!(!calls.has_room(), "the later call still counts");
        drop(after);
        assert!(calls.has_room());
    }

    #[tokio::test]
    async fn abandoned_calls_expire_without_a_running_task() {
        let calls = AbandonedCalls::new(1);
        let (_first, _trial) = (abandoned(&calls).await, abandoned(&calls).await);
        let past = SystemClock.now();
        {
            let mut state = calls.0.calls();
            state.abandoned.values_mut().for_each(|until| *until = past);
            state.probe = state.probe.map(|(number, _)| (number, past));
        }
        assert!(calls.try_acquire_permit().is_some_and(|permit| permit.number.is_none()));
    }
}
