//! The lease of a guard is renewed by the client's heartbeat until it is lost or its guard ends.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tracing::warn;

use super::held_state::{HeldState, LeaseRenewal};
use super::waiter::FirstRenewal;
use crate::engine::{Engine, RenewalQueue, RenewedLease, SentBatch, TickKey, TimedReply};
use crate::fencing_token::TokenFloor;
use crate::lease::machine::{Action, Event, Machine, RenewReply, Request};
use crate::lease::{
    AcquireAttempt, LossReason, RenewalWindow, TrustDeadline, last_renewal, make_room,
};
use crate::{FencingToken, LeaseId, LockName, Moment, RenewOptions, RenewOutcome, Timing};

/// A held lease is shared by its guard and the heartbeat, whose task drives the lease's machine.
///
/// Until the first heartbeat is sent, nothing can happen to the lease except that time passes. So
/// the lease subscribes to hints when its first renewal is sent: a lock that is released before that
/// costs no watch.
///
/// A client may hold very many leases, so each is small, and has no task.
pub(super) struct HeldLease {
    engine: Arc<Engine>,
    queue: Arc<RenewalQueue>,
    name: LockName,
    lease: LeaseId,
    timing: Arc<Timing>,
    trust: Arc<TrustDeadline>,
    /// This is the smallest token whose holder may still use the lock.
    floor: TokenFloor,
    /// The lease is that of an entry in the queue of the name.
    is_entry: bool,
    /// The heartbeat was told of a hint, which it has not passed on yet.
    hinted: AtomicBool,
    /// This becomes `None` when the lease is no longer renewed. The queue may be locked while this is
    /// locked, but not the other way round. This is not locked while the dispatcher, the metrics or
    /// the trust deadline are called.
    held: Mutex<Option<HeldState>>,
}

impl HeldLease {
    /// Lets the heartbeat renew the lease of an attempt that was granted. This must be called within
    /// a runtime.
    pub(super) fn begin(
        engine: Arc<Engine>,
        attempt: &AcquireAttempt,
        (trust, floor): (Arc<TrustDeadline>, FencingToken),
        machine: Machine,
        first: FirstRenewal,
    ) -> Arc<Self> {
        let FirstRenewal { window, renew_by } = first;
        let lease = Arc::new(Self {
            queue: engine.heartbeat.queue(),
            engine,
            name: attempt.name().clone(),
            lease: attempt.lease(),
            timing: attempt.timing().clone(),
            trust,
            floor: TokenFloor::new(floor),
            is_entry: attempt.is_entry(),
            hinted: AtomicBool::new(false),
            held: Mutex::new(None),
        });
        // The heartbeat may send the renewal at once, and then waits for this lock.
        let mut state = lease.held.lock();
        lease.request(state.insert(HeldState::new(machine, renew_by)), window);
        drop(state);
        lease
    }

    /// Returns the lease's trust deadline.
    pub(super) fn trust(&self) -> &Arc<TrustDeadline> {
        &self.trust
    }

    /// Returns the smallest token whose holder may still use the lock.
    pub(super) fn floor(&self) -> FencingToken {
        self.floor.get()
    }

    /// Ends the renewal: no further heartbeat is requested from now on. One that is being sent may
    /// reach the store after the release, and is answered that the lease is lost.
    pub(super) fn end(&self) {
        // The lock is released before the queue, the dispatcher and the metrics are called.
        let held = self.held.lock().take();
        if let Some(held) = held {
            self.forget(held);
            self.engine.store.metrics().lock_ended();
        }
    }

    /// Removes a lease that has ended from the queue and from the dispatcher.
    fn forget(&self, held: HeldState) {
        self.queue.remove(held.queued(), held.tick_key());
        if let Some(number) = held.subscription {
            self.engine.hint_dispatcher.unsubscribe_lease(self.name.clone(), number.get());
        }
    }

    /// Passes an event to the machine, and performs the returned actions. `event` returns `None` if
    /// nothing has happened.
    fn handle(self: &Arc<Self>, now: Moment, event: impl FnOnce(&mut HeldState) -> Option<Event>) {
        let mut state = self.held.lock();
        let Some(held) = state.as_mut() else { return };
        let Some(event) = event(held) else { return };
        let confirmed =
            matches!(&event, Event::RenewReplied { reply: RenewReply::Extended { .. }, .. });
        let (mut deadline, mut lost) = (None, None);
        for action in held.machine.handle(event, now) {
            match action {
                Action::Send(Request::Renew(window)) => self.request(held, window),
                Action::ExtendTrust(until) => deadline = Some(until),
                Action::Lost { reason, .. } => lost = Some(reason),
                // The machine got its grant before, and the guard's attempt releases the lease.
                Action::Granted { .. }
                | Action::Send(Request::Acquire(_) | Request::Release(_)) => {}
            }
        }
        self.update_tick(held);
        drop(state);
        // Reading the clock, waking the waiters for the loss, and recording a metric may call any
        // code, so the lock is released before.
        let left = self.trust.deadline().saturating_since(now);
        let expired = match deadline {
            Some(deadline) => !self.trust.extend(deadline),
            None => left.is_zero(),
        };
        if expired {
            lost.get_or_insert(LossReason::Expired);
        }
        if let Some(reason) = lost {
            self.lose(reason);
        }
        if confirmed {
            self.engine.store.metrics().record_trust_left(left);
        }
    }

