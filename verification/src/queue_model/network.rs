//! This module defines messages between instances and the store.

use leasehold_core::lease::machine::Stage;
use leasehold_core::{Hint, Moment};

use super::state::{Message, MessageStage, QueueState};
use super::store::{Call, store_id};
use super::units::NOW;
use crate::model::LeaseId;

pub(super) fn send(
    state: &mut QueueState,
    waiting: Option<usize>,
    call: Call,
    lease: LeaseId,
    until: Moment,
) {
    let (sent, until) = match waiting {
        Some(_) => (NOW, until),
        None => (Moment::ORIGIN, Moment::ORIGIN),
    };
    let stage = MessageStage::Request;
    state.network.push(Message { waiting, call, lease, sent, until, stage, late: false });
}

/// Sends a renewal that has waited for others.
pub(super) fn send_renewal(state: &mut QueueState, at: usize) {
    let Some(it) = &mut state.instances[at] else { return };
    if let (Some(window), Some(lease)) = (it.window.take(), it.lease) {
        send(state, Some(at), Call::Renew, lease, window.useful_until);
    }
}

/// Sends a hint from the store to the waiters that it names. A late one may reach a holder.
pub(super) fn send_hint(state: &mut QueueState, hint: &Hint) {
    for it in state.instances.iter_mut().flatten() {
        let waits = matches!(it.machine.stage(), Stage::Acquiring | Stage::Queued);
        let is_named = match hint {
            Hint::Entries(_, leases) => it.lease.is_some_and(|id| leases.contains(&store_id(id))),
            _ => true,
        };
        it.hinted |= waits && is_named;
    }
}

/// Counts the renewals of an instance that are in progress.
pub(super) fn renewals(state: &QueueState, at: usize) -> usize {
    let its = |message: &&Message| message.waiting == Some(at) && message.call == Call::Renew;
    state.network.iter().filter(its).count()
}

/// Makes an instance stop waiting for replies, either to all calls or to its renewals. Replies
/// without a waiter are removed, and requests without one are equal whenever they were sent.
fn ignore(state: &mut QueueState, at: usize, only: Option<Call>) {
    for message in &mut state.network {
        if message.waiting == Some(at) && only.is_none_or(|only| message.call == only) {
            message.waiting = None;
        }
    }
    forget(state);
}

/// Cancels the renewal that an instance has not sent, and ignores the replies to the others.
pub(super) fn stop_renewing(state: &mut QueueState, at: usize) {
    state.with(at, |it| it.window = None);
    ignore(state, at, Some(Call::Renew));
}

/// Makes an instance stop waiting for the reply to its second oldest renewal.
pub(super) fn ignore_second_oldest_renewal(state: &mut QueueState, at: usize) {
    let its = |message: &&mut Message| message.waiting == Some(at) && message.call == Call::Renew;
    let mut renewals: Vec<_> = state.network.iter_mut().filter(its).collect();
    renewals.sort_by_key(|message| message.sent);
    if let Some(second) = renewals.into_iter().nth(1) {
        second.waiting = None;
    }
    forget(state);
}

/// Removes a participant. The messages that it sent are still in the network.
pub(super) fn leave(state: &mut QueueState, at: usize) {
    ignore(state, at, None);
    state.instances[at] = None;
    state.forget_owner(at);
}

fn forget(state: &mut QueueState) {
    state
        .network
        .retain(|message| message.waiting.is_some() || message.stage == MessageStage::Request);
    for message in state.network.iter_mut().filter(|message| message.waiting.is_none()) {
        (message.sent, message.until) = (Moment::ORIGIN, Moment::ORIGIN);
    }
}
