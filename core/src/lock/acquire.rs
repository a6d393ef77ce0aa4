//! A call that waits for a lock queues behind the other calls of its client, and asks the store
//! when it is the first of them.

use std::future::pending;
use std::time::Duration;

use super::guard::Guard;
use super::named_lock::NamedLock;
use super::position::{Position, QueueProgress};
use crate::engine::{Change, QueuePosition, Subscription, TimedReply, Turn};
use crate::lease::machine::{Event, Stage};
use crate::lease::{EntryOptions, Reply};
use crate::{AcquireOutcome, Holder, Result};

impl NamedLock {
    /// Waits for the lock, at most for `limit`, in its queue. Each new position there is passed to
    /// `on_position`.
    pub(super) async fn wait_in_queue(
        &self,
        limit: Duration,
        entry: EntryOptions,
        on_position: &mut (dyn FnMut(Position) + Send),
    ) -> Result<Guard> {
        let store = &self.engine.store;
        let wait = store.metrics().start_queue_wait(entry.kind, &**store.clock());
        let acquired = self.acquire_within(limit, Some(entry), on_position).await;
        wait.finish(&acquired);
        acquired
    }

    /// Waits for the exclusive lock, or for an entry with these options to hold the lock.
    pub(super) async fn acquire_within(
        &self,
        limit: Duration,
        entry: Option<EntryOptions>,
        on_position: &mut (dyn FnMut(Position) + Send),
    ) -> Result<Guard> {
        if limit.is_zero() {
            // A deadline would cut the one attempt off before it has a reply.
            let guard = self.try_once(entry).await?;
            return guard.ok_or_else(|| self.timed_out(limit, "the lock is held or disabled"));
        }
        let (clock, dispatcher) = (self.engine.store.clock(), &self.engine.hint_dispatcher);
        // One deadline limits everything, including a call that hangs.
        let mut expired = clock.sleep_until(clock.now() + limit);
        let position = self.engine.local_queues(entry.is_some()).join(self.name.clone());
        let mut waiter = self.waiter(entry);
        let mut progress = QueueProgress::new(on_position);
        let (mut hints, mut asked) = (None, dispatcher.position());
        if matches!(position.turn(), Turn::Ask) {
            waiter.handle(Event::Tick);
        }
        loop {
            let turn = position.turn();
            // A request in progress continues, even if a guard of this client has the lock now.
            let asks = matches!(turn, Turn::Ask) || waiter.machine.stage() != Stage::Idle;
            let next_tick = waiter.machine.next_tick().filter(|_| asks);
            let tick = waiter.timer.sleep(next_tick, &self.engine);
            let hint_due = waiter.hint_spread.due().filter(|_| asks);
            let (event, reply): (Event, Option<Reply>) = tokio::select! {
                biased;
                reply = waiter.requests.next() => ((&reply).into(), Some(reply)),
                () = &mut expired => {
                    let last = self.last_known(&position, entry.is_some());
                    return Err(self.timed_out(limit, &last));
                }
                // The name may be free, though the store has given no hint yet.
                () = position.changed() => (Event::Hint, None),
                () = self.turn_ended(&turn) => (Event::Hint, None),
                () = self.engine.sleep_until(hint_due) => {
                    waiter.hint_spread.pass_on();
                    (Event::Hint, None)
                }
                change = next_change(hints.as_ref()), if asks => {
                    let Some(event) = waiter.event_of(change, position.hint_spread()) else {
                        continue;
                    };
                    (event, None)
                }
                () = tick => (Event::Tick, None),
            };
            if reply.is_none() && waiter.machine.stage() == Stage::Idle {
                if !matches!(position.turn(), Turn::Ask) {
                    continue;
                }
                if hints.is_none() {
                    asked = dispatcher.position();
                }
            }
            if let (Some(Reply::Acquire { reply: TimedReply { outcome, .. }, .. }), None) =
                (&reply, entry)
            {
                position.record_reply(outcome, waiter.hint_spread.was_race());
            }
            if let Some(granted) = waiter.handle(event) {
                return Ok(Guard::new(waiter, granted));
            }
            match &reply {
                Some(Reply::Acquire { reply: TimedReply { outcome, .. }, .. }) => {
                    position.record_outcome(describe_outcome(outcome, &mut progress)?);
                    // Most locks are granted at once and need no hints.
                    hints.get_or_insert_with(|| {
                        dispatcher.subscribe_since(self.name.clone(), asked)
                    });
                }
                Some(Reply::Renew { reply: TimedReply { outcome, .. }, .. }) => {
                    if let Some(known) = progress.renewed(outcome) {
                        position.record_outcome(known);
                    }
                }
                Some(Reply::Release(_)) | None => {}
            }
            if let (Some(hints), Some(_)) = (&hints, entry) {
                // A lost entry is replaced by one under another id.
                hints.set_entry(waiter.requests.entry_lease());
            }
        }
    }

    /// Waits until the turn ends by itself: a guard of the client has lost the lock, or a pause is
    /// over. The waiters ahead and a guard that is released change the turn.
    async fn turn_ended(&self, turn: &Turn) {
        match turn {
            Turn::HeldHere(trust) => drop(trust.lost().await),
            Turn::Paused(until) => self.engine.store.clock().sleep_until(*until).await,
            Turn::Ask | Turn::Queued => pending().await,
        }
    }

    /// Describes why the lock was not acquired, by what the client's waiters know.
    fn last_known(&self, position: &QueuePosition, in_queue: bool) -> String {
        let known = match position.last_known() {
            (Some(trust), _) => describe_held(&self.engine.holder, trust.remaining()),
            (None, Some(outcome)) => outcome.to_string(),
            (None, None) => "the store did not reply".to_owned(),
        };
        match position.waiters_ahead() {
            ahead if in_queue && ahead > 0 => {
                let calls = if ahead == 1 { "call" } else { "calls" };
                format!("waiting behind {ahead} {calls} of this client; the first: {known}")
            }
            // The waiters of an exclusive lock all wait for its holder.
            _ => known,
        }
    }
}

/// Waits for the next change of a name; it stays pending without a subscription.
async fn next_change(hints: Option<&Subscription>) -> Change {
    match hints {
        Some(hints) => hints.changed().await,
        None => pending().await,
    }
}

/// Describes a reply that did not end the wait, for the message of a timeout.
///
/// # Errors
/// This fails with the store's error if waiting cannot resolve it.
fn describe_outcome(
    outcome: &Result<AcquireOutcome>,
    progress: &mut QueueProgress<'_>,
) -> Result<String> {
    match outcome {
        Ok(AcquireOutcome::Granted(_)) => Ok("the grant arrived too late to be used".to_owned()),
        Ok(AcquireOutcome::Queued(queued)) => Ok(progress.entered(queued)),
        Ok(AcquireOutcome::Held(held)) => Ok(describe_held(&held.holder, held.left)),
        Ok(AcquireOutcome::Disabled(disabled)) => {
            Ok(format!("the lock is disabled: {}", disabled.reason))
        }
        Err(error) if error.is_transient() => Ok(error.to_string()),
        Err(error) => Err(error.clone()),
    }
}

fn describe_held(holder: &Holder, left: Duration) -> String {
    format!("held by {holder} for another {left:.1?}")
}
