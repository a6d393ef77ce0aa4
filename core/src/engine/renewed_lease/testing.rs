//! This lease is for tests: it records the calls of the heartbeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{RenewedLease, TickKey};
use crate::engine::TimedReply;
use crate::engine::sent_batch::{AwaitedReply, SentBatch};
use crate::{LeaseId, LockName, Moment, RenewOptions, RenewOutcome};

/// The heartbeat made this call to a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Told {
    Sent(u64),
    Replied(u64, Option<RenewOutcome>),
    Ticked(TickKey),
    Hinted,
}

#[derive(Debug)]
pub(in crate::engine) struct TestLease {
    pub(in crate::engine) options: RenewOptions,
    /// The lease is no longer held: its renewals must not be sent.
    pub(in crate::engine) ended: AtomicBool,
    /// The lease panics at each reply.
    pub(in crate::engine) panics: AtomicBool,
    pub(in crate::engine) awaited: Mutex<Vec<AwaitedReply>>,
    told: Mutex<Vec<Told>>,
}

impl TestLease {
    pub(in crate::engine) fn new(name: &str) -> Arc<Self> {
        let name = LockName::new(name).unwrap();
        let options = RenewOptions::new(name, LeaseId::new(), Duration::from_secs(15));
        let (ended, panics) = (AtomicBool::new(false), AtomicBool::new(false));
        let (awaited, told) = (Mutex::default(), Mutex::default());
        Arc::new(Self { options, ended, panics, awaited, told })
    }

    /// Takes the calls of the heartbeat that were recorded so far.
    pub(in crate::engine) fn take_told(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock())
    }
}

impl RenewedLease for TestLease {
    fn send(self: Arc<Self>, number: u64, batch: &Arc<SentBatch>) -> Option<RenewOptions> {
        if self.ended.load(Ordering::SeqCst) {
            return None;
        }
        self.awaited.lock().push(batch.await_reply());
        self.told.lock().push(Told::Sent(number));
        Some(self.options.clone())
    }

    fn replied(self: Arc<Self>, number: u64, reply: TimedReply<RenewOutcome>, _: Moment) {
        assert!(!self.panics.load(Ordering::SeqCst), "the lease panics");
        self.told.lock().push(Told::Replied(number, reply.outcome.ok()));
    }

    fn ticked(self: Arc<Self>, tick: TickKey, _: Moment) {
        self.told.lock().push(Told::Ticked(tick));
    }

    fn hinted(self: Arc<Self>) {
        self.told.lock().push(Told::Hinted);
    }

    fn follow_hint(self: Arc<Self>) {
        self.hinted();
    }
}