    /// Requests another renewal, and plans the machine's next tick with it.
    fn request(self: &Arc<Self>, held: &mut HeldState, window: RenewalWindow) {
        let (planned, renew_by) = (window.latest, held.renew_by);
        let (next_tick, before) = (held.next_tick(), (held.queued(), held.tick_key()));
        let window = make_room(&mut held.in_flight, window, &self.timing, renew_by);
        let key = self.queue.request(self.clone(), window, renew_by, next_tick, before);
        held.in_flight.push(LeaseRenewal { planned, key, sent: None });
        held.latest = key.number();
        held.tick = next_tick;
    }

    /// Plans the machine's next tick, unless a request has planned it.
    fn update_tick(self: &Arc<Self>, held: &mut HeldState) {
        let before = held.tick_key();
        held.tick = held.next_tick();
        match held.tick_key() {
            tick if tick == before => {}
            Some(tick) => self.queue.set_tick(self.clone(), tick, before),
            None => self.queue.remove(None, before),
        }
    }

    /// Ends the renewal of a lease that is lost, and the trust in it.
    fn lose(&self, reason: LossReason) {
        // A guard that was released in the meantime has not lost its lease.
        let held = self.held.lock().take();
        let Some(held) = held else { return };
        // What follows may panic, and then the lease must not be trusted any longer.
        match &reason {
            LossReason::Disabled { .. } => self.trust.stop_renewing(reason.clone()),
            LossReason::Expired | LossReason::Gone => {
                self.trust.expire_now(Some(reason.clone()));
            }
        }
        self.forget(held);
        let metrics = self.engine.store.metrics();
        metrics.lock_ended();
        metrics.lock_lost(&reason);
        let (lock, store) = (self.name.as_str(), self.engine.store.inner().label());
        warn!(lock, store, loss = %reason, "lost a held lock");
    }

    /// Subscribes to hints before the first heartbeat is sent, whose reply tells of every change
    /// before the subscription.
    fn subscribe(self: &Arc<Self>) {
        let dispatcher = &self.engine.hint_dispatcher;
        let number = dispatcher.subscribe_lease(self.name.clone(), self.clone());
        if let Some(held) = self.held.lock().as_mut() {
            held.subscription = NonZeroU64::new(number);
            return;
        }
        // The guard was released in the meantime.
        dispatcher.unsubscribe_lease(self.name.clone(), number);
    }
}

impl RenewedLease for HeldLease {
    fn send(self: Arc<Self>, number: u64, batch: &Arc<SentBatch>) -> Option<RenewOptions> {
        let mut state = self.held.lock();
        let held = state.as_mut()?;
        let renewal = held.renewal(number)?;
        renewal.sent = Some(batch.await_reply());
        let is_first = held.subscription.is_none();
        drop(state);
        if is_first {
            self.subscribe();
        }
        let options = RenewOptions::new(self.name.clone(), self.lease, self.timing.ttl);
        Some(options.of_entry(self.is_entry))
    }

    fn replied(self: Arc<Self>, number: u64, reply: TimedReply<RenewOutcome>, now: Moment) {
        let TimedReply { sent, outcome } = reply;
        self.handle(now, |held| {
            held.take_renewal(number)?;
            if let Ok(RenewOutcome::Extended { left, floor }) = &outcome {
                held.renew_by = held.renew_by.max(last_renewal(sent, *left, self.timing.margin));
                // Only a lock with a queue has a floor that changes.
                if let Some(floor) = floor {
                    self.floor.raise(*floor);
                }
            }
            let in_flight = held.is_in_flight();
            Some(Event::RenewReplied { sent, reply: (&outcome).into(), in_flight })
        });
    }

    fn ticked(self: Arc<Self>, tick: TickKey, now: Moment) {
        self.handle(now, |held| {
            // An earlier tick that was replaced may still come.
            held.tick_key().filter(|planned| *planned == tick)?;
            held.tick = None;
            Some(Event::Tick)
        });
    }

    fn hinted(self: Arc<Self>) {
        if !self.hinted.swap(true, Ordering::SeqCst) {
            let queue = self.queue.clone();
            queue.add_hint(self);
        }
    }

    fn follow_hint(self: Arc<Self>) {
        self.hinted.store(false, Ordering::SeqCst);
        if self.held.lock().is_some() {
            // A watch that ends with its runtime, or panics, causes a hint.
            self.engine.hint_dispatcher.restart_watch_if_ended();
        }
        self.handle(self.engine.now(), |_| Some(Event::Hint));
    }
}

impl fmt::Debug for HeldLease {
    /// The engine is left out, because its dispatcher would print this lease again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLease")
            .field("name", &self.name)
            .field("lease", &self.lease)
            .field("trust", &self.trust.remaining())
            .finish_non_exhaustive()
    }
}
